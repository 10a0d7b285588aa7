"""From a query to runs of an index, and page cursors: what both engines share about ``find``.

A page that begins in the middle of an index is read as one or more *scans*, each one contiguous run of the index:
first the ties of the last value, then what lies behind them. An engine renders a scan as a plain conjunction, which
every database serves from the index; the usual ``x > ? or (x = ? and id > ?)`` is not.
"""

import base64
import binascii
import zlib
from dataclasses import dataclass, replace

import msgspec

from services.common.errors import InvalidCursor
from services.common.store.port import Body, Collection, Query, Range, Scalar


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range."""

    value: Scalar
    inclusive: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """All conditions hold: ``equal`` (null matches missing), the bounds on ``order_by``, ids behind ``id_after``.

    Bounds never match null. Sorted by ``order_by``, then id, both in the direction ``descending``.
    """

    equal: tuple[tuple[str, Scalar], ...]
    order_by: str | None
    descending: bool
    lower: Bound | None = None
    upper: Bound | None = None
    not_null: bool = False
    id_after: str | None = None


@dataclass(frozen=True, slots=True)
class _Position:
    value: Scalar
    id: str


def plan(tenant: str, collection: Collection, query: Query) -> list[Scan]:
    """The scans that, read one after the other, are the page. ``ValueError`` if no declared index serves them."""
    if query.limit < 1:
        raise ValueError(f"limit must be at least 1, not {query.limit}")
    scan = first_scan(collection, query)
    if not query.after:
        return [scan]
    return _resumed(scan, _decode(query.after, _fingerprint(tenant, collection, query)))


def first_scan(collection: Collection, query: Query) -> Scan:
    """The one scan that is the whole answer, from its beginning."""
    order_by = _order(query)
    _check_served(collection, frozenset(query.where), order_by)
    lower, upper = _bounds(query.range)
    return Scan(tuple(query.where.items()), order_by, query.descending, lower, upper)


def cursor_after(tenant: str, collection: Collection, query: Query, last_id: str, last_body: Body) -> str:
    """The cursor of the page that follows the document."""
    order_by = _order(query)
    value = last_body.get(order_by) if order_by else None
    packed = msgspec.msgpack.encode((_fingerprint(tenant, collection, query), value, last_id))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _order(query: Query) -> str | None:
    """The field that orders the result, ``None`` for the id."""
    if query.range is None:
        return None if query.order_by in query.where else query.order_by
    if query.order_by not in (None, query.range.field):
        raise ValueError(f"a range over {query.range.field!r} cannot be ordered by {query.order_by!r}")
    if query.range.field in query.where:
        raise ValueError(f"{query.range.field!r} is in where and in the range")
    return query.range.field


def _check_served(collection: Collection, where: frozenset[str], order_by: str | None) -> None:
    if not where and order_by is None:
        return
    for index in collection.indexes:
        rest = index.fields[len(where) :]
        if frozenset(index.fields[: len(where)]) == where and (order_by is None or rest[:1] == (order_by,)):
            return
    raise ValueError(f"no index of {collection.name!r} begins with {sorted(where)}, then {order_by or 'id'}")


def _bounds(range: Range | None) -> tuple[Bound | None, Bound | None]:
    if range is None:
        return None, None
    return _tighter(range.at_least, range.above), _tighter(range.at_most, range.below)


def _tighter(inclusive: Scalar, exclusive: Scalar) -> Bound | None:
    if inclusive is not None and exclusive is not None:
        raise ValueError("a range has at most one bound at each end")
    if exclusive is not None:
        return Bound(exclusive, inclusive=False)
    return None if inclusive is None else Bound(inclusive, inclusive=True)


def _resumed(scan: Scan, position: _Position) -> list[Scan]:
    """The rest of ``scan`` behind ``position``: nulls sort first, so they come last in descending order."""
    if scan.order_by is None:
        return [replace(scan, id_after=position.id)]
    ties = Scan((*scan.equal, (scan.order_by, position.value)), scan.order_by, scan.descending, id_after=position.id)
    bounded = scan.lower is not None or scan.upper is not None
    if position.value is None:
        return [ties] if scan.descending else [ties, replace(scan, not_null=True)]
    beyond = Bound(position.value, inclusive=False)
    if not scan.descending:
        return [ties, replace(scan, lower=beyond)]
    nulls = [] if bounded else [Scan((*scan.equal, (scan.order_by, None)), scan.order_by, descending=True)]
    return [ties, replace(scan, upper=beyond), *nulls]


def _fingerprint(tenant: str, collection: Collection, query: Query) -> int:
    """Tells the cursors of different queries apart, so that a cursor is not used with another query."""
    ends = query.range and tuple(getattr(query.range, name) for name in Range.__slots__)
    where = sorted(query.where.items())
    return zlib.crc32(repr((tenant, collection.name, where, ends, query.order_by, query.descending)).encode())


def _decode(cursor: str, fingerprint: int) -> _Position:
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        made_for, value, last_id = msgspec.msgpack.decode(packed, type=tuple[int, str | int | float | bool | None, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise InvalidCursor("this cursor was not made by this service") from error
    if made_for != fingerprint:
        raise InvalidCursor("this cursor belongs to another query")
    return _Position(value, last_id)
