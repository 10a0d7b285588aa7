"""How profiles forgets a person: bounded commits, each of which says on the receipt what it removed.

Every step can be repeated and the work taken up by another process: what is left is found by looking.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from services.common.errors import Conflict
from services.common.privacy import Removed
from services.common.store import Collection, Delete, Document, Insert, Query, Range, Replace, Store, Write
from services.profiles.adapters.anonymising import Anonymising
from services.profiles.adapters.changes import CHANGES, tell
from services.profiles.adapters.computed_traits import COMPUTED, COMPUTED_MARKS, value_count
from services.profiles.adapters.consents import CONSENTS, ERASED, EXPIRIES, PLATFORM, STATEMENTS
from services.profiles.adapters.customer_exports import forget_exports
from services.profiles.adapters.customer_keys import ContentKeys, CustomerKeys
from services.profiles.adapters.dead_letters import StoredDeadLetters
from services.profiles.adapters.erasures import ERASURES, OPEN_ERASURES, erasure_body, open_id
from services.profiles.adapters.groups import GROUPS, MEMBERS
from services.profiles.adapters.identities import IDENTITIES, Identities
from services.profiles.adapters.imports import StoredImports
from services.profiles.adapters.merge_log import MERGES
from services.profiles.adapters.predictive_traits import PREDICTIONS
from services.profiles.adapters.sealed import CUSTOMERS, customer_of
from services.profiles.adapters.store import EVENTS
from services.profiles.adapters.suppressions import suppression_writes
from services.profiles.domain.erasure import PROFILES, Erasure, ErasureMode
from services.profiles.domain.suppression import Occasion
from services.profiles.ports import CustomerErased, Identifier, Versioned

CHUNK_MAX = 500
EXPECTED_MAX = 5000


@dataclass(frozen=True, slots=True)
class Personal:
    """Documents that belong to an origin: a collection, the equality that finds them, and their kind on the receipt."""

    collection: Collection
    where: Callable[[str], dict[str, Any]]
    kind: str


EVENTS_OF = Personal(EVENTS, lambda origin: {"customer_id": origin}, "event")
PERSONAL = (
    Personal(STATEMENTS, lambda origin: {"customer_id": origin}, "consent_statement"),
    Personal(CHANGES, lambda origin: {"kind": "ConsentChanged", "origin_customer_id": origin}, "change_on_the_feed"),
    Personal(CHANGES, lambda origin: {"kind": "ComputedTraitChanged", "customer_id": origin}, "change_on_the_feed"),
    Personal(
        CHANGES,
        lambda origin: {"kind": "GroupMembershipChanged", "origin_customer_id": origin},
        "change_on_the_feed",
    ),
)


class StoredForgetting:
    """The port ``Forgetting``."""

    def __init__(
        self,
        store: Store,
        customer_keys: CustomerKeys,
        content_keys: ContentKeys,
        imports: StoredImports,
        dead_letters: StoredDeadLetters,
    ) -> None:
        self._store, self._customer_keys, self._content_keys = store, customer_keys, content_keys
        self._keys, self._imports, self._letters = customer_keys.tenant_keys, imports, dead_letters
        self._identities = Identities(store, customer_keys)
        self._anonymising = Anonymising(store, self._keys, customer_keys)

    async def forget(self, tenant: str, read: Versioned[Erasure], now: int) -> None:
        work = _Work(self._store, tenant, read)
        origins = read.value.origin_customer_ids
        known = await self._store.get_many(tenant, CUSTOMERS, origins)
        if any(not set(each.body.get("origins", ())) <= set(origins) for each in known.values()):
            raise Conflict("the customer is being merged at the moment; read again")
        for origin in origins:
            if origin in known:
                await self._names(work, origin, now)
        for origin in origins:  # the one that is left first: what was merged into it is reached through it
            if origin in known:
                await self._customer(work, known[origin])
        await self._events(work, origins)
        for origin in origins:
            await forget_exports(self._store, self._content_keys, tenant, origin, work.archive_removed)
            await self._consents(work, origin)  # from here on nobody writes a statement of the origin
            for personal in PERSONAL:
                await work.remove_all(personal, origin)
            await self._members(work, origin)
            await self._merges(work, origin)
            await self._computed(work, origin)
        await self._publish(work, now)

    async def _names(self, work: "_Work", origin: str, now: int) -> None:
        """Suppress all names of an origin, and forget whose they are."""
        key = await self._keys.get(work.tenant)
        query = Query(where={"customer_id": origin}, limit=CHUNK_MAX)
        while owned := (await self._store.find(work.tenant, IDENTITIES, query)).documents:
            names = await self._identities.read(work.tenant, owned)
            await self._dead_letters(work, names)
            await self._imports.forget_person(work.tenant, names, work.commit_one, partial(self._expected, work.tenant))
            writes: list[Write] = [Delete(work.tenant, IDENTITIES, each.id, each.version) for each in owned]
            if work.erasure.suppress:
                occasion = Occasion(now, work.erasure.requested_by, work.erasure.reason, work.erasure.erasure_id)
                writes += suppression_writes(work.tenant, key, names, occasion)
                count = work.erasure.suppressed_count + len(names)
                work.erasure = replace(work.erasure, suppressed_count=count)
            await work.commit(writes, [Removed("identifier", len(names))])

    async def _customer(self, work: "_Work", document: Document) -> None:
        """Forget the customer and destroy the key: from here on nothing that concerns the person is recorded.

        Whoever records an event of the person, or gives the person a name, writes the customer too, at the version that
        was read; so either it is there when events are removed, or its commit fails, is tried again, and finds the name
        suppressed. Where events are to stay, the key is destroyed once they are written again.
        """
        tenant, anonymise = work.tenant, work.erasure.mode is ErasureMode.ANONYMISE
        customer = customer_of(tenant, document, await self._customer_keys.read(tenant, [document.id]))
        removed = [
            Removed("customer", 1),
            Removed("trait", len(customer.traits) if customer else 0),
            Removed("group", len(customer.groups) if customer else 0),
        ]
        writes: list[Write] = [Delete(tenant, CUSTOMERS, document.id, document.version)]
        if not anonymise:
            writes.append(self._customer_keys.destroy(tenant, document.id))
            removed.append(Removed("encryption_key", int("sealed" in document.body)))
        elif customer is not None:
            writes += await self._anonymising.figures(tenant, work.erasure.pseudonym, customer)
        await work.commit(writes, removed)

    async def _events(self, work: "_Work", origins: Sequence[str]) -> None:
        for origin in origins:
            if work.erasure.mode is ErasureMode.DELETE:
                await work.remove_all(EVENTS_OF, origin)
                continue
            while True:
                writes, removed = await self._anonymising.events(work.tenant, work.erasure.pseudonym, origin)
                if not writes:
                    break
                await work.commit(writes, removed)
            if await self._customer_keys.read(work.tenant, [origin]):
                destroyed = [self._customer_keys.destroy(work.tenant, origin)]
                await work.commit(destroyed, [Removed("encryption_key", 1)])

    async def _dead_letters(self, work: "_Work", names: Sequence[Identifier]) -> None:
        """Forget the letters that are about somebody with one of the names."""
        async for found in self._letters.documents_naming(work.tenant, names, anywhere=True):
            if found:
                deletes = self._letters.deletes(work.tenant, found)
                await work.commit(deletes, [Removed("dead_letter", len(found))])

    async def _expected(self, tenant: str) -> set[str]:
        """The names of all whom there is work on."""
        query = Query(range=Range("due", at_least=0), order_by="due", limit=EXPECTED_MAX)
        waiting = (await self._store.find(PLATFORM, OPEN_ERASURES, query)).documents
        ids = [each.body["erasure_id"] for each in waiting if each.body["tenant"] == tenant]
        erasures = await self._store.get_many(tenant, ERASURES, ids)
        names: list[Identifier] = []
        for erasure in erasures.values():
            owned = Query(where={"customer_id": erasure.body["customer_id"]}, limit=CHUNK_MAX)
            names += await self._identities.read(tenant, (await self._store.find(tenant, IDENTITIES, owned)).documents)
        return {value for _, value in names}

    async def _members(self, work: "_Work", origin: str) -> None:
        """Take the person out of groups, which are smaller from then on."""
        query = Query(where={"origin": origin}, limit=1)
        while members := (await self._store.find(work.tenant, MEMBERS, query)).documents:
            (member,) = members
            writes: list[Write] = [Delete(work.tenant, MEMBERS, member.id, member.version)]
            group = await self._store.get(work.tenant, GROUPS, member.body["group_id"])
            if group is not None and member.body["member"]:
                body = {**group.body, "members": max(0, group.body["members"] - 1)}
                writes.append(Replace(work.tenant, GROUPS, group.id, body, group.version))
            await work.commit(writes, [Removed("group_membership", 1)])

    async def _pages(
        self, tenant: str, collection: Collection, where: dict[str, Any]
    ) -> AsyncIterator[tuple[Document, ...]]:
        after = ""
        while True:
            page = await self._store.find(tenant, collection, Query(where=where, limit=CHUNK_MAX, after=after))
            if page.documents:
                yield page.documents
            after = page.next_cursor
            if not after:
                return

    async def _consents(self, work: "_Work", origin: str) -> None:
        known = await self._store.get(work.tenant, CONSENTS, origin)
        if known is None:  # a statement that comes at this moment finds that there is nobody any more
            await work.commit([Insert(work.tenant, CONSENTS, origin, ERASED)], [])
        elif known.body != ERASED:
            erased = Replace(work.tenant, CONSENTS, origin, ERASED, known.version)
            expiry = Delete(PLATFORM, EXPIRIES, f"{work.tenant}:{origin}")
            await work.commit([erased, expiry], [Removed("consent", len(known.body["entries"]))])

    async def _merges(self, work: "_Work", origin: str) -> None:
        """Forget the merges of the person's own parts; those that were taken back concern somebody else too."""
        async for page in self._pages(work.tenant, MERGES, {"customer_id": origin}):
            deletes = [Delete(work.tenant, MERGES, each.id) for each in page if each.body["active"]]
            if deletes:
                await work.commit(deletes, [Removed("merge", len(deletes))])

    async def _computed(self, work: "_Work", origin: str) -> None:
        known = await self._store.get(work.tenant, COMPUTED, origin)
        expected = await self._store.get(work.tenant, PREDICTIONS, origin)
        forgotten = [Delete(work.tenant, each, origin) for each in (COMPUTED, COMPUTED_MARKS, PREDICTIONS)]
        removed = [
            Removed("computed_trait", value_count(known) if known else 0),
            Removed("predictive_trait", expected.body["count"] if expected else 0),
        ]
        await work.commit(forgotten, removed)

    async def _publish(self, work: "_Work", now: int) -> None:
        erasure = work.erasure
        told = CustomerErased(
            work.tenant,
            erasure.erasure_id,
            erasure.customer_id,
            erasure.origin_customer_ids,
            erasure.request_time,
            erasure.pseudonym,
        )
        work.erasure = replace(erasure.acknowledged(PROFILES, erasure.own.removed, now, now), problem="")
        done = Delete(PLATFORM, OPEN_ERASURES, open_id(work.tenant, erasure.erasure_id))
        # A statement that came at the same moment may have made a key anew.
        keys = [self._customer_keys.destroy(work.tenant, origin) for origin in erasure.origin_customer_ids]
        await work.commit([tell(told, erasure.erasure_id), done, *keys], [])


class _Work:
    """An erasure that is being carried out: each commit writes it too, so that two processes cannot both count."""

    def __init__(self, store: Store, tenant: str, read: Versioned[Erasure]) -> None:
        self._store, self.tenant = store, tenant
        self.erasure, self._version = read.value, read.version

    async def commit(self, writes: Sequence[Write], removed: Sequence[Removed]) -> None:
        """Commit with the receipt; ``Conflict`` if another process carries the erasure out."""
        if removed:
            self.erasure = self.erasure.removing(removed)
        body = erasure_body(self.erasure)
        receipt = Replace(self.tenant, ERASURES, self.erasure.erasure_id, body, self._version)
        await self._store.commit([*writes, receipt])
        self._version += 1

    async def commit_one(self, writes: Sequence[Write], removed: Removed) -> None:
        """Commit something of one kind."""
        await self.commit(writes, [removed])

    async def archive_removed(self, writes: Sequence[Write], count: int) -> None:
        """Commit the end of an export of the person."""
        await self.commit(writes, [Removed("export", count)])

    async def remove_all(self, personal: Personal, key: str) -> None:
        """Delete what ``personal`` finds, a chunk at a time."""
        while True:
            query = Query(where=personal.where(key), limit=CHUNK_MAX)
            page = await self._store.find(self.tenant, personal.collection, query)
            if not page.documents:
                return
            deletes = [Delete(self.tenant, personal.collection, document.id) for document in page.documents]
            await self.commit(deletes, [Removed(personal.kind, len(deletes))])
