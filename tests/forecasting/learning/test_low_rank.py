"""Figures of groups without their noise: what is found in them, what is left alone, and that nothing ahead is seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.forecasting.domain.measures import Granularity
from services.forecasting.domain.seasons import RHYTHMS
from services.forecasting.learning import boosting
from services.forecasting.learning.histories import FloatArray, IntArray
from services.forecasting.learning.known_ahead import Learners
from services.forecasting.learning.lagged import CALENDAR, Known, Panel, ahead
from services.forecasting.learning.low_rank import GROUP_MIN, PERIODS_MIN, groups_large, smoothed, smoothing
from services.forecasting.learning.panel import SeriesForecast, forecast_panel

WEEKS, HORIZON, STORES, ITEMS = 104, 8, 12, 5
GROUPS = np.repeat(np.arange(ITEMS), STORES)


def known_weeks(length: int, groups: IntArray, date_count: int = 0) -> Known:
    """What is known of weeks: which series go together, and nothing else; so many dates are all zero."""
    width = length + HORIZON
    dates, drivers = np.zeros((width, date_count)), np.zeros((len(groups), width, 0))
    return Known(RHYTHMS[Granularity.WEEK], dates, drivers, (), groups.reshape(len(groups), -1))


def items_in_stores(seed: int = 3, noise: float = 0.25) -> tuple[FloatArray, FloatArray]:
    """Weekly sales of items, each with a year of its own that all stores share; without noise, and with it."""
    random = np.random.default_rng(seed)
    year = np.exp(random.normal(0, 0.4, (ITEMS, 52)))[:, np.arange(WEEKS + HORIZON) % 52]
    mean = np.repeat(year, STORES, axis=0) * np.exp(random.normal(5, 1, (ITEMS * STORES, 1)))
    return mean, mean * random.gamma(1 / noise**2, noise**2, mean.shape)


def test_what_all_of_a_group_share_comes_out_of_the_noise() -> None:
    mean, sales = items_in_stores()
    found = smoothed(sales, GROUPS)
    assert np.abs(found - mean).sum() < 0.5 * np.abs(sales - mean).sum()


panels = st.integers(0, 1_000).map(
    lambda seed: np.random.default_rng(seed).gamma(2.0, 50.0, (GROUP_MIN + seed % 7, PERIODS_MIN + seed % 60))
)


@settings(max_examples=25, deadline=None)
@given(values=panels, factor=st.floats(1e-3, 1e6), missing=st.integers(0, 40))
def test_units_and_order_do_not_matter_and_neither_gaps_nor_signs_change(
    values: FloatArray, factor: float, missing: int
) -> None:
    values[-1, : min(missing, values.shape[1] - 1)] = np.nan
    one_group = np.zeros(len(values), dtype=np.int64)
    found = smoothed(values, one_group)
    np.testing.assert_allclose(smoothed(factor * values, one_group), factor * found, rtol=1e-6, atol=1e-6 * factor)
    np.testing.assert_allclose(smoothed(values[::-1], one_group)[::-1], found, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(values))
    assert (found[np.isfinite(found)] >= 0).all()


def test_groups_that_are_too_small_and_pasts_that_are_too_short_stay_as_they_are() -> None:
    values = np.random.default_rng(1).gamma(2.0, 50.0, (2 * GROUP_MIN - 1, 60))
    groups = np.array([0] * GROUP_MIN + [1] * (GROUP_MIN - 1))
    found = smoothed(values, groups)
    assert (found[:GROUP_MIN] != values[:GROUP_MIN]).any()
    np.testing.assert_array_equal(found[GROUP_MIN:], values[GROUP_MIN:])
    short = values[:, : PERIODS_MIN - 1]
    np.testing.assert_array_equal(smoothed(short, groups), short)
    assert groups_large(groups)
    assert not groups_large(np.arange(9))


def test_series_that_never_sold_are_smoothed_to_nothing() -> None:
    assert not smoothed(np.zeros((6, 60)), np.zeros(6, dtype=np.int64)).any()


@settings(max_examples=40, deadline=None)
@given(origin=st.integers(60, 118), step=st.integers(1, 60), seed=st.integers(0, 10))
def test_nothing_after_an_origin_changes_what_a_year_ago_is_smoothed_to(origin: int, step: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    before = random.gamma(2.0, 50.0, (12, 120))
    after = before.copy()
    after[:, origin + 1 :] *= random.uniform(0.0, 9.0, after[:, origin + 1 :].shape)
    groups = np.repeat([0, 1], 6)
    seen = []
    for values in (before, after):
        panel = Panel(list(values), known_weeks(180, groups))
        panel.smoothing = smoothing(panel.values, groups, 58)
        rows = ahead(np.arange(12), np.full(12, origin + 1), step)
        seen.append((panel.year_ago(rows), panel.base(rows)))
        panel.smoothing = None
        assert (seen[-1][0] != panel.year_ago(rows)).any()
    np.testing.assert_array_equal(seen[0][0], seen[1][0])
    np.testing.assert_array_equal(seen[0][1], seen[1][1])


def test_the_attribute_that_helps_is_chosen_and_none_where_series_have_nothing_in_common() -> None:
    _, sales = items_in_stores()
    by_store = np.tile(np.arange(STORES), ITEMS)
    of_item, of_both, alone = (
        Panel(list(values[:, :WEEKS]), known_weeks(WEEKS, groups))
        for values, groups in (
            (sales, GROUPS),
            (sales, np.stack([by_store, GROUPS], axis=1)),
            (np.random.default_rng(2).gamma(2.0, 50.0, (12, WEEKS)).cumsum(axis=1), np.repeat([0, 1], 6)),
        )
    )
    for panel in (of_item, of_both, alone):
        panel.smooth([20, 14, HORIZON], HORIZON)
    assert alone.smoothing is None
    assert of_item.smoothing is not None
    assert of_both.smoothing is not None
    np.testing.assert_array_equal(of_both.smoothing.figures, of_item.smoothing.figures)


def test_forecasts_of_groups_are_better_than_of_the_same_series_without_any() -> None:
    mean, sales = items_in_stores()
    learners = Learners(boosting=False)

    def error(groups: IntArray) -> float:
        known = known_weeks(WEEKS, groups)
        found: list[SeriesForecast] = forecast_panel(
            list(sales[:, :WEEKS]), 1, HORIZON, known=known, learners=learners
        ).series
        for one in found:
            assert sum(one.parts.values()) == pytest.approx(one.points, rel=1e-9, abs=1e-6)
        return float(np.abs(np.stack([one.points for one in found]) - mean[:, WEEKS:]).sum())

    # Groups of one item each are too small.
    assert error(GROUPS) < 0.8 * error(np.arange(len(GROUPS)))


@pytest.mark.parametrize(("length", "seen"), [(104, False), (155, False), (156, True)])
def test_dates_are_seen_once_they_came_in_two_years_after_the_first(length: int, seen: bool) -> None:
    panel = Panel([np.ones(length)], known_weeks(length, np.zeros(1, dtype=np.int64), date_count=2))
    assert (CALENDAR in boosting.parts(panel)) is seen
