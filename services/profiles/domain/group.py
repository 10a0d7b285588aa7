"""Groups above the person: who is a member, and what is known about the group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.common import json
from services.common.errors import FailedPrecondition
from services.profiles.domain.customer import Customer, Trait, newer

MEMBERS_MAX = 1000
"""How many origins are members of a group."""
TRAITS_MAX = 200


class GroupFull(FailedPrecondition):
    """The group has as many members, or traits, as it may."""


@dataclass(slots=True)
class GroupProfile:
    """A group; times are microseconds."""

    group_id: str
    traits: dict[str, Trait] = field(default_factory=dict)
    event_time: int = 0
    member_count: int = 0
    """How many origins are members: two that are one customer count twice here."""

    @property
    def type(self) -> str:
        """What kind of group it says that it is."""
        said = self.traits.get("type")
        return said.value if said is not None and isinstance(said.value, str) else ""

    def learn(self, traits: Mapping[str, Any], time: int) -> None:
        """Learn traits; what is newest by event time holds. ``GroupFull`` for too many."""
        self.event_time = max(self.event_time, time)
        if len(self.traits.keys() | traits.keys()) > TRAITS_MAX:
            raise GroupFull(f"a group has at most {TRAITS_MAX} traits", group_id=self.group_id)
        for name, value in traits.items():
            trait = Trait(value, time)
            if name not in self.traits or newer(trait, self.traits[name]):
                self.traits[name] = trait


@dataclass(slots=True)
class Membership:
    """Whether an origin is a member of a group, and since when it is so."""

    group_id: str
    origin: str
    time: int = -1
    member: bool = False

    def hear(self, group: GroupProfile, time: int, *, member: bool) -> bool:
        """Whether that changes something: what was said last by event time holds. ``GroupFull``."""
        if (time, member) <= (self.time, self.member):
            return False
        change = int(member) - int(self.member)
        if change > 0 and group.member_count >= MEMBERS_MAX:
            raise GroupFull(f"the group has {MEMBERS_MAX} members already", group_id=group.group_id)
        group.member_count += change
        self.time, self.member = time, member
        return change != 0

    def tells(self, time: int, *, member: bool) -> bool:
        """Whether saying that changes who is a member at some moment, now or in the past. That a member is one still
        does not: whoever is taken out is so after all that was said before."""
        return time < self.time or member is not self.member


@dataclass(frozen=True, slots=True)
class GroupTraitsChanged:
    """Something was said of a group; as in the contract."""

    tenant: str
    group_id: str
    traits_json: str
    change_time: int


@dataclass(frozen=True, slots=True)
class GroupMembershipChanged:
    """An origin became a member of a group, or is none any more; as in the contract."""

    tenant: str
    group_id: str
    customer_id: str
    origin_customer_id: str
    member: bool
    change_time: int


@dataclass(slots=True)
class GroupChanges:
    """Groups and memberships as they are afterwards, and what followers hear of them."""

    groups: dict[str, GroupProfile] = field(default_factory=dict)
    members: dict[tuple[str, str], Membership] = field(default_factory=dict)
    """By group and origin."""
    versions: dict[str | tuple[str, str], int] = field(default_factory=dict)
    """At which those groups and memberships were read that existed before."""
    told: list[GroupTraitsChanged | GroupMembershipChanged] = field(default_factory=list)

    def learn(self, tenant: str, group_id: str, traits: Mapping[str, Any], time: int) -> GroupProfile:
        """The group, which is new or has learnt the traits; ``GroupFull``."""
        new = group_id not in self.groups
        group = self.groups.setdefault(group_id, GroupProfile(group_id))
        group.learn(traits, time)
        if new or traits:
            self.told.append(GroupTraitsChanged(tenant, group_id, json.write(dict(traits)), time))
        return group

    def hear(self, tenant: str, key: tuple[str, str], customer_id: str, time: int, *, member: bool) -> bool:
        """Whether that an origin of ``customer_id`` is a member, or none, changes something; ``GroupFull``."""
        group_id, origin = key
        known = self.members.setdefault(key, Membership(group_id, origin))
        telling = known.tells(time, member=member)
        changed = known.hear(self.groups[group_id], time, member=member)
        if telling:
            self.told.append(GroupMembershipChanged(tenant, group_id, customer_id, origin, member, time))
        return changed


@dataclass(frozen=True, slots=True)
class Figures:
    """What the members of a group are together."""

    member_count: int
    ordering_member_count: int
    event_count: int
    order_count: int
    spend_minor: Mapping[str, int]
    last_order_time: int


def figures_of(members: Sequence[Customer]) -> Figures:
    """The figures of customers, each of whom is there once."""
    spend: dict[str, int] = {}
    for member in members:
        for currency, amount in member.lifetime.spend_minor.items():
            spend[currency] = spend.get(currency, 0) + amount
    return Figures(
        len(members),
        sum(member.lifetime.order_count > 0 for member in members),
        sum(member.lifetime.event_count for member in members),
        sum(member.lifetime.order_count for member in members),
        spend,
        max((member.lifetime.last_order_time for member in members), default=0),
    )
