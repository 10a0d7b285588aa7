"""Groups above the person: hear of them by events or by request, and read them with what their members are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.clock import Clock, to_micros
from services.common.errors import NotFound
from services.profiles.domain.customer import Customer
from services.profiles.domain.event import EventType, Observation
from services.profiles.domain.group import Figures, GroupChanges, GroupFull, GroupProfile, Membership, figures_of
from services.profiles.handlers.families import parts_of
from services.profiles.handlers.get_customer import batch_get_customers, not_found
from services.profiles.handlers.retrying import retrying
from services.profiles.ports import Profiles
from services.profiles.ports.groups import Groups
from services.profiles.ports.request import Request

GROUP_FULL = "GROUP_FULL"
SHOWN_MAX = 100
"""How many groups of a customer are shown."""


class GroupNotFound(NotFound):
    """No event named this group, and nobody was put into it."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """What groups work on."""

    profiles: Profiles
    groups: Groups
    clock: Clock


async def hear_of_groups(
    groups: Groups, tenant: str, recorded: Sequence[tuple[Observation, str]], owned: Mapping[str, str]
) -> tuple[GroupChanges, list[tuple[str, str, str]]]:
    """What GROUP events say of groups and members, and notices of what did not fit; ``owned``: whose origins are."""
    said = [(each, (each.group_id, origin)) for each, origin in recorded if each.type is EventType.GROUP]
    if not said:
        return GroupChanges(), []
    changes = await groups.read(tenant, [key[0] for _, key in said], [key for _, key in said])
    notices = []
    for observation, key in said:
        try:
            changes.learn(tenant, key[0], observation.traits, observation.event_time)
            changes.hear(tenant, key, owned[key[1]], observation.event_time, member=True)
        except GroupFull as error:
            if key not in changes.versions and changes.members.get(key) == Membership(*key):
                del changes.members[key]
            notices.append((observation.message_id, GROUP_FULL, error.message))
    return changes, notices


async def add_group_members(
    grouping: Grouping, request: Request, group_id: str, customer_ids: Sequence[str], traits: Mapping[str, Any]
) -> int:
    """How many became members; ``CustomerNotFound``, ``GroupFull``, ``RequestIdReused``."""

    async def attempt() -> int:
        if (answer := await grouping.groups.answered(request)) is not None:
            return int(answer["count"])
        tenant, now = request.tenant, to_micros(grouping.clock())
        found = await _parts(grouping.profiles, tenant, customer_ids)
        origins = list(dict.fromkeys(parts[0].customer_id for parts in found))
        changes = await grouping.groups.read(tenant, [group_id], [(group_id, origin) for origin in origins])
        changes.learn(tenant, group_id, traits, now)
        count = sum(changes.hear(tenant, (group_id, origin), origin, now, member=True) for origin in origins)
        await grouping.groups.commit(request, changes, {origin: origin for origin in origins}, {"count": count})
        return count

    return await retrying(attempt)


async def remove_group_members(grouping: Grouping, request: Request, group_id: str, customer_ids: Sequence[str]) -> int:
    """How many customers were members; ``CustomerNotFound``, ``GroupNotFound``, ``RequestIdReused``."""

    async def attempt() -> int:
        if (answer := await grouping.groups.answered(request)) is not None:
            return int(answer["count"])
        tenant, now, count = request.tenant, to_micros(grouping.clock()), 0
        found = {parts[0].customer_id: parts for parts in await _parts(grouping.profiles, tenant, customer_ids)}
        keys = [(group_id, part.customer_id) for parts in found.values() for part in parts]
        changes = await grouping.groups.read(tenant, [group_id], keys)
        if group_id not in changes.groups:
            raise group_not_found(group_id)
        owners = {part.customer_id: customer_id for customer_id, parts in found.items() for part in parts}
        for customer_id, parts in found.items():
            known = [changes.members.get((group_id, part.customer_id)) for part in parts]
            left = [_leave(changes, tenant, each, customer_id, now) for each in known if each is not None]
            count += any(left)
        await grouping.groups.commit(request, changes, owners, {"count": count})
        return count

    return await retrying(attempt)


async def get_group(grouping: Grouping, tenant: str, group_id: str) -> tuple[GroupProfile, Figures]:
    """The group, and what its members are together; ``GroupNotFound``."""
    found = await grouping.groups.read(tenant, [group_id], [])
    if group_id not in found.groups:
        raise group_not_found(group_id)
    return found.groups[group_id], figures_of(await _members(grouping, tenant, group_id))


async def list_group_members(grouping: Grouping, tenant: str, group_id: str) -> list[str]:
    """The ids of the customers who are members; ``GroupNotFound``."""
    group, _ = await get_group(grouping, tenant, group_id)
    return sorted(member.customer_id for member in await _members(grouping, tenant, group.group_id))


async def memberships(
    grouping: Grouping, tenant: str, customer_ids: Sequence[str]
) -> dict[str, list[tuple[GroupProfile, int]]]:
    """The groups of each customer who is a member of some, by id, each with the time at which that was said last."""
    parts = await parts_of(grouping.profiles, tenant, list(dict.fromkeys(customer_ids)))
    joined: dict[str, dict[str, int]] = {}
    for customer_id, family in parts.items():
        said = [it for part in family for it in await grouping.groups.of_origin(tenant, part.customer_id) if it.member]
        newest = sorted(said, key=lambda it: it.time)[-SHOWN_MAX:]
        if newest:
            joined[customer_id] = {it.group_id: it.time for it in newest}
    wanted = {group_id for times in joined.values() for group_id in times}
    known = (await grouping.groups.read(tenant, sorted(wanted), [])).groups
    return {
        customer_id: [(known[it], time) for it, time in sorted(times.items()) if it in known]
        for customer_id, times in joined.items()
    }


def group_not_found(group_id: str) -> GroupNotFound:
    """Says that there is none of this id."""
    return GroupNotFound(f"there is no group {group_id}", group_id=group_id)


async def _members(grouping: Grouping, tenant: str, group_id: str) -> list[Customer]:
    origins = await grouping.groups.origins(tenant, group_id)
    return await batch_get_customers(grouping.profiles, tenant, origins) if origins else []


async def _parts(profiles: Profiles, tenant: str, customer_ids: Sequence[str]) -> list[list[Customer]]:
    wanted = list(dict.fromkeys(customer_ids))
    found = await parts_of(profiles, tenant, wanted)
    for customer_id in wanted:
        if customer_id not in found:
            raise not_found(customer_id)
    return list(found.values())


def _leave(changes: GroupChanges, tenant: str, known: Membership, customer_id: str, now: int) -> bool:
    key = known.group_id, known.origin
    return changes.hear(tenant, key, customer_id, max(now, known.time + 1), member=False)
