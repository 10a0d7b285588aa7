"""Who is in which segment: follows segmentation, one document a membership, found from either side."""

import hashlib
from collections.abc import AsyncIterator

import grpc
from tessera.segmentation.v1 import segmentation_service_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.common.feed import CURSORS, advance, follow, stored_cursor
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

    async def apply(self, batch: pb.FollowMembershipsResponse) -> None:
        """Keep what a batch says, together with its cursor; the last transition of a membership counts."""
        writes: dict[tuple[str, str], Write] = {}
        for change in batch.changes:
            key = _key(change.segment_id, change.customer_id)
            if change.transition == pb.TRANSITION_ENTERED:
                body = {"segment_id": change.segment_id, "customer_id": change.customer_id}
                writes[change.tenant_id, key] = Put(change.tenant_id, MEMBERSHIPS, key, body)
            else:
                writes[change.tenant_id, key] = Delete(change.tenant_id, MEMBERSHIPS, key)
        await self._store.commit([*writes.values(), advance(FOLLOWER, batch.cursor)])

    async def cursor(self) -> str:
        """Up to where segmentation has been followed."""
        return await stored_cursor(self._store, FOLLOWER)


async def follow_memberships(channel: grpc.aio.Channel, memberships: StoredMemberships) -> None:
    """Keep memberships, for ever."""
    stub = SegmentationServiceStub(channel)

    def stream(cursor: str) -> AsyncIterator[pb.FollowMembershipsResponse]:
        return aiter(stub.FollowMemberships(pb.FollowMembershipsRequest(after_cursor=cursor)))

    await follow(FOLLOWER, memberships.cursor, stream, memberships.apply)


def _key(segment_id: str, customer_id: str) -> str:
    """Ids of both sides may hold any character: a digest cannot be taken for another pair's."""
    named = f"{len(segment_id)}:{segment_id}{customer_id}"
    return hashlib.blake2b(named.encode(), digest_size=16).hexdigest()
