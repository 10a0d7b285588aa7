"""What a forecast's history is, and what is stored of it."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from services.common.store import Store, open_store
from services.forecasting.adapters.store import COLLECTIONS, StoredForecasts
from services.forecasting.app import Settings
from services.forecasting.domain.caveats import caveats
from services.forecasting.domain.customers import Histories
from services.forecasting.domain.drivers import Driver
from services.forecasting.domain.forecasts import Forecast, PanelKey, describe
from services.forecasting.domain.holidays import HolidayCalendar
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.periods import DAY, Periods, WindowInvalid
from services.forecasting.domain.series import Extent, Selection, Sums
from services.forecasting.handlers.fit_panel import PanelFitting, fit_panel
from services.forecasting.ports import Status
from tests.forecasting.conftest import instant

NOW = instant("2026-11-20")
DAILY = PanelKey(Measure.SALES, Dimension.CATEGORY, Granularity.DAY, 7)


def clock() -> datetime:
    return NOW


class GivenLines:
    """The port ``Lines`` over figures that a test gives: category, time, amount."""

    def __init__(self, rows: Sequence[tuple[str, datetime, float]], currencies: tuple[str, ...] = ("USD",)) -> None:
        self._rows = [(value, int(time.timestamp() * 1e6), amount) for value, time, amount in rows]
        self._currencies = currencies

    async def status(self, tenant: str) -> Status:
        return Status("", len(self._rows), len(self._rows), None)

    async def extent(self, tenant: str, selection: Selection | None = None) -> Extent | None:
        times = [time for _, time, _ in self._rows]
        return Extent(min(times), max(times), self._currencies) if times else None

    async def sums(self, tenant: str, selection: Selection, periods: Periods) -> Sums:
        total = selection.dimension is Dimension.TOTAL
        inside = [row for row in self._rows if periods.starts[0] <= row[1] < periods.end]
        return Sums(
            ["" if total else value for value, _, _ in inside],
            np.array([periods.buckets.of(time) for _, time, _ in inside], dtype=np.int64),
            np.array([amount for _, _, amount in inside]),
        )

    async def listed(self, tenant: str, selection: Selection, periods: Periods) -> Sums:
        raise NotImplementedError("no test here has a driver that is made of orders")

    async def values(
        self, tenant: str, dimension: Dimension, limit: int, selection: Selection | None = None
    ) -> list[tuple[str, int]]:
        values = [value for value, _, _ in self._rows]
        return [(value, values.count(value)) for value in dict.fromkeys(values)][:limit]

    async def categories(self, tenant: str) -> dict[str, str]:
        raise NotImplementedError("no test here has a hierarchy with products")

    async def histories(
        self, tenant: str, currency: str, until: int, end: int, customer_ids: Sequence[str] | None = None
    ) -> Histories:
        raise NotImplementedError("forecasts of series ask for no customers")


@pytest.fixture
async def store(configure: Callable[..., Any]) -> AsyncIterator[Store]:
    async with open_store(configure(Settings), COLLECTIONS) as opened:
        yield opened


class NoDrivers:
    """A tenant without drivers and without holidays of its own."""

    async def all(self, tenant: str) -> list[Driver]:
        return []

    async def calendar(self, tenant: str) -> HolidayCalendar:
        return HolidayCalendar()


def given(lines: GivenLines, store: Store) -> PanelFitting:
    return PanelFitting(lines, StoredForecasts(store), NoDrivers(), clock)  # type: ignore[arg-type]


def daily(value: str, begin: str, amounts: Sequence[float]) -> list[tuple[str, datetime, float]]:
    return [(value, instant(begin) + timedelta(days=day, hours=12), amount) for day, amount in enumerate(amounts)]


async def fit(store: Store, rows: Sequence[tuple[str, datetime, float]], key: PanelKey = DAILY) -> dict[str, Forecast]:
    fitted, _ = await fit_panel(given(GivenLines(rows), store), "acme", key)
    return {forecast.key.value: forecast for forecast in fitted}


async def test_the_open_day_is_no_history_but_the_first_day_that_is_forecast(store: Store) -> None:
    found = await fit(store, daily("FOOD", "2026-03-02", [100.0] * 30 + [1.0]))
    assert found["FOOD"].history_count == 30
    assert found["FOOD"].values == pytest.approx([100.0] * 7)
    assert found["FOOD"].starts[0] == found["FOOD"].history_end


async def test_a_series_begins_with_its_own_first_order(store: Store) -> None:
    rows = daily("FOOD", "2026-03-02", [100.0] * 40) + daily("NEW", "2026-04-01", [5.0] * 10)
    found = await fit(store, rows)
    assert found["FOOD"].history_count == 39
    assert found["NEW"].history_count == 9
    assert found["NEW"].history_start == found["FOOD"].history_start + 30 * DAY


async def test_a_first_week_that_orders_enter_in_its_midst_is_left_out(store: Store) -> None:
    weekly = PanelKey(Measure.SALES, Dimension.TOTAL, Granularity.WEEK, 4)
    found = await fit(store, daily("FOOD", "2026-03-04", [10.0] * 90), weekly)
    assert found[""].history_start == int(instant("2026-03-09").timestamp() * 1e6)
    assert found[""].values == pytest.approx([70.0] * 4)
    assert "a yearly season is not in the forecast" in found[""].warnings[-1]


async def test_each_fit_is_the_next_version_and_is_read_back_as_it_was(store: Store) -> None:
    rows = daily("FOOD", "2026-03-02", [float(day % 7) for day in range(60)])
    first = await fit(store, rows)
    second = await fit(store, rows)
    assert (first["FOOD"].version, second["FOOD"].version) == (1, 2)
    stored = await StoredForecasts(store).get_many("acme", [second["FOOD"].key])
    assert stored == {second["FOOD"].key: second["FOOD"]}
    assert await StoredForecasts(store).get_many("other", [second["FOOD"].key]) == {}


async def test_a_moment_of_the_past_has_the_forecast_that_was_made_then(store: Store) -> None:
    random = np.random.default_rng(8)
    rows = daily("FOOD", "2026-03-02", (100 + 10 * random.normal(size=80)).tolist())
    rows += daily("LATER", "2026-05-01", [7.0] * 20)
    made = (await fit(store, rows[:51]))["FOOD"]
    then = replace(DAILY, as_of=int(instant("2026-04-21").timestamp() * 1e6))
    again = await fit(store, rows, then)
    assert list(again) == ["FOOD"]
    assert again["FOOD"] == replace(made, key=again["FOOD"].key)
    newest = (await fit(store, rows))["FOOD"]
    assert (newest.version, newest.history_count) == (2, 79)
    stored = await StoredForecasts(store).get_many("acme", [newest.key, again["FOOD"].key])
    assert stored == {newest.key: newest, again["FOOD"].key: again["FOOD"]}
    assert await fit(store, rows, replace(DAILY, as_of=int(instant("2026-03-01").timestamp() * 1e6))) == {}
    with pytest.raises(WindowInvalid, match="leave the moment out"):
        await fit(store, rows, replace(DAILY, as_of=int(instant("2026-06-01").timestamp() * 1e6)))


async def test_a_spike_is_replaced_with_a_warning_that_names_its_day(store: Store) -> None:
    random = np.random.default_rng(4)
    usual = (100 + 10 * random.normal(size=90)).tolist()
    wrong = [1000 * it if day == 87 else it for day, it in enumerate(usual)]
    found = await fit(store, daily("FOOD", "2026-03-02", wrong) + daily("TEA", "2026-03-02", usual))
    assert "The figure of 2026-05-28 is more than 100 times" in found["FOOD"].warnings[0]
    assert not found["TEA"].warnings
    assert found["FOOD"].values == pytest.approx(found["TEA"].values, rel=0.1)
    last = [1000 * it if day == 88 else it for day, it in enumerate(usual)]
    found = await fit(store, daily("FOOD", "2026-03-02", last))
    assert "The newest figure, of 2026-05-29, is more than 100 times" in found["FOOD"].warnings[0]


async def test_any_quantile_lies_between_the_ends_of_the_intervals_around_it(store: Store) -> None:
    random = np.random.default_rng(2)
    found = (await fit(store, daily("FOOD", "2026-03-02", (100 + 10 * random.normal(size=90)).tolist())))["FOOD"]
    quantiles = [found.quantile(3, each) for each in (0.005, 0.1, 0.334, 0.335, 0.336, 0.5, 0.9, 0.995)]
    assert quantiles == sorted(set(quantiles))
    for probability, level in ((0.005, 99), (0.1, 80), (0.335, 33)):
        ends = found.quantile(3, probability), found.quantile(3, 1 - probability)
        assert ends == pytest.approx(found.interval(3, level))
    assert found.quantile(3, 0.5) == found.values[3]
    assert replace(found, values=(0.0,) * 7).quantile(3, 0.1) == 0


async def test_series_without_a_complete_period_are_counted_and_left_out(store: Store) -> None:
    rows = daily("FOOD", "2026-03-02", [1.0] * 10) + daily("LATE", "2026-03-11", [1.0])
    fitted, skipped = await fit_panel(given(GivenLines(rows), store), "acme", DAILY)
    assert ([it.key.value for it in fitted], skipped) == (["FOOD"], 1)
    assert await fit_panel(given(GivenLines([]), store), "acme", DAILY) == ([], 1)
    wanted = ["A", "B"]
    assert await fit_panel(given(GivenLines([]), store), "acme", DAILY, wanted) == ([], 2)


async def test_a_series_that_went_quiet_is_forecast_as_zero_with_a_caveat(store: Store) -> None:
    hourly = PanelKey(Measure.SALES, Dimension.CATEGORY, Granularity.HOUR, 5)
    rows = daily("FOOD", "2025-11-01", [10.0] * 120) + daily("GONE", "2025-11-01", [3.0])
    found = await fit(store, rows, hourly)
    assert not any(found["GONE"].values)
    assert "periods are zero" in found["GONE"].warnings[0]


def test_caveats_name_what_is_weak_about_a_history() -> None:
    assert caveats(np.arange(1.0, 500), Granularity.DAY, 7, 12) == ()
    assert "Only one" in caveats(np.ones(1), Granularity.DAY, 1, 0)[0]
    assert "too few for a backtest" in caveats(np.ones(5), Granularity.DAY, 1, 0)[0]
    assert "only 2 origins" in caveats(np.ones(9), Granularity.DAY, 1, 2)[0]
    assert "negative" in caveats(np.array([-1.0] * 30), Granularity.DAY, 1, 9)[0]
    assert "longer than the history" in caveats(np.ones(20), Granularity.DAY, 30, 9)[0]


def test_a_model_is_described_by_its_methods_and_weights() -> None:
    assert describe({"theta": 1.0}) == "theta"
    assert describe({"theta": 0.62, "drift": 0.38}) == "theta 62 + drift 38"
