"""Drivers and the model of all series: what they recover, that they see nothing of the future, and how they add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.forecasting.domain.measures import Granularity
from services.forecasting.domain.seasons import RHYTHMS
from services.forecasting.learning import boosting
from services.forecasting.learning.explanation import ADJUSTMENT
from services.forecasting.learning.histories import FloatArray
from services.forecasting.learning.lagged import CALENDAR, LEVEL, SEASON, Known, Panel, Rows, ahead
from services.forecasting.learning.panel import SeriesForecast, forecast_panel
from services.forecasting.learning.what_if import difference

HORIZON = 14
WEEK = np.array([1.0, 1.0, 1.1, 1.2, 1.5, 1.8, 0.6])


def known_days(count: int, length: int, drivers: FloatArray, names: tuple[str, ...] = ("promotion",)) -> Known:
    """What is known of ``count`` series of days."""
    dates = (np.arange(length + HORIZON) % 7).astype(np.float64)[:, None]
    return Known(RHYTHMS[Granularity.DAY], dates, drivers, names, np.zeros((count, 0), dtype=np.int64))


def shops(count: int, length: int, uplift: float, seed: int = 4) -> tuple[list[FloatArray], FloatArray, FloatArray]:
    """Daily sales that a promotion lifts by a share of what they are, the promotions, and the sales to come."""
    random = np.random.default_rng(seed)
    promotions = (random.random((count, length + HORIZON)) < 0.25).astype(np.float64)
    level = random.uniform(80, 400, (count, 1))
    mean = level * WEEK[np.arange(length + HORIZON) % 7] * (1 + uplift * promotions)
    sales = mean * random.gamma(100.0, 0.01, mean.shape)
    return list(sales[:, :length]), promotions[:, :, None], sales[:, length:]


def test_the_uplift_of_promotions_is_recovered_from_one_series() -> None:
    series, promotions, _ = shops(1, 420, uplift=0.5)
    [found] = forecast_panel(series, 7, HORIZON, known=known_days(1, 420, promotions)).series
    assert found.response is not None
    share = found.response.regression_weight + found.response.boosting_weight
    assert share == pytest.approx(1.0)
    all_days = difference(found.response, np.ones((HORIZON, 1)), ()).mean
    no_days = difference(found.response, np.zeros((HORIZON, 1)), ()).mean
    usual = series[0].mean() / 1.125
    assert found.response.coefficients[0] / usual == pytest.approx(0.5, abs=0.05)
    assert (all_days - no_days).mean() == pytest.approx(
        found.response.regression_weight * found.response.coefficients[0]
    )


def test_the_uplift_of_all_series_together_is_recovered_by_the_model_of_all_series() -> None:
    series, promotions, _ = shops(16, 120, uplift=0.5)
    known = known_days(16, 120, promotions)
    panel = Panel(series, known)
    model = boosting.fit(panel, 120, HORIZON)
    assert model is not None
    with_it, without = (
        boosting.forecast(
            model,
            Panel(series, known_days(16, 120, np.concatenate([promotions[:, :120], ahead], axis=1))),
            np.full(16, 120),
            np.arange(16),
            HORIZON,
        )
        for ahead in (np.ones((16, HORIZON, 1)), np.zeros((16, HORIZON, 1)))
    )
    assert with_it.sum() / without.sum() - 1 == pytest.approx(0.5, abs=0.08)


def test_drivers_make_forecasts_better_where_they_matter_and_are_chosen_there() -> None:
    series, promotions, came = shops(12, 160, uplift=0.8)
    without = forecast_panel(series, 7, HORIZON).series
    found = forecast_panel(series, 7, HORIZON, known=known_days(12, 160, promotions)).series
    assert _error(found, came) < 0.5 * _error(without, came)
    chosen = [one.weights.get("driver_regression", 0.0) + one.weights.get("gradient_boosting", 0.0) for one in found]
    assert min(chosen) > 0.9
    covered = np.mean([one.coverage[79] for one in found if one.coverage is not None])
    assert covered == pytest.approx(0.8, abs=0.05)


def _error(found: list[SeriesForecast], came: FloatArray) -> float:
    return float(np.abs(np.stack([one.points for one in found]) - came).sum() / came.sum())


def test_parts_add_up_to_the_forecast_and_promotions_take_the_place_of_noise() -> None:
    series, promotions, _ = shops(6, 140, uplift=0.6)
    series[3][-40:] = 0.0  # cut off at zero there, at times
    found = forecast_panel(series, 7, HORIZON, known=known_days(6, 140, promotions)).series
    for one in found:
        assert set(one.parts) <= {LEVEL, SEASON, CALENDAR, "promotion", ADJUSTMENT}
        assert sum(one.parts.values()) == pytest.approx(one.points, rel=1e-12, abs=1e-9)
    first = found[0]
    on = promotions[0, 140:, 0] > 0
    adds = first.parts["promotion"]
    usual = series[0].mean() / 1.15
    assert (adds[on].mean() - adds[~on].mean()) / usual == pytest.approx(0.6, abs=0.15)


def test_parts_of_reconciled_forecasts_add_up_too() -> None:
    series, promotions, _ = shops(4, 120, uplift=0.5)
    whole = [sum(series[1:], series[0]), *series]
    drivers = np.concatenate([promotions.mean(axis=0, keepdims=True), promotions])
    parents = np.array([-1, 0, 0, 0, 0])
    found = forecast_panel(whole, 7, HORIZON, parents=parents, known=known_days(5, 120, drivers)).series
    assert found[0].points == pytest.approx(sum(one.points for one in found[1:]))
    for one in found:
        assert sum(one.parts.values()) == pytest.approx(one.points, rel=1e-12, abs=1e-9)


def test_the_contributions_of_trees_add_up_to_what_the_trees_predict() -> None:
    series, promotions, _ = shops(10, 120, uplift=0.5)
    panel = Panel(series, known_days(10, 120, promotions))
    model = boosting.fit(panel, 120, HORIZON)
    assert model is not None
    features = boosting.matrix(panel, ahead(np.arange(10), np.full(10, 120), HORIZON))
    assert model.contributions(features).sum(axis=1) == pytest.approx(model.predict(features), abs=1e-9)


def test_the_same_data_give_the_same_trees() -> None:
    series, promotions, _ = shops(10, 120, uplift=0.5)
    models = [boosting.fit(Panel(series, known_days(10, 120, promotions)), 120, HORIZON) for _ in range(2)]
    first, second = (model.booster.model_to_string() for model in models if model)
    assert first == second


@settings(max_examples=25, deadline=None)
@given(
    granularity=st.sampled_from(list(Granularity)),
    origin=st.integers(3, 118),
    step=st.integers(1, 80),
    seed=st.integers(0, 10),
)
def test_nothing_after_an_origin_changes_what_is_seen_from_it(
    granularity: Granularity, origin: int, step: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    before = random.gamma(2.0, 50.0, (3, 120))
    after = before.copy()
    after[:, origin + 1 :] *= random.uniform(0.0, 9.0, after[:, origin + 1 :].shape)
    drivers, groups = random.random((3, 200, 2)), np.array([[0], [1], [1]])
    known = Known(RHYTHMS[granularity], random.random((200, 3)), drivers, ("a", "b"), groups)
    rows = Rows(np.arange(3), np.full(3, origin), np.full(3, step))
    seen = [Panel(list(values), known) for values in (before, after)]
    np.testing.assert_array_equal(boosting.matrix(seen[0], rows), boosting.matrix(seen[1], rows))
    np.testing.assert_array_equal(seen[0].base(rows), seen[1].base(rows))
    np.testing.assert_array_equal(seen[0].levels(rows), seen[1].levels(rows))
    np.testing.assert_array_equal(seen[0].year_ago(rows), seen[1].year_ago(rows))
    np.testing.assert_array_equal(seen[0].growth(rows), seen[1].growth(rows))


def test_figures_after_the_end_of_training_change_no_model() -> None:
    series, promotions, _ = shops(10, 150, uplift=0.5)
    other = [np.concatenate([one[:120], one[120:][::-1] * 3]) for one in series]
    known = known_days(10, 150, promotions)
    models = [boosting.fit(Panel(some, known), 120, HORIZON) for some in (series, other)]
    first, second = (model.booster.model_to_string() for model in models if model)
    assert first == second


def test_a_driver_that_never_changed_moves_nothing() -> None:
    series, promotions, _ = shops(1, 120, uplift=0.0)
    constant = np.full_like(promotions, 3.0)
    [found] = forecast_panel(series, 7, HORIZON, known=known_days(1, 120, constant)).series
    assert found.response is not None
    assert found.response.coefficients[0] == 0
    assert np.isfinite(found.points).all()


def test_the_same_drivers_change_nothing_and_that_is_sure() -> None:
    series, promotions, _ = shops(2, 140, uplift=0.8)
    known = known_days(2, 140, promotions)
    found = forecast_panel(series, 7, HORIZON, known=known).series[0]
    assert found.response is not None
    same = difference(found.response, promotions[0, 140:], ())
    assert not same.mean.any()
    assert not same.deviation.any()


def test_what_was_a_year_ago_is_trusted_where_the_backtest_cannot_see_the_weeks_that_make_a_year() -> None:
    random = np.random.default_rng(5)
    week = np.arange(104 + HORIZON)
    season = np.where(np.isin(week % 52, (45, 46, 47, 48)), 3.0, 1.0)
    sales = random.uniform(80, 400, (10, 1)) * season * random.gamma(200.0, 0.005, (10, len(week)))
    # What is forecast begins at week 40 of the year.
    series, came = list(sales[:, 52 - 40 : 104 - 12]), sales[:, 104 - 12 : 104 - 12 + HORIZON]
    length = len(series[0])
    known = Known(
        RHYTHMS[Granularity.WEEK],
        np.zeros((length + HORIZON, 0)),
        np.zeros((10, length + HORIZON, 0)),
        (),
        np.zeros((10, 0), dtype=np.int64),
    )
    found = forecast_panel(series, 1, HORIZON, known=known).series
    assert _error(found, came) < 0.5 * _error(forecast_panel(series, 1, HORIZON).series, came)
    for one in found:
        assert sum(one.parts.values()) == pytest.approx(one.points, rel=1e-12, abs=1e-9)
