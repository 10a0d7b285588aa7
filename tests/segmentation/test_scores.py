"""Conditions on scores mean what RFM says of all customers, on DuckDB and on Spark, and follow others and time."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.rules import Not, Operator, Rule, ScoreCondition
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.tables import TRACK, Observed
from services.segmentation.domain.scores import RFM as SCORES
from services.segmentation.handlers.evaluation import SCORES_MICROS
from tests.segmentation.conftest import House
from tests.segmentation.histories import DAY, NOW
from tests.segmentation.test_evaluation import at_work, create

CUSTOMERS = [f"c{number}" for number in range(7)]
_tenants = (f"scores {number}" for number in itertools.count())


def order(customer: str, number: int, time: int, currency: str, total: float) -> Observed:
    content = {"order_id": str(number), "currency": currency, "total": total}
    return Observed("", customer, f"m{number:03}", TRACK, "Order Completed", time, content)


@st.composite
def orders(draw: st.DrawFn) -> list[Observed]:
    """Up to 20 orders in two currencies, some yet to come."""
    return [
        order(
            draw(st.sampled_from(CUSTOMERS)),
            number,
            NOW + draw(st.sampled_from([1, 0, -1, -DAY, 1 - DAY, -3 * DAY, -9 * DAY])),
            draw(st.sampled_from(["EUR", "USD"])),
            draw(st.sampled_from([0.0, 1.5, 10.0, 12.34])),
        )
        for number in range(draw(st.integers(1, 20)))
    ]


def scores_of(history: Sequence[Observed], at: int) -> dict[str, dict[str, int]]:
    """The definition in the contract, customer by customer."""
    seen = [event for event in history if event.time <= at]
    if not seen:
        return {}
    counted = Counter(event.content["currency"] for event in seen)
    currency = min(counted, key=lambda each: (-counted[each], each))
    mine = {
        who: [event for event in seen if event.customer_id == who and event.content["currency"] == currency]
        for who in CUSTOMERS
    }
    figures = {
        who: {
            "recency_days": (at - max(event.time for event in made)) // DAY,
            "frequency": len(made),
            "monetary_minor": sum(round(event.content["total"] * 100) for event in made),
        }
        for who, made in mine.items()
        if made
    }
    return {who: {**own, **_scores(own, list(figures.values()))} for who, own in figures.items()}


def _scores(own: dict[str, int], others: list[dict[str, int]]) -> dict[str, int]:
    below = {
        "recency": sum(each["recency_days"] > own["recency_days"] for each in others),
        "frequency": sum(each["frequency"] < own["frequency"] for each in others),
        "monetary": sum(each["monetary_minor"] < own["monetary_minor"] for each in others),
    }
    made = {f"{name}_score": 1 + 5 * count // len(others) for name, count in below.items()}
    return {**made, "cell": int("".join(str(score) for score in made.values()))}


async def assert_scores(analytics: ColumnarAnalytics, history: Sequence[Observed], at: int) -> None:
    tenant = next(_tenants)
    await analytics.append([replace(event, tenant=tenant) for event in history], tenant)
    expected = scores_of(history, at)
    rules: dict[str, Rule] = {}
    wanted: dict[str, set[str]] = {}
    for score in SCORES:
        found = {who: figures[score.removeprefix("rfm.")] for who, figures in expected.items()}
        for bound in {1, 3, *found.values()}:
            rules[f"{score} {bound}"] = ScoreCondition(score, Operator.AT_LEAST, (bound,))
            wanted[f"{score} {bound}"] = {who for who, value in found.items() if value >= bound}
    rules["no score"] = Not(ScoreCondition("rfm.frequency", Operator.AT_LEAST, (0,)))
    wanted["no score"] = {event.customer_id for event in history if event.time <= at} - expected.keys()
    assert await analytics.matching(tenant, rules, rules, at) == wanted
    touched = set(CUSTOMERS[:2])
    some = await analytics.matching(tenant, rules, rules, at, touched)
    assert some == {name: found & touched for name, found in wanted.items()}, "the others are still compared with"


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(history=orders(), at=st.sampled_from([NOW, NOW - DAY]))
def test_conditions_on_scores_agree_with_the_definition(
    analytics: ColumnarAnalytics, history: list[Observed], at: int
) -> None:
    asyncio.run(assert_scores(analytics, history, at))


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(history=orders(), at=st.sampled_from([NOW, NOW - DAY]))
def test_a_kept_ranking_scores_the_touched_as_all_are_ranked(
    analytics: ColumnarAnalytics, history: list[Observed], at: int
) -> None:
    keeping = ColumnarAnalytics(analytics._columnar, analytics._clock, ranked_from=1)
    asyncio.run(assert_scores(keeping, history, at))


HISTORY = [order(who, n, NOW - n * DAY, "EUR" if n else "USD", 10.0 * n) for n, who in enumerate(CUSTOMERS)]


async def test_scores_are_the_same_on_both_engines(engine: ColumnarAnalytics) -> None:
    await assert_scores(engine, HISTORY, NOW)


async def test_an_explanation_tells_the_score(engine: ColumnarAnalytics) -> None:
    await engine.append([replace(event, tenant="told") for event in HISTORY], "told")
    rules: dict[str, Rule] = {"cell": ScoreCondition("rfm.cell", Operator.EQUALS, (555.0,))}
    told = await engine.explained("told", "c1", rules, rules, NOW)
    assert told is not None
    assert list(told["cell"].found) == [float(scores_of(HISTORY, NOW)["c1"]["cell"])]
    without = await engine.explained("told", "c0", rules, rules, NOW)
    assert without is not None
    assert (without["cell"].fulfilled, list(without["cell"].found)) == (False, [])


async def test_what_others_buy_moves_a_customer_within_a_minute(house: House) -> None:
    await create(house, "best", ScoreCondition("rfm.monetary_score", Operator.AT_LEAST, (3,)))
    async with at_work(house):
        await house.order("ann", NOW, 100)
        await house.order("bob", NOW, 50)
    assert await house.members("best") == ["ann"]
    async with at_work(house):
        await house.order("bob", NOW, 200)
    assert await house.members("best") == ["ann", "bob"], "those who buy are evaluated at once"
    house.clock.micros += SCORES_MICROS
    async with at_work(house):
        await house.evaluation.tick()
    assert await house.members("best") == ["bob"]


async def test_a_score_of_days_follows_the_clock(house: House) -> None:
    await create(house, "lapsing", ScoreCondition("rfm.recency_days", Operator.AT_LEAST, (2,)))
    async with at_work(house):
        await house.order("ann", NOW, 100)
    house.clock.micros += 2 * DAY
    async with at_work(house):
        await house.evaluation.tick()
    assert await house.members("lapsing") == ["ann"]
