"""Members, clusters and lookalikes as files."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from services.common.clock import from_micros
from services.common.row_files import CsvRows, ParquetRows
from services.segmentation.domain.object_push import Contents, FileForm, ObjectPush
from services.segmentation.ports import MemberWriter, RowWriter

_CUSTOMER = ("customer_id", pa.string())
MEMBERS = pa.schema([_CUSTOMER, ("enter_time", pa.timestamp("us", "UTC"))])
CHANGED = pa.schema([_CUSTOMER, ("transition", pa.string()), ("time", pa.timestamp("us", "UTC"))])
CLUSTERS = pa.schema([_CUSTOMER, ("cluster", pa.int64()), ("persona", pa.string())])
LOOKALIKES = pa.schema([_CUSTOMER, ("place", pa.int64())])


def _cell(value: Any, kind: pa.DataType) -> Any:
    return from_micros(value).isoformat().replace("+00:00", "Z") if pa.types.is_timestamp(kind) else value


class AudienceTables:
    """The port ``AudienceFiles``."""

    def __call__(self, push: ObjectPush) -> RowWriter:
        schema = _schema(push)
        return ParquetRows(schema) if push.form is FileForm.PARQUET else CsvRows(schema, _cell)

    def columns(self, push: ObjectPush) -> tuple[str, ...]:
        return tuple(_schema(push).names)


def _schema(push: ObjectPush) -> pa.Schema:
    own = CHANGED if push.contents is Contents.CHANGES else MEMBERS
    return _with(own, [column.name for column in push.columns])


def _with(own: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([*own, *((name, pa.string()) for name in names)])


def csv_members() -> MemberWriter:
    """A new CSV file of members."""
    return CsvRows(MEMBERS, _cell)


def members_file(names: Sequence[str] = (), *, parquet: bool) -> RowWriter:
    """A new file of members, with columns of these names beside its own."""
    schema = _with(MEMBERS, names)
    return ParquetRows(schema) if parquet else CsvRows(schema, _cell)


def clusters_file(*, parquet: bool) -> RowWriter:
    """A new file of customers with their clusters."""
    return ParquetRows(CLUSTERS) if parquet else CsvRows(CLUSTERS, _cell)


def lookalikes_file(*, parquet: bool) -> RowWriter:
    """A new file of lookalikes."""
    return ParquetRows(LOOKALIKES) if parquet else CsvRows(LOOKALIKES, _cell)
