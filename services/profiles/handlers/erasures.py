"""Erasures: ask for them, carry out what is profiles' part, read receipts, hear what the others removed."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists, Conflict, Refusal, RequestIdReused
from services.common.privacy import Removed
from services.profiles.domain.erasure import PROFILES, Erasure, ErasureMode, ErasureNotFound, Part, erasure_id_of
from services.profiles.domain.suppression import Occasion
from services.profiles.handlers.persons import Person, families, locate
from services.profiles.ports import Erasures, Forgetting, Profiles, Request, Suppressions, Versioned

log = logging.getLogger(__name__)

ATTEMPTS_MAX = 20
AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Wish:
    """Whom to forget, why, and whether they may come back."""

    persons: Sequence[Person]
    reason: str
    requested_by: str
    suppress: bool
    mode: ErasureMode = ErasureMode.DELETE


@dataclass(frozen=True, slots=True)
class Means:
    """What erasing needs from outside."""

    profiles: Profiles
    erasures: Erasures
    suppressions: Suppressions
    forgetting: Forgetting
    clock: Clock
    new_id: Callable[[], str]
    services: Sequence[str]
    """Who has to acknowledge, besides profiles."""


async def erase_customers(means: Means, request: Request, wish: Wish) -> tuple[list[Erasure], list[int]]:
    """The erasures, accepted now or before, and the positions of persons who are nobody."""
    tenant = request.tenant
    before = await means.erasures.answered(request)
    if before is None:
        before = await _accept(means, tenant, wish)
        try:
            await means.erasures.answer(request, before)
        except RequestIdReused:
            raise
        except AlreadyExists:  # the same request at the same time was faster
            before = await means.erasures.answered(request) or before
    found = await means.erasures.get_many(tenant, before["erasures"])
    return [found[key].value for key in before["erasures"] if key in found], before["not_found"]


async def _accept(means: Means, tenant: str, wish: Wish) -> dict[str, list[Any]]:
    for _ in range(ATTEMPTS_MAX):
        located = await locate(means.profiles, tenant, wish.persons)
        customer_ids = {person: whose for person, (_, whose) in located.items()}
        # Of somebody who was erased before nothing is left but the receipt.
        named = {person: customer_ids.get(person, person if isinstance(person, str) else "") for person in wish.persons}
        erasure_ids = {person: erasure_id_of(tenant, each) for person, each in named.items() if each}
        there = await means.erasures.get_many(tenant, list(dict.fromkeys(erasure_ids.values())))
        new = {
            erasure_id: _erasure(means, erasure_id, customer_ids[person], wish)
            for person, erasure_id in erasure_ids.items()
            if person in customer_ids and erasure_id not in there
        }
        try:
            await means.erasures.accept(tenant, list(new.values()))
        except AlreadyExists:  # somebody else asked for one of them at the same moment
            continue
        nobody = [index for index, each in enumerate(wish.persons) if erasure_ids.get(each) not in {*new, *there}]
        if wish.suppress:
            names = [each for index in nobody if isinstance(each := wish.persons[index], tuple)]
            occasion = Occasion(to_micros(means.clock()), wish.requested_by, wish.reason)
            await means.suppressions.add(tenant, names, occasion)
        asked = dict.fromkeys(erasure_ids[each] for each in wish.persons if erasure_ids.get(each) in {*new, *there})
        return {"erasures": list(asked), "not_found": nobody}
    raise Conflict("these customers are being erased by others; try again")


def _erasure(means: Means, erasure_id: str, customer_id: str, wish: Wish) -> Erasure:
    return Erasure(
        erasure_id=erasure_id,
        customer_id=customer_id,
        pseudonym=f"ps_{means.new_id()}",
        requested_by=wish.requested_by,
        reason=wish.reason,
        request_time=to_micros(means.clock()),
        parts=tuple(Part(service) for service in sorted({PROFILES, *means.services})),
        suppress=wish.suppress,
        mode=wish.mode,
    )


async def carry_out_erasures(means: Means) -> int:
    """Carry out what is due of profiles' part; how many there were. What fails is put off, and says why."""
    due = await means.erasures.due(to_micros(means.clock()), AT_ONCE)
    await asyncio.gather(*(_try(means, tenant, erasure_id) for tenant, erasure_id in due))
    return len(due)


async def _try(means: Means, tenant: str, erasure_id: str) -> None:
    try:
        await _carry_out(means, tenant, erasure_id)
    except Conflict:  # the customer changed meanwhile, or another process is at it: it is still due
        return
    except Exception as error:
        words = error.message if isinstance(error, Refusal) else f"internal error: {type(error).__name__}"
        log.warning("erasure %s is put off", erasure_id, exc_info=error)
        await means.erasures.put_off(tenant, erasure_id, words, to_micros(means.clock()))


async def _carry_out(means: Means, tenant: str, erasure_id: str) -> None:
    read = await _read(means.erasures, tenant, erasure_id)
    erasure, now = read.value, to_micros(means.clock())
    if erasure.own.done:
        return
    # What is merged into the customer until the customer is gone is erased too.
    found = await families(means.profiles, tenant, [erasure.customer_id])
    origins = found.get(erasure.customer_id, erasure.origin_customer_ids or (erasure.customer_id,))
    if origins != erasure.origin_customer_ids or erasure.problem:
        begun = replace(erasure, origin_customer_ids=origins, problem="")
        read = await means.erasures.replace(tenant, read, begun)
    await means.forgetting.forget(tenant, read, now)


async def get_erasure(erasures: Erasures, tenant: str, erasure_id: str) -> Erasure:
    """The receipt; ``ErasureNotFound``."""
    return (await _read(erasures, tenant, erasure_id)).value


async def acknowledge_erasure(
    erasures: Erasures,
    clock: Clock,
    tenant: str,
    erasure_id: str,
    service: str,
    removed: Sequence[Removed],
    remove_time: int,
) -> None:
    """Note what a service removed; its first answer stands. ``ErasureNotFound``."""
    for _ in range(ATTEMPTS_MAX):
        read = await _read(erasures, tenant, erasure_id)
        erasure = read.value.acknowledged(service, removed, remove_time, to_micros(clock()))
        if erasure is read.value:
            return
        try:
            await erasures.replace(tenant, read, erasure)
            return
        except Conflict:  # another service answered at the same moment
            continue
    raise Conflict(f"erasure {erasure_id} is changed too often by others; try again", erasure_id=erasure_id)


async def _read(erasures: Erasures, tenant: str, erasure_id: str) -> Versioned[Erasure]:
    read = await erasures.get(tenant, erasure_id)
    if read is None:
        raise ErasureNotFound(f"there is no erasure {erasure_id}", erasure_id=erasure_id)
    return read
