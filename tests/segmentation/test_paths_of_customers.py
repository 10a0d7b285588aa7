"""Ways of customers against a walk through the events of each, one by one, on both engines."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.columnar import Columnar
from services.common.rules import Comparison, Operator, Rule, RuleInvalid, TimeWindow
from services.segmentation.adapters.path_query import ColumnarPaths
from services.segmentation.adapters.tables import Observed
from services.segmentation.domain.path import Link, Path, Paths, PathsInvalid, PathsResult, check_paths
from services.segmentation.domain.selection import EventFilter
from tests.segmentation.histories import DAY, NOW
from tests.segmentation.studies import Study, did, satisfied, told

ROMANS: dict[str, Rule] = {"romans": Comparison("city", Operator.EQUALS, ("Rome",))}
NAMES = ("View", "Cart", "Buy")


def walked(history: Sequence[Observed], question: Paths, at: int) -> Counter[tuple[str, ...]]:
    """How many customers take each way."""
    by_customer: dict[str, list[Observed]] = defaultdict(list)
    for event in history:
        if event.time <= at:
            by_customer[event.customer_id].append(event)
    return Counter(path for events in by_customer.values() if (path := _walk(events, question, at)))


def _walk(events: list[Observed], question: Paths, at: int) -> tuple[str, ...]:
    ordered = sorted(events, key=lambda each: (each.time, each.message_id), reverse=question.backwards)
    starts = [each for each in ordered if satisfied(each, question.start) and _entered(each, question, at)]
    if not starts:
        return ()
    path = [starts[0]]
    for event in ordered[ordered.index(starts[0]) + 1 :]:
        follows = not question.events or event.name in question.events or event in starts
        if not follows:
            continue
        if question.gap is not None and abs(event.time - path[-1].time) > question.gap:
            break
        if len(path) > question.steps:
            break
        path.append(event)
    return tuple(each.name for each in path)


def _entered(event: Observed, question: Paths, at: int) -> bool:
    within = question.entered.within
    return within is None or event.time > at - within


def expected(ways: Counter[tuple[str, ...]], question: Paths) -> PathsResult:
    paths = sorted(ways.items(), key=lambda it: (-it[1], [*it[0], *["\uffff"] * (question.steps + 1 - len(it[0]))]))
    links: Counter[tuple[int, str, str]] = Counter()
    for path, count in ways.items():
        for step, (source, target) in enumerate(pairwise(path)):
            links[step, source, target] += count
    linked = sorted(links.items(), key=lambda it: (it[0][0], -it[1], it[0][1:]))
    return PathsResult(
        ways.total(),
        [Path(list(path), count) for path, count in paths[: question.paths]],
        [Link(*key, count) for key, count in linked],
    )


_histories = st.lists(
    st.builds(
        did,
        st.sampled_from(["ann", "bob", "cyd"]),
        st.sampled_from(NAMES),
        st.sampled_from([NOW - 9 * DAY, NOW - 3 * DAY, NOW - 2 * DAY, NOW - DAY, NOW - 1, NOW, NOW + 1]),
    ),
    max_size=14,
)
_questions = st.builds(
    Paths,
    st.sampled_from([EventFilter("View"), EventFilter("Buy"), EventFilter()]),
    st.sampled_from([TimeWindow(), TimeWindow(within=3 * DAY)]),
    st.booleans(),
    st.integers(1, 4),
    st.sampled_from([None, DAY, 2 * DAY]),
    st.sampled_from([(), ("Buy",), ("Cart", "View")]),
    st.just(20),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(_histories, _questions)
def test_ways_are_those_of_a_walk_through_the_events(study: Study, history: list[Observed], question: Paths) -> None:
    asyncio.run(assert_walked(study, history, question))


async def assert_walked(study: Study, history: Sequence[Observed], question: Paths) -> None:
    tenant = await study.tenant_with(history)
    found = await ColumnarPaths(study.insights._columnar).paths(tenant, question, "", {}, NOW)
    wanted = expected(walked(history, question, NOW), question)
    assert (found.customers, found.links) == (wanted.customers, wanted.links)
    assert {tuple(it.events): it.customers for it in found.paths} == {
        tuple(it.events): it.customers for it in wanted.paths
    }
    assert [it.customers for it in found.paths] == [it.customers for it in wanted.paths], "the commonest first"


async def test_ways_are_the_same_on_both_engines_and_of_a_segment(both: Study) -> None:
    names = {"ann": ["View", "Cart", "Buy"], "bob": ["View", "Cart", "Buy"], "cyd": ["View", "Buy"], "dan": ["Cart"]}
    history = [did(who, name, NOW - 9 + at) for who, visits in names.items() for at, name in enumerate(visits)]
    tenant = await both.tenant_with([*history, told("ann", NOW - 20, city="Rome"), told("dan", NOW - 20, city="Rome")])
    columnar: Columnar = both.insights._columnar
    question = Paths(EventFilter("View"), steps=3, events=NAMES)
    found = await ColumnarPaths(columnar).paths(tenant, question, "", {}, NOW)
    assert found.customers == 3
    assert found.paths == [Path(["View", "Cart", "Buy"], 2), Path(["View", "Buy"], 1)]
    assert found.links == [Link(0, "View", "Cart", 2), Link(0, "View", "Buy", 1), Link(1, "Cart", "Buy", 2)]
    back = replace(question, start=EventFilter("Buy"), backwards=True, steps=1, paths=1)
    found = await ColumnarPaths(columnar).paths(tenant, back, "romans", ROMANS, NOW)
    assert found == PathsResult(1, [Path(["Buy", "Cart"], 1)], [Link(0, "Buy", "Cart", 1)])


def test_questions_that_cannot_be_answered_are_refused() -> None:
    for question in (Paths(EventFilter("View"), gap=0), Paths(EventFilter("View"), events=("",))):
        with pytest.raises(PathsInvalid):
            check_paths(question, lambda _: None)
    with pytest.raises(RuleInvalid):
        check_paths(Paths(EventFilter("View"), TimeWindow(within=1, before=2)), lambda _: None)
