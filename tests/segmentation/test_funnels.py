"""Funnels against a search of all paths, one by one, as the contract describes them."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.rules import Comparison, EventCondition, Operator, Rule, RuleInvalid, TimeWindow
from services.common.rules.model import ALL_TIME, Aggregate
from services.segmentation.adapters.tables import Observed
from services.segmentation.domain.funnel import (
    Exclusion,
    Funnel,
    FunnelInvalid,
    FunnelResult,
    StepResult,
    check_funnel,
    drop_off_rule,
)
from services.segmentation.domain.selection import (
    Breakdown,
    ByProperty,
    BySegments,
    ByTrait,
    EventFilter,
    Flag,
    InSegment,
    Label,
    Missing,
    Others,
)
from tests.evaluation_data import evaluation_data
from tests.segmentation.histories import DAY, NOW
from tests.segmentation.studies import Study, did, ordered, satisfied, told

HOUR = DAY // 24
VIEW, CART, BUY, LEAVE = (EventFilter(name) for name in ("View", "Cart", "Buy", "Leave"))
Reached = tuple[int, int | None]


def by_search(history: Sequence[Observed], funnel: Funnel, at: int) -> dict[str, list[Reached | None]]:
    """For each customer and step the time from the first step and from the one before, over all paths."""
    by_customer: dict[str, list[Observed]] = defaultdict(list)
    for event in history:
        if event.time <= at:
            by_customer[event.customer_id].append(event)
    found = {}
    for customer, events in by_customer.items():
        reached = [_best(_paths(events, funnel, length, at)) for length in range(1, len(funnel.steps) + 1)]
        if reached[0] is not None:
            found[customer] = reached
    return found


def _paths(events: list[Observed], funnel: Funnel, length: int, at: int) -> Iterator[tuple[int, ...]]:
    matching = [[event.time for event in events if satisfied(event, step)] for step in funnel.steps[:length]]
    for times in itertools.product(*map(set, matching)):
        if _is_path(events, funnel, times, at):
            yield times


def _is_path(events: list[Observed], funnel: Funnel, times: tuple[int, ...], at: int) -> bool:
    entered = funnel.entered
    if any(one >= other for one, other in itertools.pairwise(times)):
        return False
    if funnel.window is not None and times[-1] - times[0] > funnel.window:
        return False
    if entered.within is not None and not times[0] > at - entered.within:
        return False
    for gap, (one, other) in enumerate(itertools.pairwise(times)):
        between = [event for event in events if one < event.time < other]
        if funnel.strict and between:
            return False
        if any(satisfied(event, cut) for event in between for cut in funnel.excluded(gap)):
            return False
    return True


def _best(paths: Iterator[tuple[int, ...]]) -> Reached | None:
    best = min(((times[-1], -times[0], -times[-2] if len(times) > 1 else 0) for times in paths), default=None)
    return None if best is None else (best[0] + best[1], best[0] + best[2])


def summed_up(reached: Sequence[Sequence[Reached | None]], steps: int) -> list[StepResult]:
    results = []
    for number in range(steps):
        there = [each[number] for each in reached]
        known = [one for one in there if one is not None]
        medians = [float(median(each)) for each in zip(*known, strict=True)] if known and number else [None, None]
        results.append(StepResult(len(known), medians[0], medians[1]))
    return results


filters = st.builds(
    EventFilter,
    st.sampled_from(["View", "Cart", "Buy", ""]),
    st.just(()) | st.just((Comparison("shop", Operator.EQUALS, ("a",)),)),
)


@st.composite
def walks(draw: st.DrawFn) -> list[Observed]:
    """Seven customers, some of whose events happen at the same moment."""
    return [
        did(
            draw(st.sampled_from("abcdefg")),
            draw(st.sampled_from(["View", "Cart", "Buy", "Leave"])),
            NOW - draw(st.integers(-1, 12)) * HOUR,
            shop=draw(st.sampled_from(["a", "b", 5, None])),
        )
        for _ in range(draw(st.integers(1, 50)))
    ]


@st.composite
def funnels(draw: st.DrawFn) -> Funnel:
    steps = draw(st.lists(filters, min_size=2, max_size=4))
    cuts = []
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(steps) - 2))
        cuts.append(Exclusion(draw(filters | st.just(LEAVE)), start, draw(st.integers(start + 1, len(steps) - 1))))
    return Funnel(
        tuple(steps),
        draw(st.none() | st.integers(1, 8).map(lambda hours: hours * HOUR)),
        draw(st.booleans()),
        tuple(cuts),
        TimeWindow(within=draw(st.integers(2, 14)) * HOUR) if draw(st.booleans()) else ALL_TIME,
    )


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(history=walks(), funnel=funnels(), step=st.integers(0, 2))
def test_a_funnel_is_what_a_search_of_all_paths_finds(
    study: Study, history: list[Observed], funnel: Funnel, step: int
) -> None:
    async def compare() -> None:
        tenant = await study.tenant_with(history)
        found = by_search(history, funnel, NOW)
        result = await study.insights.funnel(tenant, funnel, None, {}, NOW)
        assert list(result.steps) == summed_up(list(found.values()), len(funnel.steps))
        place = min(step, len(funnel.steps) - 2)
        stuck = sorted(who for who, reached in found.items() if reached[place] and not reached[place + 1])
        assert await study.insights.dropping_off(tenant, funnel, place, NOW, 10) == stuck
        if rule := drop_off_rule(funnel, place):
            assert await study.analytics.matching(tenant, {"": rule}, {}, NOW) == {"": set(stuck)}

    asyncio.run(compare())


def test_a_drop_off_is_a_rule_where_the_language_can_say_it() -> None:
    free = Funnel((VIEW, CART, BUY), exclusions=(Exclusion(LEAVE, 0, 2),))
    assert [drop_off_rule(free, step) is not None for step in (0, 1)] == [True, True]
    timed = replace(free, window=DAY)
    assert [drop_off_rule(timed, step) is not None for step in (0, 1)] == [True, False]
    assert drop_off_rule(replace(free, strict=True), 0) is None
    assert drop_off_rule(replace(free, steps=(VIEW, EventFilter())), 0) is None


FUNNEL = Funnel((VIEW, CART, BUY), window=2 * HOUR, exclusions=(Exclusion(LEAVE, 1, 2),))
HISTORY = [
    told("ann", NOW - 9 * HOUR, city="Rome", vip=True),
    told("bob", NOW - 9 * HOUR, city="Graz"),
    told("bob", NOW - 8 * HOUR, city="Rome"),
    told("cyd", NOW - 9 * HOUR, city=5),
    *(did("ann", name, NOW - ago * HOUR, page=page) for name, ago, page in
      [("View", 6, "x"), ("Cart", 5, "x"), ("Leave", 4, "x"), ("Buy", 4, "x"), ("View", 3, "y")]),
    *(did("bob", name, NOW - ago * HOUR, page=page) for name, ago, page in
      [("View", 6, "y"), ("Cart", 5, "x"), ("Leave", 4, "x"), ("Buy", 3, "x")]),
    *(did("cyd", name, NOW - ago * HOUR, page=page) for name, ago, page in [("View", 2, "x"), ("Cart", 2, "z")]),
    did("dan", "View", NOW - HOUR),
    did("eve", "Cart", NOW - HOUR, page="x"),
]  # fmt: skip


def counts(result: FunnelResult) -> dict[Label, list[int]]:
    return {label: [step.customer_count for step in steps] for label, steps in result.groups}


SEGMENTS: dict[str, Rule] = {
    "romans": Comparison("city", Operator.EQUALS, ("Rome",)),
    "cartists": EventCondition("Cart", Aggregate.COUNT, Operator.AT_LEAST, (1,)),
}


async def by(study: Study, tenant: str, breakdown: Breakdown) -> dict[Label, list[int]]:
    return counts(await study.insights.funnel(tenant, FUNNEL, breakdown, SEGMENTS, NOW))


async def test_a_funnel_is_the_same_on_both_engines(both: Study) -> None:
    tenant = await both.tenant_with(HISTORY)
    whole = await both.insights.funnel(tenant, FUNNEL, Breakdown(ByTrait("city")), {}, NOW)
    assert list(whole.steps) == summed_up(list(by_search(HISTORY, FUNNEL, NOW).values()), 3)
    assert [step.customer_count for step in whole.steps] == [4, 2, 1]
    assert counts(whole) == {"Rome": [2, 2, 1], 5.0: [1, 0, 0], Missing(): [1, 0, 0]}
    assert await by(both, tenant, Breakdown(ByProperty("page"), 1)) == {"x": [2, 1, 1], Others(): [2, 1, 0]}
    assert await both.insights.dropping_off(tenant, FUNNEL, 1, NOW, 5) == ["bob"]


async def test_a_funnel_is_broken_down_by_trait_property_and_segment(study: Study) -> None:
    tenant = await study.tenant_with(HISTORY)
    assert await by(study, tenant, Breakdown(ByTrait("vip"))) == {Flag(True): [1, 1, 1], Missing(): [3, 1, 0]}
    assert await by(study, tenant, Breakdown(ByProperty("page"))) == {
        "x": [2, 1, 1],
        "y": [1, 1, 0],
        Missing(): [1, 0, 0],
    }
    assert await by(study, tenant, Breakdown(BySegments(("romans", "cartists")))) == {
        InSegment("cartists"): [3, 2, 1],
        InSegment("romans"): [2, 2, 1],
    }
    strict = await study.insights.funnel(tenant, replace(FUNNEL, strict=True), None, {}, NOW)
    assert [step.customer_count for step in strict.steps] == [4, 2, 1]


async def test_a_funnel_over_the_online_retail_data_is_what_pandas_computes(study: Study) -> None:
    lines = pd.read_parquet(evaluation_data("online_retail") / "online_retail.parquet")
    lines = lines[lines.CustomerID.notna() & (lines.Quantity > 0)]
    lines["amount"] = lines.Quantity * lines.UnitPrice
    orders = lines.groupby("InvoiceNo").agg(
        customer=("CustomerID", "first"), time=("InvoiceDate", "min"), amount=("amount", "sum")
    )
    orders["time"] = (orders.time - pd.Timestamp("1970-01-01")) // pd.Timedelta(microseconds=1)
    orders["customer"] = orders.customer.astype(str)
    orders["amount"] = orders.amount.round(2)
    rows = zip(orders.customer.tolist(), orders.time.tolist(), orders.amount.tolist(), strict=True)
    tenant = await study.tenant_with([ordered(*row) for row in rows])

    large = EventFilter("Order Completed", (Comparison("total", Operator.AT_LEAST, (500,)),))
    funnel = Funnel((EventFilter("Order Completed"), large), window=30 * DAY)
    at = int(orders.time.max())
    result = await study.insights.funnel(tenant, funnel, None, {}, at)

    # Two steps: each large order with the newest order before it, unless that is too old; by customer the first.
    moments = orders.groupby(["customer", "time"]).amount.max().reset_index().sort_values(["customer", "time"])
    moments["before"] = moments.groupby("customer").time.shift()
    took = moments.time - moments.before
    done = moments[(moments.amount >= 500) & (took <= 30 * DAY)].groupby("customer").first()
    times = (done.time - done.before).to_numpy()
    assert len(done) > 400
    assert list(result.steps) == [
        StepResult(orders.customer.nunique(), None, None),
        StepResult(len(done), float(np.median(times)), float(np.median(times))),
    ]


@pytest.mark.parametrize(
    ("funnel", "place"),
    [
        (Funnel((VIEW,)), "funnel.steps"),
        (Funnel((VIEW, CART), window=0), "funnel.window"),
        (Funnel((VIEW, CART), exclusions=(Exclusion(LEAVE, 1, 1),)), "funnel.exclusions[0]"),
        (Funnel((VIEW, CART), exclusions=(Exclusion(LEAVE, 0, 2),)), "funnel.exclusions[0]"),
    ],
)
def test_a_funnel_that_makes_no_sense_is_refused(funnel: Funnel, place: str) -> None:
    with pytest.raises(FunnelInvalid) as refused:
        check_funnel(funnel, lambda _: None)
    assert refused.value.metadata["field"] == place


def test_a_filter_that_breaks_the_rule_language_is_refused_with_its_place() -> None:
    wrong = EventFilter("Cart", (Comparison("shop", Operator.BETWEEN, (1.0,)),))
    with pytest.raises(RuleInvalid) as refused:
        check_funnel(Funnel((VIEW, wrong)), lambda _: None)
    assert refused.value.metadata["path"] == "funnel.steps[1].filter.where[0].values"
    with pytest.raises(RuleInvalid) as refused:
        check_funnel(Funnel((VIEW, CART), entered=TimeWindow(within=DAY, before=DAY)), lambda _: None)
    assert refused.value.metadata["path"] == "funnel.entered.within"
