"""Domain objects as documents: the collections, and each object to and from its body."""

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import chain
from typing import Any

from services.common.erasure import ACKNOWLEDGEMENTS
from services.common.feed import CURSORS
from services.common.idempotency import REQUESTS
from services.common.jobs import COLLECTIONS as JOB_COLLECTIONS
from services.common.store import Collection, Index
from services.common.store.port import Body
from services.loyalty.adapters.merge_documents import (
    merged_entry_body,
    merged_member_body,
    read_merged_entry,
    read_merged_member,
)
from services.loyalty.adapters.pricing_records import PRICE_EPOCHS, PRICING_TENANTS
from services.loyalty.adapters.promotion_records import PROMOTION_TENANTS
from services.loyalty.adapters.records import RECORDS, read_record, record_body
from services.loyalty.domain.books import OrderCounts
from services.loyalty.domain.entry import MERGE_KINDS, Account, Entry, EntryKind, Lot, PendingLot, Share
from services.loyalty.domain.member import Member, TierStep
from services.loyalty.domain.program import (
    NEVER,
    PendingRelease,
    PendingRule,
    Program,
    Qualification,
    RefundPolicy,
    Tier,
)
from services.loyalty.domain.records import Kind
from services.loyalty.domain.refund import RefundedOrder, WaitingRefund
from services.loyalty.domain.reward import NO_TERMS, Reward, RewardTerms
from services.loyalty.domain.tier_policy import Downgrade, Measure, QualifyingPeriod, TierPolicy
from services.loyalty.domain.validity import Validity
from services.loyalty.domain.zones import local_date

PROGRAMS = Collection("programs")
PROGRAM_OWNERS = Collection("program_owners")
"""Of all tenants, under the tenant ``*``: which programmes there are, for the clock that expires points."""
MEMBERS = Collection("members", (Index(("program_id", "next_due_time")), Index(("program_id", "enroll_day"))))
REWARDS = Collection("rewards", (Index(("program_id",)),))
ENTRIES = Collection(
    "entries",
    (Index(("program_id", "member_id", "sequence"), unique=True), Index(("program_id", "record_time"))),
    published=True,
)
REFUNDED_ORDERS = Collection("refunded_orders")
ORDER_COUNTS = Collection("order_counts")
ORDER_COUNTS_ID = "orders"
ERASURES = Collection("erasures_due")
"""Of all tenants, under the tenant ``*``: who is to be forgotten."""
ERASED = Collection("erased")
ERASED_ID = "members"
"""One document a tenant, whose version counts the erasures of members."""
COLLECTIONS = (
    PROGRAMS,
    PROGRAM_OWNERS,
    MEMBERS,
    REWARDS,
    ENTRIES,
    REFUNDED_ORDERS,
    ORDER_COUNTS,
    REQUESTS,
    CURSORS,
    ERASURES,
    ERASED,
    ACKNOWLEDGEMENTS,
    *RECORDS.values(),
    PROMOTION_TENANTS,
    PRICING_TENANTS,
    PRICE_EPOCHS,
    *JOB_COLLECTIONS,
)

_KINDS = {kind.value: kind for kind in EntryKind}
_ACCOUNTS = {account.value: account for account in Account}
_OPTIONAL = (
    "order_id",
    "order_amount_minor",
    "reward_id",
    "request_id",
    "reason",
    "pending",
    "source_entry_id",
    "uncollected",
    "refund_number",
    "event_id",
    "tier_change",
    "block",
    "account_id",
)
_MEMBER_OPTIONAL = (
    *("tier_since", "tier_until", "tier_warned", "tier_due", "orders", "refunded", "sent", "received"),
    *("block", "account_id", "account_role"),
)
_PENDING_FIELDS = len(PendingLot._fields)
_TERMS = Kind("terms", RewardTerms)
_VALIDITY = Kind("validity", Validity)
_WALLET = ("wallet_of", "unit", "redeemable")


_lot: Callable[[tuple[int, int]], Lot] = partial(tuple.__new__, Lot)


def _flat(pairs: Iterable[tuple[int, int]]) -> list[int]:
    # A member may have hundreds of lots: one flat list is what Python and both engines read and write fastest.
    return list(chain.from_iterable(pairs))


def _pairs(flat: list[int]) -> tuple[tuple[int, int], ...]:
    numbers = iter(flat)
    return tuple(zip(numbers, numbers, strict=True))


def _lots(flat: list[int]) -> tuple[Lot, ...]:
    numbers = iter(flat)
    return tuple(map(_lot, zip(numbers, numbers, strict=True)))


def _pending(flat: list[Any]) -> tuple[PendingLot, ...]:
    return tuple(PendingLot(*flat[at : at + _PENDING_FIELDS]) for at in range(0, len(flat), _PENDING_FIELDS))


def _tier_steps(flat: list[Any]) -> tuple[TierStep, ...]:
    steps = iter(flat)
    return tuple(map(TierStep._make, zip(steps, steps, steps, strict=True)))


def key(program_id: str, id: str) -> str:
    """The document id of a programme's member or reward."""
    return f"{program_id}/{id}"


def program_body(program: Program) -> Body:
    """A programme's document."""
    return {
        "name": program.name,
        "currency": program.currency,
        "points_per_100_minor": program.points_per_100_minor,
        "validity_months": program.validity_months,
        "qualification": program.qualification.value,
        "tiers": [[tier.id, tier.name, tier.threshold, *tier.perks] for tier in program.tiers],
        "tier_policy": tier_policy_body(program.tier_policy),
        "create_time": program.create_time,
        "pending": [program.pending.release.value, program.pending.duration],
        "refund_policy": program.refund_policy.value,
        "time_zone": program.time_zone,
        **({"validity": record_body(program.validity)} if program.validity else {}),
        **({name: getattr(program, name) for name in _WALLET} if program.wallet_of else {}),
    }


def read_program(id: str, body: Body) -> Program:
    """The programme in a document; those from before there were rules have the default ones."""
    release, duration = body.get("pending", (PendingRelease.IMMEDIATE.value, 0))
    return Program(
        id=id,
        name=body["name"],
        currency=body["currency"],
        points_per_100_minor=body["points_per_100_minor"],
        validity_months=body["validity_months"],
        qualification=Qualification(body["qualification"]),
        tiers=tuple(Tier(tier[0], tier[1], tier[2], tuple(tier[3:])) for tier in body["tiers"]),
        tier_policy=read_tier_policy(body.get("tier_policy")),
        create_time=body["create_time"],
        pending=PendingRule(PendingRelease(release), duration),
        refund_policy=RefundPolicy(body.get("refund_policy", RefundPolicy.WITHIN_BALANCE.value)),
        time_zone=body.get("time_zone", "UTC"),
        validity=read_record(_VALIDITY, body["validity"]) if "validity" in body else None,
        **{name: body[name] for name in _WALLET if name in body},
    )


def tier_policy_body(policy: TierPolicy | None) -> list[Any] | None:
    """A tier policy in its programme's document."""
    if policy is None:
        return None
    return [policy.measure.value, policy.period.value, policy.downgrade.value, policy.grace_days]


def read_tier_policy(kept: list[Any] | None) -> TierPolicy | None:
    """The tier policy in its programme's document."""
    if kept is None:
        return None
    measure, period, downgrade, grace_days = kept
    return TierPolicy(Measure(measure), QualifyingPeriod(period), Downgrade(downgrade), grace_days)


def reward_body(reward: Reward) -> Body:
    """A reward's document."""
    return {
        "program_id": reward.program_id,
        "reward_id": reward.id,
        "name": reward.name,
        "cost": reward.cost,
        "stock": reward.stock,
        "redeemed": reward.redeemed,
        "create_time": reward.create_time,
        **({"terms": record_body(reward.terms)} if reward.terms != NO_TERMS else {}),
    }


def read_reward(body: Body) -> Reward:
    """The reward in a document."""
    return Reward(
        body["program_id"],
        body["reward_id"],
        body["name"],
        body["cost"],
        body["stock"],
        body["redeemed"],
        body["create_time"],
        read_record(_TERMS, body["terms"]) if "terms" in body else NO_TERMS,
    )


@lru_cache(maxsize=4096)
def _day_of_year(instant: int, zone: str) -> str:
    return f"{local_date(instant, zone):%m-%d}"


def member_body(member: Member, program: Program) -> Body:
    """A member's document. ``next_due_time`` is when the clock next has something to do: to expire, to post, or
    to change the tier;
    ``enroll_day`` is the day of the year, in the programme's zone, on which the member joined.
    """
    soonest = member.lots[0].expire_time if member.lots else NEVER
    if member.pending:
        soonest = min(soonest, member.pending[0].due_time)
    if program.tier_policy:
        soonest = min(soonest, member.tier_due)
    body = {
        "program_id": member.program_id,
        "member_id": member.id,
        "balance": member.balance,
        "earned": member.earned,
        "spent": member.spent,
        "expired": member.expired,
        "spend_minor": member.spend_minor,
        "entry_count": member.entry_count,
        "enroll_time": member.enroll_time,
        "enroll_day": _day_of_year(member.enroll_time, program.time_zone),
        "tier_id": member.tier_id,
        "lots": _flat(member.lots),
        "qualified": _flat(member.qualified),
        "next_due_time": None if soonest == NEVER else soonest,
    }
    if member.pending:
        body["pending"] = list(chain.from_iterable(member.pending))
    for name in _MEMBER_OPTIONAL:
        if value := getattr(member, name):
            body[name] = value
    if member.tier_history:
        body["tier_history"] = list(chain.from_iterable(member.tier_history))
    if member.parts or member.merged_into:
        body |= merged_member_body(member)
    return body


def read_member(body: Body) -> Member:
    """The member in a document."""
    return Member(
        program_id=body["program_id"],
        id=body["member_id"],
        balance=body["balance"],
        earned=body["earned"],
        spent=body["spent"],
        expired=body["expired"],
        spend_minor=body["spend_minor"],
        entry_count=body["entry_count"],
        enroll_time=body["enroll_time"],
        tier_id=body["tier_id"],
        lots=_lots(body["lots"]),
        qualified=_pairs(body["qualified"]),
        pending=_pending(body["pending"]) if "pending" in body else (),
        tier_history=_tier_steps(body.get("tier_history", [])),
        **{name: body[name] for name in _MEMBER_OPTIONAL if name in body},
        **read_merged_member(body),
    )


def entry_body(entry: Entry) -> Body:
    """An entry's document; fields that say nothing are left out."""
    body: Body = {
        "program_id": entry.program_id,
        "member_id": entry.member_id,
        "sequence": entry.sequence,
        "kind": entry.kind.value,
        "debit": entry.debit.value,
        "credit": entry.credit.value,
        "points": entry.points,
        "lots": _flat(entry.lots),
        "balance": entry.balance,
        "event_time": entry.event_time,
        "record_time": entry.record_time,
        "tier_id": entry.tier_id,
        "previous_tier_id": entry.previous_tier_id,
    }
    for name in _OPTIONAL:
        if value := getattr(entry, name):
            body[name] = value
    if entry.gained_lots:
        body["gained_lots"] = _flat(entry.gained_lots)
    if entry.shares:
        body["shares"] = [list(share) for share in entry.shares]
    if entry.origin_id or entry.partner_id or entry.by_origin or entry.kind in MERGE_KINDS:
        body |= merged_entry_body(entry)
    return body


def read_entry(id: str, body: Body) -> Entry:
    """The entry in a document."""
    return Entry(
        id=id,
        program_id=body["program_id"],
        member_id=body["member_id"],
        sequence=body["sequence"],
        kind=_KINDS[body["kind"]],
        debit=_ACCOUNTS[body["debit"]],
        credit=_ACCOUNTS[body["credit"]],
        points=body["points"],
        lots=_lots(body["lots"]),
        balance=body["balance"],
        event_time=body["event_time"],
        record_time=body["record_time"],
        tier_id=body["tier_id"],
        previous_tier_id=body["previous_tier_id"],
        shares=tuple(Share(*share) for share in body.get("shares", ())),
        gained_lots=_lots(body.get("gained_lots", [])),
        **{name: body[name] for name in _OPTIONAL if name in body},
        **read_merged_entry(body),
    )


def refunded_order_body(refunded: RefundedOrder) -> Body:
    """The document of what has been refunded of an order."""
    return {
        "program_id": refunded.program_id,
        "order_id": refunded.order_id,
        "amount_minor": refunded.amount_minor,
        "count": refunded.count,
        "waiting": [list(waiting) for waiting in refunded.waiting],
        "returned": list(refunded.returned),
    }


def read_refunded_order(body: Body) -> RefundedOrder:
    """What has been refunded of an order, in a document."""
    return RefundedOrder(
        body["program_id"],
        body["order_id"],
        body["amount_minor"],
        body["count"],
        tuple(WaitingRefund(*waiting) for waiting in body["waiting"]),
        tuple(body.get("returned", ())),
    )


def order_counts_body(counts: OrderCounts) -> Body:
    """The document of a tenant's order counts."""
    return {name: getattr(counts, name) for name in OrderCounts.__slots__}


def read_order_counts(body: Body) -> OrderCounts:
    """The order counts in a document."""
    return OrderCounts(**body)
