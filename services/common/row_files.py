"""Rows as files, written part by part: CSV and Parquet."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from typing_extensions import Buffer

Row = Sequence[Any]
Cell = Callable[[Any, pa.DataType], Any]
"""What CSV shows of a value of that type."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvRows:
    """CSV, after a line with the names of the columns. A text that a program for tables would compute begins with an
    apostrophe."""

    def __init__(self, schema: pa.Schema, cell: Cell) -> None:
        self._schema, self._cell = schema, cell
        self._header = True

    def write(self, rows: Sequence[Row]) -> bytes:
        """The next part."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if self._header:
            writer.writerow(self._schema.names)
            self._header = False
        writer.writerows(
            [_harmless(self._cell(*each)) for each in zip(row, self._schema.types, strict=True)] for row in rows
        )
        return text.getvalue().encode()

    def end(self) -> bytes:
        """What is left."""
        return self.write(())


def _harmless(value: Any) -> Any:
    """What callers wrote must not become a formula in the program that opens the file."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


class ParquetRows:
    """Parquet: a row group for each part."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sink, self._schema = _Sink(), schema
        self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd")

    def write(self, rows: Sequence[Row]) -> bytes:
        """The next part."""
        columns = [[row[place] for row in rows] for place in range(len(self._schema))]
        self._writer.write_table(pa.table(columns, schema=self._schema))
        return self._sink.taken()

    def end(self) -> bytes:
        """What is left."""
        self._writer.close()
        return self._sink.taken()


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
