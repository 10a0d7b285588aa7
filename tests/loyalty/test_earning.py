"""What orders and events earn by rules, why not more, and what comes back of it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.clock import to_micros
from services.common.rules import Comparison, Operator, SegmentCondition
from services.common.rules.condition import Condition
from services.loyalty.domain.customer import Customer, Segments
from services.loyalty.domain.earning import Activity, Known, Line, Miss, Outcome, scheduled, weigh
from services.loyalty.domain.earning_rule import (
    Caps,
    Definition,
    EarningRule,
    Effect,
    EffectKind,
    PeriodLimit,
    ProgramUsage,
    Rounding,
    RuleBook,
    Schedule,
    Trigger,
    check_definition,
)
from services.loyalty.domain.entry import Share
from services.loyalty.domain.errors import EarningRuleInvalid
from services.loyalty.domain.member import Member
from services.loyalty.domain.refund import added_up, shares_back
from services.loyalty.domain.zones import Period
from tests.loyalty.making import NOW, program

CLUB = program()
DOUBLE = Effect(EffectKind.MULTIPLIER, 200)


def rule(rule_id: str, effect: Effect = DOUBLE, **changed: Any) -> EarningRule:
    values = {"name": rule_id, "trigger": Trigger.ORDER, "effect": effect, **changed}
    return EarningRule("club", rule_id, 1, Definition(**values), NOW)


def equals(field: str, value: str) -> Condition:
    return Condition(Comparison(field, Operator.EQUALS, (value,)))


def earned(*rules: EarningRule, amount: int = 1000, member: Member | None = None, **changed: Any) -> Outcome:
    known = {name: changed.pop(name) for name in ("customer", "segments", "usage", "member_usage") if name in changed}
    limits = changed.pop("limits", ())
    book = RuleBook("club", tuple(rules), limits)
    activity = Activity(Trigger.ORDER, changed.pop("time", NOW), amount_minor=amount, **changed)
    return weigh(Known(CLUB, book, member or Member("club", "ann"), **known), activity, NOW)


def given_by(outcome: Outcome) -> dict[str, int]:
    return {share.rule_id: share.points for share in outcome.shares}


def missed(outcome: Outcome) -> dict[str, Miss]:
    return {miss.rule_id: miss.reason for miss in outcome.misses}


def test_without_rules_an_order_earns_by_the_programmes_rate() -> None:
    assert earned() == Outcome((Share("", 0, 10),))


def test_a_multiplier_gives_what_is_more_than_the_rate() -> None:
    assert given_by(earned(rule("double"), rule("triple", Effect(EffectKind.MULTIPLIER, 300)))) == {
        "": 10,
        "double": 10,
        "triple": 20,
    }


LINES = (
    Line(600, 2, {"sku": "a", "category": "shoes"}),
    Line(300, 1, {"sku": "b", "category": "hats"}),
    Line(400, 1, {"sku": "c", "category": "hats"}),
)


def test_only_the_lines_that_count_earn_and_never_more_than_the_order_came_to() -> None:
    hats = equals("category", "hats")
    rate, unit = Effect(EffectKind.RATE, 10), Effect(EffectKind.PER_UNIT, 7)
    rules = (rule("rate", rate, items=hats), rule("unit", unit, items=hats), rule("all", unit))
    assert given_by(earned(*rules, lines=LINES)) == {"": 10, "rate": 70, "unit": 14, "all": 28}
    assert given_by(earned(rule("rate", rate, items=hats), lines=LINES, amount=500))["rate"] == 50
    assert missed(earned(rule("rate", rate, items=equals("category", "socks")), lines=LINES)) == {"rate": Miss.ITEMS}


@pytest.mark.parametrize(("rounding", "points"), [(Rounding.DOWN, 1), (Rounding.UP, 2), (Rounding.NEAREST, 2)])
def test_parts_of_a_point_are_rounded_as_the_rule_says(rounding: Rounding, points: int) -> None:
    assert given_by(earned(rule("r", Effect(EffectKind.RATE, 1, rounding)), amount=150))["r"] == points


def test_conditions_see_the_order_the_member_and_the_segments() -> None:
    first = Condition(Comparison("member.order_count", Operator.EQUALS, (0,)))
    rules = (
        rule("coupon", condition=equals("coupon", "MAY")),
        rule("first", condition=first),
        rule("berlin", condition=equals("member.city", "Berlin")),
        rule("vip", condition=Condition(SegmentCondition("vip"))),
        rule("basic", condition=equals("member.tier_id", "basic")),
    )
    known: dict[str, Any] = {"customer": Customer("ann", city="Berlin"), "segments": Segments("ann", ("vip",))}
    found = earned(*rules, properties={"coupon": "MAY"}, member=Member("club", "ann", orders=1, entry_count=1), **known)
    assert set(given_by(found)) == {"", "coupon", "berlin", "vip", "basic"}
    assert missed(found) == {"first": Miss.CONDITION}
    assert set(given_by(earned(*rules))) == {"", "first", "basic"}


def test_an_exclusive_rule_and_a_group_shut_out_what_comes_after() -> None:
    rules = (
        rule("big", priority=3, stacking_group="sale"),
        rule("small", priority=2, stacking_group="sale"),
        rule("alone", priority=1, exclusive=True),
        rule("late"),
    )
    found = earned(*rules)
    assert set(given_by(found)) == {"", "big", "alone"}
    assert missed(found) == {"small": Miss.STACKING, "late": Miss.STACKING}


def test_caps_cut_what_a_rule_gives_and_say_so() -> None:
    caps = Caps(per_activity=8, budget=100)
    usage = ProgramUsage("club", {"capped": (95, 3)})
    found = earned(rule("capped", caps=caps), usage=usage)
    assert given_by(found) == {"": 10, "capped": 5}
    assert [(miss.reason, miss.points) for miss in found.misses] == [(Miss.ACTIVITY_CAP, 2), (Miss.BUDGET, 3)]


def test_the_limits_of_the_programme_hold_for_its_own_rate_too() -> None:
    found = earned(rule("double"), limits=(PeriodLimit(Period.DAY, 12),))
    assert given_by(found) == {"": 10, "double": 2}
    assert missed(found) == {"double": Miss.PROGRAM_LIMIT}


def test_an_order_of_nothing_earns_nothing() -> None:
    assert earned(rule("gift", Effect(EffectKind.FIXED, 5)), amount=0).points == 0


@pytest.mark.parametrize(
    ("schedule", "zone", "holds"),
    [
        (Schedule(weekdays=(7,)), "UTC", True),
        (Schedule(weekdays=(1, 6)), "UTC", False),
        (Schedule(weekdays=(1,)), "Pacific/Auckland", True),
        (Schedule(start_hour=12, end_hour=13), "UTC", True),
        (Schedule(start_hour=12, end_hour=13), "Europe/Berlin", False),
        (Schedule(start_hour=22, end_hour=13), "UTC", True),
        (Schedule(start_hour=22, end_hour=2), "UTC", False),
        (Schedule(start_time=NOW), "UTC", True),
        (Schedule(end_time=NOW), "UTC", False),
    ],
)
def test_schedules_go_by_the_clocks_of_the_programme(schedule: Schedule, zone: str, *, holds: bool) -> None:
    assert scheduled(schedule, to_micros(datetime(2026, 3, 15, 12, tzinfo=UTC)), zone) is holds  # a Sunday


@pytest.mark.parametrize(
    "definition",
    [
        Definition("x", Trigger.EVENT, Effect(EffectKind.FIXED, 1)),
        Definition("x", Trigger.ORDER, DOUBLE, event_name="Order Completed"),
        Definition("x", Trigger.EVENT, DOUBLE, event_name="Review"),
        Definition("x", Trigger.BIRTHDAY, Effect(EffectKind.FIXED, 1), condition=equals("total", "1")),
        Definition("x", Trigger.ORDER, DOUBLE, items=Condition(SegmentCondition("vip"))),
        Definition("x", Trigger.ORDER, DOUBLE, schedule=Schedule(start_time=2, end_time=1)),
        Definition("x", Trigger.ORDER, DOUBLE, caps=Caps(per_member=(PeriodLimit(Period.DAY),))),
        Definition("x", Trigger.ORDER, DOUBLE, caps=Caps(per_member=(PeriodLimit(Period.DAY, 1),) * 2)),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(definition: Definition) -> None:
    with pytest.raises(EarningRuleInvalid):
        check_definition(definition)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_refunds_take_back_each_rules_part_exactly_whatever_the_parts(points: list[int], parts: list[int]) -> None:
    total = sum(parts)
    shares = tuple(Share(f"r{at}", 1, each) for at, each in enumerate(points))
    returned: tuple[int, ...] = ()
    so_far = came_to = 0
    for part in parts:
        so_far += part
        due = sum(points) * so_far // total - came_to
        came_to += due
        back = shares_back(shares, total, returned, so_far, due)
        assert sum(back) == due
        assert min(back) >= 0
        returned = added_up(returned, back)
        assert all(gone <= share.points for gone, share in zip(returned, shares, strict=True))
    assert returned == tuple(points)
