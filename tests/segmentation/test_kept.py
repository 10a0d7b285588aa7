"""What is kept in memory says of rules what the engine says, whatever arrived when, was merged, parted or erased."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.columnar import Remove
from services.common.columnar.duckdb import DuckDBColumnar
from services.common.rules import (
    Aggregate,
    Comparison,
    EventCondition,
    Not,
    Operator,
    Rule,
    ScoreCondition,
    SegmentCondition,
    Span,
    TimeWindow,
)
from services.segmentation.adapters.analytics import FOLLOWER, ColumnarAnalytics
from services.segmentation.adapters.kept import ROWS_MAX, Kept
from services.segmentation.adapters.kept_people import MANY, People
from services.segmentation.adapters.kept_rules import streams_of
from services.segmentation.adapters.kept_streams import Crowd, Fact, Part, Stream, Wanted
from services.segmentation.adapters.tables import EVENTS, TABLES, TRAITS, Computed, Observed, owned, rows
from services.segmentation.domain.timing import timing
from tests.segmentation import reference
from tests.segmentation.conftest import SetClock
from tests.segmentation.histories import (
    CUSTOMERS,
    DAY,
    NOW,
    comparisons,
    event_conditions,
    histories,
    journeys,
    rules,
    sequences,
)

_tenants = (f"kept{number}" for number in itertools.count())
MOMENTS = (NOW - 7 * DAY + 1, NOW - DAY, NOW, NOW + DAY)


@dataclass
class Told:
    """A tenant of whom something is kept, and everything that its tables hold."""

    analytics: ColumnarAnalytics
    columnar: DuckDBColumnar
    tenant: str = field(default_factory=lambda: next(_tenants))
    cursors: Iterator[int] = field(default_factory=itertools.count)
    events: dict[tuple[str, int], Observed] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=lambda: {who: who for who in CUSTOMERS})

    async def hear(self, observed: Sequence[Observed], moved: Mapping[str, str] | None = None) -> None:
        """A batch of profiles' feed: events as those of whoever their origins belong to, and whose they are then."""
        batch = [
            replace(each, tenant=self.tenant, customer_id=self.owners[each.customer_id], origin_id=each.customer_id)
            for each in observed
        ]
        amendments = owned({(self.tenant, origin): owner for origin, owner in moved.items()}) if moved else []
        await self.analytics.apply(rows(batch), amendments, FOLLOWER, f"{self.tenant} {next(self.cursors)}")
        known = set(self.events)
        self.events |= {
            (each.message_id, each.time): each for each in batch if (each.message_id, each.time) not in known
        }
        self.owners |= moved or {}

    async def merge(self, to: str, merged: str) -> None:
        await self.hear([], {origin: to for origin, owner in self.owners.items() if owner == merged})

    async def erase(self, customer: str) -> None:
        gone = {customer, *(origin for origin, owner in self.owners.items() if owner == customer)}
        removals = [
            Remove(table, pa.table({"tenant": [self.tenant], column: [who]}))
            for table in (EVENTS, TRAITS)
            for column in ("customer_id", "origin_id")
            for who in sorted(gone)
        ]
        await self.columnar.append({}, f"erasing {self.tenant} {next(self.cursors)}", "done", removals)
        self.analytics.forget(self.tenant, gone)
        self.events = {key: each for key, each in self.events.items() if each.origin_id not in gone}
        self.owners |= {who: who for who in gone}

    async def agree(self, asked: dict[str, Rule], at: int) -> None:
        """The same as the reference says, of some customers and of all."""
        history = [replace(each, customer_id=self.owners[each.origin_id]) for each in self.events.values()]
        expected = {name: reference.members(asked, name, history, at) for name in asked}
        assert await self.analytics.matching(self.tenant, asked, asked, at, CUSTOMERS) == expected
        able = {name: rule for name, rule in asked.items() if streams_of(rule, asked) is not None}
        assert await self.analytics.matching(self.tenant, able, asked, at) == {name: expected[name] for name in able}
        if able:
            sizes = await self.analytics.sizes(self.tenant, able, asked, at, 2)
            assert sizes.counts == {name: len(expected[name]) for name in able}
            assert list(sizes.sample) == sorted(expected[next(iter(able))])[:2]


@dataclass
class Place:
    """Tables, and a clock."""

    columnar: DuckDBColumnar
    clock: SetClock

    def analytics(self, rows_max: int = ROWS_MAX) -> ColumnarAnalytics:
        return ColumnarAnalytics(self.columnar, self.clock, kept=Kept(self.columnar, self.clock, rows_max))

    def told(self) -> Told:
        return Told(self.analytics(), self.columnar)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    columnar = DuckDBColumnar(tmp_path_factory.mktemp("kept") / "test.duckdb", TABLES)
    yield Place(columnar, SetClock())
    asyncio.run(columnar.close())


happenings = st.one_of(
    st.tuples(st.just("hear"), histories() | journeys()),
    st.tuples(st.just("merge"), st.permutations(CUSTOMERS)),
    st.tuples(st.just("unmerge"), st.sampled_from(CUSTOMERS)),
    st.tuples(st.just("erase"), st.sampled_from(CUSTOMERS)),
)


async def live(told: Told, asked: dict[str, Rule], lived: Sequence[tuple[str, Any]]) -> None:
    """Evaluate after each of the things that happen."""
    for number, ((kind, what), at) in enumerate(zip(lived, MOMENTS, strict=False)):
        match kind:
            case "hear":  # what is told again has the number that it had
                await told.hear([replace(each, message_id=f"{each.message_id} {number % 2}") for each in what])
            case "merge":
                await told.merge(what[0], what[1])
            case "unmerge":
                await told.hear([], {what: what})
            case "erase":
                await told.erase(what)
        await told.agree(asked, at)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    history=histories() | journeys(),
    lived=st.lists(happenings, min_size=3, max_size=3),
    whole=st.lists(rules(4) | sequences(), min_size=1, max_size=2),
    conditions=st.lists(event_conditions() | comparisons(), min_size=2, max_size=4),
)
def test_what_is_kept_agrees_with_the_reference_whatever_happens(
    place: Place, history: list[Observed], lived: list[tuple[str, Any]], whole: list[Rule], conditions: list[Rule]
) -> None:
    asked = {f"rule {number}": rule for number, rule in enumerate([*whole, *conditions])}
    asked |= {"first": asked["rule 0"], "nested": Not(SegmentCondition("rule 0"))}
    asyncio.run(live(place.told(), asked, [("hear", history), *lived]))


async def test_moments_to_come_are_those_of_the_engine(place: Place) -> None:
    told, scanned = place.told(), ColumnarAnalytics(place.columnar, place.clock)
    within: list[Rule] = [
        EventCondition("Viewed", Aggregate.COUNT, Operator.AT_LEAST, (1.0,), window=TimeWindow(within=days * DAY))
        for days in (1, 2)
    ]
    known = timing(within)
    for number, ago in enumerate((0, DAY // 2, DAY - 5, DAY, 2 * DAY - 7, -9, -DAY)):
        await told.hear([Observed("", CUSTOMERS[number % 3], f"m{number}", 2, "Viewed", NOW - ago, {})])
        for since, until in ((NOW, NOW + 8), (NOW, NOW + DAY)):
            found = [
                await each.upcoming(told.tenant, known, since, until, CUSTOMERS) for each in (told.analytics, scanned)
            ]
            assert found[0] == found[1], (number, since, until)


async def test_a_computed_trait_stays_with_its_customer_after_a_merge(place: Place) -> None:
    told, scanned = place.told(), ColumnarAnalytics(place.columnar, place.clock)
    many: dict[str, Rule] = {"many": Comparison("orders", Operator.AT_LEAST, (2.0,))}
    await told.hear([Observed("", who, who, 2, "Viewed", NOW - DAY, {}) for who in CUSTOMERS])
    for number, (who, value) in enumerate((("c1", 5), ("c2", 1), ("c1", 1), ("c2", 9))):
        batch = rows([], [Computed(told.tenant, who, "orders", NOW - DAY + number, value)])
        await told.analytics.apply(batch, (), FOLLOWER, f"{told.tenant} computed {number}")
        if number == 1:
            await told.merge("c1", "c2")
        found = [await each.matching(told.tenant, many, many, NOW, CUSTOMERS) for each in (told.analytics, scanned)]
        assert found[0] == found[1] == {"many": {"c1"} if number < 2 else set()}, number


MEASURED = (Aggregate.COUNT, Aggregate.SUM, Aggregate.AVERAGE, Aggregate.MINIMUM, Aggregate.LAST)


def test_what_depends_on_the_moment_or_on_others_is_left_to_the_engine() -> None:
    kept = [EventCondition("Viewed", each, Operator.AT_LEAST, (1.0,), "total") for each in MEASURED]
    assert all(streams_of(rule, {}) for rule in kept)
    renewing = Comparison("renewal", Operator.WITHIN_NEXT, (Span(DAY),))
    assert streams_of(renewing, {}) is None
    assert streams_of(replace(kept[0], where=(renewing,)), {}) is None
    assert streams_of(ScoreCondition("rfm.cell", Operator.AT_LEAST, (1.0,)), {}) is None


async def test_amounts_too_large_for_arrays_are_summed_by_the_engine(place: Place) -> None:
    told = place.told()
    order = Observed("", "c1", "m1", 2, "Order Completed", NOW - DAY, {"currency": "EUR", "total": 9e14})
    rule: Rule = EventCondition("Order Completed", Aggregate.SUM, Operator.AT_LEAST, (1.8e15,), "total")
    for number in (1, 2):
        await told.hear([replace(order, message_id=f"m{number}")])
        assert await told.analytics.matching(told.tenant, {"r": rule}, {}, NOW, ["c1"]) == {
            "r": {"c1"} if number == 2 else set()
        }


async def test_a_tenant_that_needs_too_many_rows_is_evaluated_by_the_engine(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(place.analytics(rows_max=3), place.columnar)
    seen: dict[str, Rule] = {
        "seen": EventCondition("Viewed", Aggregate.COUNT, Operator.AT_LEAST, (1.0,), window=TimeWindow(within=DAY))
    }
    for number in range(5):
        await told.hear([Observed("", "c1", f"m{number}", 2, "Viewed", NOW - number, {})])
        await told.agree(seen, NOW)
        assert bool(caplog.records) is (number >= 3)


parts = st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=6), min_size=1, max_size=5)


@given(parts, st.integers(0, 7), st.integers(0, 7))
def test_a_stream_that_grew_in_parts_has_the_rows_of_the_whole(
    parts: list[list[tuple[int, int]]], low: int, high: int
) -> None:
    def part(pairs: Sequence[tuple[int, int]]) -> Part:
        return Part(np.array([who for who, _ in pairs], np.int32), np.array([time for _, time in pairs], np.int64))

    stream = Stream(Wanted(Fact.HAPPENED, "Viewed"), part(parts[0]), tail_min=3)
    for more in parts[1:]:
        stream.add(part(more))
    asked = np.array([1, 3])
    found = Crowd(asked, np.arange(2), 2, 5).rows(stream, low, high)
    expected = [(who, time) for pairs in parts for who, time in pairs if who in (1, 3) and low <= time < high]
    assert sorted(zip(asked[found.codes].tolist(), found.times.tolist(), strict=True)) == sorted(expected)


def test_many_names_are_found_as_few_are() -> None:
    count = MANY + 100
    people, names = People(), [f"c{number}" for number in range(count)]
    people.meet(pa.chunked_array([names]), pa.chunked_array([names]), np.arange(count))
    asked = [*reversed(names), *(f"x{number}" for number in range(9))]
    crowd, found, codes = people.crowd(asked, count)
    assert crowd.count == count
    assert (found.tolist(), codes.tolist()) == (names, list(range(count)))
    for some in (names[:1], [*names[7:99], *names[9:50]], [*names, *names]):
        rows_of = pa.chunked_array([some[:3], some[3:]], pa.string())
        assert people.known(rows_of, rows_of).tolist() == [int(each[1:]) for each in some]
    people.forget(["c5"])
    more = [f"new{number}" for number in range(7)]
    people.meet(pa.chunked_array([more]), pa.chunked_array([more]), np.arange(7))
    _, found, _ = people.crowd([*asked, *more], count)
    assert found.tolist() == [each for each in [*names, *more] if each != "c5"]
