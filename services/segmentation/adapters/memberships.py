"""Memberships as documents: one a customer (the truth), one a member (the list), one a transition (the feed)."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict

from services.common.store import Collection, Delete, Index, Insert, Put, Query, Replace, Store, Write
from services.common.store.port import Body
from services.segmentation.domain.history import CALCULATIONS_MAX, Calculation
from services.segmentation.domain.membership import Standing, Transition, after
from services.segmentation.ports import Census, MembershipChange, MembershipChanges

CUSTOMERS = Collection("customers")
MEMBERS = Collection("members", (Index(("segment_id",)),))
CHANGES = Collection("membership_changes", (Index(("customer_id",)),), published=True)
REFRESHES = Collection("refreshes")
COLLECTIONS = (CUSTOMERS, MEMBERS, CHANGES, REFRESHES)
FEED_BATCH_MAX = 1000


class StoredMemberships:
    """The port ``Memberships`` over the document store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def standings(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, Standing]:
        found = await self._store.get_many(tenant, CUSTOMERS, customer_ids)
        known = {key: Standing(document.body["segments"], document.version) for key, document in found.items()}
        return {customer_id: known.get(customer_id, Standing({})) for customer_id in customer_ids}

    async def members(self, tenant: str, segment_id: str, limit: int, after: str) -> tuple[list[tuple[str, int]], str]:
        page = await self._store.find(tenant, MEMBERS, Query({"segment_id": segment_id}, limit=limit, after=after))
        return [(document.body["customer_id"], document.body["time"]) for document in page.documents], page.next_cursor

    async def census(self, tenant: str, segment_id: str) -> Census:
        refreshed = await self._store.get(tenant, REFRESHES, segment_id)
        count = await self._store.count(tenant, MEMBERS, Query({"segment_id": segment_id}))
        return Census(count, refreshed.body["time"] if refreshed else 0)

    async def record(
        self, tenant: str, changes: Mapping[str, Sequence[Transition]], standings: Mapping[str, Standing], time: int
    ) -> None:
        writes: list[Write] = []
        for customer_id, made in changes.items():
            writes.extend(_writes(tenant, customer_id, standings[customer_id], made, time))
        await self._store.commit(writes)

    async def calculated(self, tenant: str, made: Mapping[str, Calculation]) -> None:
        kept = await self._store.get_many(tenant, REFRESHES, list(made))
        writes: list[Write] = []
        for segment_id, calculation in made.items():
            before: Body = kept[segment_id].body if segment_id in kept else {"time": 0, "calculations": []}
            calculations = [asdict(calculation), *before["calculations"]][:CALCULATIONS_MAX]
            time = before["time"] if calculation.error else calculation.time
            writes.append(Put(tenant, REFRESHES, segment_id, {"time": time, "calculations": calculations}))
        await self._store.commit(writes)

    async def calculations(self, tenant: str, segment_id: str) -> list[Calculation]:
        kept = await self._store.get(tenant, REFRESHES, segment_id)
        return [Calculation(**made) for made in kept.body["calculations"]] if kept else []

    async def history(
        self, tenant: str, customer_id: str, limit: int, after: str
    ) -> tuple[list[MembershipChange], str]:
        page = await self._store.find(tenant, CHANGES, Query({"customer_id": customer_id}, limit=limit, after=after))
        return [_change(tenant, document.body, "") for document in page.documents], page.next_cursor

    async def newest(self) -> str:
        return await self._store.end_of_feed()

    async def changes(self, after: str, tenant: str | None) -> AsyncIterator[MembershipChanges]:
        async for batch in self._store.changes(after, tenant=tenant, limit=FEED_BATCH_MAX):
            cursor = batch[-1].cursor
            entries = [
                _change(entry.tenant, entry.body, entry.cursor) for entry in batch if entry.collection == CHANGES.name
            ]
            yield MembershipChanges(entries, cursor, caught_up=cursor == await self._store.end_of_feed())


def _change(tenant: str, body: Body, cursor: str) -> MembershipChange:
    return MembershipChange(tenant, body["segment_id"], body["customer_id"], body["entered"], body["time"], cursor)


def _writes(
    tenant: str, customer_id: str, standing: Standing, changes: Sequence[Transition], time: int
) -> Iterator[Write]:
    body = {"segments": after(standing, changes, time)}
    if standing.version:
        yield Replace(tenant, CUSTOMERS, customer_id, body, standing.version)
    else:
        yield Insert(tenant, CUSTOMERS, customer_id, body)
    for change in changes:
        member = {"segment_id": change.segment_id, "customer_id": customer_id, "time": time}
        key = f"{change.segment_id}:{customer_id}"
        yield Put(tenant, MEMBERS, key, member) if change.entered else Delete(tenant, MEMBERS, key)
        # The customer's version makes the id: the same transition cannot be recorded twice.
        entry = f"{customer_id}:{standing.version}:{change.segment_id}"
        yield Insert(tenant, CHANGES, entry, {**member, "entered": change.entered})
