"""A draft: the documents that a group of operations needs, loaded with their versions, and the commit it becomes."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.common.errors import RequestIdReused
from services.common.feed import CURSORS
from services.common.idempotency import REQUESTS, remember
from services.common.store import Collection, Delete, Document, Insert, Put, Query, Replace, Store, Write
from services.common.store.port import Body
from services.loyalty.adapters.answers import answer_body, read_answer
from services.loyalty.adapters.documents import (
    ENTRIES,
    ERASED,
    ERASED_ID,
    ERASURES,
    MEMBERS,
    ORDER_COUNTS,
    ORDER_COUNTS_ID,
    PROGRAM_OWNERS,
    PROGRAMS,
    REFUNDED_ORDERS,
    REWARDS,
    entry_body,
    key,
    member_body,
    order_counts_body,
    program_body,
    read_entry,
    read_member,
    read_order_counts,
    read_program,
    read_refunded_order,
    read_reward,
    refunded_order_body,
    reward_body,
)
from services.loyalty.adapters.held import Held, HeldMembers
from services.loyalty.adapters.records import RECORDS, read_record, record_body
from services.loyalty.adapters.store import PAGE_MAX
from services.loyalty.domain.books import Books, Key, Needs, OrderCounts
from services.loyalty.domain.entry import Entry, refunded_order_id
from services.loyalty.domain.merged import merged_ref
from services.loyalty.domain.operations import Operation
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.ports import Request

ALL = "*"


@dataclass(slots=True)
class TenantDraft:
    """One tenant's books and requests, and the versions of the documents that they were read from."""

    tenant: str
    held: HeldMembers | None = None
    """Where members are taken from that need not be read; ``None``: all are read."""
    books: Books = field(default_factory=Books)
    erasures: int = 0
    """How many members the tenant had erased when this was loaded."""
    assumed: set[Key] = field(default_factory=set)
    """Those members that were taken from what is held."""
    requests: dict[str, Body] = field(default_factory=dict)
    """What is kept of requests that were carried out before."""
    given: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """The fingerprint and the answer of each request that is carried out here."""
    refused: set[str] = field(default_factory=set)
    """The ids of requests that were refused here."""
    answered: list[Insert] = field(default_factory=list)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    looked_for: set[tuple[str, str]] = field(default_factory=set)
    """What was read, or is not there, by collection and id."""

    def replay(self, request: Request) -> Any | None:
        """The answer to a request that was carried out before; ``RequestIdReused`` if another was."""
        if request.id in self.given:
            fingerprint, answer = self.given[request.id]
        elif request.id in self.requests:
            kept = self.requests[request.id]
            fingerprint, answer = kept["fingerprint"], read_answer(kept["answer"], self.books.entries)
        else:
            return None
        if fingerprint != request.fingerprint:
            raise RequestIdReused(
                f"request_id {request.id} was used before for another request; choose a new one",
                request_id=request.id,
            )
        return answer

    def keep_answer(self, request: Request, answer: object) -> None:
        """Keep the answer with the effect."""
        if not request.id:
            return
        self.given[request.id] = request.fingerprint, answer
        self.answered += remember(self.tenant, request.id, request.fingerprint, answer_body(answer))

    async def load(self, store: Store, operations: Sequence[Operation[Any]], request_ids: Sequence[str]) -> None:
        """Read what the operations need."""
        tenant, books = self.tenant, self.books
        page, erased = await asyncio.gather(
            store.find(tenant, PROGRAMS, Query(limit=PAGE_MAX)), store.get(tenant, ERASED, ERASED_ID)
        )
        books.programs = {document.id: read_program(document.id, document.body) for document in page.documents}
        self.erasures = erased.version if erased else 0
        needs = [operation.needs(books.programs) for operation in operations]
        if request_ids:
            found = await store.get_many(tenant, REQUESTS, request_ids)
            self.requests = {document.id: document.body for document in found.values()}
            answers = [body["answer"] for body in self.requests.values()]
            named = [answer["id"] for answer in answers if answer["kind"] == "entry" and "body" not in answer]
            needs.append(Needs(entries=named))
        while needs:
            await self._load(store, needs)
            needs = [need.then(books) for need in needs if need.then]

    async def _load(self, store: Store, needs: Sequence[Needs]) -> None:
        """Read what is needed and was not read yet."""
        tenant, books = self.tenant, self.books
        whole = dict.fromkeys(entry_id for need in needs for entry_id in need.entries)
        if missing := [entry_id for entry_id in whole if entry_id not in books.entries]:
            found = await store.get_many(tenant, ENTRIES, missing)
            books.entries |= {document.id: read_entry(document.id, document.body) for document in found.values()}
        pairs = [pair for need in needs for pair in need.members]
        for entry in books.entries.values():
            pairs += [(entry.program_id, each) for each in (entry.member_id, entry.origin_id) if each]
        await self._load_members(store, pairs)
        for body in await self._read(store, REFUNDED_ORDERS, _refunded_ids(needs)):
            refunded = read_refunded_order(body)
            books.refunds[(refunded.program_id, refunded.order_id)] = refunded
        for body in await self._read(store, REWARDS, (key(*pair) for need in needs for pair in need.rewards)):
            reward = read_reward(body)
            books.rewards[(reward.program_id, reward.id)] = reward
        await self._load_records(store, needs)
        if entry_ids := list(dict.fromkeys(entry_id for need in needs for entry_id in need.entry_ids)):
            books.entry_ids |= set(await store.get_many(tenant, ENTRIES, entry_ids))
        if books.order_counts is None and any(need.order_counts for need in needs):
            document = self._seen(ORDER_COUNTS, await store.get(tenant, ORDER_COUNTS, ORDER_COUNTS_ID))
            books.order_counts = read_order_counts(document.body) if document else OrderCounts()

    def writes(self) -> list[Write]:
        """The commit that makes the books what they are now."""
        books = self.books
        writes: list[Write] = [*self.answered]
        for program_id in books.touched_programs:
            owner = {"tenant": self.tenant, "program_id": program_id}
            body = program_body(books.programs[program_id])
            writes.append(Insert(self.tenant, PROGRAMS, program_id, body))
            writes.append(Put(ALL, PROGRAM_OWNERS, key(self.tenant, program_id), owner))
        for pair in books.touched_members:
            writes.append(self._write(MEMBERS, key(*pair), member_body(books.members[pair], books.programs[pair[0]])))
        for pair in books.touched_rewards:
            writes.append(self._write(REWARDS, key(*pair), reward_body(books.rewards[pair])))
        for pair in books.touched_refunds:
            writes.append(
                self._write(REFUNDED_ORDERS, refunded_order_id(*pair), refunded_order_body(books.refunds[pair]))
            )
        writes.extend(Insert(self.tenant, ENTRIES, entry.id, entry_body(entry)) for entry in books.entered)
        # Behind the entries, so that followers hear of notices after what they are about.
        writes.extend(filter(None, map(self._record_write, books.touched_records)))
        for erasure in books.erasures:
            body = {
                "tenant": self.tenant,
                "erasure_id": erasure.erasure_id,
                "customer_ids": list(erasure.customer_ids),
                "pseudonym": erasure.pseudonym,
            }
            writes.append(Put(ALL, ERASURES, key(self.tenant, erasure.erasure_id), body))
        if books.counted:
            assert books.order_counts is not None
            writes.append(self._write(ORDER_COUNTS, ORDER_COUNTS_ID, order_counts_body(books.order_counts)))
        return writes

    async def _load_members(self, store: Store, pairs: Sequence[Key]) -> None:
        """Read members, those whom they were merged into, and so on, and the shared accounts that they use."""
        books = self.books
        while pairs:
            for body in await self._read(store, MEMBERS, [key(*pair) for pair in pairs if not self._assume(pair)]):
                member = read_member(body)
                books.members[(member.program_id, member.id)] = member
            absent = {pair[1] for pair in pairs if pair not in books.members}
            await self._load_records(store, [Needs(records=[merged_ref(member_id) for member_id in absent])])
            ends = {(program_id, books.account_id(program_id, member_id)) for program_id, member_id in pairs}
            ends |= {(user.program_id, user.account_id) for pair in ends if (user := books.members.get(pair))}
            pairs = [
                pair
                for pair in ends
                if pair[1] and pair not in books.members and (MEMBERS.name, key(*pair)) not in self.looked_for
            ]

    def _assume(self, pair: Key) -> bool:
        """Take the member from what is held, if it is; whether it need not be read."""
        if pair in self.assumed:
            return True
        held = self.held.get(self.tenant, pair, self.erasures) if self.held else None
        if held is None or (MEMBERS.name, key(*pair)) in self.looked_for:
            return False
        self.books.members[pair] = held.member
        self.versions[MEMBERS.name, key(*pair)] = held.version
        self.assumed.add(pair)
        return True

    async def stands(self, store: Store) -> bool:
        """Whether what was assumed is so where no write will prove it: members that were left as they were, and that
        requests which were refused had not been carried out before.
        """
        unproven = {key(*pair): pair for pair in self.assumed - self.books.touched_members}
        if unproven:
            found = await store.get_many(self.tenant, MEMBERS, list(unproven))
            if any(each not in found or found[each].version != self.versions[MEMBERS.name, each] for each in unproven):
                return False
        unknown = [request_id for request_id in self.refused if request_id and request_id not in self.given]
        return not (unknown and self.held and await store.get_many(self.tenant, REQUESTS, unknown))

    def hold(self, held: HeldMembers) -> None:
        """Hold the members as they are now that this is committed."""
        for pair, member in self.books.members.items():
            version = self.versions.get((MEMBERS.name, key(*pair)), 0) + (pair in self.books.touched_members)
            held.keep(self.tenant, pair, Held(member, version, self.erasures))

    async def _load_records(self, store: Store, needs: Sequence[Needs]) -> None:
        wanted: dict[Kind[Any], dict[str, None]] = {}
        for need in needs:
            for ref in need.records:
                wanted.setdefault(ref.kind, {})[ref.id] = None
        for kind, ids in wanted.items():
            collection = RECORDS[kind.name]
            for document in await self._documents(store, collection, ids):
                self.books.records[Ref(kind, document.id)] = read_record(kind, document.body)

    def _record_write(self, ref: Ref[Any]) -> Write | None:
        """The write that keeps a record, or drops it; ``None`` for one that came and went in the group."""
        collection, record = RECORDS[ref.kind.name], self.books.record(ref)
        if record is not None:
            return self._write(collection, ref.id, record_body(record))
        version = self.versions.get((collection.name, ref.id))
        return None if version is None else Delete(self.tenant, collection, ref.id, version)

    async def _read(self, store: Store, collection: Collection, ids: Iterable[str]) -> list[Body]:
        return [document.body for document in await self._documents(store, collection, ids)]

    async def _documents(self, store: Store, collection: Collection, ids: Iterable[str]) -> list[Document]:
        """Those that exist and were not read yet, each with its version kept."""
        keys = [key for key in dict.fromkeys(ids) if (collection.name, key) not in self.looked_for]
        if not keys:
            return []
        self.looked_for.update((collection.name, key) for key in keys)
        found = await store.get_many(self.tenant, collection, keys)
        for document in found.values():
            self._seen(collection, document)
        return list(found.values())

    def _seen(self, collection: Collection, document: Document | None) -> Document | None:
        if document is not None:
            self.versions[(collection.name, document.id)] = document.version
        return document

    def _write(self, collection: Collection, id: str, body: Body) -> Write:
        version = self.versions.get((collection.name, id))
        if version is None:
            return Insert(self.tenant, collection, id, body)
        return Replace(self.tenant, collection, id, body, version)


def _refunded_ids(needs: Sequence[Needs]) -> Iterable[str]:
    return (refunded_order_id(*pair) for need in needs for pair in need.refunds)


@dataclass(slots=True)
class Draft:
    """What a group of operations works on, of all the tenants it concerns."""

    tenants: dict[str, TenantDraft]
    cursors: dict[str, str] = field(default_factory=dict)
    """How far each feed was applied, by its follower."""
    cursor_versions: dict[str, int] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)

    def move_cursor(self, follower: str, cursor: str) -> None:
        """What the feed told up to here is applied."""
        self.cursors[follower] = cursor
        self.moved.add(follower)

    def writes(self) -> list[Write]:
        """The one commit."""
        writes = [write for tenant in self.tenants.values() for write in tenant.writes()]
        for follower in self.moved:
            # With its version, unlike ``feed.advance``: two processes that follow cannot both apply a batch.
            body, version = {"cursor": self.cursors[follower]}, self.cursor_versions.get(follower)
            writes.append(
                Insert(ALL, CURSORS, follower, body)
                if version is None
                else Replace(ALL, CURSORS, follower, body, version)
            )
        return writes

    async def stands(self, store: Store) -> bool:
        """See ``TenantDraft.stands``."""
        return all([await tenant.stands(store) for tenant in self.tenants.values()])

    def hold(self, held: HeldMembers) -> None:
        """See ``TenantDraft.hold``."""
        for tenant in self.tenants.values():
            tenant.hold(held)

    def drop(self, held: HeldMembers) -> None:
        """Hold none of the members that are in this, which was not committed."""
        for tenant in self.tenants.values():
            held.drop(tenant.tenant, tenant.books.members)

    def entered(self) -> list[Entry]:
        """What was entered."""
        return [entry for tenant in self.tenants.values() for entry in tenant.books.entered]


async def load_draft(
    store: Store,
    operations: Mapping[str, Sequence[Operation[Any]]],
    request_ids: Mapping[str, Sequence[str]],
    followers: Iterable[str] = (),
    held: HeldMembers | None = None,
) -> Draft:
    """Read, for each tenant, what its operations need, and how far the followers have come.

    With ``held``, members are taken from there: ``Draft.stands`` says whether that was right.
    """
    draft = Draft({tenant: TenantDraft(tenant, held) for tenant in operations})
    for tenant, wanted in operations.items():
        await draft.tenants[tenant].load(store, wanted, list(dict.fromkeys(request_ids.get(tenant, ()))))
    for follower in followers:
        document = await store.get(ALL, CURSORS, follower)
        draft.cursors[follower] = document.body["cursor"] if document else ""
        if document:
            draft.cursor_versions[follower] = document.version
    return draft
