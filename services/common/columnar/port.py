"""The columnar port: what a service may ask of the engine that scans its events.

Tables are declared with an Arrow schema whose first column is ``tenant``. A query is an Ibis expression over
``Columnar.table(…)``; the same expression runs on both engines. Rows arrive in batches that carry the cursor of the
feed they came from: rows and cursor become visible together, and the same batch again changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from services.common.columnar.texts import Bound
from services.common.errors import FailedPrecondition

Rows: TypeAlias = pa.Table | pa.RecordBatch


class Keep(Enum):
    """Which rows stay when rows of a later batch have the key of rows that are there."""

    FIRST = "first"
    """Those that are there: an event that is delivered again is not recorded again. Rows of one batch that share a
    key all stay (the lines of one order)."""
    LAST = "last"
    """Those of the later batch, one a key: a projection. Within a batch the last row of a key stays."""


@dataclass(frozen=True)
class Table:
    """A declared table. Without ``key`` every row that is appended stays. Key columns are never null.

    Columns may be added from one version to the next: they are null in the rows that are there.
    """

    name: str
    schema: pa.Schema
    key: tuple[str, ...] = ()
    keep: Keep = Keep.FIRST

    def __post_init__(self) -> None:
        if self.schema.names[:1] != ["tenant"] or self.schema.field(0).type != pa.string():
            raise ValueError(f"table {self.name}: the first column must be tenant, a string")
        if self.key and (self.key[0] != "tenant" or not set(self.key) <= set(self.schema.names)):
            raise ValueError(f"table {self.name}: a key begins with tenant and names columns")


@dataclass(frozen=True)
class Assign:
    """Gives rows that are there other values: those whose columns ``by`` are as in a row of ``values`` take the rest of
    its columns. ``by`` begins with ``tenant``; no two rows of ``values`` have the same."""

    table: Table
    by: tuple[str, ...]
    values: pa.Table


@dataclass(frozen=True)
class Remove:
    """Removes the rows whose columns are as in some row of ``keys``; ``tenant`` is one of them."""

    table: Table
    keys: pa.Table


Amendment: TypeAlias = Assign | Remove


class Columnar(Protocol):
    """Keeps one service's analytical tables. Every method is safe to call from many tasks at once."""

    async def append(
        self, rows: Mapping[Table, Rows], follower: str, cursor: str, amendments: Sequence[Amendment] = ()
    ) -> bool:
        """Append a batch, carry out amendments of what is then there, in order, and move ``follower`` to ``cursor``:
        all or nothing, durably.

        False, and nothing changes, if the follower is at ``cursor`` already. A follower has one writer.
        """
        ...

    async def cursor(self, follower: str) -> str:
        """The cursor of the last batch of ``follower``; ``""`` before the first."""
        ...

    def table(self, table: Table) -> ir.Table:
        """The table as an expression. It holds every tenant's rows: narrow it with ``of_tenant``."""
        ...

    async def execute(
        self, query: ir.Table, given: Mapping[str, pa.Table] | None = None, bound: Bound | None = None
    ) -> pa.Table:
        """The rows of ``query``, computed off the event loop on a consistent snapshot of the appended batches.

        ``given`` are small tables that exist for this query only: the expression names them with
        ``ibis.table(schema, name=…)``. ``bound`` are the values of its parameters (``ibis.param("int64")``), or
        an empty mapping: a query that is asked again as the same expression, with other values, is not composed anew.
        """
        ...

    async def close(self) -> None:
        """Finish what was accepted and release the engine."""
        ...


def unbound(table: Table) -> ir.Table:
    """The expression that names ``table`` in either engine."""
    return ibis.table(ibis.Schema.from_pyarrow(table.schema), name=table.name)


def of_tenant(rows: ir.Table, tenant: str) -> ir.Table:
    """``rows`` of one tenant."""
    return rows.filter(rows.tenant == tenant)


def checked(table: Table, rows: Rows) -> pa.Table:
    """The batch with the declared schema; ``ValueError`` for columns that were not declared (a bug in the caller)."""
    whole = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    if whole.schema.names != table.schema.names:
        raise ValueError(f"table {table.name} has the columns {table.schema.names}, not {whole.schema.names}")
    return whole.cast(table.schema)


def missing_columns(table: Table, declared: Mapping[str, str], found: Mapping[str, str]) -> list[tuple[str, str]]:
    """The columns, with their types, that a table of an earlier version lacks; ``FailedPrecondition`` if it differs in
    more than columns that may be null.
    """
    missing = [(name, kind) for name, kind in declared.items() if name not in found]
    kept = all(declared.get(name) == kind for name, kind in found.items())
    if not kept or any(name in table.key for name, _ in missing):
        raise FailedPrecondition(
            f"table {table.name} was written by another version with other columns; move the service's .duckdb file, "
            "or its database on Spark, away and it is built again from the feeds"
        )
    return missing


def typed(query: ir.Table, answer: pa.Table) -> pa.Table:
    """The answer with the types that the expression promises, whatever widths the engine chose."""
    return answer.cast(query.schema().to_pyarrow())
