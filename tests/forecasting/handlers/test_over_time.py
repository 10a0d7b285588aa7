"""Forecasts of days, weeks and months agree, at whatever day the data end, and say whether that helped."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from services.common.clock import to_micros
from services.common.store import Store, open_store
from services.forecasting.adapters.store import COLLECTIONS, StoredForecasts
from services.forecasting.app import Settings
from services.forecasting.domain.forecasts import Forecast, PanelKey, TimeHierarchyInvalid
from services.forecasting.domain.measures import Dimension, Granularity, Measure, TimeHierarchy
from services.forecasting.domain.periods import periods_between
from services.forecasting.domain.spans import spans
from services.forecasting.handlers.fit_panel import fit_panel
from tests.forecasting.conftest import instant
from tests.forecasting.handlers.test_fit_panel import GivenLines, given

ALL = TimeHierarchy.DAY_WEEK_MONTH
KEY = PanelKey(Measure.SALES, Dimension.CATEGORY, Granularity.DAY, 2, time_hierarchy=ALL)


@pytest.fixture
async def store(configure: Callable[..., Any]) -> AsyncIterator[Store]:
    async with open_store(configure(Settings), COLLECTIONS) as opened:
        yield opened


def sales(days: int, parts: Sequence[str] = ("FOOD", "DRINK")) -> list[tuple[str, datetime, float]]:
    """Figures with a week, a month and noise, from a Wednesday on; the last day is open."""
    random = np.random.default_rng(4)
    rows = []
    for number, value in enumerate(parts):
        for day in range(days):
            time = instant("2025-01-01") + timedelta(days=day, hours=12)
            usual = 100 * (number + 1) * (1.5 if time.weekday() > 4 else 1.0) * (1.3 if time.day < 6 else 1.0)
            rows.append((value, time, float(usual * random.gamma(20, 1 / 20))))
    return rows


async def fitted(store: Store, rows: list[tuple[str, datetime, float]], key: PanelKey = KEY) -> dict[Any, Forecast]:
    found, _ = await fit_panel(given(GivenLines(rows), store), "acme", key)
    stored = await StoredForecasts(store).get_many("acme", [it.key for it in found])
    assert stored == {it.key: it for it in found}
    return {(it.key.panel.granularity, it.key.value): it for it in found}


def whole(rows: list[tuple[str, datetime, float]], days: Forecast, value: str, start: int, end: int) -> float:
    """What came from ``start`` on, and what is forecast until ``end``."""
    came = sum(amount for of, time, amount in rows if of == value and start <= to_micros(time) < days.history_end)
    inside = [it for begin, it in zip(days.starts, days.values, strict=True) if start <= begin < end]
    return came + sum(inside)


def month_after(start: int) -> int:
    return to_micros((datetime.fromtimestamp(start / 1e6, tz=ZoneInfo("UTC")) + timedelta(days=32)).replace(day=1))


@pytest.mark.parametrize("days", [395, 404])
async def test_a_week_and_a_month_are_what_came_of_them_and_the_sum_of_their_days(store: Store, days: int) -> None:
    rows = sales(days)
    found = await fitted(store, rows)
    for value in ("FOOD", "DRINK"):
        by_day = found[Granularity.DAY, value]
        weeks, months = found[Granularity.WEEK, value], found[Granularity.MONTH, value]
        assert len(months.values) == 2
        assert by_day.starts[-1] == month_after(months.starts[-1]) - 86_400_000_000
        for start, total in zip(months.starts, months.values, strict=True):
            assert total == pytest.approx(whole(rows, by_day, value, start, month_after(start)), rel=1e-12)
        for start, total in zip(weeks.starts, weeks.values, strict=True):
            assert total == pytest.approx(whole(rows, by_day, value, start, start + 7 * 86_400_000_000), rel=1e-12)
        assert by_day.starts[0] == by_day.history_end
        for it in (by_day, weeks, months):
            assert it.backtest is not None
            assert it.backtest.unreconciled is not None
            assert it.backtest.accuracy.wape != it.backtest.unreconciled.wape
            assert it.backtest.origin_count >= 4


async def test_days_say_of_the_month_what_months_cannot_know(store: Store) -> None:
    """Sales doubled within the last weeks: days have seen it, no complete month has."""
    rows = [(value, time, amount * (2 if time >= instant("2026-01-25") else 1)) for value, time, amount in sales(410)]
    found = await fitted(store, rows)
    alone = await fitted(store, rows, PanelKey(Measure.SALES, Dimension.CATEGORY, Granularity.MONTH, 2))
    assert found[Granularity.MONTH, "FOOD"].values[0] > 1.15 * alone[Granularity.MONTH, "FOOD"].values[0]


async def test_hours_and_days_agree_over_a_change_of_the_clock(store: Store) -> None:
    rows = [
        ("FOOD", instant("2026-02-02") + timedelta(hours=hour), 10.0 + hour % 24)
        for hour in range(24 * 54 + 15)  # to the 28th of March; the clock is put forward on the 29th
    ]
    key = PanelKey(
        Measure.SALES,
        Dimension.TOTAL,
        Granularity.HOUR,
        3,
        time_zone="Europe/Berlin",
        time_hierarchy=TimeHierarchy.HOUR_DAY,
    )
    found = await fitted(store, rows, key)
    hours, days = found[Granularity.HOUR, ""], found[Granularity.DAY, ""]
    ends = [*days.starts[1:], hours.starts[-1] + 3_600_000_000]
    assert 23 * 3_600_000_000 in np.diff(ends).tolist()
    as_total = [("", time, amount) for _, time, amount in rows]
    for start, end, total in zip(days.starts, ends, days.values, strict=True):
        assert total == pytest.approx(whole(as_total, hours, "", start, end), rel=1e-12)


async def test_without_a_complete_month_there_is_nothing_to_forecast(store: Store) -> None:
    found, skipped = await fit_panel(given(GivenLines(sales(20)), store), "acme", KEY)
    assert not found
    assert skipped == 6


def test_what_does_not_agree_is_refused() -> None:
    with pytest.raises(TimeHierarchyInvalid, match="active on two days"):
        PanelKey(Measure.ACTIVE_CUSTOMERS, Dimension.TOTAL, Granularity.DAY, 2, time_hierarchy=ALL)
    with pytest.raises(TimeHierarchyInvalid, match="not HOUR"):
        PanelKey(Measure.SALES, Dimension.TOTAL, Granularity.HOUR, 2, time_hierarchy=ALL)
    with pytest.raises(TimeHierarchyInvalid, match="at most 12"):
        PanelKey(Measure.SALES, Dimension.TOTAL, Granularity.DAY, 13, time_hierarchy=ALL)


def test_an_earlier_moment_is_at_the_same_place_in_its_month() -> None:
    zone = ZoneInfo("UTC")
    pasts = [
        periods_between(length, zone, to_micros(instant("2025-01-01")), to_micros(instant("2026-03-30")))
        for length in (Granularity.DAY, Granularity.MONTH)
    ]
    complete = pasts[1].__class__(Granularity.MONTH, zone, pasts[1].starts[:-1], pasts[1].keys[:-1], pasts[1].buckets)
    days, months = spans([pasts[0], complete], 1, [1, 2])
    assert months.held_out == [0, 1, 2]
    # The 31st of March, the last of February, the 31st of January: one day of the month is still to come, or none.
    assert [days.held_out[0], days.held_out[1], days.held_out[2]] == [0, 31, 59]
    assert days.counts == [1, 1, 1]
    assert [end - first for first, end in months.begun] == [30, 27, 30]
