"""CSV and Parquet, some rows at a time: what is read or written never has to fit into memory."""

import asyncio
import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.common.errors import InvalidArgument
from services.profiles.domain.table_import import TableFormat

ROWS = 1000
ROW_GROUP = 10_000
CELL_MAX = 64 * 1024
COLUMNS_MAX = 1000
csv.field_size_limit(CELL_MAX)

Rows = list[tuple[int, list[Any] | str]]
"""The number of each row, and its values, or why it has none."""


class TableUnreadable(InvalidArgument):
    """The file is not what its format says."""


class TableReader:
    """The names of the columns, and the rows in batches. Use it in one thread at a time."""

    def __init__(self, path: Path, format: TableFormat) -> None:
        self._open = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") if _is_csv(format) else None
        try:
            self.names, self._batches = self._begin(path)
        except BaseException:
            self.close()
            raise

    def _begin(self, path: Path) -> tuple[list[str], Iterator[Rows]]:
        try:
            names, batches = self._csv() if self._open else _parquet(path)
        except (pa.ArrowException, csv.Error, StopIteration, OSError) as error:
            raise TableUnreadable(f"the file cannot be read: {error or 'it is empty'}") from error
        if len(names) > COLUMNS_MAX:
            raise TableUnreadable(f"the file has {len(names)} columns; at most {COLUMNS_MAX} are read")
        if len(set(names)) < len(names):
            raise TableUnreadable("two columns of the file have the same name")
        return names, batches

    def next(self) -> Rows:
        """The next rows; none at the end."""
        try:
            return next(self._batches, [])
        except (pa.ArrowException, OSError) as error:
            raise TableUnreadable(f"the file cannot be read to its end: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        if self._open:
            self._open.close()

    def _csv(self) -> tuple[list[str], Iterator[Rows]]:
        assert self._open is not None
        reader = csv.reader(self._open)
        names = next(reader)
        return names, _csv_batches(reader, len(names))


async def open_table(path: Path, format: TableFormat) -> TableReader:
    """A reader of the file. ``TableUnreadable``. Who is cancelled meanwhile leaves no file open."""
    opening = asyncio.ensure_future(asyncio.to_thread(TableReader, path, format))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(TableUnreadable):
            (await opening).close()
        raise


def _is_csv(format: TableFormat) -> bool:
    return format is TableFormat.CSV


def _csv_batches(reader: "Iterator[list[str]]", width: int) -> Iterator[Rows]:
    number, rows, ended = 0, Rows(), False
    while not ended:
        try:
            values = next(reader)
            if not values:
                continue  # an empty line
            number += 1
            rows.append((number, _judged(values, width)))
        except StopIteration:
            ended = True
        except csv.Error as error:
            number += 1
            rows.append((number, f"the line cannot be read: {error}"))
        if len(rows) == ROWS or (ended and rows):
            yield rows
            rows = []


def _judged(values: list[str], width: int) -> list[Any] | str:
    if len(values) != width:
        return f"the line has {len(values)} values, and there are {width} columns"
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return "the line is not UTF-8"
    return list(values)


def _parquet(path: Path) -> tuple[list[str], Iterator[Rows]]:
    file = pq.ParquetFile(path, memory_map=True)
    return list(file.schema_arrow.names), _parquet_batches(file)


def _parquet_batches(file: Any) -> Iterator[Rows]:
    number = 0
    for batch in file.iter_batches(batch_size=ROWS):
        columns = [column.to_pylist() for column in batch.columns]
        yield [(number + place, list(values)) for place, values in enumerate(zip(*columns, strict=True), 1)]
        number += batch.num_rows


class TableWriter:
    """Rows in, the bytes of a file out, as soon as there are some."""

    def __init__(self, format: TableFormat, names: Sequence[str], types: Sequence[str]) -> None:
        self._buffer = _Draining()
        self._rows: list[Sequence[Any]] = []
        self._schema = pa.schema([(name, _ARROW[kind]) for name, kind in zip(names, types, strict=True)])
        self._parquet: Any = None
        if format is TableFormat.PARQUET:
            self._parquet = pq.ParquetWriter(pa.PythonFile(self._buffer, mode="w"), self._schema, compression="zstd")
        else:
            self._write_csv([names])

    def write(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """The bytes that are ready."""
        if self._parquet is None:
            self._write_csv(rows)
        else:
            self._rows.extend(rows)
            if len(self._rows) >= ROW_GROUP:
                self._flush()
        return self._buffer.drain()

    def end(self) -> bytes:
        """The last bytes."""
        if self._parquet is not None:
            self._flush()
            self._parquet.close()
        return self._buffer.drain()

    def _flush(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [() for _ in self._schema]
        arrays = [pa.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._parquet.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []

    def _write_csv(self, rows: Sequence[Sequence[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([["" if value is None else value for value in row] for row in rows])
        self._buffer.write(text.getvalue().encode())


_ARROW = {"text": pa.string(), "number": pa.int64(), "time": pa.timestamp("us", tz="UTC")}


class _Draining(io.RawIOBase):
    """A file that nobody reads back: what was written is taken away, and only its length remembered."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def drain(self) -> bytes:
        """All that was written since."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
