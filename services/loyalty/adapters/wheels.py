"""The port ``Wheels`` over the document store."""

from collections.abc import Sequence

from services.common.store import Query, Store
from services.loyalty.adapters.merged_members import names_of_person
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.adapters.store import page_of_person
from services.loyalty.adapters.stored_records import stored_record
from services.loyalty.domain.spin import SPIN_USAGES, SPINS, Spin, SpinUsage, usage_ref
from services.loyalty.domain.wheel import WHEEL_BOOKS, WHEELS, Wheel, wheel_ref


class StoredWheels:
    """Reads wheels and what was spun."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, program_id: str, wheel_id: str) -> Wheel | None:
        return await stored_record(self._store, tenant, WHEELS, wheel_ref(program_id, wheel_id).id)

    async def all(self, tenant: str, program_id: str) -> list[Wheel]:
        book = await stored_record(self._store, tenant, WHEEL_BOOKS, program_id)
        if book is None:
            return []
        ids = [wheel_ref(program_id, wheel_id).id for wheel_id in book.wheel_ids]
        found = await self._store.get_many(tenant, RECORDS[WHEELS.name], ids)
        return [read_record(WHEELS, found[each].body) for each in ids if each in found]

    async def used(
        self, tenant: str, program_id: str, wheel_ids: Sequence[str], member_id: str
    ) -> dict[str, list[SpinUsage]]:
        names = {member_id, *await names_of_person(self._store, tenant, member_id)}
        ids = {usage_ref(program_id, each, name).id: each for each in wheel_ids for name in names}
        found = await self._store.get_many(tenant, RECORDS[SPIN_USAGES.name], list(ids)) if ids else {}
        used: dict[str, list[SpinUsage]] = {each: [] for each in wheel_ids}
        for usage_id, document in found.items():
            used[ids[usage_id]].append(read_record(SPIN_USAGES, document.body))
        return used

    async def spin(self, tenant: str, spin_id: str) -> Spin | None:
        return await stored_record(self._store, tenant, SPINS, spin_id)

    async def of_wheel(
        self, tenant: str, program_id: str, wheel_id: str, limit: int, after: str
    ) -> tuple[list[Spin], str]:
        where = {"program_id": program_id, "wheel_id": wheel_id}
        query = Query(where=where, order_by="number", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, RECORDS[SPINS.name], query)
        return [read_record(SPINS, document.body) for document in page.documents], page.next_cursor

    async def of_member(
        self, tenant: str, program_id: str, member_id: str, limit: int, after: str
    ) -> tuple[list[Spin], str]:
        return await page_of_person(self._store, tenant, SPINS, program_id, member_id, limit, after)
