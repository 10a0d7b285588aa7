"""Commits on their way into a SQLite file: encoded once, merged with others, applied a thousand rows a statement.

Rows go in by statements of many rows, not by ``executemany``: the interpreter's lock is released and taken again
for every step of a statement, and beside a busy event loop taking it costs milliseconds each time.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec

from services.common.errors import AlreadyExists, Conflict, Refusal
from services.common.store.document_checks import check_address, index_values
from services.common.store.port import Delete, Insert, Put, Write
from services.common.store.sqlite_schema import Table

Row = tuple[Any, ...]
ROWS_MAX = 1_000
_PARAMETERS_MAX = 32_000  # SQLite allows 32,766 in a statement

_encode = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Work:
    """The rows of one or several commits, by kind of write and table. No document is in it twice."""

    deletes: dict[Table, list[Row]] = field(default_factory=dict)
    expected_deletes: dict[Table, list[Row]] = field(default_factory=dict)
    replaces: dict[Table, list[Row]] = field(default_factory=dict)
    puts: dict[Table, list[Row]] = field(default_factory=dict)
    inserts: dict[Table, list[Row]] = field(default_factory=dict)
    keys: set[tuple[str, str, str]] = field(default_factory=set)

    @property
    def publishes(self) -> bool:
        """Whether the feed may grow."""
        return any(table.published for table in chain(self.puts, self.inserts))

    def add(self, other: "Work") -> None:
        """Take in ``other``, which touches none of these documents."""
        for mine, theirs in zip(self._kinds(), other._kinds(), strict=True):
            for table, rows in theirs.items():
                mine.setdefault(table, []).extend(rows)
        self.keys |= other.keys

    def _kinds(self) -> tuple[dict[Table, list[Row]], ...]:
        return self.deletes, self.expected_deletes, self.replaces, self.puts, self.inserts


def encode(writes: Sequence[Write], tables: Mapping[str, Table]) -> Work:
    """The rows of one commit. ``ValueError`` if it writes a document twice or a body that cannot be stored."""
    work = Work()
    for write in writes:
        table = tables[write.collection.name]
        check_address(write.tenant, write.id)
        key = (table.name, write.tenant, write.id)
        if key in work.keys:
            raise ValueError(f"one commit writes {table.name} {write.id!r} twice")
        work.keys.add(key)
        _add(work, write, table)
    return work


def _add(work: Work, write: Write, table: Table) -> None:
    if isinstance(write, Delete):
        kind = work.deletes if write.version is None else work.expected_deletes
        kind.setdefault(table, []).append((write.tenant, write.id, write.version))
        return
    try:
        body = _encode(write.body)
    except (TypeError, OverflowError, msgspec.MsgspecError) as error:
        raise ValueError(f"the body of {table.name} {write.id!r} cannot be stored: {error}") from error
    row = (write.tenant, write.id, body, *index_values(table.fields, write.body))
    if isinstance(write, Insert):
        work.inserts.setdefault(table, []).append(row)
    elif isinstance(write, Put):
        work.puts.setdefault(table, []).append(row)
    else:
        work.replaces.setdefault(table, []).append((write.version, *row))


def apply(connection: sqlite3.Connection, work: Work, allocate: Callable[[int], int]) -> None:
    """Apply all of ``work`` inside the open transaction, or nothing and raise ``Conflict`` or ``AlreadyExists``.

    ``allocate(n)`` gives the first of ``n`` new keys for published documents.
    """
    connection.execute("SAVEPOINT work")
    try:
        _apply(connection, work, allocate)
    except Refusal:
        connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
        raise
    connection.execute("RELEASE work")


def _apply(connection: sqlite3.Connection, work: Work, allocate: Callable[[int], int]) -> None:
    """Deletes come first, so that a commit can move a unique value from one document to another."""
    for table, rows in work.deletes.items():
        _delete(connection, table, rows, expected=False)
    for table, rows in work.expected_deletes.items():
        _delete(connection, table, rows, expected=True)
    for table, rows in work.replaces.items():
        _replace(connection, table, rows)
    for table, rows in work.puts.items():
        _insert(connection, table, rows, allocate, _on_conflict(table))
    for table, rows in work.inserts.items():
        _insert(connection, table, rows, allocate, "")


def _insert(
    connection: sqlite3.Connection, table: Table, rows: list[Row], allocate: Callable[[int], int], on_conflict: str
) -> None:
    columns = ("tenant", "id", "body", *table.columns)
    prefix, one = "", f"(1,{_marks(len(columns))})"
    if table.published:
        prefix, one = ", seq", f"(1,{_marks(len(columns) + 1)})"
    head = f"INSERT INTO {table.sql} (version, {', '.join(columns)}{prefix}) VALUES "
    for chunk in _chunks(rows, len(columns) + 1):
        first = allocate(len(chunk)) if table.published else 0
        numbered = [(*row, first + offset) for offset, row in enumerate(chunk)] if table.published else chunk
        sql = f"{head}{','.join([one] * len(chunk))}{on_conflict}"
        try:
            connection.execute(sql, list(chain.from_iterable(numbered)))
        except sqlite3.IntegrityError as error:
            raise _taken(connection, table, () if on_conflict else chunk, error) from error
        if table.published:
            connection.execute(
                f"INSERT INTO _feed SELECT seq, tenant, ? FROM {table.sql} WHERE seq BETWEEN ? AND ? ORDER BY seq",
                (table.name, first, first + len(chunk) - 1),
            )


def _on_conflict(table: Table) -> str:
    columns = ", ".join(f"{name} = excluded.{name}" for name in ("body", *table.columns))
    return f" ON CONFLICT (tenant, id) DO UPDATE SET version = version + 1, {columns}"


def _replace(connection: sqlite3.Connection, table: Table, rows: list[Row]) -> None:
    # VALUES names its columns column1, column2 …: the version, tenant, id and body, then the indexed fields.
    values = "".join(f", {name} = v.column{position}" for position, name in enumerate(table.columns, start=5))
    head = f"UPDATE {table.sql} AS d SET version = d.version + 1, body = v.column4{values} FROM (VALUES "
    tail = ") AS v WHERE d.tenant = v.column2 AND d.id = v.column3 AND d.version = v.column1"
    one = f"({_marks(4 + len(table.columns))})"
    for chunk in _chunks(rows, 4 + len(table.columns)):
        sql = f"{head}{','.join([one] * len(chunk))}{tail}"
        try:
            count = connection.execute(sql, list(chain.from_iterable(chunk))).rowcount
        except sqlite3.IntegrityError as error:
            raise _taken(connection, table, (), error) from error
        if count != len(chunk):
            raise _stale(connection, table, [(row[1], row[2], row[0]) for row in chunk])


def _delete(connection: sqlite3.Connection, table: Table, rows: list[Row], *, expected: bool) -> None:
    # VALUES names its columns column1, column2, column3: the tenant, the id and the version (null: whichever).
    head = f"DELETE FROM {table.sql} WHERE seq IN (SELECT d.seq FROM (VALUES "
    tail = (
        f") AS v CROSS JOIN {table.sql} AS d ON d.tenant = v.column1 AND d.id = v.column2"
        " AND d.version = coalesce(v.column3, d.version))"
    )
    for chunk in _chunks(rows, 3):
        sql = f"{head}{','.join(['(?,?,?)'] * len(chunk))}{tail}"
        count = connection.execute(sql, list(chain.from_iterable(chunk))).rowcount
        if expected and count != len(chunk):
            raise _stale(connection, table, chunk)


def _marks(count: int) -> str:
    return ",".join("?" * count)


def _chunks(rows: list[Row], width: int) -> Iterable[list[Row]]:
    size = min(ROWS_MAX, _PARAMETERS_MAX // width)
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _stale(connection: sqlite3.Connection, table: Table, expected: Iterable[Row]) -> Conflict:
    """Name a document that is not as expected, after undoing what was done to those that were."""
    connection.execute("ROLLBACK TO work")
    for tenant, key, version in expected:
        found = connection.execute(
            f"SELECT version FROM {table.sql} WHERE tenant = ? AND id = ?", (tenant, key)
        ).fetchone()
        if found != (version,):
            what = f"is at version {found[0]}" if found else "is gone"
            return Conflict(f"{table.name} {key!r} {what}, not at {version}", collection=table.name, id=key)
    return Conflict(f"a document of {table.name} has changed", collection=table.name)


def _taken(
    connection: sqlite3.Connection, table: Table, inserted: Iterable[Row], error: sqlite3.IntegrityError
) -> AlreadyExists:
    for tenant, key, *_ in inserted:
        if connection.execute(f"SELECT 1 FROM {table.sql} WHERE tenant = ? AND id = ?", (tenant, key)).fetchone():
            return AlreadyExists(f"{table.name} {key!r} exists", collection=table.name, id=key)
    fields = [part.partition(".body.")[2] for part in str(error).split(", ") if ".body." in part]
    return AlreadyExists(
        f"another document of {table.name} has the same {' and '.join(fields) or 'id'}",
        collection=table.name,
        fields=",".join(fields),
    )
