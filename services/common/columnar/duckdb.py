"""The embedded analytical engine: one DuckDB file a service."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import duckdb
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from services.common.columnar.port import Amendment, Assign, Keep, Rows, Table, checked, missing_columns, typed, unbound
from services.common.columnar.texts import Bound, Texts
from services.common.errors import DataLoss, FailedPrecondition, ResourceExhausted, Unavailable

T = TypeVar("T")

READERS = 4
_MACROS = """
CREATE OR REPLACE MACRO try_element_at(entries, sought) AS
map_values(entries)[list_position(map_keys(entries), sought)]
"""
"""Spark's name for looking a key up. DuckDB's own lookup compares whole values; the place of a text among the keys is
found three times as fast."""


class FileInUse(FailedPrecondition):
    """Another process has the file open."""


class MemoryShort(ResourceExhausted):
    """A query or a batch needs more memory than the engine may take, and cannot go to the disk."""


class DuckDBColumnar:
    """One writer thread, a few reader threads each with a connection of its own: reads do not block appends."""

    def __init__(
        self, path: Path, tables: Sequence[Table], *, memory_max: str | None = None, threads: int | None = None
    ) -> None:
        """``memory_max``: a number and KiB, MiB, GiB or TiB. ``None``: what DuckDB takes by itself."""
        self._path = path
        self._root = _open(path, {"memory_limit": memory_max, "threads": threads})
        try:
            with self._told():
                _declare(self._root, tables)
        except BaseException:
            self._root.close()
            raise
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"{path.stem}-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix=f"{path.stem}-reader")
        self._connections = threading.local()
        self._texts = Texts("duckdb")

    async def append(
        self, rows: Mapping[Table, Rows], follower: str, cursor: str, amendments: Sequence[Amendment] = ()
    ) -> bool:
        return await self._run(self._writer, lambda: self._append(rows, follower, cursor, amendments))

    async def cursor(self, follower: str) -> str:
        return await self._run(self._readers, lambda: _cursor(self._connection(), follower))

    def table(self, table: Table) -> ir.Table:
        return unbound(table)

    async def execute(
        self, query: ir.Table, given: Mapping[str, pa.Table] | None = None, bound: Bound | None = None
    ) -> pa.Table:
        return await self._run(self._readers, lambda: self._execute(query, given or {}, bound))

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._root.close()

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        def told() -> T:
            with self._told():
                return work()

        return await asyncio.get_running_loop().run_in_executor(threads, told)

    def _connection(self) -> duckdb.DuckDBPyConnection:
        if not hasattr(self._connections, "own"):
            self._connections.own = self._root.cursor()
        connection: duckdb.DuckDBPyConnection = self._connections.own
        return connection

    def _append(self, rows: Mapping[Table, Rows], follower: str, cursor: str, amendments: Sequence[Amendment]) -> bool:
        connection = self._connection()
        connection.begin()
        try:
            if _cursor(connection, follower) == cursor:
                connection.rollback()
                return False
            for table, batch in rows.items():
                _insert(connection, table, batch)
            for amendment in amendments:
                _amend(connection, amendment)
            connection.execute("DELETE FROM _cursors WHERE follower = ?", [follower])
            connection.execute("INSERT INTO _cursors VALUES (?, ?)", [follower, cursor])
            connection.commit()
        except BaseException:
            with suppress(duckdb.Error):  # a failed commit has rolled back already
                connection.rollback()
            raise
        return True

    def _execute(self, query: ir.Table, given: Mapping[str, pa.Table], bound: Bound | None) -> pa.Table:
        connection = self._connection()
        for name, rows in given.items():
            connection.register(name, rows)
        try:
            return typed(query, connection.sql(self._texts.text(query, bound)).to_arrow_table())
        finally:
            for name in given:
                connection.unregister(name)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what says that the file is broken, or that memory is short, into one sentence."""
        try:
            yield
        except duckdb.OutOfMemoryException as error:
            raise MemoryShort(
                "the analytical engine may not take as much memory as this needs; ask for less, or allow it more in "
                "ANALYTICS_MEMORY_MAX"
            ) from error
        except (duckdb.IOException, duckdb.FatalException, duckdb.InternalException) as error:
            raise _unreadable(self._path, error) from error
        except duckdb.Error as error:
            if "Corrupt" in str(error):
                raise _unreadable(self._path, error) from error
            raise


def _open(path: Path, bounds: Mapping[str, str | int | None]) -> duckdb.DuckDBPyConnection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # No extension is fetched from the network. Ibis still writes lambdas with the arrow.
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "lambda_syntax": "ENABLE_SINGLE_ARROW",
        **{name: bound for name, bound in bounds.items() if bound is not None},
    }
    try:
        return duckdb.connect(str(path), config=config)
    except duckdb.Error as error:
        if "Could not set lock" in str(error):
            raise FileInUse(
                f"{path} is in use by another process; stop that one, or choose another data folder"
            ) from error
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataLoss | Unavailable:
    brief = str(error).splitlines()[0]
    if "No space left" in brief:
        return Unavailable(f"the disk that holds {path} is full")
    return DataLoss(f"{path} cannot be read ({brief}); move it away and it is built again from the feeds")


def _declare(connection: duckdb.DuckDBPyConnection, tables: Sequence[Table]) -> None:
    connection.execute(_MACROS)
    connection.execute("CREATE TABLE IF NOT EXISTS _cursors (follower VARCHAR, cursor VARCHAR)")
    for table in tables:
        connection.register("_declared", table.schema.empty_table())
        connection.execute(f'CREATE TABLE IF NOT EXISTS "{table.name}" AS SELECT * FROM _declared')
        for name, kind in missing_columns(table, _kinds(connection, "_declared"), _kinds(connection, table.name)):
            connection.execute(f'ALTER TABLE "{table.name}" ADD COLUMN "{name}" {kind}')
        connection.unregister("_declared")


def _kinds(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    """The columns of a table, with their types."""
    return {column[0]: column[1] for column in connection.sql(f'DESCRIBE SELECT * FROM "{name}"').fetchall()}


def _cursor(connection: duckdb.DuckDBPyConnection, follower: str) -> str:
    rows = connection.execute("SELECT cursor FROM _cursors WHERE follower = ?", [follower]).fetchall()
    return str(rows[0][0]) if rows else ""


def _insert(connection: duckdb.DuckDBPyConnection, table: Table, rows: Rows) -> None:
    """Insert a batch by the table's rule for keys. Names come from declarations, never from callers."""
    connection.register("_incoming", checked(table, rows))
    same_key = " AND ".join(f'kept."{column}" = new."{column}"' for column in table.key)
    try:
        if not table.key:
            connection.execute(f'INSERT INTO "{table.name}" BY NAME SELECT * FROM _incoming')
        elif table.keep is Keep.FIRST:
            connection.execute(
                f'INSERT INTO "{table.name}" BY NAME SELECT new.* FROM _incoming AS new '
                f'ANTI JOIN (FROM "{table.name}" WHERE {_about(table, rows)}) AS kept ON {same_key}'
            )
        else:
            key = ", ".join(f'"{column}"' for column in table.key)
            connection.execute(f'DELETE FROM "{table.name}" AS kept USING _incoming AS new WHERE {same_key}')
            connection.execute(
                f'INSERT INTO "{table.name}" BY NAME SELECT * EXCLUDE (_place) '
                "FROM (SELECT *, row_number() OVER () AS _place FROM _incoming) "
                f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY _place DESC) = 1"
            )
    finally:
        connection.unregister("_incoming")


def _about(table: Table, rows: Rows) -> str:
    """What is true of all rows that have the key of one of ``rows``, and that spares the engine to read most others:
    the numbers in the key lie between the least and the greatest."""
    tests = ["true"]
    for column in table.key:
        if pa.types.is_int64(table.schema.field(column).type) and rows.num_rows:
            bounds = pc.min_max(rows[column]).as_py()
            tests.append(f'"{column}" BETWEEN {bounds["min"]} AND {bounds["max"]}')
    return " AND ".join(tests)


def _amend(connection: duckdb.DuckDBPyConnection, amendment: Amendment) -> None:
    given = amendment.values if isinstance(amendment, Assign) else amendment.keys
    by = amendment.by if isinstance(amendment, Assign) else given.column_names
    same = " AND ".join(f'kept."{column}" = new."{column}"' for column in by)
    connection.register("_amending", given)
    try:
        if isinstance(amendment, Assign):
            assigned = ", ".join(f'"{name}" = new."{name}"' for name in given.column_names if name not in by)
            connection.execute(
                f'UPDATE "{amendment.table.name}" AS kept SET {assigned} FROM _amending AS new WHERE {same}'
            )
        else:
            connection.execute(f'DELETE FROM "{amendment.table.name}" AS kept USING _amending AS new WHERE {same}')
    finally:
        with suppress(duckdb.Error):  # in a transaction that failed; the next one replaces it
            connection.unregister("_amending")
