"""The ports that read, over the document store."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from services.common.errors import InvalidCursor
from services.common.feed import stored_cursor
from services.common.store import Query, Range, Store
from services.loyalty.adapters.documents import (
    ENTRIES,
    MEMBERS,
    ORDER_COUNTS,
    ORDER_COUNTS_ID,
    PROGRAM_OWNERS,
    PROGRAMS,
    REFUNDED_ORDERS,
    REWARDS,
    key,
    read_entry,
    read_member,
    read_order_counts,
    read_program,
    read_refunded_order,
    read_reward,
)
from services.loyalty.adapters.merged_members import found_members, names_of_person
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.domain.books import OrderCounts
from services.loyalty.domain.entry import Entry
from services.loyalty.domain.errors import ProgramNotFound
from services.loyalty.domain.member import Member
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind
from services.loyalty.domain.redemption import REDEMPTIONS, Redemption
from services.loyalty.domain.refund import RefundedOrder
from services.loyalty.domain.reward import Reward
from services.loyalty.ports import Enterings

T = TypeVar("T")

ORDER_FOLLOWER = "loyalty.orders"
MEMBERSHIP_FOLLOWER = "loyalty.memberships"
PAGE_MAX = 1000
FEED_BATCH_MAX = 1000


class StoredPrograms:
    """The port ``Programs``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, program_id: str) -> Program:
        document = await self._store.get(tenant, PROGRAMS, program_id)
        if document is None:
            raise ProgramNotFound(f"there is no programme {program_id}", program_id=program_id)
        return read_program(document.id, document.body)

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Program], str]:
        page = await self._store.find(tenant, PROGRAMS, Query(limit=limit, after=after))
        return [read_program(document.id, document.body) for document in page.documents], page.next_cursor

    async def all(self, tenant: str) -> dict[str, Program]:
        programs, _ = await self.page(tenant, PAGE_MAX, "")
        return {program.id: program for program in programs}

    async def everywhere(self) -> AsyncIterator[tuple[str, str]]:
        after = ""
        while True:
            page = await self._store.find("*", PROGRAM_OWNERS, Query(limit=PAGE_MAX, after=after))
            for document in page.documents:
                yield document.body["tenant"], document.body["program_id"]
            after = page.next_cursor
            if not after:
                return


class StoredRewards:
    """The port ``Rewards``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, tenant: str, program_id: str, limit: int, after: str) -> tuple[list[Reward], str]:
        query = Query(where={"program_id": program_id}, limit=limit, after=after)
        page = await self._store.find(tenant, REWARDS, query)
        return [read_reward(document.body) for document in page.documents], page.next_cursor

    async def get(self, tenant: str, program_id: str, reward_id: str) -> Reward | None:
        document = await self._store.get(tenant, REWARDS, key(program_id, reward_id))
        return read_reward(document.body) if document else None

    async def all(self, tenant: str) -> dict[tuple[str, str], Reward]:
        found: dict[tuple[str, str], Reward] = {}
        after = ""
        while True:
            page = await self._store.find(tenant, REWARDS, Query(limit=PAGE_MAX, after=after))
            for reward in (read_reward(document.body) for document in page.documents):
                found[(reward.program_id, reward.id)] = reward
            after = page.next_cursor
            if not after:
                return found


class StoredRedemptions:
    """The port ``Redemptions``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, redemption_id: str) -> Redemption | None:
        document = await self._store.get(tenant, RECORDS[REDEMPTIONS.name], redemption_id)
        return read_record(REDEMPTIONS, document.body) if document else None

    async def page(
        self, tenant: str, program_id: str, member_id: str, limit: int, after: str
    ) -> tuple[list[Redemption], str]:
        return await page_of_person(self._store, tenant, REDEMPTIONS, program_id, member_id, limit, after)

    async def due(self, tenant: str, as_of: int, limit: int) -> list[Redemption]:
        query = Query(range=Range("next_expire_time", at_most=as_of), limit=limit)
        page = await self._store.find(tenant, RECORDS[REDEMPTIONS.name], query)
        return [read_record(REDEMPTIONS, document.body) for document in page.documents]


async def page_of_person(
    store: Store, tenant: str, kind: Kind[T], program_id: str, member_id: str, limit: int, after: str
) -> tuple[list[T], str]:
    """A page of a person's records of a kind, latest first under each of their names, and the token of the next."""
    names = await names_of_person(store, tenant, member_id)
    first, token = _name_and_token(after)
    found: list[T] = []
    for at in range(min(first, len(names) - 1), len(names)):
        where = {"program_id": program_id, "member_id": names[at]}
        query = Query(where=where, order_by="time", descending=True, limit=limit - len(found), after=token)
        page = await store.find(tenant, RECORDS[kind.name], query)
        found += [read_record(kind, document.body) for document in page.documents]
        token = page.next_cursor
        if token:
            return found, f"{at}:{token}"
        if len(found) == limit and at + 1 < len(names):
            return found, f"{at + 1}:"
    return found, ""


def _name_and_token(after: str) -> tuple[int, str]:
    """Of which of a person's names a page is, and the token within that name's."""
    if not after:
        return 0, ""
    number, colon, token = after.partition(":")
    if not colon or not number.isdecimal():
        raise InvalidCursor("this cursor was not made by this service")
    return int(number), token


class StoredMembers:
    """The port ``Members``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get_many(self, tenant: str, program_id: str, member_ids: Sequence[str]) -> dict[str, Member]:
        return await found_members(self._store, tenant, program_id, member_ids)

    async def due(self, tenant: str, program_id: str, as_of: int, limit: int) -> list[str]:
        past = Range("next_due_time", at_most=as_of)
        page = await self._store.find(tenant, MEMBERS, Query(where={"program_id": program_id}, range=past, limit=limit))
        return [document.body["member_id"] for document in page.documents]

    async def due_page(
        self, tenant: str, program_id: str, as_of: int, limit: int, after: str
    ) -> tuple[list[Member], str]:
        until = Range("next_due_time", at_most=as_of)
        query = Query(where={"program_id": program_id}, range=until, limit=limit, after=after)
        page = await self._store.find(tenant, MEMBERS, query)
        return [read_member(document.body) for document in page.documents], page.next_cursor

    async def everyone(self, tenant: str) -> AsyncIterator[Sequence[Member]]:
        after = ""
        while True:
            page = await self._store.find(tenant, MEMBERS, Query(limit=PAGE_MAX, after=after))
            yield [read_member(document.body) for document in page.documents]
            after = page.next_cursor
            if not after:
                return


class StoredEntries:
    """The port ``Entries``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(
        self, tenant: str, program_id: str, member_id: str, limit: int, after: str
    ) -> tuple[list[Entry], str]:
        where = {"program_id": program_id, "member_id": member_id}
        query = Query(where=where, order_by="sequence", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, ENTRIES, query)
        return [read_entry(document.id, document.body) for document in page.documents], page.next_cursor

    async def of_member(self, tenant: str, member: Member) -> list[Entry]:
        where = {"program_id": member.program_id, "member_id": member.id}
        counted = Range("sequence", at_most=member.entry_count)
        entries: list[Entry] = []
        after = ""
        while True:
            query = Query(where=where, range=counted, limit=PAGE_MAX, after=after)
            page = await self._store.find(tenant, ENTRIES, query)
            entries += [read_entry(document.id, document.body) for document in page.documents]
            after = page.next_cursor
            if not after:
                return entries

    async def entered(
        self, tenant: str, program_id: str, start: int, end: int, limit: int, after: str
    ) -> tuple[list[Entry], str]:
        within = Range("record_time", at_least=start, below=end)
        query = Query(where={"program_id": program_id}, range=within, limit=limit, after=after)
        page = await self._store.find(tenant, ENTRIES, query)
        return [read_entry(document.id, document.body) for document in page.documents], page.next_cursor

    async def count(self, tenant: str) -> int:
        return await self._store.count(tenant, ENTRIES)

    async def follow(self, after: str, tenant: str | None) -> AsyncIterator[Enterings]:
        async for batch in self._store.changes(after, tenant=tenant, limit=FEED_BATCH_MAX):
            cursor = batch[-1].cursor  # of notices too: FollowNotices goes on from it
            caught_up = len(batch) < FEED_BATCH_MAX and cursor == await self._store.end_of_feed()
            told = [change for change in batch if change.collection == ENTRIES.name]
            entries = [(change.tenant, read_entry(change.id, change.body)) for change in told]
            yield Enterings(entries, cursor, caught_up)


class StoredOrderFeed:
    """The port ``OrderFeed``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def cursor(self, follower: str = ORDER_FOLLOWER) -> str:
        return await stored_cursor(self._store, follower)

    async def counts(self, tenant: str) -> OrderCounts:
        document = await self._store.get(tenant, ORDER_COUNTS, ORDER_COUNTS_ID)
        return read_order_counts(document.body) if document else OrderCounts()

    async def refunded(self, tenant: str) -> dict[tuple[str, str], RefundedOrder]:
        found: dict[tuple[str, str], RefundedOrder] = {}
        after = ""
        while True:
            page = await self._store.find(tenant, REFUNDED_ORDERS, Query(limit=PAGE_MAX, after=after))
            for refunded in (read_refunded_order(document.body) for document in page.documents):
                if refunded.count:
                    found[(refunded.program_id, refunded.order_id)] = refunded
            after = page.next_cursor
            if not after:
                return found
