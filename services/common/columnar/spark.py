"""The analytical engine on a cluster: Parquet tables behind Spark Connect.

Spark has no transaction over several tables. Each batch is a partition of its own, named after the cursor at which
it starts, and becomes visible when one row is added to ``commits``: a batch that was cut off by a crash is not seen,
and its replay overwrites what it left. The cluster needs a metastore that outlives it.
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

from services.common.columnar.port import Keep, Rows, Table, checked, typed, unbound
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
        self._appending = asyncio.Lock()
        self._giving = threading.Lock()
        session.sql(f"CREATE DATABASE IF NOT EXISTS tessera_{service}")
        session.sql(f"USE tessera_{service}")
        columns = "follower STRING, sequence BIGINT, batch STRING, cursor STRING"
        session.sql(f"CREATE TABLE IF NOT EXISTS commits ({columns}) USING parquet")
        for table in tables:
            self._declare(table)

    async def append(self, rows: Mapping[Table, Rows], follower: str, cursor: str) -> bool:
        async with self._appending:
            return await asyncio.to_thread(self._append, rows, follower, cursor)

    async def cursor(self, follower: str) -> str:
        return await asyncio.to_thread(self._cursor, follower)

    def table(self, table: Table) -> ir.Table:
        return unbound(table)

    async def execute(self, query: ir.Table, given: Mapping[str, pa.Table] | None = None) -> pa.Table:
        return await asyncio.to_thread(self._execute, query, given or {})

    async def close(self) -> None:
        await asyncio.to_thread(self._session.stop)

    def _declare(self, table: Table) -> None:
        """The table of batches, and the view of what is committed with the rule for keys applied."""
        empty = self._frame(table.schema.empty_table())
        columns = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in empty.schema.fields)
        self._session.sql(
            f"CREATE TABLE IF NOT EXISTS {table.name}_batches ({columns}, _row BIGINT, _batch STRING) "
            "USING parquet PARTITIONED BY (_batch)"
        )
        committed = (
            f"SELECT * FROM {table.name}_batches "
            "JOIN (SELECT batch, min(sequence) AS _sequence FROM commits GROUP BY batch) ON _batch = batch"
        )
        if table.key and table.keep is Keep.LAST:
            key = ", ".join(f"`{column}`" for column in table.key)
            place = f"row_number() OVER (PARTITION BY {key} ORDER BY _sequence DESC, _row DESC)"
            committed = f"SELECT * FROM (SELECT *, {place} AS _place FROM ({committed})) WHERE _place = 1"
        names = ", ".join(f"`{name}`" for name in table.schema.names)
        self._session.sql(f"CREATE OR REPLACE TEMPORARY VIEW {table.name} AS SELECT {names} FROM ({committed})")

    def _append(self, rows: Mapping[Table, Rows], follower: str, cursor: str) -> bool:
        start = self._cursor(follower)
        if start == cursor:
            return False
        batch = hashlib.sha256(f"{follower}\n{start}".encode()).hexdigest()[:32]
        for table, data in rows.items():
            self._write(table, checked(table, data), batch)
        self._session.sql(
            "INSERT INTO commits SELECT :follower, coalesce(max(sequence), 0) + 1, :batch, :cursor FROM commits",
            args={"follower": follower, "batch": batch, "cursor": cursor},
        )
        return True

    def _write(self, table: Table, rows: pa.Table, batch: str) -> None:
        numbered = rows.append_column("_row", pa.array(range(rows.num_rows), pa.int64()))
        self._frame(numbered).createOrReplaceTempView("_incoming")
        unseen = "SELECT new.* FROM _incoming AS new"
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

    def _execute(self, query: ir.Table, given: Mapping[str, pa.Table]) -> pa.Table:
        sql = str(ibis.to_sql(query, dialect="pyspark", pretty=False))
        if not given:
            return typed(query, self._session.sql(sql).toArrow())
        with self._giving:  # the session has one name space
            for name, rows in given.items():
                self._frame(rows).createOrReplaceTempView(name)
            return typed(query, self._session.sql(sql).toArrow())


def _same_key(table: Table, one: str, other: str) -> str:
    return " AND ".join(f"{one}.`{column}` = {other}.`{column}`" for column in table.key)
