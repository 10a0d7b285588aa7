"""What is known of customers who did something, ordered or not, is what a slow reading of their events finds."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from services.common.columnar import open_columnar
from services.forecasting.adapters.activities import ACTIVITIES
from services.forecasting.adapters.lines import ORDER_LINES, ColumnarLines
from services.forecasting.app import Settings
from services.forecasting.domain.propensity import EVENT_WINDOWS_DAYS, FEATURES, Goal, Moment
from tests.forecasting.adapters.test_moments import AT, DAY, Line, table

GOALS = (
    Goal(30, event_name="Opened"),
    Goal(60, event_name="Opened", categories=("TOYS",), channels=("email",), min_orders=2),
    Goal(45, event_name="Viewed", product_ids=("q",), absent=True),
)


@dataclass(frozen=True)
class Did:
    customer: str
    micros: int
    name: str
    channel: str
    products: tuple[tuple[str, str], ...]
    looking: int


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
    }
    return pa.table(columns, schema=ACTIVITIES.schema)


@pytest.fixture(scope="module")
def lines_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Readings"]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        settings = Settings(data_dir=tmp_path_factory.mktemp("event_moments"), _env_file=None)
        columnar = runner.run(stack.enter_async_context(open_columnar(settings, [ORDER_LINES, ACTIVITIES])))
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


def test_what_comes_after_the_moment_changes_no_feature(lines_of: Readings) -> None:
    known = [it for it in some(2) if it.micros <= AT]
    later = [replace(it, micros=it.micros + AT) for it in some(3)]
    alone, both = (lines_of.read(lines_of.keep(each), GOALS[0]) for each in (known, [*known, *later]))
    assert alone.ids == both.ids
    assert np.array_equal(alone.features, both.features, equal_nan=True)


def counts(it: Did, goal: Goal) -> bool:
    return (
        it.name == goal.event_name
        and (not goal.channels or it.channel in goal.channels)
        and any(
            (not goal.product_ids or product in goal.product_ids)
            and (not goal.categories or category in goal.categories)
            for product, category in it.products
        )
    )


def slow_reached(events: Sequence[Did], goal: Goal) -> bool:
    came = [it for it in events if AT < it.micros <= AT + goal.horizon and counts(it, goal)]
    return (len(came) >= goal.min_orders) != goal.absent


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
        "goal_event_day_share": len(when) / len(ago),
        **{f"event_days_in_{days}": sum(it < days for it in ago) for days in EVENT_WINDOWS_DAYS},
        **{f"goal_event_days_in_{days}": sum(it < days for it in when) for days in EVENT_WINDOWS_DAYS},
        **{
            f"looks_in_{days}": sum(it.looking for it in known if 400 - it.micros // DAY < days)
            for days in EVENT_WINDOWS_DAYS
        },
    }
