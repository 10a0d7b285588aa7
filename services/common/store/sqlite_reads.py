"""Reading a SQLite file: a page of documents is one row, so that reading it is one step.

The interpreter's lock is released and taken again for every row that is fetched; beside a busy event loop taking it
costs milliseconds each time. So SQLite itself joins a page's ids and bodies into two blobs, with their lengths.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from services.common.errors import DataLoss
from services.common.store.port import Body, Collection, Document, Page, Query, Scalar
from services.common.store.query_plan import Scan, cursor_after, first_scan, plan
from services.common.store.sqlite_schema import Table, column

_decode_body: Callable[[bytes], Body] = msgspec.msgpack.Decoder(dict[str, Any]).decode
_PACKED = """
SELECT group_concat(number || ' ' || length(CAST(id AS BLOB)) || ' ' || length(body), ' '),
       CAST(group_concat(id, '') AS BLOB), CAST(group_concat(body, '') AS BLOB)
FROM ({page})
"""


def get(connection: sqlite3.Connection, table: Table, tenant: str, id: str) -> Document | None:
    """One document."""
    row = connection.execute(
        f"SELECT version, body FROM {table.sql} WHERE tenant = ? AND id = ?", (tenant, id)
    ).fetchone()
    return None if row is None else Document(id, decode(row[1]), row[0])


def get_many(connection: sqlite3.Connection, table: Table, tenant: str, ids: Sequence[str]) -> dict[str, Document]:
    """Those of ``ids`` that exist."""
    page = (
        f"SELECT version AS number, id, body FROM {table.sql}"
        " WHERE tenant = ? AND id IN (SELECT value FROM json_each(?))"
    )
    return {document.id: document for document in _documents(connection, page, (tenant, msgspec.json.encode(ids)))}


def find(connection: sqlite3.Connection, table: Table, tenant: str, collection: Collection, query: Query) -> Page:
    """One page."""
    documents: list[Document] = []
    for scan in plan(tenant, collection, query):
        conditions, parameters = _conditions(scan, tenant)
        page = f"SELECT version AS number, id, body FROM {table.sql} WHERE {conditions} ORDER BY {_order(scan)} LIMIT ?"
        wanted = query.limit + 1 - len(documents)
        documents += _documents(connection, page, (*parameters, wanted))
        if len(documents) > query.limit:
            del documents[query.limit :]
            last = documents[-1]
            return Page(tuple(documents), cursor_after(tenant, collection, query, last.id, last.body))
    return Page(tuple(documents), "")


def count(connection: sqlite3.Connection, table: Table, tenant: str, collection: Collection, query: Query) -> int:
    """How many documents match."""
    conditions, parameters = _conditions(first_scan(collection, query), tenant)
    (number,) = connection.execute(f"SELECT count(*) FROM {table.sql} WHERE {conditions}", parameters).fetchone()
    return int(number)


def feed_page(
    connection: sqlite3.Connection, tables: Sequence[Table], after: int, tenant: str | None, limit: int
) -> list[tuple[int, str, str, str, Body]]:
    """Entries (seq, tenant, collection, id, body) behind ``after``, in order."""
    names = ", ".join(f"'{table.name}'" for table in tables)
    entries = (
        f"SELECT seq, tenant, collection FROM _feed WHERE seq > ?{' AND tenant = ?' if tenant else ''}"
        f" AND collection IN ({names}) ORDER BY seq LIMIT ?"
    )
    # The three texts of an entry travel as one "id", joined by a character that none of them contains.
    joined = " UNION ALL ".join(
        f"SELECT f.seq AS number, f.tenant || char(0) || f.collection || char(0) || d.id AS id, d.body"
        f" FROM ({entries}) AS f JOIN {table.sql} AS d ON d.seq = f.seq AND f.collection = '{table.name}'"
        for table in tables
    )
    parameters = (after, *([tenant] if tenant else []), limit) * len(tables)
    page = []
    for seq, key, body in _rows(connection, joined, parameters):
        owner, collection, document_id = key.split("\0", 2)
        page.append((seq, owner, collection, document_id, decode(body)))
    page.sort(key=lambda entry: entry[0])
    return page


def decode(body: bytes) -> Body:
    """The body; ``DataLoss`` if it is not one."""
    try:
        return _decode_body(body)
    except msgspec.MsgspecError as error:
        raise DataLoss("a stored document cannot be decoded: restore the data file from a backup") from error


def _documents(connection: sqlite3.Connection, page: str, parameters: Sequence[object]) -> list[Document]:
    return [Document(key, decode(body), version) for version, key, body in _rows(connection, page, parameters)]


def _rows(connection: sqlite3.Connection, page: str, parameters: Sequence[object]) -> Iterator[tuple[int, str, bytes]]:
    """The rows (number, id, body) of ``page``."""
    try:
        lengths, ids, bodies = connection.execute(_PACKED.format(page=page), parameters).fetchone()
    except sqlite3.DataError:  # more than a gigabyte together
        yield from connection.execute(page, parameters)
        return
    numbers = [int(number) for number in lengths.split()] if lengths else []
    id_end = body_end = 0
    for position in range(0, len(numbers), 3):
        id_start, body_start = id_end, body_end
        id_end += numbers[position + 1]
        body_end += numbers[position + 2]
        yield numbers[position], ids[id_start:id_end].decode(), bodies[body_start:body_end]


def _conditions(scan: Scan, tenant: str) -> tuple[str, list[Scalar]]:
    parts, parameters = ["tenant = ?"], [tenant]
    conditions: list[tuple[str, Scalar]] = [(f"{column(field)} IS ?", value) for field, value in scan.equal]
    if scan.order_by and scan.lower:
        conditions.append((f"{column(scan.order_by)} {'>=' if scan.lower.inclusive else '>'} ?", scan.lower.value))
    if scan.order_by and scan.upper:
        conditions.append((f"{column(scan.order_by)} {'<=' if scan.upper.inclusive else '<'} ?", scan.upper.value))
    if scan.order_by and scan.not_null:
        # Every number and text is at least minus infinity; unlike IS NOT NULL, this is a range of the index.
        conditions.append((f"{column(scan.order_by)} >= ?", float("-inf")))
    if scan.id_after is not None:
        conditions.append((f"id {'<' if scan.descending else '>'} ?", scan.id_after))
    values: list[Scalar] = list(parameters)
    for text, value in conditions:
        parts.append(text)
        values.append(value)
    return " AND ".join(parts), values


def _order(scan: Scan) -> str:
    direction = "DESC" if scan.descending else "ASC"
    names = [column(scan.order_by), "id"] if scan.order_by else ["id"]
    return ", ".join(f"{name} {direction}" for name in names)
