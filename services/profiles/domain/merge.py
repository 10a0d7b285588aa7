"""Merges: customers that are one, and stay apart underneath, so that every merge can be taken back.

The customers that are one form a tree. Each is an *origin* that keeps its own identifiers and what its own events
said; one that is merged into another has that one as its parent, and the customer at the top is the one that is left.
Taking a merge back cuts one edge: what hangs below is a customer again, with all that its names did since.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.common.errors import FailedPrecondition, InvalidArgument
from services.profiles.domain.customer import GROUPS_MAX, Customer, Group, Lifetime, Trait, newer

ORIGINS_MAX = 1000
"""How many customers may be one."""
WHOLE_IDENTIFIERS_MAX = 1000
"""How many identifiers are shown with a customer."""


class SameCustomer(InvalidArgument):
    """A customer cannot be merged into itself."""


class CustomerAlreadyMerged(FailedPrecondition):
    """The customer is part of another one. Metadata ``surviving_customer_id`` names it."""


class TooManyOrigins(FailedPrecondition):
    """The customer would be made of more customers than one may be made of."""


class MergeRule(StrEnum):
    """Why two customers became one."""

    REQUESTED = "requested"
    SIGNED_IN = "signed_in"
    ALIAS = "alias"
    SAME_VISITOR = "same_visitor"


@dataclass(frozen=True, slots=True)
class Merge:
    """One entry of the merge log; times are microseconds, 0 for never."""

    merge_id: str
    customer_id: str
    """Who was left."""
    onto_customer_id: str
    """Which of the origins of ``customer_id`` the other was hung below."""
    merged_customer_id: str
    origin_customer_ids: tuple[str, ...]
    """All origins that ``merged_customer_id`` had then."""
    merge_time: int
    rule: MergeRule
    reason: str = ""
    actor: str = ""
    """Who asked for it; empty for a rule."""
    message_id: str = ""
    """The event by which a rule knew."""
    unmerge_time: int = 0
    unmerge_reason: str = ""
    unmerge_actor: str = ""


def attach(customers: Mapping[str, Customer], merged: Customer, onto: Customer, merge_id: str) -> tuple[str, ...]:
    """Hang the tree of ``merged`` below ``onto``; the origins that moved.

    ``customers`` holds all origins of both. ``SameCustomer``, ``CustomerAlreadyMerged``, ``TooManyOrigins``.
    """
    top = customers[onto.surviving_id]
    if top is merged:
        raise SameCustomer(f"customer {merged.customer_id} cannot be merged into itself", field="merged_customer_ids")
    if merged.merged_into:
        raise CustomerAlreadyMerged(
            f"customer {merged.customer_id} is part of customer {merged.merged_into}; name that one, or unmerge first",
            customer_id=merged.customer_id,
            surviving_customer_id=merged.merged_into,
        )
    moved = (merged.customer_id, *merged.origins)
    if 1 + len(top.origins) + len(moved) > ORIGINS_MAX:
        raise TooManyOrigins(f"a customer is made of at most {ORIGINS_MAX}", customer_id=top.customer_id)
    for customer_id in moved:
        customers[customer_id].merged_into = top.customer_id
    merged.parent, merged.merge_id, merged.origins = onto.customer_id, merge_id, []
    top.origins.extend(moved)
    return moved


def detach(customers: Mapping[str, Customer], restored: Customer) -> tuple[str, ...]:
    """Cut the edge above ``restored``; the origins that went with it. ``customers`` holds all origins of the tree."""
    top = customers[restored.merged_into]
    below = _below(customers, top, restored.customer_id)
    top.origins = [customer_id for customer_id in top.origins if customer_id not in below]
    for customer_id in below:
        customers[customer_id].merged_into = restored.customer_id
    restored.merged_into = restored.parent = restored.merge_id = ""
    restored.origins = [customer_id for customer_id in below if customer_id != restored.customer_id]
    return tuple(below)


def _below(customers: Mapping[str, Customer], top: Customer, customer_id: str) -> dict[str, None]:
    children: dict[str, list[str]] = {}
    for origin in top.origins:
        children.setdefault(customers[origin].parent, []).append(origin)
    found, waiting = {customer_id: None}, [customer_id]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            found[child] = None
            waiting.append(child)
    return found


def whole(top: Customer, others: Iterable[Customer]) -> Customer:
    """The customer that ``top`` and its other origins are: as if all their events had been one customer's."""
    one = Customer(top.customer_id, origins=list(top.origins))
    for part in (top, *others):
        one.identifiers.extend(part.identifiers[: WHOLE_IDENTIFIERS_MAX - len(one.identifiers)])
        for kind, count in part.identifier_counts.items():
            one.identifier_counts[kind] = one.identifier_counts.get(kind, 0) + count
        _add_traits(one.traits, part.traits)
        _add_figures(one.lifetime, part.lifetime)
        one.first_seen_time = _earliest(one.first_seen_time, part.first_seen_time)
        one.last_seen_time = max(one.last_seen_time, part.last_seen_time)
        for group_id, group in part.groups.items():
            _add_group(one.groups.setdefault(group_id, Group()), group)
    while len(one.groups) > GROUPS_MAX:
        del one.groups[min(one.groups, key=lambda name: (one.groups[name].event_time, name))]
    return one


def _add_traits(known: dict[str, Trait], more: Mapping[str, Trait]) -> None:
    for name, trait in more.items():
        if name not in known or newer(trait, known[name]):
            known[name] = trait


def _add_group(known: Group, more: Group) -> None:
    known.event_time = max(known.event_time, more.event_time)
    _add_traits(known.traits, more.traits)


def _add_figures(sum_: Lifetime, more: Lifetime) -> None:
    sum_.event_count += more.event_count
    sum_.order_count += more.order_count
    for currency, amount in more.spend_minor.items():
        sum_.spend_minor[currency] = sum_.spend_minor.get(currency, 0) + amount
    sum_.first_order_time = _earliest(sum_.first_order_time, more.first_order_time)
    sum_.last_order_time = max(sum_.last_order_time, more.last_order_time)


def _earliest(one: int, other: int) -> int:
    """The earlier of two times of which 0 is none."""
    return min(one or other, other or one)
