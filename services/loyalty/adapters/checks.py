"""The port ``Checks`` over the document store."""

from collections.abc import Sequence

from services.common.errors import AlreadyExists, Conflict
from services.common.store import Insert, Query, Replace, Store
from services.loyalty.adapters.documents import MEMBERS, read_member
from services.loyalty.adapters.records import RECORDS, read_record, record_body
from services.loyalty.domain.member import Member
from services.loyalty.domain.running_check import RUNNING_CHECK, RUNNING_CHECKS, CheckState


class StoredChecks:
    """The port ``Checks``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def state(self, tenant: str) -> CheckState:
        document = await self._store.get(tenant, RECORDS[RUNNING_CHECKS.name], RUNNING_CHECK.id)
        return read_record(RUNNING_CHECKS, document.body) if document else CheckState()

    async def members(self, tenant: str, limit: int, after: str) -> tuple[Sequence[Member], str]:
        page = await self._store.find(tenant, MEMBERS, Query(limit=limit, after=after))
        return [read_member(document.body) for document in page.documents], page.next_cursor

    async def keep(self, tenant: str, before: CheckState, after: CheckState) -> bool:
        collection = RECORDS[RUNNING_CHECKS.name]
        kept = await self._store.get(tenant, collection, RUNNING_CHECK.id)
        if kept and read_record(RUNNING_CHECKS, kept.body) != before:
            return False
        body = record_body(after)
        write = (
            Replace(tenant, collection, RUNNING_CHECK.id, body, kept.version)
            if kept
            else Insert(tenant, collection, RUNNING_CHECK.id, body)
        )
        try:
            await self._store.commit([write])
        except (Conflict, AlreadyExists):
            return False
        return True
