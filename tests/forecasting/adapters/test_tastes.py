"""What customers bought of categories by a moment is what a slow reading finds, and nothing later matters."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from services.forecasting.domain.preference import TASTE_WINDOWS_DAYS, Tastes
from tests.forecasting.adapters.test_moments import AT, DAY, Book, Line, book, engine, kept, table

__all__ = ["book", "engine", "kept"]
HORIZON = 45


def some(seed: int, count: int = 300) -> list[Line]:
    """Lines of customers of whom some buy of everything on one day, some never, and some give everything back."""
    random = np.random.default_rng(seed)
    return [
        Line(
            f"c{random.integers(20)}",
            int(random.integers(9)),
            int(random.integers(330, 460)) * DAY + int(random.integers(3)) * (DAY - 1) // 2,
            "p",
            random.choice(["FOOD", "TOYS", "BOOKS"], p=[0.6, 0.3, 0.1]),
            int(random.choice([-200, 0, 100, 300])),
        )
        for _ in range(count)
    ]


def read(it: Book, rows: Sequence[Line]) -> Tastes:
    async def found() -> Tastes:
        tenant = f"tastes{next(it.number)}"
        await it.lines.append(table(rows, tenant), tenant)
        return await it.lines.tastes(tenant, "USD", HORIZON, AT)

    return it.engine.run(found())


def test_what_was_bought_is_what_a_slow_reading_finds(book: Book) -> None:
    it = read(book, rows := some(1))
    categories = {line.category for line in rows if line.micros <= AT}
    assert set(it.names) == categories
    found = {}
    for at in range(len(it.customers)):
        key = it.moment.ids[it.customers[at]], it.names[it.categories[at]]
        found[key] = [it.recency_days[at], it.first_days[at], it.days[at], it.amount[at], *it.days_in[at]]
    assert found == {
        (who, what): slow
        for who in it.moment.ids
        for what in it.names
        if (slow := slow_figures(rows, who, what)) is not None
    }
    labels = it.labels()
    for row, who in enumerate(it.moment.ids):
        assert labels[row].tolist() == [slow_later(rows, who, what) for what in it.names]


def test_what_comes_after_the_moment_changes_no_figure(book: Book) -> None:
    known = [it for it in some(2) if it.micros <= AT]
    after = [replace(it, micros=it.micros + AT, category="NEW") for it in some(3)]
    alone, both = read(book, known), read(book, [*known, *after])
    assert (alone.names, alone.moment.ids) == (both.names, both.moment.ids)
    for name in ("customers", "categories", "recency_days", "first_days", "days", "days_in_horizon", "days_in"):
        assert np.array_equal(getattr(alone, name), getattr(both, name)), name


def slow_figures(rows: Sequence[Line], who: str, what: str) -> list[float] | None:
    days: dict[int, int] = {}
    for it in rows:
        if (it.customer, it.category) == (who, what) and it.micros <= AT:
            days[it.micros // DAY] = days.get(it.micros // DAY, 0) + it.amount
    paid = {400 - day: amount for day, amount in days.items() if amount > 0}
    if not paid:
        return None
    within = [float(sum(ago < window for ago in paid)) for window in TASTE_WINDOWS_DAYS]
    return [float(min(paid)), float(max(paid)), float(len(paid)), float(sum(paid.values())), *within]


def slow_later(rows: Sequence[Line], who: str, what: str) -> bool:
    orders: dict[str, int] = {}
    for it in rows:
        if (it.customer, it.category) == (who, what) and AT < it.micros <= AT + HORIZON * DAY:
            name = f"{it.order}{it.micros}"
            orders[name] = orders.get(name, 0) + it.amount
    return any(amount > 0 for amount in orders.values())


def test_only_the_categories_with_the_most_lines_are_told_apart(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.forecasting.adapters.tastes.CATEGORIES_MAX", 1)
    rows = [Line("a", number, number * DAY, "p", what, 5) for number, what in enumerate(["TOYS", "FOOD", "TOYS", ""])]
    assert read(book, rows).names == ("TOYS",)
