"""Members as files, written part by part: CSV and Parquet."""

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from services.common.clock import from_micros
from services.segmentation.ports import MemberWriter

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SCHEMA = pa.schema([("customer_id", pa.string()), ("enter_time", pa.timestamp("us", "UTC"))])


class CsvMembers:
    """The port ``MemberWriter`` as CSV."""

    def __init__(self) -> None:
        self._header = True

    def write(self, members: Sequence[tuple[str, int]]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if self._header:
            writer.writerow(_SCHEMA.names)
            self._header = False
        writer.writerows((who, from_micros(since).isoformat().replace("+00:00", "Z")) for who, since in members)
        return text.getvalue().encode()

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


class ParquetMembers:
    """The port ``MemberWriter`` as Parquet: a row group for each part."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(self._sink, _SCHEMA, compression="zstd")

    def write(self, members: Sequence[tuple[str, int]]) -> bytes:
        columns = [[who for who, _ in members], [since for _, since in members]]
        self._writer.write_table(pa.table(columns, schema=_SCHEMA))
        return self._sink.taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.taken()


def csv_members() -> MemberWriter:
    """A new CSV file."""
    return CsvMembers()


def parquet_members() -> MemberWriter:
    """A new Parquet file."""
    return ParquetMembers()
