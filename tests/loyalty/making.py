"""Short ways to make what tests of loyalty need."""

from datetime import UTC, datetime
from typing import Any

from services.common.clock import to_micros
from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.domain.earning_operations import CreateEarningRule, EarnByRules, UpdateEarningRule
from services.loyalty.domain.earning_rule import Definition, Effect, EffectKind, Trigger
from services.loyalty.domain.operations import BurnPoints, CreateProgram, CreateReward, EarnPoints, RedeemReward
from services.loyalty.domain.orders import Event, Order
from services.loyalty.domain.pending_points import PostPending, Source, VoidPending
from services.loyalty.domain.program import PendingRelease, PendingRule, Program, Qualification, Tier
from services.loyalty.domain.refunds import OrderRefund, RefundOrder
from services.loyalty.ports import Request

TENANT = "acme"
NOW = to_micros(datetime(2026, 3, 15, 12, tzinfo=UTC))
DAY = DAY_MICROS
BONUS = Effect(EffectKind.FIXED, 7)
DOUBLE = Effect(EffectKind.MULTIPLIER, 200)
RETURN_WINDOW = PendingRule(PendingRelease.AFTER_DURATION, 14 * DAY)
ON_ACTION = PendingRule(PendingRelease.ON_ACTION, 30 * DAY)
TIERS = (Tier("basic", "Basic", 0), Tier("silver", "Silver", 100), Tier("gold", "Gold", 500))


def instant(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    """An instant, in UTC."""
    return to_micros(datetime(year, month, day, hour, minute, tzinfo=UTC))


def request(id: str, content: str = "", tenant: str = TENANT) -> Request:
    """A request whose content is told apart by its text."""
    return Request(tenant, id, content or id)


def opening(program_id: str = "club", **changed: Any) -> CreateProgram:
    """How a programme is opened: a point for a dollar, valid for twelve months."""
    values = {
        "name": "Club",
        "currency": "USD",
        "points_per_100_minor": 1,
        "validity_months": 12,
        "qualification": Qualification.LIFETIME_POINTS,
        "tiers": TIERS,
    }
    return CreateProgram(program_id=program_id, **{**values, **changed})


def program(program_id: str = "club", **changed: Any) -> Program:
    """A programme."""
    told = opening(program_id, **changed)
    return Program(
        id=told.program_id,
        name=told.name,
        currency=told.currency,
        points_per_100_minor=told.points_per_100_minor,
        validity_months=told.validity_months,
        qualification=told.qualification,
        tiers=told.tiers,
        create_time=NOW,
        pending=told.pending,
        refund_policy=told.refund_policy,
    )


def earning(id: str, points: int, member_id: str = "ann", **changed: Any) -> EarnPoints:
    """Points for a member of the club."""
    values = {"program_id": "club", "event_time": None, "reason": "", **changed}
    return EarnPoints(member_id=member_id, points=points, request_id=id, **values)


def burning(id: str, points: int, member_id: str = "ann", **changed: Any) -> BurnPoints:
    """Points off a member of the club."""
    values = {"program_id": "club", "reason": "", **changed}
    return BurnPoints(member_id=member_id, points=points, request_id=id, **values)


def offering(reward_id: str, cost: int, stock: int | None = None, program_id: str = "club") -> CreateReward:
    """A reward of the club."""
    return CreateReward(program_id=program_id, reward_id=reward_id, name=reward_id, cost=cost, stock=stock)


def redeeming(id: str, reward_id: str, member_id: str = "ann", program_id: str = "club") -> RedeemReward:
    """A reward for a member of the club."""
    return RedeemReward(program_id=program_id, member_id=member_id, reward_id=reward_id, request_id=id)


def posting(id: str, order_id: str = "", entry_id: str = "", program_id: str = "club") -> PostPending:
    """Pending points of the club that are spendable from now on."""
    return PostPending(source=Source(program_id, order_id, entry_id), request_id=id)


def voiding(id: str, order_id: str = "", entry_id: str = "", program_id: str = "club") -> VoidPending:
    """Pending points of the club that are taken back."""
    return VoidPending(source=Source(program_id, order_id, entry_id), reason="", request_id=id)


def refunding(id: str, order_id: str, amount_minor: int | None = None, program_id: str = "club") -> RefundOrder:
    """A refund of an order that earned in the club."""
    return RefundOrder(
        program_id=program_id, order_id=order_id, amount_minor=amount_minor, reason="broken", request_id=id
    )


def told_refund(order_id: str, *amounts: float, currency: str = "USD", time: int = NOW) -> OrderRefund:
    """A refund that was recorded as an event; without amounts, in full."""
    return OrderRefund(order_id, currency, amounts or None, time)


def adding(rule_id: str, effect: Effect = BONUS, program_id: str = "club", **changed: Any) -> CreateEarningRule:
    """An earning rule of the club, about orders."""
    values = {"name": rule_id, "trigger": Trigger.ORDER, "effect": effect, **changed}
    return CreateEarningRule(program_id=program_id, rule_id=rule_id, definition=Definition(**values))


def changing(rule_id: str, version: int, effect: Effect = BONUS, **changed: Any) -> UpdateEarningRule:
    """A new version of an earning rule of the club, about orders."""
    values = {"name": rule_id, "trigger": Trigger.ORDER, "effect": effect, **changed}
    return UpdateEarningRule(program_id="club", rule_id=rule_id, definition=Definition(**values), version=version)


def by_rules(told: Order | Event, id: str = "") -> EarnByRules:
    """An order or event that a till tells the club."""
    return EarnByRules(program_id="club", told=told, request_id=id)


def order(id: str, amount_minor: int, member_id: str = "ann", currency: str = "USD", time: int = NOW) -> Order:
    """An order."""
    return Order(id, member_id, currency, amount_minor, time)
