"""Entries as files, written part by part: CSV and Parquet."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.common.clock import from_micros
from services.loyalty.domain.entry import Entry
from services.loyalty.ports.reporting import EntryWriter

if TYPE_CHECKING:
    from typing_extensions import Buffer

_TIME = pa.timestamp("us", "UTC")
_COLUMNS: tuple[tuple[str, pa.DataType, Callable[[Entry], Any]], ...] = (
    ("entry_id", pa.string(), lambda entry: entry.id),
    ("program_id", pa.string(), lambda entry: entry.program_id),
    ("member_id", pa.string(), lambda entry: entry.member_id),
    ("sequence", pa.int64(), lambda entry: entry.sequence),
    ("kind", pa.string(), lambda entry: entry.kind.name),
    ("debit", pa.string(), lambda entry: entry.debit.name),
    ("credit", pa.string(), lambda entry: entry.credit.name),
    ("points", pa.int64(), lambda entry: entry.points),
    ("balance_points", pa.int64(), lambda entry: entry.balance),
    ("event_time", _TIME, lambda entry: entry.event_time),
    ("record_time", _TIME, lambda entry: entry.record_time),
    ("order_id", pa.string(), lambda entry: entry.order_id),
    ("order_amount_minor", pa.int64(), lambda entry: entry.order_amount_minor),
    ("reward_id", pa.string(), lambda entry: entry.reward_id),
    ("request_id", pa.string(), lambda entry: entry.request_id),
    ("reason", pa.string(), lambda entry: entry.reason),
    ("tier_id", pa.string(), lambda entry: entry.tier_id),
    ("previous_tier_id", pa.string(), lambda entry: entry.previous_tier_id),
    ("pending_points", pa.int64(), lambda entry: entry.pending),
    ("source_entry_id", pa.string(), lambda entry: entry.source_entry_id),
    ("debt_points", pa.int64(), lambda entry: entry.debt),
    ("uncollected_points", pa.int64(), lambda entry: entry.uncollected),
    ("refund_number", pa.int64(), lambda entry: entry.refund_number),
    ("event_id", pa.string(), lambda entry: entry.event_id),
    ("tier_change", pa.string(), lambda entry: entry.tier_change.upper()),
)
_SCHEMA = pa.schema([(name, kind) for name, kind, _ in _COLUMNS])
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _cell(value: Any, kind: pa.DataType) -> Any:
    if kind == _TIME:
        return from_micros(value).isoformat(timespec="microseconds").replace("+00:00", "Z")
    # What callers wrote must not become a formula in the program that opens the file.
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


class CsvEntries:
    """The port ``EntryWriter`` as CSV."""

    def __init__(self) -> None:
        self._header = True

    def write(self, entries: Sequence[Entry]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if self._header:
            writer.writerow(_SCHEMA.names)
            self._header = False
        writer.writerows([_cell(read(entry), kind) for _, kind, read in _COLUMNS] for entry in entries)
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


class ParquetEntries:
    """The port ``EntryWriter`` as Parquet: a row group for each part."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(self._sink, _SCHEMA, compression="zstd")

    def write(self, entries: Sequence[Entry]) -> bytes:
        columns = [[read(entry) for entry in entries] for _, _, read in _COLUMNS]
        self._writer.write_table(pa.table(columns, schema=_SCHEMA))
        return self._sink.taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.taken()


def csv_entries() -> EntryWriter:
    """A new CSV file."""
    return CsvEntries()


def parquet_entries() -> EntryWriter:
    """A new Parquet file."""
    return ParquetEntries()
