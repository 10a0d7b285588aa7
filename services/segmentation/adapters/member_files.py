"""Members, clusters and lookalikes as files, written part by part: CSV and Parquet."""

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from services.common.clock import from_micros
from services.segmentation.ports import MemberWriter, RowWriter

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CUSTOMER = ("customer_id", pa.string())
MEMBERS = pa.schema([_CUSTOMER, ("enter_time", pa.timestamp("us", "UTC"))])
CLUSTERS = pa.schema([_CUSTOMER, ("cluster", pa.int64()), ("persona", pa.string())])
LOOKALIKES = pa.schema([_CUSTOMER, ("place", pa.int64())])


class CsvRows:
    """The port ``RowWriter`` as CSV."""

    def __init__(self, schema: pa.Schema) -> None:
        self._names = schema.names
        self._times = {place for place, kind in enumerate(schema.types) if pa.types.is_timestamp(kind)}
        self._header = True

    def write(self, rows: Sequence[tuple[str | int, ...]]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if self._header:
            writer.writerow(self._names)
            self._header = False
        writer.writerows([self._cell(place, value) for place, value in enumerate(row)] for row in rows)
        return text.getvalue().encode()

    def _cell(self, place: int, value: str | int) -> str | int:
        return from_micros(int(value)).isoformat().replace("+00:00", "Z") if place in self._times else value

    def end(self) -> bytes:
        return self.write(())


class _Sink(io.RawIOBase):
    """A file of which only what was not taken yet is kept."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, content: "Buffer") -> int:
        part = bytes(content)
        self._parts.append(part)
        self._length += len(part)
        return len(part)

    def tell(self) -> int:
        return self._length

    def taken(self) -> bytes:
        """What was written since the last time."""
        content, self._parts = b"".join(self._parts), []
        return content


class ParquetRows:
    """The port ``RowWriter`` as Parquet: a row group for each part."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sink, self._schema = _Sink(), schema
        self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd")

    def write(self, rows: Sequence[tuple[str | int, ...]]) -> bytes:
        columns = [[row[place] for row in rows] for place in range(len(self._schema))]
        self._writer.write_table(pa.table(columns, schema=self._schema))
        return self._sink.taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.taken()


def csv_members() -> MemberWriter:
    """A new CSV file of members."""
    return CsvRows(MEMBERS)


def parquet_members() -> MemberWriter:
    """A new Parquet file of members."""
    return ParquetRows(MEMBERS)


def clusters_file(*, parquet: bool) -> RowWriter:
    """A new file of customers with their clusters."""
    return ParquetRows(CLUSTERS) if parquet else CsvRows(CLUSTERS)


def lookalikes_file(*, parquet: bool) -> RowWriter:
    """A new file of lookalikes."""
    return ParquetRows(LOOKALIKES) if parquet else CsvRows(LOOKALIKES)
