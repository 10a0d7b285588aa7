"""Refusals of promotions, clubs and reports come in the order that their contracts list: the first of several wins."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tessera.loyalty.v1 import report_pb2

from services.common.errors import Refusal
from services.loyalty.adapters.offers import StoredOffers
from services.loyalty.domain.achievement import ACHIEVEMENTS_MAX
from services.loyalty.domain.achievement_operations import CreateAchievement, UpdateAchievement
from services.loyalty.domain.blocking import SetBlock
from services.loyalty.domain.cart import Cart
from services.loyalty.domain.cart_order import CommitCart, SpentPoints
from services.loyalty.domain.coupon_operations import CreateCouponCampaign, OrderCoupons, UpdateCouponCampaign
from services.loyalty.domain.earning_rule import PeriodLimit
from services.loyalty.domain.entry import Block
from services.loyalty.domain.guesses import CUSTOMER_MAX, CountGuesses, Guesser
from services.loyalty.domain.leaderboard import (
    LEADERBOARDS_MAX,
    CreateLeaderboard,
    Leaderboard,
    Metric,
    UpdateLeaderboard,
)
from services.loyalty.domain.offer import OFFERS_MAX, ActionKind
from services.loyalty.domain.offer_operations import CreateOffer, UpdateOffer
from services.loyalty.domain.operations import Operation
from services.loyalty.domain.point_cost import PointCost, SetPointCost
from services.loyalty.domain.quote import Asked
from services.loyalty.domain.referral import CAMPAIGNS_MAX as REFERRAL_CAMPAIGNS_MAX
from services.loyalty.domain.referral import ReferralCampaign
from services.loyalty.domain.referral_operations import CreateReferralCampaign, IssueReferralCode
from services.loyalty.domain.shared_account import OpenAccount
from services.loyalty.domain.spending_policy import PointsPayment, SetSpendingPolicy, SpendingPolicy
from services.loyalty.domain.wallet import CreateWallet
from services.loyalty.domain.zones import Period
from services.loyalty.handlers.offers import kept_shopping, roll_back_cart
from tests.loyalty.club import Club
from tests.loyalty.conftest import House
from tests.loyalty.making import DAY, NOW, TENANT, earning, request
from tests.loyalty.promoting import campaign, cart, open_campaign, use
from tests.loyalty.test_achievements import achievement, step
from tests.loyalty.test_club_rpcs import club, refusal
from tests.loyalty.test_offers import offer
from tests.loyalty.test_precedence import CONSENT, EMPTY
from tests.loyalty.test_quotes import commit, put_up
from tests.loyalty.test_shared_accounts import joining

__all__ = ["club"]

CONTRACTS = Path(__file__).parents[2] / "protos/tessera/loyalty/v1"
ROWS = {
    name: set(re.findall(r"\b[A-Z][A-Z]+(?:_[A-Z]+)+\b", text))
    for path in sorted(CONTRACTS.glob("*.proto"))
    for name, text in re.findall(r"^// +([A-Z]\d+)\. [A-Z_]+ +(.+)$", path.read_text(), re.MULTILINE)
}
"""The reasons of each numbered line, by its letter and number."""
BY_THE_GUARD = {f"{letter}1" for letter in "OKALCRP"}
"""FIELD_INVALID, which a request that breaks the rules of its fields gets before anything is looked at."""


@dataclass(frozen=True)
class Case:
    """A request, and the lines that it deserves."""

    operation: Operation[Any]
    lines: str

    @property
    def reused(self) -> bool:
        """Whether its id was used for something else."""
        return "REQUEST_ID_REUSED" in ROWS[self.first]

    @property
    def first(self) -> str:
        """The line that comes first."""
        return min(self.lines.split(), key=lambda line: int(line[1:]))


SHARE = offer(ActionKind.ORDER_SHARE, "there", share=1000)
BACKWARDS = {"start_time": NOW, "end_time": NOW - DAY}


def making_offer(existing: int = 0, **changed: Any) -> CreateOffer:
    return CreateOffer(offer=replace(SHARE, **changed), existing=existing)


OFFERS = [
    Case(making_offer(**BACKWARDS), "O2 O4 O6"),
    Case(UpdateOffer(offer_id="none", end_time=0), "O3"),
    Case(UpdateOffer(offer_id="there", end_time=-1), "O4"),
    Case(making_offer(**BACKWARDS, condition=EMPTY), "O4 O5 O6"),
    Case(making_offer(action=replace(SHARE.action, share=0), condition=EMPTY), "O4 O5"),
    Case(making_offer(condition=EMPTY), "O5 O6"),
    Case(making_offer(condition=CONSENT), "O5 O6"),
    Case(making_offer(OFFERS_MAX, coupon_campaign_id="none"), "O6 O7 O8"),
    Case(making_offer(OFFERS_MAX, offer_id="new", coupon_campaign_id="none"), "O7 O8"),
    Case(making_offer(offer_id="new", coupon_campaign_id="none"), "O8"),
]


def committing(
    customer_id: str = "ann", order_id: str = "new", total: int | None = None, spend: tuple[str, int] | None = None
) -> CommitCart:
    """A cart for 100.00, in an order of its own."""
    return _committing(cart(customer_id=customer_id), order_id, total, spend)


def _committing(of: Cart, order_id: str, total: int | None, spend: tuple[str, int] | None) -> CommitCart:
    guesser = Guesser(of.shopper.customer_id, "till")
    asked = Asked(cart=of, presented=(), offers=(), guesser=guesser, order_id=order_id)
    paid = SpentPoints(*spend) if spend else None
    return CommitCart(asked=asked, expected_total_minor=total, spend=paid, request_id="new")


TWICE = cart(*cart().lines * 2, customer_id="guesser")
CARTS = [
    Case(_committing(TWICE, "taken", 1, ("none", 1)), "K3 K4 K5 K6 K8 K9"),
    Case(_committing(TWICE, "taken", 1, ("none", 1)), "K4 K5 K6 K8 K9"),
    Case(_committing(TWICE, "reserved", 1, ("none", 1)), "K5 K6 K7 K8 K9"),
    Case(_committing(cart(*cart().lines * 2, customer_id="eve"), "reserved", 1, None), "K6 K7 K8"),
    Case(committing("eve", "reserved", 1, ("none", 1)), "K7 K8 K9"),
    Case(committing(total=1, spend=("none", 1)), "K8 K9"),
    Case(committing("nobody", spend=("none", 1)), "K9 K10"),
    Case(committing("nobody", spend=("club.medals", 1)), "K10 K11"),
    Case(committing("eve", spend=("club.medals", 1)), "K11 K12"),
    Case(committing("eve", spend=("club", 1)), "K12 K14 K15 K16"),
    Case(committing("kid", spend=("club", 1)), "K13 K14 K15 K16"),
    Case(committing("ann", spend=("club", 99_999)), "K14 K15 K16"),
    Case(committing("ann", spend=("club", 60)), "K15 K16"),
    Case(committing("ann", spend=("club", 50)), "K16"),
]
TASK = achievement("month", step(2), achievement_id="a0")
WRONG_TASK = achievement("month", achievement_id="a0", length=3)


def task(**changed: Any) -> CreateAchievement:
    return CreateAchievement(achievement=replace(TASK, **changed))


RULED = (replace(TASK.steps[0], condition=EMPTY),)
ACHIEVEMENTS = [
    Case(CreateAchievement(achievement=WRONG_TASK), "A2 A3 A6 A7"),
    Case(task(steps=RULED, misses=1, program_id="none"), "A3 A4 A5"),
    Case(task(steps=RULED, program_id="none"), "A4 A5"),
    Case(task(steps=(replace(TASK.steps[0], condition=CONSENT),)), "A4 A6 A7"),
    Case(task(program_id="none"), "A5"),
    Case(task(), "A6 A7"),
    Case(UpdateAchievement(achievement=replace(TASK, achievement_id="none"), version=9), "A6"),
    Case(task(achievement_id="one-more"), "A7"),
    Case(UpdateAchievement(achievement=replace(TASK, steps=(step(3),)), version=9), "A8 A9"),
    Case(UpdateAchievement(achievement=replace(TASK, steps=(step(3),)), version=1), "A9"),
]


def board(**changed: Any) -> CreateLeaderboard:
    values = {"program_id": "club", "leaderboard_id": "b0", "name": "Most", "metric": Metric.POINTS, **changed}
    return CreateLeaderboard(leaderboard=Leaderboard(**{"period": Period.LIFETIME, **values}), salt="s")


UNKNOWN_TASK = {"metric": Metric.ACHIEVEMENT, "achievement_id": "none"}
LEADERBOARDS = [
    Case(board(rolling_days=3, period=Period.DAY), "L2 L3 L6 L7"),
    Case(board(rolling_days=3, period=Period.DAY, program_id="none"), "L3 L4"),
    Case(board(**UNKNOWN_TASK, program_id="none"), "L4 L5"),
    Case(board(**UNKNOWN_TASK), "L5 L6 L7"),
    Case(board(**UNKNOWN_TASK | {"achievement_id": "a0"}, step=1), "L5 L6 L7"),
    Case(board(), "L6 L7"),
    Case(UpdateLeaderboard(program_id="club", leaderboard_id="none", name="", active=True), "L6"),
    Case(board(leaderboard_id="one-more"), "L7"),
]


def coupons(**changed: Any) -> CreateCouponCampaign:
    return CreateCouponCampaign(campaign=campaign(**changed))


CAMPAIGNS = [
    Case(coupons(**BACKWARDS), "C2 C4 C7 C8"),
    Case(UpdateCouponCampaign(campaign_id="none", paused=None, end_time=0), "C3"),
    Case(OrderCoupons(campaign_id="none", count=10**9, existing=0, job_id="j"), "C3 C5"),
    Case(coupons(pattern="##", condition=EMPTY, **BACKWARDS), "C4 C5 C6 C7"),
    Case(OrderCoupons(campaign_id="spring", count=1, existing=0, job_id="j"), "C4"),
    Case(coupons(pattern="##", condition=EMPTY), "C5 C6 C7"),
    Case(coupons(condition=EMPTY), "C6 C7 C8"),
    Case(coupons(), "C7 C8"),
    Case(coupons(campaign_id="another", code="SPRING"), "C8"),
]


def friends(**changed: Any) -> CreateReferralCampaign:
    values = {"campaign_id": "r0", "name": "F", "program_id": "club", "currency": "USD", "advocate_points": 1}
    return CreateReferralCampaign(campaign=ReferralCampaign(**{**values, "friend_points": 0, **changed}))


REFERRALS = [
    Case(friends(advocate_points=0), "R2 R3 R6 R7"),
    Case(friends(advocate_points=0, program_id="none", currency="EUR"), "R3 R4 R5"),
    Case(friends(program_id="none", currency="EUR"), "R4 R5"),
    Case(friends(currency="EUR"), "R5 R6 R7"),
    Case(friends(), "R6 R7"),
    Case(IssueReferralCode(campaign_id="none", customer_id="ann", code="C", identifiers=()), "R6"),
    Case(friends(campaign_id="one-more"), "R7"),
]
REPORTS = [
    Case(SetPointCost(cost=PointCost(program_id="none", per_1000_minor=1)), "P2 P4"),
    Case(SetPointCost(cost=PointCost(program_id="none", per_1000_minor=1)), "P4"),
]


async def _people(house: House) -> None:
    for person in ("ann", "eve", "mum"):
        await house.ledger.post(request(f"e-{person}"), earning(f"e-{person}", 10, person))
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
    await house.ledger.post(request("m-eve"), earning("m-eve", 1, "eve", program_id="club.medals"))
    for program_id in ("club", "club.medals"):
        blocking = SetBlock(
            program_id=program_id, member_id="eve", block=Block.SPENDING, reason="", request_id=f"x-{program_id}"
        )
        await house.ledger.post(request(blocking.request_id), blocking)
    home = OpenAccount(program_id="club", account_id="home", name="", users_max=2, owner_id="mum")
    await house.ledger.post(request("home"), home)
    await house.ledger.post(request("kid"), joining("kid", "kid"))
    policy = SpendingPolicy(
        "club", spent=(PeriodLimit(Period.DAY, 55),), payment=PointsPayment(1, 1, points_min=50, cart_share_max=5000)
    )
    await house.ledger.post(request("policy"), SetSpendingPolicy(policy=policy))


async def prepare(house: House) -> None:
    """Everything that requests could be refused for."""
    await house.ledger.post(request("used"), earning("used", 1, "somebody"))
    await _people(house)
    await open_campaign(house)
    await put_up(house, SHARE)
    await commit(house, "taken", of=cart(customer_id="bob"))
    await use(house, "hold", "SPRING", order_id="reserved", reserve_for=DAY, customer_id="bob")
    guesses = CountGuesses(guesser=Guesser("guesser", "someone"), count=CUSTOMER_MAX)
    await house.ledger.post(request("guesses"), guesses)
    for number in range(ACHIEVEMENTS_MAX):
        await house.ledger.post(request(f"a{number}"), task(achievement_id=f"a{number}"))
    for number in range(LEADERBOARDS_MAX):
        await house.ledger.post(request(f"b{number}"), board(leaderboard_id=f"b{number}"))
    for number in range(REFERRAL_CAMPAIGNS_MAX):
        await house.ledger.post(request(f"r{number}"), friends(campaign_id=f"r{number}"))


ALL = [*OFFERS, *CARTS, *ACHIEVEMENTS, *LEADERBOARDS, *CAMPAIGNS, *REFERRALS, *REPORTS]


async def test_each_request_gets_the_first_refusal_that_it_deserves(house: House) -> None:
    await prepare(house)
    for case in ALL:
        with pytest.raises(Refusal) as refused:
            await house.ledger.post(request("used" if case.reused else "new", "other content"), case.operation)
        assert refused.value.reason in ROWS[case.first], case
    assert (await house.audit()).violations == []


async def test_what_is_looked_up_before_the_ledger_is_asked_is_refused_first(house: House) -> None:
    await house.ledger.post(request("used"), earning("used", 1))
    offers = StoredOffers(house.store)
    with pytest.raises(Refusal) as refused:
        await roll_back_cart(house.ledger, offers, request("used", "other"), "none")
    assert refused.value.reason in ROWS["K2"]
    with pytest.raises(Refusal) as refused:
        await kept_shopping(offers, TENANT, "none", "till", "taken")
    assert refused.value.reason in ROWS["K2"]


async def test_a_report_is_refused_for_its_dates_before_its_programme(
    club: Club, configure: Callable[..., Any]
) -> None:
    asked = report_pb2.GetLoyaltyReportRequest(program_id="none", first_date="2026-02-02", last_date="2026-02-01")
    assert await refusal(club.stub.GetLoyaltyReport(asked, metadata=club.metadata)) in ROWS["P3"]
    asked.last_date = "2026-03-01"
    assert await refusal(club.stub.GetLoyaltyReport(asked, metadata=club.metadata)) in ROWS["P4"]
    asked.ClearField("program_id")
    asked.last_date = "2026-01-01"
    assert await refusal(club.stub.GetLoyaltyReport(asked, metadata=club.metadata)) == "FIELD_INVALID"


def test_lines_are_numbered_in_order_and_every_one_is_somebodys_first() -> None:
    letters = {name[0] for name in ROWS}
    assert letters == set("OKALCRP")
    for letter in letters:
        numbers = [int(name[1:]) for name in ROWS if name[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1))
    tested = {case.first for case in ALL} | {"K2", "P3"} | BY_THE_GUARD
    assert tested == set(ROWS)
    several = [line for case in ALL for line in case.lines.split()]
    assert set(several) <= set(ROWS)
