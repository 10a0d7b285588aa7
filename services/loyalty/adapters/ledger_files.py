"""Entries as files."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from services.common.clock import from_micros
from services.common.row_files import CsvRows, ParquetRows
from services.loyalty.domain.entry import Entry
from services.loyalty.ports.reporting import EntryWriter

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


def _cell(value: Any, kind: pa.DataType) -> Any:
    if kind == _TIME:
        return from_micros(value).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value


class _Entries:
    """The port ``EntryWriter`` over a file of rows."""

    def __init__(self, file: CsvRows | ParquetRows) -> None:
        self._file = file

    def write(self, entries: Sequence[Entry]) -> bytes:
        return self._file.write([[read(entry) for _, _, read in _COLUMNS] for entry in entries])

    def end(self) -> bytes:
        return self._file.end()


def csv_entries() -> EntryWriter:
    """A new CSV file."""
    return _Entries(CsvRows(_SCHEMA, _cell))


def parquet_entries() -> EntryWriter:
    """A new Parquet file."""
    return _Entries(ParquetRows(_SCHEMA))
