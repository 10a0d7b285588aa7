"""Refusals come in the order that the contract lists: each request here deserves several and gets the first."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import Refusal
from services.common.rules import AllOf, ConsentCondition
from services.common.rules.condition import Condition
from services.loyalty.domain.blocking import SetBlock
from services.loyalty.domain.earning_rule import RULES_MAX, PeriodLimit, Trigger
from services.loyalty.domain.entry import Block
from services.loyalty.domain.expiry import ChangeExpiry
from services.loyalty.domain.member import EARNED_MAX
from services.loyalty.domain.operations import ExpirePoints, Operation
from services.loyalty.domain.orders import ApplyOrderEvents
from services.loyalty.domain.program import NEVER, PROGRAMS_MAX, PendingRelease, PendingRule
from services.loyalty.domain.shared_account import OpenAccount
from services.loyalty.domain.spending_policy import SetSpendingPolicy, SpendingPolicy
from services.loyalty.domain.tier_policy import Measure, QualifyingPeriod, TierPolicy
from services.loyalty.domain.transfer import TransferPoints
from services.loyalty.domain.validity import Validity, ValidityUnit
from services.loyalty.domain.wallet import CreateWallet
from services.loyalty.domain.zones import Period
from tests.loyalty.conftest import House
from tests.loyalty.making import (
    BONUS,
    DAY,
    DOUBLE,
    NOW,
    TENANT,
    TIERS,
    adding,
    burning,
    by_rules,
    changing,
    earning,
    offering,
    opening,
    order,
    posting,
    redeeming,
    refunding,
    request,
    voiding,
)
from tests.loyalty.test_shared_accounts import joining

CONTRACT = Path(__file__).parents[2] / "protos/tessera/loyalty/v1/loyalty_service.proto"
FUTURE = NOW + 2 * DAY


def documented_order() -> list[str]:
    """The numbered list in the contract's comment; reasons of one line never meet in one request."""
    lines = re.findall(r"^// +(\d+)\. [A-Z_]+ +(.+)$", CONTRACT.read_text(), re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1))
    return [reason for _, text in lines for reason in re.findall(r"[A-Z][A-Z_]{5,}", text)]


@dataclass(frozen=True)
class Case:
    """A request and every refusal that it deserves."""

    operation: Operation[Any]
    deserved: set[str]
    reused: bool = False


REUSED = "REQUEST_ID_REUSED"
ENDLESS_GRACE = TierPolicy(Measure.POINTS, QualifyingPeriod.LIFETIME, grace_days=1)
EMPTY = Condition(AllOf(()))
CONSENT = Condition(ConsentCondition("marketing", "email", granted=True))
ENDLESS = PendingRule(PendingRelease.IMMEDIATE, DAY)
DAILY = Validity(1, ValidityUnit.DAY)


def extending(id: str, member_id: str, expire_time: int, until: int = NEVER) -> ChangeExpiry:
    return ChangeExpiry(
        program_id="club",
        member_id=member_id,
        expire_time=expire_time,
        extend_days=0,
        until=until,
        reason="",
        request_id=id,
    )


def unblocking(id: str, member_id: str, block: Block = Block.NOTHING) -> SetBlock:
    return SetBlock(program_id="club", member_id=member_id, block=block, reason="", request_id=id)


ENDLESS_POLICY = SpendingPolicy("none", spent=(PeriodLimit(Period.DAY),))


def transferring(sender_id: str, receiver_id: str, points: int = 99, program_id: str = "club") -> TransferPoints:
    return TransferPoints(
        program_id=program_id,
        sender_id=sender_id,
        receiver_id=receiver_id,
        points=points,
        reason="",
        request_id="new",
    )


CASES = [
    Case(redeeming("used", "ghost", "nobody", "none"), {REUSED, "PROGRAM_NOT_FOUND"}, reused=True),
    Case(redeeming("new", "ghost", "nobody", "none"), {"PROGRAM_NOT_FOUND", "REWARD_NOT_FOUND", "MEMBER_NOT_FOUND"}),
    Case(redeeming("new", "ghost", "nobody"), {"REWARD_NOT_FOUND", "MEMBER_NOT_FOUND"}),
    Case(redeeming("new", "sold-out", "nobody"), {"MEMBER_NOT_FOUND", "OUT_OF_STOCK", "INSUFFICIENT_POINTS"}),
    Case(redeeming("new", "sold-out", "ann"), {"OUT_OF_STOCK", "INSUFFICIENT_POINTS"}),
    Case(redeeming("new", "car", "ann"), {"INSUFFICIENT_POINTS"}),
    Case(
        earning("used", EARNED_MAX, event_time=FUTURE, program_id="none"),
        {REUSED, "EVENT_TIME_INVALID", "PROGRAM_NOT_FOUND"},
        reused=True,
    ),
    Case(earning("new", 1, event_time=FUTURE, program_id="none"), {"EVENT_TIME_INVALID", "PROGRAM_NOT_FOUND"}),
    Case(earning("new", EARNED_MAX, event_time=-1), {"EVENT_TIME_INVALID", "BALANCE_LIMIT_REACHED"}),
    Case(earning("new", EARNED_MAX, program_id="none"), {"PROGRAM_NOT_FOUND"}),
    Case(earning("new", EARNED_MAX), {"BALANCE_LIMIT_REACHED"}),
    Case(burning("used", 99, "nobody"), {REUSED, "MEMBER_NOT_FOUND", "INSUFFICIENT_POINTS"}, reused=True),
    Case(burning("new", 99, "nobody", program_id="none"), {"PROGRAM_NOT_FOUND", "MEMBER_NOT_FOUND"}),
    Case(burning("new", 99, "nobody"), {"MEMBER_NOT_FOUND"}),
    Case(burning("new", 99), {"INSUFFICIENT_POINTS"}),
    Case(opening("club", tiers=TIERS[::-1]), {REUSED, "TIERS_INVALID", "PROGRAM_EXISTS"}, reused=True),
    Case(opening("club", tiers=TIERS[::-1]), {"TIERS_INVALID", "PROGRAM_EXISTS", "PROGRAM_LIMIT_REACHED"}),
    Case(opening("club", tiers=TIERS[::-1], pending=ENDLESS), {"TIERS_INVALID", "PENDING_RULE_INVALID"}),
    Case(opening("club", pending=ENDLESS), {"PENDING_RULE_INVALID", "PROGRAM_EXISTS", "PROGRAM_LIMIT_REACHED"}),
    Case(posting("used", "o9", program_id="none"), {REUSED, "PROGRAM_NOT_FOUND"}, reused=True),
    Case(posting("new", "o9", program_id="none"), {"PROGRAM_NOT_FOUND", "PENDING_NOT_FOUND"}),
    Case(posting("new", "o1"), {"PENDING_NOT_FOUND"}),
    Case(voiding("used", "o9", program_id="none"), {REUSED, "PROGRAM_NOT_FOUND"}, reused=True),
    Case(voiding("new", entry_id="o9", program_id="none"), {"PROGRAM_NOT_FOUND", "PENDING_NOT_FOUND"}),
    Case(voiding("new", entry_id="nothing"), {"PENDING_NOT_FOUND"}),
    Case(refunding("used", "o9", 10**6, "none"), {REUSED, "PROGRAM_NOT_FOUND"}, reused=True),
    Case(refunding("new", "o9", 10**6, "none"), {"PROGRAM_NOT_FOUND", "ORDER_NOT_FOUND"}),
    Case(refunding("new", "o9", 10**6), {"ORDER_NOT_FOUND"}),
    Case(refunding("new", "o1", 10**6), {"REFUND_EXCEEDS_ORDER"}),
    Case(opening("club", pending=ENDLESS, time_zone="Mars"), {"PENDING_RULE_INVALID", "TIME_ZONE_INVALID"}),
    Case(opening("club", tier_policy=ENDLESS_GRACE, time_zone="Mars"), {"TIME_ZONE_INVALID", "TIER_POLICY_INVALID"}),
    Case(opening("club", tier_policy=ENDLESS_GRACE), {"TIER_POLICY_INVALID", "PROGRAM_EXISTS"}),
    Case(opening("club", time_zone="Mars"), {"TIME_ZONE_INVALID", "PROGRAM_EXISTS", "PROGRAM_LIMIT_REACHED"}),
    Case(adding("full", BONUS, trigger=Trigger.EVENT), {"EARNING_RULE_INVALID", "EARNING_RULE_EXISTS"}),
    Case(
        adding("full", DOUBLE, trigger=Trigger.BIRTHDAY, condition=EMPTY),
        {"EARNING_RULE_INVALID", "RULE_INVALID", "EARNING_RULE_EXISTS"},
    ),
    Case(adding("full", condition=EMPTY, program_id="none"), {"RULE_INVALID", "PROGRAM_NOT_FOUND"}),
    Case(adding("full", condition=CONSENT, program_id="none"), {"RULE_UNSUPPORTED", "PROGRAM_NOT_FOUND"}),
    Case(adding("full"), {"EARNING_RULE_EXISTS", "EARNING_RULE_LIMIT_REACHED"}),
    Case(adding("one-more"), {"EARNING_RULE_LIMIT_REACHED"}),
    Case(changing("none", 9), {"EARNING_RULE_NOT_FOUND"}),
    Case(changing("full", 9), {"EARNING_RULE_CHANGED"}),
    Case(by_rules(order("o1", 1, "ann", time=FUTURE)), {"EVENT_TIME_INVALID", "ACTIVITY_EXISTS"}),
    Case(by_rules(order("o1", EARNED_MAX * 100, "ann")), {"ACTIVITY_EXISTS", "BALANCE_LIMIT_REACHED"}),
    Case(opening("club", tier_policy=ENDLESS_GRACE, validity=DAILY), {"TIER_POLICY_INVALID", "VALIDITY_INVALID"}),
    Case(opening("club", validity=DAILY), {"VALIDITY_INVALID", "PROGRAM_EXISTS"}),
    Case(extending("new", "nobody", FUTURE), {"MEMBER_NOT_FOUND", "LOT_NOT_FOUND"}),
    Case(extending("new", "ann", NOW), {"EVENT_TIME_INVALID", "LOT_NOT_FOUND"}),
    Case(extending("new", "ann", FUTURE, until=0), {"LOT_NOT_FOUND"}),
    Case(unblocking("new", "nobody"), {"MEMBER_NOT_FOUND", "MEMBER_NOT_BLOCKED"}),
    Case(unblocking("new", "ann"), {"MEMBER_NOT_BLOCKED"}),
    Case(redeeming("new", "sold-out", "eve"), {"MEMBER_BLOCKED", "OUT_OF_STOCK", "INSUFFICIENT_POINTS"}),
    Case(earning("new", EARNED_MAX, "eve"), {"MEMBER_BLOCKED", "BALANCE_LIMIT_REACHED"}),
    Case(transferring("ann", "ann", program_id="none"), {"TRANSFER_INVALID", "PROGRAM_NOT_FOUND"}),
    Case(transferring("eve", "nobody"), {"MEMBER_NOT_FOUND", "MEMBER_BLOCKED", "TRANSFERS_NOT_ALLOWED"}),
    Case(transferring("ann", "eve"), {"MEMBER_BLOCKED", "TRANSFERS_NOT_ALLOWED", "INSUFFICIENT_POINTS"}),
    Case(transferring("ann", "bob"), {"TRANSFERS_NOT_ALLOWED", "INSUFFICIENT_POINTS"}),
    Case(transferring("ann", "bob", 2, "gifts"), {"TRANSFER_TOO_SMALL", "SPENDING_LIMIT_REACHED"}),
    Case(transferring("ann", "bob", 60, "gifts"), {"SPENDING_LIMIT_REACHED", "INSUFFICIENT_POINTS"}),
    Case(transferring("ann", "bob", 40, "gifts"), {"INSUFFICIENT_POINTS", "BALANCE_LIMIT_REACHED"}),
    Case(burning("new", 99, "kid"), {"ACCOUNT_ROLE_INSUFFICIENT", "INSUFFICIENT_POINTS"}),
    Case(redeeming("new", "sold-out", "kid"), {"ACCOUNT_ROLE_INSUFFICIENT", "OUT_OF_STOCK", "INSUFFICIENT_POINTS"}),
    Case(burning("new", 99, program_id="club.medals"), {"WALLET_NOT_REDEEMABLE", "INSUFFICIENT_POINTS"}),
    Case(burning("new", 99, "eve", program_id="club.medals"), {"WALLET_NOT_REDEEMABLE", "MEMBER_BLOCKED"}),
    Case(SetSpendingPolicy(policy=ENDLESS_POLICY), {"SPENDING_POLICY_INVALID", "PROGRAM_NOT_FOUND"}),
    Case(opening("club"), {"PROGRAM_EXISTS", "PROGRAM_LIMIT_REACHED"}),
    Case(opening("one-more"), {"PROGRAM_LIMIT_REACHED"}),
    Case(offering("car", 5, program_id="none"), {"PROGRAM_NOT_FOUND"}),
    Case(offering("car", 5), {"REWARD_EXISTS"}),
    Case(
        ExpirePoints(program_id="none", member_ids=["ann"], as_of=FUTURE, more_due=False),
        {"EVENT_TIME_INVALID", "PROGRAM_NOT_FOUND"},
    ),
    Case(ExpirePoints(program_id="none", member_ids=["ann"], as_of=NOW, more_due=False), {"PROGRAM_NOT_FOUND"}),
]


async def _prepare(house: House) -> None:
    await house.ledger.post(request("used"), earning("used", 10))
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents([order("o1", 100, "bob")])}, "", "c1")
    await house.ledger.post(request("r1"), offering("sold-out", 50, stock=0))
    await house.ledger.post(request("r2"), offering("car", 1000, stock=1))
    await house.ledger.post(request("full"), adding("full"))
    home = OpenAccount(program_id="club", account_id="home", name="", users_max=2, owner_id="mum")
    await house.ledger.post(request("home"), home)
    await house.ledger.post(request("kid"), joining("kid", "kid"))
    medals = CreateWallet(
        program_id="club",
        wallet_id="medals",
        name="Medals",
        unit="medals",
        redeemable=False,
        points_per_100_minor=0,
        validity=None,
    )
    await house.ledger.post(request("medals"), medals)
    for person in ("ann", "eve"):
        await house.ledger.post(request(f"{person}-m"), earning(f"{person}-m", 1, person, program_id="club.medals"))
    eve = SetBlock(program_id="club.medals", member_id="eve", block=Block.SPENDING, reason="", request_id="eve-b")
    await house.ledger.post(request("eve-b"), eve)
    await house.ledger.post(request("gifts"), opening("gifts"))
    gifts = SpendingPolicy("gifts", sent=(PeriodLimit(Period.DAY, 50),), transfers_allowed=True, transfer_min=5)
    await house.ledger.post(request("policy"), SetSpendingPolicy(policy=gifts))
    await house.ledger.post(request("ann-gifts"), earning("ann-gifts", 10, program_id="gifts"))
    await house.ledger.post(request("bob-gifts"), earning("bob-gifts", EARNED_MAX, "bob", program_id="gifts"))
    await house.ledger.post(request("eve"), earning("eve", 1, "eve"))
    await house.ledger.post(request("block"), unblocking("block", "eve", Block.EVERYTHING))
    for number in range(1, RULES_MAX):
        await house.ledger.post(request(f"rule-{number}"), adding(f"rule-{number}"))
    for number in range(3, PROGRAMS_MAX):
        await house.ledger.post(request(f"open-{number}"), opening(f"club-{number}"))


async def test_each_request_gets_the_first_refusal_that_it_deserves(house: House) -> None:
    await _prepare(house)
    order = documented_order()
    for case in CASES:
        with pytest.raises(Refusal) as refused:
            await house.ledger.post(request("used" if case.reused else "new", "other content"), case.operation)
        assert refused.value.reason == min(case.deserved, key=order.index), case
    assert (await house.audit()).violations == []
    assert (await house.member("ann")).entry_count == 1


def test_every_documented_refusal_but_the_guards_own_is_tested_here() -> None:
    tested = {min(case.deserved, key=documented_order().index) for case in CASES}
    assert set(documented_order()) - tested == {"FIELD_INVALID"}
