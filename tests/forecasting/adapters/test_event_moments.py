"""What is known of customers who did something, ordered or not, is what a slow reading of their events finds."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from services.common.columnar import open_columnar
from services.common.flat.columns import flat_columns
from services.common.flat.properties import flatten
from services.common.rules import Comparison, Operator
from services.forecasting.adapters.activities import ACTIVITIES
from services.forecasting.adapters.lines import ORDER_LINES, SERIES_TABLES, ColumnarLines
from services.forecasting.app import Settings
from services.forecasting.domain.propensity import EVENT_WINDOWS_DAYS, FEATURES, Goal, Moment
from tests.forecasting.adapters.test_moments import AT, DAY, Line, table

GOALS = (
    Goal(30, event_name="Opened"),
    Goal(60, event_name="Opened", categories=("TOYS",), channels=("email",), min_orders=2),
    Goal(45, event_name="Viewed", product_ids=("q",), absent=True),
    Goal(60, event_name="Opened", where=(Comparison("plan", Operator.EQUALS, ("gold",)),)),
    Goal(
        60,
        event_name="Viewed",
        categories=("TOYS",),
        where=(
            Comparison("plan", Operator.NOT_EQUALS, ("free",)),
            Comparison("seats", Operator.AT_LEAST, (2.0,)),
            Comparison("path", Operator.STARTS_WITH, ("/a",)),
        ),
        sum_property="seats",
        min_sum=6.0,
    ),
)


@dataclass(frozen=True)
class Did:
    customer: str
    micros: int
    name: str
    channel: str
    products: tuple[tuple[str, str], ...]
    looking: int
    plan: str = ""
    seats: int = 0
    path: str = ""

    @property
    def properties(self) -> dict[str, object]:
        return {"plan": self.plan or None, "seats": self.seats or None, "path": self.path}


def some(seed: int, count: int = 250) -> list[Did]:
    """Events of customers; some name two products, which are two rows each."""
    random = np.random.default_rng(seed)
    products = ((("", ""),), (("p", "TOYS"),), (("q", "FOOD"), ("p", "TOYS")))
    return [
        Did(
            f"c{random.integers(25)}",
            int(random.integers(330, 480)) * DAY + number,
            str(random.choice(["Opened", "Viewed", "Other"])),
            str(random.choice(["email", "push"])),
            products[random.integers(3)],
            int(random.integers(2)),
            str(random.choice(["gold", "free", ""])),
            int(random.integers(5)),
            str(random.choice(["/a", "/ab", "/b"])),
        )
        for number in range(count)
    ]


def rows_of(events: Sequence[Did], tenant: str) -> pa.Table:
    rows = [(it, number, *product) for it in events for number, product in enumerate(it.products)]
    columns = {
        "tenant": [tenant for _ in rows],
        "message_id": [f"{it.customer}/{it.micros}" for it, *_ in rows],
        "time": [it.micros for it, *_ in rows],
        "name": [it.name for it, *_ in rows],
        "customer_id": [it.customer for it, *_ in rows],
        "origin_id": [it.customer for it, *_ in rows],
        "product_id": [product for _, _, product, _ in rows],
        "category": [category for *_, category in rows],
        "store_id": ["" for _ in rows],
        "channel": [it.channel for it, *_ in rows],
        "looking": [it.looking for it, *_ in rows],
        "opens_event": [int(not number) for _, number, *_ in rows],
        "opens_product": [1 for _ in rows],
        "opens_category": [1 for _ in rows],
        "described": [None if number else 1 for _, number, *_ in rows],
        **flat_columns([flatten({} if number else it.properties) for it, number, *_ in rows]),
        "left_out": [["note"] if it.plan == "gold" and not number else [] for it, number, *_ in rows],
    }
    return pa.table(columns, schema=ACTIVITIES.schema)


@pytest.fixture(scope="module")
def lines_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Readings"]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        settings = Settings(data_dir=tmp_path_factory.mktemp("event_moments"), _env_file=None)
        columnar = runner.run(stack.enter_async_context(open_columnar(settings, SERIES_TABLES)))
        yield Readings(runner, ColumnarLines(columnar))
        runner.run(stack.aclose())


@dataclass
class Readings:
    """Events of a tenant of their own each, with an order of one customer."""

    runner: asyncio.Runner
    lines: ColumnarLines
    tenants: int = 0

    def keep(self, events: Sequence[Did]) -> str:
        self.tenants += 1
        tenant = f"t{self.tenants}"
        bought = table([Line("c1", 1, 390 * DAY, "p", "TOYS", 700)], tenant)
        self.runner.run(self.lines.append(bought, tenant, None, rows_of(events, tenant)))
        return tenant

    def read(self, tenant: str, goal: Goal) -> Moment:
        return self.runner.run(self.lines.moment(tenant, "USD", goal, AT))


def test_features_and_goals_are_those_of_a_slow_reading(lines_of: Readings) -> None:
    events = some(1)
    tenant = lines_of.keep(events)
    for goal in GOALS:
        it, names = lines_of.read(tenant, goal), goal.features
        assert it.ids == sorted({event.customer for event in events if event.micros <= AT})
        for who, values, reached in zip(it.ids, it.features.tolist(), it.reached.tolist(), strict=True):
            theirs = [event for event in events if event.customer == who]
            assert reached == slow_reached(theirs, goal)
            for name, expected in slow_features(theirs, goal).items():
                assert values[names.index(name)] == pytest.approx(expected, nan_ok=True), (goal, name)
            bought = [values[names.index(name)] for name in FEATURES]
            assert np.isnan(bought).all() == (who != "c1")
        assert it.features[it.ids.index("c1"), names.index("amount")] == 700


def test_what_is_known_of_properties_is_told_and_who_is_erased_is_left_out(lines_of: Readings) -> None:
    events, paths = some(4), ("plan", "note", "never")
    tenant = lines_of.keep(events)
    mine = [it for it in events if it.name == "Opened"]
    known = lines_of.runner.run(lines_of.lines.described(tenant, "Opened", paths))
    golden = sum(it.plan == "gold" for it in mine)
    assert (known.events, known.unknown_until) == (len(mine), None)
    assert known.present == {"plan": sum(it.plan != "" for it in mine), "note": 0, "never": 0}
    assert known.left_out == {"plan": 0, "note": golden, "never": 0}
    names = lines_of.runner.run(lines_of.lines.property_names(tenant, "Opened", 2))
    assert names == ["path", "seats"]
    before = lines_of.read(tenant, GOALS[3])
    lines_of.runner.run(lines_of.lines.pseudonymise(tenant, "e1", ["c1"], "nobody"))
    after = lines_of.read(tenant, GOALS[3])
    assert list(after.ids) == [it for it in before.ids if it != "c1"]
    assert "nobody" in lines_of.read(tenant, GOALS[0]).ids
    left = lines_of.runner.run(lines_of.lines.described(tenant, "Opened", paths))
    assert left.events == sum(it.customer != "c1" for it in mine)


def test_from_when_on_properties_are_known_is_told(lines_of: Readings) -> None:
    events = some(5)
    tenant = lines_of.keep([])
    old = rows_of(events[:40], tenant)
    unknown = pa.array([None] * len(old), type=pa.int64())
    old = old.set_column(old.schema.get_field_index("described"), "described", unknown)
    lines_of.runner.run(lines_of.lines.append(ORDER_LINES.schema.empty_table(), "old", None, old))
    lines_of.runner.run(
        lines_of.lines.append(ORDER_LINES.schema.empty_table(), "new", None, rows_of(events[40:], tenant))
    )
    known = lines_of.runner.run(lines_of.lines.described(tenant, "Viewed", ("plan",)))
    assert known.unknown_until == max(it.micros for it in events[:40] if it.name == "Viewed")
    assert known.events == sum(it.name == "Viewed" for it in events[40:])


def test_what_comes_after_the_moment_changes_no_feature(lines_of: Readings) -> None:
    known = [it for it in some(2) if it.micros <= AT]
    later = [replace(it, micros=it.micros + AT) for it in some(3)]
    alone, both = (lines_of.read(lines_of.keep(each), GOALS[0]) for each in (known, [*known, *later]))
    assert alone.ids == both.ids
    assert np.array_equal(alone.features, both.features, equal_nan=True)


def fulfils(it: Did, comparison: Comparison) -> bool:
    found, (wanted,) = it.properties[comparison.field], comparison.values
    match comparison.operator:
        case Operator.EQUALS:
            return found == wanted
        case Operator.NOT_EQUALS:
            return found != wanted
        case Operator.AT_LEAST:
            return isinstance(found, int) and isinstance(wanted, float) and found >= wanted
    return str(found).startswith(str(wanted))


def counts(it: Did, goal: Goal) -> bool:
    return (
        it.name == goal.event_name
        and all(fulfils(it, each) for each in goal.where)
        and (not goal.channels or it.channel in goal.channels)
        and any(
            (not goal.product_ids or product in goal.product_ids)
            and (not goal.categories or category in goal.categories)
            for product, category in it.products
        )
    )


def slow_reached(events: Sequence[Did], goal: Goal) -> bool:
    came = [it for it in events if AT < it.micros <= AT + goal.horizon and counts(it, goal)]
    enough = not goal.sum_property or sum(it.seats for it in came) >= goal.min_sum
    return (len(came) >= goal.min_orders and enough) != goal.absent


def slow_features(events: Sequence[Did], goal: Goal) -> dict[str, float]:
    known = [it for it in events if it.micros <= AT]
    ago = {400 - it.micros // DAY for it in known}
    mine = [it for it in known if counts(it, goal)]
    when = sorted({400 - it.micros // DAY for it in mine})
    nan = float("nan")
    gap = (when[-1] - when[0]) / (len(when) - 1) if len(when) > 1 else nan
    return {
        "event_recency_days": min(ago),
        "event_tenure_days": max(ago),
        "events": len(known),
        "event_days": len(ago),
        "looks": sum(it.looking for it in known),
        "goal_event_recency_days": when[0] if when else nan,
        "goal_events": len(mine),
        "goal_event_days": len(when),
        "goal_event_gap_days": gap,
        "goal_event_overdue": when[0] / gap if when else nan,
        **({"goal_event_sum": sum(it.seats for it in mine)} if goal.sum_property else {}),
        "goal_event_day_share": len(when) / len(ago),
        **{f"event_days_in_{days}": sum(it < days for it in ago) for days in EVENT_WINDOWS_DAYS},
        **{f"goal_event_days_in_{days}": sum(it < days for it in when) for days in EVENT_WINDOWS_DAYS},
        **{
            f"looks_in_{days}": sum(it.looking for it in known if 400 - it.micros // DAY < days)
            for days in EVENT_WINDOWS_DAYS
        },
    }
