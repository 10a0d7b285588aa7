"""The tables of a SQLite file: one a collection, one for the feed; created and brought up to date at open.

A collection's table has the document (``body``, MessagePack) and one column an indexed field, ``"body.<field>"``.
``seq`` is the row's key; in a published collection it is also the key of the row's entry in ``_feed``, so the feed
holds no second copy, and a trigger removes the entry with the document.
"""

import re
import secrets
import sqlite3
from collections.abc import Sequence
from functools import cached_property

import msgspec

from services.common.errors import FailedPrecondition
from services.common.store.document_checks import index_values
from services.common.store.port import Collection, Index

FORMAT = 1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_BACKFILL_ROWS = 1_000

_FEED = (
    "CREATE TABLE IF NOT EXISTS _feed"
    " (seq INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, collection TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS _feed_by_tenant ON _feed (tenant)",
    "CREATE TABLE IF NOT EXISTS _store (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)


class Table:
    """The names of a collection's table and columns, quoted for SQL."""

    def __init__(self, collection: Collection) -> None:
        fields = dict.fromkeys(field for index in collection.indexes for field in index.fields)
        for name in (collection.name, *fields):
            if not _NAME.match(name):
                raise ValueError(f"{name!r} cannot name a collection or an indexed field")
        self.collection = collection
        self.fields = tuple(fields)
        self.name = collection.name
        self.published = collection.published

    @cached_property
    def sql(self) -> str:
        """The table's name."""
        return f'"{self.name}"'

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of the indexed fields."""
        return tuple(column(field) for field in self.fields)

    @property
    def trigger(self) -> str:
        """The trigger that keeps the feed free of deleted documents."""
        return f'"{self.name}|feed"'

    def index_name(self, index: Index) -> str:
        """Tells everything about the index, so that a changed declaration is another index."""
        return f"{self.name}|{','.join(index.fields)}{'|unique' if index.unique else ''}"


def column(field: str) -> str:
    """The column of an indexed field."""
    return f'"body.{field}"'


def prepare_file(connection: sqlite3.Connection, tables: Sequence[Table]) -> str:
    """Bring the file to what ``tables`` declare, all or nothing; return the id of its feed."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        feed_id = _prepare(connection, tables)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return feed_id


def _prepare(connection: sqlite3.Connection, tables: Sequence[Table]) -> str:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > FORMAT:
        raise FailedPrecondition(f"the store file has format {found}; this version reads up to {FORMAT}: upgrade")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    for statement in _FEED:
        connection.execute(statement)
    connection.execute("INSERT OR IGNORE INTO _store VALUES ('feed', ?)", (secrets.token_hex(4),))
    for table in tables:
        _prepare_table(connection, table)
    (feed_id,) = connection.execute("SELECT value FROM _store WHERE key = 'feed'").fetchone()
    return str(feed_id)


def _prepare_table(connection: sqlite3.Connection, table: Table) -> None:
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table.sql} (seq INTEGER PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL,"
        f" version INTEGER NOT NULL{''.join(f', {name}' for name in table.columns)}, body BLOB NOT NULL)"
    )
    connection.execute(f'CREATE UNIQUE INDEX IF NOT EXISTS "{table.name}|id" ON {table.sql} (tenant, id)')
    _drop_undeclared(connection, table)
    _add_columns(connection, table)
    for index in table.collection.indexes:
        _create_index(connection, table, index)
    _publish(connection, table)


def _drop_undeclared(connection: sqlite3.Connection, table: Table) -> None:
    declared = {table.index_name(index) for index in table.collection.indexes} | {f"{table.name}|id"}
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", (table.name,)
    ).fetchall():
        if name not in declared:
            connection.execute(f'DROP INDEX "{name}"')
    for name in _stored_fields(connection, table) - set(table.fields):
        connection.execute(f"ALTER TABLE {table.sql} DROP COLUMN {column(name)}")


def _stored_fields(connection: sqlite3.Connection, table: Table) -> set[str]:
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table.sql})")]
    return {name.removeprefix("body.") for name in names if name.startswith("body.")}


def _add_columns(connection: sqlite3.Connection, table: Table) -> None:
    """Add the columns of newly declared fields, filled from the documents that are there."""
    stored = _stored_fields(connection, table)
    added = [field for field in table.fields if field not in stored]
    if not added:
        return
    for field in added:
        connection.execute(f"ALTER TABLE {table.sql} ADD COLUMN {column(field)}")
    assignments = ", ".join(f"{column(field)} = ?" for field in added)
    last = 0
    while rows := connection.execute(
        f"SELECT seq, body FROM {table.sql} WHERE seq > ? ORDER BY seq LIMIT {_BACKFILL_ROWS}", (last,)
    ).fetchall():
        connection.executemany(
            f"UPDATE {table.sql} SET {assignments} WHERE seq = ?",
            [(*index_values(added, msgspec.msgpack.decode(body)), seq) for seq, body in rows],
        )
        last = rows[-1][0]


def _create_index(connection: sqlite3.Connection, table: Table, index: Index) -> None:
    columns = ["tenant", *map(column, index.fields)]
    if not index.unique:
        columns.append("id")  # ties are read in the order of ids without a sort
    kind = "UNIQUE INDEX" if index.unique else "INDEX"
    try:
        connection.execute(
            f'CREATE {kind} IF NOT EXISTS "{table.index_name(index)}" ON {table.sql} ({", ".join(columns)})'
        )
    except sqlite3.IntegrityError as error:
        raise FailedPrecondition(
            f"{table.name} cannot become unique by {', '.join(index.fields)}: documents share values"
        ) from error


def _publish(connection: sqlite3.Connection, table: Table) -> None:
    """Enter a newly published collection's documents into the feed; take an unpublished one's out."""
    was = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = ?", (f"{table.name}|feed",)
    ).fetchone()
    if table.published and not was:
        (last,) = connection.execute(
            f"SELECT max((SELECT coalesce(max(seq), 0) FROM {table.sql}), (SELECT coalesce(max(seq), 0)"
            " FROM sqlite_sequence WHERE name = '_feed'))"
        ).fetchone()
        connection.execute(f"UPDATE {table.sql} SET seq = seq + ?", (last,))
        connection.execute(f"INSERT INTO _feed SELECT seq, tenant, ? FROM {table.sql} ORDER BY seq", (table.name,))
        connection.execute(
            f"CREATE TRIGGER {table.trigger} AFTER DELETE ON {table.sql}"
            " BEGIN DELETE FROM _feed WHERE seq = old.seq; END"
        )
    if was and not table.published:
        connection.execute(f"DROP TRIGGER {table.trigger}")
        connection.execute("DELETE FROM _feed WHERE collection = ?", (table.name,))
