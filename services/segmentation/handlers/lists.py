"""Lists of customers: made, filled, emptied and deleted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists, Conflict
from services.segmentation.domain.customer_list import (
    CustomerList,
    CustomerListInUse,
    CustomerListNotFound,
    Named,
    at_most,
)
from services.segmentation.domain.segment import users_of_list
from services.segmentation.ports import Lists, People, Request, Segments

ATTEMPTS_MAX = 10
READ_AT_ONCE = 1000


async def get_list(lists: Lists, tenant: str, list_id: str) -> CustomerList:
    """The list; ``CustomerListNotFound``."""
    found = await lists.get(tenant, list_id)
    if found is None:
        raise CustomerListNotFound(list_id)
    return found


async def create_list(
    lists: Lists, clock: Clock, new_id: Callable[[], str], tenant: str, request: Request, name: str, description: str
) -> CustomerList:
    """The new list, or the one that the same request made before."""
    answered = await lists.answered(tenant, request)
    if answered is not None:
        return await get_list(lists, tenant, answered)
    made = CustomerList(new_id(), name, description, to_micros(clock()))
    await lists.create(tenant, made, request)
    return made


async def delete_list(
    lists: Lists, segments: Segments, clock: Clock, tenant: str, request: Request, list_id: str
) -> None:
    """``CustomerListNotFound``, ``CustomerListInUse``. Everybody is taken off it first."""
    for attempt in range(ATTEMPTS_MAX):
        if await lists.answered(tenant, request) is not None:
            return
        await get_list(lists, tenant, list_id)
        catalogue = await segments.catalogue(tenant)
        if used_by := users_of_list(list_id, catalogue.rules):
            raise CustomerListInUse(f"list {list_id} is named by the rule of segment {used_by[0]}", used_by=used_by[0])
        try:
            await lists.delete(tenant, list_id, catalogue, request)
            break
        except (Conflict, AlreadyExists):  # a segment was saved in the meantime: look again
            if attempt == ATTEMPTS_MAX - 1:
                raise
    await _empty(lists, clock, tenant, list_id)


async def _empty(lists: Lists, clock: Clock, tenant: str, list_id: str) -> None:
    while True:
        members, _ = await lists.members(tenant, list_id, READ_AT_ONCE, "")
        if not members:
            return
        await lists.change(tenant, list_id, [who for who, _ in members], listed=False, time=to_micros(clock()))


@dataclass(frozen=True, slots=True)
class ListChange:
    """How many came or went, and who could not be found: place and value."""

    changed: int
    unknown: Sequence[tuple[int, str]]


async def change_list(
    lists: Lists, people: People, clock: Clock, tenant: str, list_id: str, named: Sequence[Named], *, remove: bool
) -> ListChange:
    """Put customers on a list or take them off; ``CustomerListNotFound``, ``TooManyCustomers``."""
    at_most(named)
    await get_list(lists, tenant, list_id)
    found = await people.resolve(tenant, named)
    customer_ids = list(dict.fromkeys(who for who in found if who is not None))
    changed = await lists.change(tenant, list_id, customer_ids, listed=not remove, time=to_micros(clock()))
    unknown = [(place, named[place].value) for place, who in enumerate(found) if who is None]
    return ListChange(changed, unknown)
