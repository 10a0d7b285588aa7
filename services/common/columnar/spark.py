"""The analytical engine on a cluster: Parquet tables behind Spark Connect.

Spark has no transaction over several tables. Each batch is a partition of its own, named after the cursor at which
it starts, and becomes visible when one row is added to ``commits``: a batch that was cut off by a crash is not seen,
and its replay overwrites what it left. An amendment writes the batches that it concerns anew; the rows of ``commits``
that make them visible, in the same write as that of the batch, say which they replace. The cluster needs a metastore
that outlives it.
"""

import asyncio
import hashlib
import socket
import threading
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from services.common.columnar.port import Amendment, Assign, Keep, Rows, Table, checked, missing_columns, typed, unbound
from services.common.columnar.texts import Bound, Texts
from services.common.errors import Unavailable

DEFAULT_PORT = 15002
CONNECT_SECONDS_MAX = 10.0


def connect(url: str) -> SparkSession:
    """A session on the cluster at ``url`` (``sc://host:port``)."""
    address = urlsplit(url)
    try:  # pyspark itself would go on trying for ten minutes
        socket.create_connection((address.hostname, address.port or DEFAULT_PORT), CONNECT_SECONDS_MAX).close()
    except (OSError, ValueError) as error:
        raise Unavailable(f"Spark does not answer at {url}: {error}") from error
    session: SparkSession = SparkSession.builder.remote(url).create()
    return session


# The compiler reads this backend's options where a column is a float; naming the backend registers them.
_BACKEND = ibis.pyspark


class SparkColumnar:
    """Tables in the database ``tessera_<service>``; the names of the expressions are views over the batches."""

    def __init__(self, session: SparkSession, service: str, tables: Sequence[Table]) -> None:
        self._session = session
        # The columns of each table of batches, in their order there: those that came with a later version are the last.
        self._stored: dict[str, list[str]] = {}
        self._appending = asyncio.Lock()
        self._giving = threading.Lock()
        self._texts = Texts("pyspark")
        session.sql(f"CREATE DATABASE IF NOT EXISTS tessera_{service}")
        session.sql(f"USE tessera_{service}")
        columns = "follower STRING, sequence BIGINT, batch STRING, cursor STRING, replaces STRING"
        session.sql(f"CREATE TABLE IF NOT EXISTS commits ({columns}) USING parquet")
        for table in tables:
            self._declare(table)
            self._drop_replaced(table)

    async def append(
        self, rows: Mapping[Table, Rows], follower: str, cursor: str, amendments: Sequence[Amendment] = ()
    ) -> bool:
        async with self._appending:
            return await asyncio.to_thread(self._append, rows, follower, cursor, amendments)

    async def cursor(self, follower: str) -> str:
        return await asyncio.to_thread(self._cursor, follower)

    def table(self, table: Table) -> ir.Table:
        return unbound(table)

    async def execute(
        self, query: ir.Table, given: Mapping[str, pa.Table] | None = None, bound: Bound | None = None
    ) -> pa.Table:
        return await asyncio.to_thread(self._execute, query, given or {}, bound)

    async def close(self) -> None:
        await asyncio.to_thread(self._session.stop)

    def _declare(self, table: Table) -> None:
        """The table of batches, and the view of what is committed with the rule for keys applied."""
        empty = self._frame(table.schema.empty_table())
        declared = {field.name: field.dataType.simpleString() for field in empty.schema.fields}
        columns = ", ".join(f"`{name}` {kind}" for name, kind in declared.items())
        self._session.sql(
            f"CREATE TABLE IF NOT EXISTS {table.name}_batches ({columns}, _row BIGINT, _batch STRING) "
            "USING parquet PARTITIONED BY (_batch)"
        )
        kinds = self._session.table(f"{table.name}_batches").dtypes
        found = {name: kind for name, kind in kinds if name not in ("_row", "_batch")}
        missing = missing_columns(table, declared, found)
        for name, kind in missing:
            self._session.sql(f"ALTER TABLE {table.name}_batches ADD COLUMNS (`{name}` {kind})")
        self._stored[table.name] = [name for name, _ in (*kinds, *missing) if name != "_batch"]
        committed = (
            f"SELECT * FROM {table.name}_batches "
            "JOIN (SELECT batch, min(sequence) AS _sequence FROM commits GROUP BY batch) ON _batch = batch "
            f"WHERE concat('{table.name}/', _batch) NOT IN (SELECT replaces FROM commits WHERE replaces <> '')"
        )
        if table.key and table.keep is Keep.LAST:
            key = ", ".join(f"`{column}`" for column in table.key)
            place = f"row_number() OVER (PARTITION BY {key} ORDER BY _sequence DESC, _row DESC)"
            committed = f"SELECT * FROM (SELECT *, {place} AS _place FROM ({committed})) WHERE _place = 1"
        names = ", ".join(f"`{name}`" for name in table.schema.names)
        self._session.sql(f"CREATE OR REPLACE TEMPORARY VIEW {table.name} AS SELECT {names} FROM ({committed})")

    def _append(self, rows: Mapping[Table, Rows], follower: str, cursor: str, amendments: Sequence[Amendment]) -> bool:
        start = self._cursor(follower)
        if start == cursor:
            return False
        places = self._places()
        batch = _name(follower, start)
        while batch in places:  # the cursor was put back, and what was read after it then stays as it is
            batch = _name(batch, "again")
        for table, data in rows.items():
            self._write(table, checked(table, data), batch)
        places[batch] = self._next_sequence()
        made = [(follower, places[batch], batch, cursor, "")]
        replaced = {row["replaces"] for row in self._session.sql("SELECT replaces FROM commits").toArrow().to_pylist()}
        for amendment in amendments:
            made += self._amend(amendment, places, replaced)
        listed = pa.table(dict(zip(_COMMIT, map(list, zip(*made, strict=True)), strict=True)), schema=_COMMITS)
        self._frame(listed).coalesce(1).createOrReplaceTempView("_made")
        self._session.sql("INSERT INTO commits SELECT * FROM _made")
        for table in {amendment.table.name: amendment.table for amendment in amendments}.values():
            self._drop_replaced(table)
        return True

    def _places(self) -> dict[str, int]:
        """The sequence of each committed batch."""
        query = "SELECT batch, min(sequence) AS sequence FROM commits GROUP BY batch"
        return {row["batch"]: row["sequence"] for row in self._session.sql(query).toArrow().to_pylist()}

    def _next_sequence(self) -> int:
        found = self._session.sql("SELECT coalesce(max(sequence), 0) + 1 AS next FROM commits").toArrow()
        return int(found["next"][0].as_py())

    def _amend(
        self, amendment: Amendment, places: dict[str, int], replaced: set[str]
    ) -> list[tuple[str, int, str, str, str]]:
        """Write the batches that the amendment concerns anew; the commits that make that visible."""
        given = amendment.values if isinstance(amendment, Assign) else amendment.keys
        by = amendment.by if isinstance(amendment, Assign) else tuple(given.column_names)
        name = amendment.table.name
        self._frame(given).createOrReplaceTempView("_amending")
        same = " AND ".join(f"kept.`{column}` = new.`{column}`" for column in by)
        query = f"SELECT DISTINCT kept._batch AS batch FROM {name}_batches AS kept JOIN _amending AS new ON {same}"
        made = []
        for old in sorted(row["batch"] for row in self._session.sql(query).toArrow().to_pylist()):
            if old not in places or f"{name}/{old}" in replaced:
                continue
            new = _name(old, f"{name} {len(replaced)}")
            self._rewrite(amendment, old, new, same, set(given.column_names) - set(by))
            places[new] = places[old]
            replaced.add(f"{name}/{old}")
            made.append(("", places[old], new, "", f"{name}/{old}"))
        return made

    def _rewrite(self, amendment: Amendment, old: str, new: str, same: str, assigned: set[str]) -> None:
        name, partition = amendment.table.name, f"PARTITION (_batch = '{new}')"
        columns = [
            f"coalesce(new.`{column}`, kept.`{column}`)" if column in assigned else f"kept.`{column}`"
            for column in self._stored[name]
        ]
        join = "LEFT JOIN" if isinstance(amendment, Assign) else "LEFT ANTI JOIN"
        self._session.sql(f"ALTER TABLE {name}_batches DROP IF EXISTS {partition}")  # left by a crash
        self._session.sql(
            f"INSERT INTO {name}_batches {partition} SELECT {', '.join(columns)} FROM {name}_batches AS kept "
            f"{join} _amending AS new ON {same} WHERE kept._batch = '{old}'"
        )

    def _drop_replaced(self, table: Table) -> None:
        """Delete the files of batches that nobody sees any more."""
        query = f"SELECT replaces FROM commits WHERE replaces LIKE '{table.name}/%'"
        for row in self._session.sql(query).toArrow().to_pylist():
            old = row["replaces"].partition("/")[2]
            self._session.sql(f"ALTER TABLE {table.name}_batches DROP IF EXISTS PARTITION (_batch = '{old}')")

    def _write(self, table: Table, rows: pa.Table, batch: str) -> None:
        numbered = rows.append_column("_row", pa.array(range(rows.num_rows), pa.int64()))
        self._frame(numbered).createOrReplaceTempView("_incoming")
        columns = ", ".join(f"new.`{column}`" for column in self._stored[table.name])
        unseen = f"SELECT {columns} FROM _incoming AS new"
        if table.key and table.keep is Keep.FIRST:
            unseen += f" LEFT ANTI JOIN {table.name} AS kept ON {_same_key(table, 'new', 'kept')}"
        partition = f"PARTITION (_batch = '{batch}')"
        self._session.sql(f"ALTER TABLE {table.name}_batches DROP IF EXISTS {partition}")  # left by a crash
        self._session.sql(f"INSERT INTO {table.name}_batches {partition} {unseen}")

    def _frame(self, rows: pa.Table) -> DataFrame:
        return self._session.createDataFrame(rows, from_arrow_schema(rows.schema))

    def _cursor(self, follower: str) -> str:
        newest = self._session.sql(
            "SELECT max_by(cursor, sequence) AS cursor FROM commits WHERE follower = :follower",
            args={"follower": follower},
        ).toArrow()
        return newest["cursor"][0].as_py() or ""

    def _execute(self, query: ir.Table, given: Mapping[str, pa.Table], bound: Bound | None) -> pa.Table:
        sql = self._texts.text(query, bound)
        if not given:
            return typed(query, self._session.sql(sql).toArrow())
        with self._giving:  # the session has one name space
            for name, rows in given.items():
                self._frame(rows).createOrReplaceTempView(name)
            return typed(query, self._session.sql(sql).toArrow())


_COMMIT = ("follower", "sequence", "batch", "cursor", "replaces")
_COMMITS = pa.schema([(name, pa.int64() if name == "sequence" else pa.string()) for name in _COMMIT])


def _name(one: str, other: str) -> str:
    """The name of a batch: the same again for the same beginning."""
    return hashlib.sha256(f"{one}\n{other}".encode()).hexdigest()[:32]


def _same_key(table: Table, one: str, other: str) -> str:
    return " AND ".join(f"{one}.`{column}` = {other}.`{column}`" for column in table.key)
