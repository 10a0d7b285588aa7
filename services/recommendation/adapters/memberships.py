"""Who is in which segment: one document a membership, found from either side."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from services.common.feed import CURSORS, advance, stored_cursor
from services.common.store import Collection, Delete, Index, Put, Query, Store
from services.common.store.port import Write

FOLLOWER = "recommendation.memberships"
MEMBERSHIPS = Collection("memberships", (Index(("customer_id",)), Index(("segment_id", "customer_id"))))
COLLECTIONS = (CURSORS, MEMBERSHIPS)
PAGE = 1000
SEGMENTS_MAX = 1000
"""Segments of a customer that are read."""
MEMBERS_MAX = 1_000_000
"""Members of a segment that are read."""


@dataclass(frozen=True, slots=True)
class Move:
    """A customer who entered or left a segment."""

    tenant: str
    segment_id: str
    customer_id: str
    entered: bool


class StoredMemberships:
    """The port ``Memberships``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def segments_of(self, tenant: str, customer_id: str) -> frozenset[str]:
        query = Query(where={"customer_id": customer_id}, limit=SEGMENTS_MAX)
        page = await self._store.find(tenant, MEMBERSHIPS, query)
        return frozenset(str(document.body["segment_id"]) for document in page.documents)

    async def members(self, tenant: str, segment_id: str) -> list[str]:
        found: list[str] = []
        after = ""
        while len(found) < MEMBERS_MAX:
            query = Query(where={"segment_id": segment_id}, order_by="customer_id", limit=PAGE, after=after)
            page = await self._store.find(tenant, MEMBERSHIPS, query)
            found += [str(document.body["customer_id"]) for document in page.documents]
            if not (after := page.next_cursor):
                break
        return found

    async def forget(self, tenant: str, customer_id: str) -> None:
        """Remove the memberships of a person who is erased; segmentation tells of it too, later or earlier."""
        page = await self._store.find(
            tenant, MEMBERSHIPS, Query(where={"customer_id": customer_id}, limit=SEGMENTS_MAX)
        )
        if page.documents:
            await self._store.commit([Delete(tenant, MEMBERSHIPS, document.id) for document in page.documents])

    async def apply(self, moves: Iterable[Move], cursor: str) -> None:
        """Keep who entered and left, together with the feed's cursor; the last move of a membership counts."""
        writes: dict[tuple[str, str], Write] = {}
        for move in moves:
            key = _key(move.segment_id, move.customer_id)
            if move.entered:
                body = {"segment_id": move.segment_id, "customer_id": move.customer_id}
                writes[move.tenant, key] = Put(move.tenant, MEMBERSHIPS, key, body)
            else:
                writes[move.tenant, key] = Delete(move.tenant, MEMBERSHIPS, key)
        await self._store.commit([*writes.values(), advance(FOLLOWER, cursor)])

    async def cursor(self) -> str:
        """Up to where segmentation has been followed."""
        return await stored_cursor(self._store, FOLLOWER)


def _key(segment_id: str, customer_id: str) -> str:
    """Ids of both sides may hold any character: a digest cannot be taken for another pair's."""
    named = f"{len(segment_id)}:{segment_id}{customer_id}"
    return hashlib.blake2b(named.encode(), digest_size=16).hexdigest()
