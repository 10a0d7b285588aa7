"""The store port: what a service may ask of the engine that keeps its documents.

A document is a JSON-like body (``str``, 64-bit ``int``, ``float``, ``bool``, ``None``, ``bytes``, ``list`` and
``dict`` with string keys) under ``(tenant, collection, id)``. Times are integers, microseconds since the Unix
epoch, in UTC: both engines keep them exactly.

The change feed is made of documents: each insert into a *published* collection is one entry, in commit order.
Nothing is stored twice, a follower that starts late reads the documents themselves, and a document that is erased
is gone from the feed too.

Nobody changes a document, a write or a change. They are not frozen because a frozen one takes twice as long to make,
and there are a few for every event.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Body = dict[str, Any]
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Index:
    """An index over top-level body fields, in order. A missing field is indexed as null.

    An indexed field holds scalars (``ValueError`` otherwise), of one kind in all documents: engines order a text
    against a number differently. ``unique`` holds within one tenant; documents in which any of the fields is null are
    exempt.
    """

    fields: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of documents with its declared indexes. Queries that no index serves are refused."""

    name: str
    indexes: tuple[Index, ...] = ()
    published: bool = False


@dataclass(slots=True)
class Document:
    """A stored document. ``version`` starts at 1 and grows by one with each replacement."""

    id: str
    body: Body
    version: int


@dataclass(slots=True)
class Insert:
    """Store a new document; ``AlreadyExists`` if the id, or a unique index, is taken."""

    tenant: str
    collection: Collection
    id: str
    body: Body


@dataclass(slots=True)
class Replace:
    """Replace a document that is still at ``version``; ``Conflict`` if it is not, or is gone."""

    tenant: str
    collection: Collection
    id: str
    body: Body
    version: int


@dataclass(slots=True)
class Put:
    """Insert or replace, whatever is there. For documents with one writer: cursors, projections."""

    tenant: str
    collection: Collection
    id: str
    body: Body


@dataclass(slots=True)
class Delete:
    """Delete a document. With ``version``, ``Conflict`` if it is not at it; without, absent is fine."""

    tenant: str
    collection: Collection
    id: str
    version: int | None = None


Write = Insert | Replace | Put | Delete


@dataclass(frozen=True, slots=True)
class Range:
    """A range over one field: the ``None`` ends are open."""

    field: str
    at_least: Scalar = None
    above: Scalar = None
    at_most: Scalar = None
    below: Scalar = None


@dataclass(frozen=True, slots=True)
class Query:
    """Equality on ``where``, then one optional range, ordered by ``order_by`` (default: by id).

    Some declared index must begin with the fields of ``where``, in any order, followed by ``order_by`` (a range orders
    by its field). Null comes before every value, and a range with an end leaves it out. Ties are broken by id, in the
    same direction, so pages never overlap. ``after`` is a page's ``next_cursor``.
    """

    where: Mapping[str, Scalar] = field(default_factory=dict)
    range: Range | None = None
    order_by: str | None = None
    descending: bool = False
    limit: int = 100
    after: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Documents of one page; ``next_cursor`` is empty on the last."""

    documents: tuple[Document, ...]
    next_cursor: str


@dataclass(slots=True)
class Change:
    """One entry of the feed: a document that was inserted into a published collection, as it is now."""

    position: int
    """Grows from entry to entry; there are holes."""
    cursor: str
    tenant: str
    collection: str
    id: str
    body: Body


class Store(Protocol):
    """Keeps one service's documents. Every method is safe to call from many tasks at once."""

    async def get(self, tenant: str, collection: Collection, id: str) -> Document | None:
        """The document, or ``None``."""
        ...

    async def get_many(self, tenant: str, collection: Collection, ids: Sequence[str]) -> dict[str, Document]:
        """Those of ``ids`` that exist, by id."""
        ...

    async def find(self, tenant: str, collection: Collection, query: Query) -> Page:
        """One page. ``ValueError`` if no declared index serves the query (a bug in the caller);
        ``InvalidCursor`` if ``after`` is not a cursor of this query."""
        ...

    async def count(self, tenant: str, collection: Collection, query: Query | None = None) -> int:
        """How many documents match (``limit`` and ``after`` are ignored)."""
        ...

    async def commit(self, writes: Sequence[Write]) -> None:
        """Apply all of ``writes`` or none, durably: when this returns they survive a crash.

        Raises ``Conflict`` (a version was not as expected; read again and retry) or ``AlreadyExists``. At most
        one write a document in one commit. Documents of several tenants may be written in one commit. Deletes are
        done first, then replaces, puts and inserts, each kind in the order given. Waits while too many commits are
        under way. ``Unavailable`` leaves open whether it was applied: versions and ids make a retry safe.
        """
        ...

    def changes(self, after: str = "", *, tenant: str | None = None, limit: int = 500) -> AsyncIterator[list[Change]]:
        """The feed after the cursor (``""``: from the beginning), in commit order, then live, without end.

        Yields batches of at most ``limit``, never empty; entries of a commit may be split over batches. ``tenant``
        keeps one tenant's entries. ``InvalidCursor`` if ``after`` was never a cursor of this feed. A cursor does not
        age: the feed is read from the documents, so behind any cursor no entry is missing and none comes twice.
        Ends with ``Unavailable`` when the store is closed.
        """
        ...

    async def feed_position(self, cursor: str) -> int:
        """The position of the entry that has the cursor, there or deleted; 0 for ``""``. ``InvalidCursor``."""
        ...

    async def end_of_feed(self) -> str:
        """The cursor of the newest entry (``""`` if there is none): the goal that a follower has to reach."""
        ...

    async def close(self) -> None:
        """Finish what was accepted and release the engine."""
        ...
