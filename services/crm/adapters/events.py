"""Following profiles: messages to a person who is erased belong to a pseudonym from then on, and people who are merged
are one."""

from collections.abc import AsyncIterator, Callable

import grpc
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.erasure import Acknowledgements
from services.common.feed import advance, follow, stored_cursor
from services.common.privacy import Removal, Removed
from services.common.store import Delete, Document, Query, Replace, Store, Write
from services.crm.adapters.people import PEOPLE, StoredPeople, writes
from services.crm.adapters.store import MESSAGE_EVENTS, MESSAGES
from services.crm.domain.message import MessageState

FOLLOWER = "crm.profiles"
CHUNK_MAX = 200
NO_EVENT = "none of this name"
"""Changes that are no events come whatever the names: nothing else is wanted."""

Move = tuple[tuple[str, ...], str, str]
"""Origins, whose they were, and whose they are."""
Stream = Callable[[str], AsyncIterator[pb.FollowChangesResponse]]
"""Batches of profiles' feed after a cursor."""


def profiles_stream(channel: grpc.aio.Channel) -> Stream:
    """What profiles tells of all tenants besides events."""
    stub = ProfilesServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[pb.FollowChangesResponse]:
        async for batch in stub.FollowChanges(pb.FollowChangesRequest(after_cursor=cursor, event_names=[NO_EVENT])):
            yield batch

    return stream


class ProfilesFollower:
    """Forgets whom profiles erases, and keeps who was merged with whom."""

    def __init__(self, stream: Stream, store: Store, acknowledgements: Acknowledgements) -> None:
        self._stream, self._store, self._acknowledgements = stream, store, acknowledgements
        self._people = StoredPeople(store)

    async def run(self) -> None:
        """Follow for ever, through failures."""
        await follow(FOLLOWER, lambda: stored_cursor(self._store, FOLLOWER), self._stream, self.apply)

    async def apply(self, batch: pb.FollowChangesResponse) -> None:
        """Forget the erased of one batch; the cursor goes with the last commit."""
        told = []
        for change in batch.changes:
            if change.HasField("customer_erased"):
                told.append(await self._forget(change.tenant_id, change.customer_erased))
        # Of one erasure that comes twice in a batch one acknowledgement is enough.
        acknowledged = {each.id: each for each in told}.values()
        moved = await self._moved(batch)
        await self._store.commit([*acknowledged, *moved, advance(FOLLOWER, batch.cursor)])

    async def _moved(self, batch: pb.FollowChangesResponse) -> list[Write]:
        """Who is whom after the batch."""
        moves: dict[str, list[Move]] = {}
        for change in batch.changes:
            if move := _move(change):
                moves.setdefault(change.tenant_id, []).append(move)
        changed: list[Write] = []
        for tenant, told in moves.items():
            ids = [each for origins, before, after in told for each in (*origins, before, after)]
            people = await self._people.people(tenant, ids)
            for origins, before, after in told:
                people.give(origins, before, after)
            changed += writes(tenant, people)
        return changed

    async def _forget(self, tenant: str, erased: pb.CustomerErased) -> Write:
        """Give the person's messages to the pseudonym, and say how many there were.

        Counts of campaigns stay true, because no message goes. How many there are is noted before the first changes,
        so that a process that dies in between does not tell less.
        """
        origins = list(dict.fromkeys((erased.customer_id, *erased.origin_customer_ids)))
        count = 0
        for origin in origins:
            count += await self._store.count(tenant, MESSAGES, Query(where={"customer_id": origin}))
        removed = [Removed("message", count, Removal.PSEUDONYMISED)] if count else []
        noted = await self._acknowledgements.removed(tenant, erased.erasure_id, removed, complete=False)
        await self._store.commit([noted])
        for origin in origins:
            await self._pseudonymise(tenant, origin, erased.pseudonym)
        await self._store.commit([Delete(tenant, PEOPLE, origin) for origin in origins])
        return await self._acknowledgements.removed(tenant, erased.erasure_id, removed)

    async def _pseudonymise(self, tenant: str, origin: str, pseudonym: str) -> None:
        while True:
            query = Query(where={"customer_id": origin}, limit=CHUNK_MAX)
            page = await self._store.find(tenant, MESSAGES, query)
            if not page.documents:
                return
            states = [state.name.lower() for state in MessageState]
            ids = [f"{document.id}:{state}" for document in page.documents for state in states]
            events = await self._store.get_many(tenant, MESSAGE_EVENTS, ids)
            changed: list[Write] = [_replace(tenant, each, pseudonym) for each in page.documents]
            changed += [
                Replace(tenant, MESSAGE_EVENTS, each.id, {**each.body, "customer_id": pseudonym}, each.version)
                for each in events.values()
            ]
            await self._store.commit(changed)


def _move(change: pb.Change) -> Move | None:
    match change.WhichOneof("kind"):
        case "customers_merged":
            merged = change.customers_merged
            return tuple(merged.origin_customer_ids), merged.merged_customer_id, merged.customer_id
        case "customers_unmerged":
            parted = change.customers_unmerged
            return tuple(parted.origin_customer_ids), parted.customer_id, parted.restored_customer_id
    return None


def _replace(tenant: str, document: Document, pseudonym: str) -> Replace:
    body = {**document.body, "customer_id": pseudonym, "address": "", "detail": ""}
    return Replace(tenant, MESSAGES, document.id, body, document.version)
