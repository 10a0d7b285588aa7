"""The ports that read records, over the document store."""

from typing import TypeVar

from services.common.store import Query, Store
from services.loyalty.adapters.documents import MEMBERS
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.domain.customer import CUSTOMERS
from services.loyalty.domain.earning_rule import (
    PROGRAM_USAGE,
    RULE_BOOKS,
    RULE_VERSIONS,
    EarningRule,
    ProgramUsage,
    RuleBook,
    Trigger,
)
from services.loyalty.domain.records import Kind

T = TypeVar("T")


async def stored_record(store: Store, tenant: str, kind: Kind[T], id: str) -> T | None:
    """One record, if there is one."""
    document = await store.get(tenant, RECORDS[kind.name], id)
    return read_record(kind, document.body) if document else None


class StoredOccasions:
    """The port ``Occasions``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(
        self, tenant: str, program_id: str, trigger: Trigger, day_of_year: str, limit: int, after: str
    ) -> tuple[list[str], str]:
        if trigger is Trigger.BIRTHDAY:
            query = Query(where={"birthday": day_of_year}, limit=limit, after=after)
            page = await self._store.find(tenant, RECORDS[CUSTOMERS.name], query)
            return [document.id for document in page.documents], page.next_cursor
        where = {"program_id": program_id, "enroll_day": day_of_year}
        page = await self._store.find(tenant, MEMBERS, Query(where=where, limit=limit, after=after))
        return [document.body["member_id"] for document in page.documents], page.next_cursor


class StoredEarningRules:
    """The port ``EarningRules``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of_program(self, tenant: str, program_id: str) -> tuple[RuleBook, ProgramUsage]:
        book = await stored_record(self._store, tenant, RULE_BOOKS, program_id)
        usage = await stored_record(self._store, tenant, PROGRAM_USAGE, program_id)
        return book or RuleBook(program_id), usage or ProgramUsage(program_id)

    async def versions(
        self, tenant: str, program_id: str, rule_id: str, limit: int, after: str
    ) -> tuple[list[EarningRule], str]:
        where = {"program_id": program_id, "rule_id": rule_id}
        query = Query(where=where, order_by="version", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, RECORDS[RULE_VERSIONS.name], query)
        return [read_record(RULE_VERSIONS, document.body) for document in page.documents], page.next_cursor
