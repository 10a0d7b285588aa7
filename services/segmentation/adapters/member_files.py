"""Members, clusters and lookalikes as files."""

from typing import Any

import pyarrow as pa

from services.common.clock import from_micros
from services.common.row_files import CsvRows, ParquetRows
from services.segmentation.ports import MemberWriter, RowWriter

_CUSTOMER = ("customer_id", pa.string())
MEMBERS = pa.schema([_CUSTOMER, ("enter_time", pa.timestamp("us", "UTC"))])
CLUSTERS = pa.schema([_CUSTOMER, ("cluster", pa.int64()), ("persona", pa.string())])
LOOKALIKES = pa.schema([_CUSTOMER, ("place", pa.int64())])


def _cell(value: Any, kind: pa.DataType) -> Any:
    return from_micros(value).isoformat().replace("+00:00", "Z") if pa.types.is_timestamp(kind) else value


def csv_members() -> MemberWriter:
    """A new CSV file of members."""
    return CsvRows(MEMBERS, _cell)


def parquet_members() -> MemberWriter:
    """A new Parquet file of members."""
    return ParquetRows(MEMBERS)


def clusters_file(*, parquet: bool) -> RowWriter:
    """A new file of customers with their clusters."""
    return ParquetRows(CLUSTERS) if parquet else CsvRows(CLUSTERS, _cell)


def lookalikes_file(*, parquet: bool) -> RowWriter:
    """A new file of lookalikes."""
    return ParquetRows(LOOKALIKES) if parquet else CsvRows(LOOKALIKES, _cell)
