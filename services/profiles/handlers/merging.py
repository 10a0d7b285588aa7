"""Merge customers, and take merges back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from services.common.clock import Clock, to_micros
from services.common.errors import Conflict, FailedPrecondition, NotFound, Refusal
from services.profiles.domain.customer import Customer
from services.profiles.domain.merge import Merge, MergeRule, attach, detach
from services.profiles.handlers.families import Versioned, families, parts_of
from services.profiles.handlers.get_customer import not_found
from services.profiles.handlers.retrying import retrying
from services.profiles.ports import Merges, Movement, Profiles, Request


class MergeNotFound(NotFound):
    """There is no merge of this id."""


class MergeTakenBack(FailedPrecondition):
    """The merge was taken back before."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a change of identity, and why."""

    request: Request
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class MergeStore:
    """What merging works on."""

    profiles: Profiles
    merges: Merges
    clock: Clock
    new_id: Callable[[], str]


async def merge_customers(store: MergeStore, asked: Asked, customer_id: str, merged_ids: Sequence[str]) -> list[Merge]:
    """One merge for each of ``merged_ids``, all or none.

    ``CustomerNotFound``, ``SameCustomer``, ``CustomerAlreadyMerged``, ``TooManyOrigins``, ``RequestIdReused``.
    """

    async def attempt() -> list[Merge]:
        found = await _family(store.profiles, asked.request.tenant, [customer_id, *merged_ids])
        customers = {key: customer for key, (customer, _) in found.items()}
        now = to_micros(store.clock())
        onto = customers[customers[customer_id].surviving_id]
        made = [_merge(store, asked, customers, customers[merged_id], onto, now) for merged_id in merged_ids]
        moved = {origin for merge in made for origin in merge.origin_customer_ids}
        changed = {key: customers[key] for key in (onto.customer_id, *sorted(moved))}
        await store.merges.move(asked.request, Movement(changed, _versions(found, changed), made))
        return made

    return await _once(store, asked, attempt)


async def _once(store: MergeStore, asked: Asked, attempt: Callable[[], Awaitable[list[Merge]]]) -> list[Merge]:
    """What the request was answered before, or the outcome of ``attempt``."""

    async def answered_or_done() -> list[Merge]:
        if answer := await store.merges.answered(asked.request):
            return answer
        try:
            return await attempt()
        except Refusal:  # perhaps because the same request has just been carried out
            if answer := await store.merges.answered(asked.request):
                return answer
            raise

    return await retrying(answered_or_done)


def _merge(
    store: MergeStore, asked: Asked, customers: dict[str, Customer], merged: Customer, onto: Customer, now: int
) -> Merge:
    merge_id = store.new_id()
    moved = attach(customers, merged, onto, merge_id)
    survivor, rule = onto.surviving_id, MergeRule.REQUESTED
    return Merge(merge_id, survivor, onto.customer_id, merged.customer_id, moved, now, rule, asked.reason, asked.actor)


async def unmerge_customer(store: MergeStore, asked: Asked, merge_id: str) -> Merge:
    """The merge, taken back. ``MergeNotFound``, ``MergeTakenBack``, ``RequestIdReused``."""
    tenant = asked.request.tenant

    async def attempt() -> list[Merge]:
        merge = await store.merges.get(tenant, merge_id)
        if merge is None:
            raise MergeNotFound(f"there is no merge {merge_id}", merge_id=merge_id)
        if merge.unmerge_time:
            raise MergeTakenBack(f"merge {merge_id} was taken back before", merge_id=merge_id)
        found = await _family(store.profiles, tenant, [merge.merged_customer_id])
        customers = {key: customer for key, (customer, _) in found.items()}
        restored = customers[merge.merged_customer_id]
        if restored.merge_id != merge_id:  # taken back since the log was read
            raise Conflict("customers are being merged at the moment; read again")
        top = restored.merged_into
        moved = detach(customers, restored)
        changed = {key: customers[key] for key in (top, *moved)}
        back = replace(
            merge, unmerge_time=to_micros(store.clock()), unmerge_reason=asked.reason, unmerge_actor=asked.actor
        )
        movement = Movement(changed, _versions(found, changed), taken_back=back, taken_from=top, moved=moved)
        await store.merges.move(asked.request, movement)
        return [back]

    return (await _once(store, asked, attempt))[0]


async def _family(profiles: Profiles, tenant: str, customer_ids: Sequence[str]) -> dict[str, Versioned]:
    """The customers and all that they are, or are part of; ``CustomerNotFound``."""
    found = await profiles.origins(tenant, list(dict.fromkeys(customer_ids)))
    for customer_id in customer_ids:
        if customer_id not in found:
            raise not_found(customer_id)
    surviving = {customer.surviving_id for customer, _ in found.values()}
    return {**found, **await families(profiles, tenant, surviving, found)}


def _versions(found: dict[str, Versioned], changed: dict[str, Customer]) -> dict[str, int]:
    return {key: found[key][1] for key in changed}


async def list_merges(
    store: MergeStore, tenant: str, customer_id: str, limit: int, after: str
) -> tuple[list[Merge], str]:
    """A page of the log, newest first, of the customer and all that it is made of, or of the tenant."""
    if not customer_id:
        return await store.merges.page(tenant, (), limit, after)
    parts = (await retrying(lambda: parts_of(store.profiles, tenant, [customer_id]))).get(customer_id)
    if not parts:
        return [], ""
    return await store.merges.page(tenant, [part.customer_id for part in parts], limit, after)
