"""What is known of customers at a moment is what a slow reading of their orders finds, and nothing later matters."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.columnar import open_columnar
from services.forecasting.adapters.lines import ORDER_LINES, ColumnarLines
from services.forecasting.app import Settings
from services.forecasting.domain.propensity import Goal, Moment

DAY = 86_400_000_000
AT = 400 * DAY


@dataclass(frozen=True)
class Line:
    customer: str
    order: int
    micros: int
    product: str
    category: str
    amount: int


def lines() -> st.SearchStrategy[list[Line]]:
    one = st.builds(
        Line,
        st.sampled_from("abc"),
        st.integers(0, 6),
        st.integers(0, 500 * DAY),
        st.sampled_from("pq"),
        st.sampled_from(["FOOD", "TOYS"]),
        st.integers(0, 900),
    )
    return st.lists(one, min_size=1, max_size=25)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[asyncio.Runner]:
    """A loop that outlives the examples of a test."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def kept(engine: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ColumnarLines]:
    stack = AsyncExitStack()
    settings = Settings(data_dir=tmp_path_factory.mktemp("moments"), _env_file=None)
    columnar = engine.run(stack.enter_async_context(open_columnar(settings, [ORDER_LINES])))
    yield ColumnarLines(columnar)
    engine.run(stack.aclose())


@dataclass
class Book:
    """Order lines of a tenant that no other example has."""

    engine: asyncio.Runner
    lines: ColumnarLines
    number: Iterator[int] = field(default_factory=count)

    def read(self, rows: Sequence[Line], goal: Goal) -> Moment:
        return self.engine.run(self._read(rows, goal))

    async def _read(self, rows: Sequence[Line], goal: Goal) -> Moment:
        tenant = f"t{next(self.number)}"
        await self.lines.append(table(rows, tenant), tenant)
        return await self.lines.moment(tenant, "USD", goal, AT)


@pytest.fixture(scope="module")
def book(engine: asyncio.Runner, kept: ColumnarLines) -> Book:
    return Book(engine, kept)


def table(rows: Sequence[Line], tenant: str) -> pa.Table:
    columns = {
        "tenant": [tenant for _ in rows],
        "message_id": [f"{it.customer}{it.order}{it.micros}" for it in rows],
        "time": [it.micros for it in rows],
        "order_id": [str(it.order) for it in rows],
        "customer_id": [it.customer for it in rows],
        "origin_id": [it.customer for it in rows],
        "product_id": [it.product for it in rows],
        "category": [it.category for it in rows],
        "store_id": ["" for _ in rows],
        "quantity": [1.0 for _ in rows],
        "amount_minor": [it.amount for it in rows],
        "list_minor": [it.amount for it in rows],
        "currency": ["USD" for _ in rows],
        "opens_order": [1 for _ in rows],
        "opens_category": [1 for _ in rows],
    }
    return pa.table(columns, schema=ORDER_LINES.schema)


GOALS = (
    Goal(30),
    Goal(60, categories=("TOYS",), min_amount=300),
    Goal(45, product_ids=("q",), min_orders=2, absent=True),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lines(), st.sampled_from(GOALS))
def test_features_and_goals_are_those_of_a_slow_reading(book: Book, rows: list[Line], goal: Goal) -> None:
    it = book.read(rows, goal)
    names = goal.features
    assert it.ids == slow_customers(rows)
    read = zip(it.ids, it.features.tolist(), it.reached.tolist(), it.amount.tolist(), strict=True)
    for customer, values, reached, amount in read:
        assert amount == slow_amount(rows, goal, customer)
        assert reached == slow_reached(rows, goal, customer)
        slow = slow_features(rows, goal, customer)
        for name, expected in slow.items():
            assert values[names.index(name)] == pytest.approx(expected, nan_ok=True), name


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lines(), lines(), st.sampled_from(GOALS))
def test_what_comes_after_the_moment_changes_no_feature(
    book: Book, rows: list[Line], later: list[Line], goal: Goal
) -> None:
    after = [replace(it, micros=it.micros + AT + 1) for it in later]
    alone, both = book.read(rows, goal), book.read([*rows, *after], goal)
    assert alone.ids == both.ids
    assert np.array_equal(alone.features, both.features, equal_nan=True)


def slow_days(rows: Sequence[Line], customer: str) -> dict[int, list[Line]]:
    days: dict[int, list[Line]] = {}
    for it in rows:
        if it.customer == customer and it.micros <= AT:
            days.setdefault(it.micros // DAY, []).append(it)
    return {day: its for day, its in sorted(days.items()) if sum(it.amount for it in its) > 0}


def slow_customers(rows: Sequence[Line]) -> list[str]:
    return sorted({it.customer for it in rows if slow_days(rows, it.customer)})


def counts(it: Line, goal: Goal) -> bool:
    return (not goal.categories or it.category in goal.categories) and (
        not goal.product_ids or it.product in goal.product_ids
    )


def slow_orders(rows: Sequence[Line], goal: Goal, customer: str) -> list[int]:
    """What each order within the horizon came to."""
    orders: dict[str, int] = {}
    for it in rows:
        if it.customer == customer and AT < it.micros <= AT + goal.horizon and counts(it, goal):
            name = f"{it.order}{it.micros}"
            orders[name] = orders.get(name, 0) + it.amount
    return [amount for amount in orders.values() if amount > 0]


def slow_amount(rows: Sequence[Line], goal: Goal, customer: str) -> int:
    return sum(slow_orders(rows, goal, customer))


def slow_reached(rows: Sequence[Line], goal: Goal, customer: str) -> bool:
    paid = slow_orders(rows, goal, customer)
    return (len(paid) >= goal.min_orders and sum(paid) >= goal.min_amount) != goal.absent


def slow_features(rows: Sequence[Line], goal: Goal, customer: str) -> dict[str, float]:
    days = slow_days(rows, customer)
    amounts = [float(sum(it.amount for it in its)) for its in days.values()]
    gaps = np.diff(list(days)).astype(float)
    lines = [it for its in days.values() for it in its]
    recency, nan = 400 - max(days), float("nan")
    slow: dict[str, float] = {
        "recency_days": recency,
        "tenure_days": 400 - min(days),
        "purchase_days": len(days),
        "amount": sum(amounts),
        "amount_per_purchase": float(np.mean(amounts)),
        "amount_deviation": float(np.std(amounts, ddof=1)) if len(amounts) > 1 else nan,
        "gap_days": float(gaps.mean()) if len(gaps) else nan,
        "gap_days_deviation": float(np.std(gaps, ddof=1)) if len(gaps) > 1 else nan,
        "gap_days_longest": float(gaps.max()) if len(gaps) else nan,
        "overdue": recency / float(gaps.mean()) if len(gaps) else nan,
        "lines_per_purchase": len(lines) / len(days),
        "amount_per_line": sum(amounts) / len(lines),
        "products": len({it.product for it in rows if it.customer == customer and it.micros <= AT}),
        "categories": len({it.category for it in rows if it.customer == customer and it.micros <= AT}),
        "purchase_days_in_30": sum(day > 370 for day in days),
        "amount_in_365": sum(amount for day, amount in zip(days, amounts, strict=True) if day > 35),
    }
    if goal.of_all_lines:
        return slow
    towards = {day: [it for it in its if counts(it, goal)] for day, its in days.items()}
    met = [day for day, its in towards.items() if its]
    paid = float(sum(it.amount for its in towards.values() for it in its))
    return slow | {
        "goal_recency_days": 400 - max(met) if met else nan,
        "goal_days": len(met),
        "goal_amount": paid,
        "goal_amount_share": paid / sum(amounts),
        "goal_days_in_90": sum(day > 310 for day in met),
    }
