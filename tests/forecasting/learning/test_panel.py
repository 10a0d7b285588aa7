"""What a forecast promises, for any series at all."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.forecasting.learning.accuracy import errors, seasonal_change, weighted_quantile_losses
from services.forecasting.learning.combination import combine, weights, weights_without_each_origin
from services.forecasting.learning.histories import FloatArray
from services.forecasting.learning.intervals import (
    PastErrors,
    calibrate,
    coverage,
    normal_quantiles,
    without_each_origin,
)
from services.forecasting.learning.panel import forecast_panel
from services.forecasting.learning.rolling_origin import origins, origins_for

values = st.one_of(st.just(0.0), st.floats(-1e6, 1e6), st.integers(0, 5).map(float))
one_series = st.lists(values, min_size=1, max_size=60).map(lambda it: np.array(it, dtype=np.float64))


@settings(max_examples=60, deadline=None)
@given(st.lists(one_series, min_size=1, max_size=4), st.sampled_from([1, 4, 7]), st.integers(1, 10))
def test_a_forecast_is_finite_and_its_intervals_nest_and_narrow_only_for_smaller_forecasts(
    series: list[FloatArray], period: int, horizon: int
) -> None:
    found = forecast_panel(series, period, horizon).series
    assert len(found) == len(series)
    for one, forecast in zip(series, found, strict=True):
        assert forecast.points.shape == forecast.scale.shape == (horizon,)
        assert np.isfinite(forecast.points).all()
        assert np.isfinite(forecast.scale).all()
        assert np.isfinite(forecast.quantiles).all()
        assert (np.diff(forecast.quantiles) >= -1e-12).all()
        # Further ahead, a forecast that is no smaller has no narrower interval.
        wider = forecast.scale[None, :] - forecast.scale[:, None] >= -1e-9 * forecast.scale.max(initial=1)
        further = np.triu(np.ones_like(wider)) > 0
        no_smaller = np.abs(forecast.points[None, :]) >= np.abs(forecast.points[:, None])
        assert wider[further & (no_smaller | (one.min() < 0))].all()
        assert forecast.scale.min() >= 0
        assert sum(forecast.weights.values()) == pytest.approx(1)
        if one.min() >= 0:
            assert forecast.points.min() >= 0
        if forecast.coverage is not None:
            assert ((forecast.coverage >= 0) & (forecast.coverage <= 1)).all()


def test_one_observation_is_repeated_with_an_interval_as_wide_as_itself() -> None:
    [found] = forecast_panel([np.array([50.0])], 1, 3).series
    assert found.points.tolist() == [50, 50, 50]
    assert 50 <= found.scale[0] < 75
    assert (found.origin_count, found.accuracy) == (0, None)


def test_a_series_of_zeros_stays_zero() -> None:
    [found] = forecast_panel([np.zeros(40)], 7, 5).series
    assert not found.points.any()
    assert not found.scale.any()
    assert found.accuracy is not None
    assert (found.accuracy.wape, found.accuracy.mase, found.accuracy.rmse) == (None, None, 0.0)


def test_an_intermittent_series_is_forecast_by_its_rate_and_not_by_zero() -> None:
    random = np.random.default_rng(5)
    sold = np.where(random.random(200) < 0.25, 8.0, 0.0)
    [found] = forecast_panel([sold], 7, 14).series
    assert found.points.mean() == pytest.approx(2.0, rel=0.4)


def test_a_trend_and_a_season_are_continued() -> None:
    time = np.arange(140.0)
    series = 500 + 2 * time + 80 * np.sin(2 * np.pi * time / 7)
    ahead = np.arange(140.0, 154.0)
    [found] = forecast_panel([series], 7, 14).series
    assert found.points == pytest.approx(500 + 2 * ahead + 80 * np.sin(2 * np.pi * ahead / 7), rel=0.03)


def test_intervals_hold_about_as_often_as_they_claim() -> None:
    random = np.random.default_rng(11)
    walks = 1000 + np.cumsum(random.normal(0, 5, (60, 128)), axis=1) + random.normal(0, 20, (60, 128))
    found = forecast_panel(list(walks[:, :120]), 1, 8).series
    for level, low, high in ((80, 0.72, 0.92), (95, 0.90, 0.995)):
        held = [
            np.abs(walk[120:] - one.points) <= one.scale * one.quantiles[level - 1]
            for walk, one in zip(walks, found, strict=True)
        ]
        assert low < np.mean(held) < high
        claimed = np.mean([one.coverage[level - 1] for one in found if one.coverage is not None])
        assert low < claimed < high


def test_the_past_that_a_backtest_sees_ends_at_its_origin() -> None:
    """A level that no origin could foresee is in no backtest forecast, so its errors are as large as the step."""
    series = np.concatenate([np.full(60, 10.0), np.full(8, 1000.0)])
    [found] = forecast_panel([series], 1, 8).series
    assert found.accuracy is not None
    assert found.accuracy.rmse > 200


def test_origins_leave_a_history_and_do_not_all_fall_on_one_weekday() -> None:
    assert origins(52, 1, 8)[0] == 8
    assert 52 - max(origins(52, 1, 8)) >= 16
    daily = origins(365, 7, 56)
    assert len(daily) == 12
    assert len({cut % 7 for cut in daily}) > 3
    assert origins(5, 1, 8) == []
    assert origins(10, 1, 8) == [1, 2, 3, 4]


def test_short_series_beside_long_ones_have_origins_too() -> None:
    assert origins_for([1000] * 20, 52, 13, 52) == origins(1000, 52, 13, 52)
    cuts = origins_for([67] * 4 + [1000] * 16, 52, 13, 52)
    assert cuts[0] == 13
    assert len(cuts) <= 12
    assert sum(67 - cut >= 6 for cut in cuts) >= 4
    assert max(cuts) > 700


def test_intervals_of_short_series_beside_long_ones_hold_about_as_often_as_they_claim() -> None:
    random = np.random.default_rng(7)
    walks = [1000 + np.cumsum(random.normal(0, 5, 68 if number < 80 else 608)) for number in range(160)]
    found = forecast_panel([walk[:-8] for walk in walks], 1, 8).series
    held = [
        np.abs(walk[-8:] - one.points) <= one.scale * one.quantiles[79] for walk, one in zip(walks, found, strict=True)
    ]
    # Over many such panels .76 ± .035 and .86 ± .03: the scores of both kinds have their quantiles together.
    assert 0.65 < np.mean(held[:80]) < 0.9
    assert 0.75 < np.mean(held[80:]) < 0.95


def _errors_of(residuals: FloatArray, forecasts: FloatArray | None = None, apart: int = 100) -> PastErrors:
    """Of series that vary by 10, at origins that lie so many periods ``apart``."""
    count, origins, _ = residuals.shape
    sizes = np.full_like(residuals, 100.0) if forecasts is None else forecasts
    held_out = residuals.shape[2] + apart * np.arange(origins)
    return PastErrors(residuals, sizes, held_out, np.full(count, 10.0), np.ones(count, dtype=np.bool_))


def test_errors_of_large_forecasts_make_their_intervals_wider() -> None:
    random = np.random.default_rng(4)
    sizes = np.where(np.arange(4) < 2, 20.0, 180.0) * np.ones((40, 12, 4))
    found = calibrate(_errors_of(random.normal(0, 0.1, sizes.shape) * sizes, sizes), sizes[:, 0])
    assert 7 < (found.scale[:, 3] / found.scale[:, 0]).mean() < 11
    signed = replace(_errors_of(random.normal(0, 10, sizes.shape), sizes), sized=np.zeros(40, dtype=np.bool_))
    assert calibrate(signed, sizes[:, 0]).scale[:, 3] == pytest.approx(calibrate(signed, -sizes[:, 0]).scale[:, 3])
    alike = calibrate(_errors_of(random.normal(0, 10, sizes.shape), sizes), sizes[:, 0])
    assert (alike.scale[:, 3] / alike.scale[:, 0]).mean() < 1.3


def test_an_error_is_measured_by_origins_that_share_none_of_what_came() -> None:
    """Each series has a level shift of its own; origins a step apart see the same shift, so that they seem to foretell
    one another's errors, and nobody's to come."""
    random = np.random.default_rng(6)
    shifts = np.exp(random.normal(0, 1, (200, 12, 1)))
    together = np.repeat(shifts[:, ::6], 6, axis=1) * random.normal(0, 10, (200, 12, 8))
    near, far = (calibrate(_errors_of(together, apart=step), np.full((200, 8), 100.0)) for step in (1, 100))
    width = [float((it.scale * it.quantiles[:, 94:95]).mean()) for it in (near, far)]
    assert width[0] > 1.1 * width[1]


def test_what_held_is_counted_for_series_without_errors_and_with_one_origin_too() -> None:
    exact, off = np.zeros((2, 5, 3)), np.full((1, 1, 3), 5.0)
    assert (coverage(exact, without_each_origin(_errors_of(exact))) == 1).all()
    alone = coverage(off, without_each_origin(_errors_of(off)))
    assert alone[0, 0] == 0
    assert alone[0, -1] == 1


def test_errors_of_late_say_more_of_those_to_come_than_errors_of_long_ago() -> None:
    random = np.random.default_rng(3)
    growing = np.abs(random.normal(0, 10, (50, 12, 4))) * np.linspace(2, 1, 12)[None, :, None]
    late, early = (calibrate(_errors_of(it), np.full((50, 4), 100.0)) for it in (growing, growing[:, ::-1]))
    width = [float((it.scale * it.quantiles[:, 79:80]).mean()) for it in (late, early)]
    assert width[0] > 1.15 * width[1]


def test_weights_go_to_the_better_method_and_sum_to_one() -> None:
    losses = np.array([[[1.0, 1.2, 0.9, 1.1]], [[9.0, 8.0, 9.5, 9.0]], [[np.nan] * 4]])
    found = weights(losses)
    assert found[:, 0].sum() == pytest.approx(1)
    assert found[0, 0] > 0.95
    assert found[2, 0] == 0
    assert not weights(np.full((3, 2, 0), np.nan)).any()


def test_the_weights_of_an_origin_are_found_without_its_losses() -> None:
    losses = np.array([[[1.0, 1.0, 50.0]], [[2.0, 2.0, 0.001]]])
    found = weights_without_each_origin(losses)
    assert found[0, 0, 2] > 0.8
    assert found[0, 0, 0] < 0.5


def test_a_method_without_a_forecast_leaves_its_weight_to_the_others() -> None:
    forecasts = np.array([[[10.0, 10.0]], [[np.nan, 20.0]]])
    assert combine(forecasts, np.array([[0.5], [0.5]])).tolist() == [[10.0, 15.0]]


def test_errors_are_those_of_their_definitions() -> None:
    found = errors(np.array([12.0, 8.0, np.nan]), np.array([10.0, 10.0, 5.0]), 4.0)
    assert found.wape == pytest.approx(4 / 20)
    assert found.mase == pytest.approx(2 / 4)
    assert found.rmse == pytest.approx(2)
    assert found.bias == pytest.approx(0)
    assert found.smape == pytest.approx((200 * 2 / 22 + 200 * 2 / 18) / 2)
    assert seasonal_change(np.array([1.0, 2, 3, 5]), 2) == pytest.approx(2.5)
    assert seasonal_change(np.array([1.0, 4]), 7) == 3
    assert seasonal_change(np.array([1.0]), 7) == 0


def test_a_quantile_loss_is_that_of_its_definition() -> None:
    forecasts, actuals = np.array([[[10.0, 10.0, 10.0]]] * 2), np.array([[[12.0, 30.0, np.nan]], [[0.0, 0.0, 0.0]]])
    found = weighted_quantile_losses(forecasts, actuals, np.full((2, 1, 3), 15.0), np.zeros(2))
    low, middle, high = (0.1 * 12 + 0.1 * 30), (0.5 * 2 + 0.5 * 20), (0.1 * 13 + 0.9 * 5)
    assert found[0] == pytest.approx(2 / 3 * (low + middle + high) / 42)
    assert np.isnan(found[1])


def test_a_backtest_has_the_quantile_loss_of_its_intervals_beside_that_of_the_seasonal_naive_method() -> None:
    random = np.random.default_rng(3)
    noise, steady = 100 + random.normal(0, 10, 150), np.full(60, 5.0)
    first, second = forecast_panel([noise, steady], 7, 14).series
    assert first.accuracy is not None
    assert first.seasonal_naive is not None
    assert first.accuracy.wql is not None
    assert first.seasonal_naive.wql is not None
    assert first.accuracy.wql < first.seasonal_naive.wql
    # Of a normal error the loss of the best quantiles is 2 / 3 * (.3989 + 2 * .1755) of its deviation.
    assert first.accuracy.wql == pytest.approx(0.05, rel=0.25)
    assert second.accuracy is not None
    assert second.accuracy.wql == pytest.approx(0)


def test_without_residuals_intervals_are_those_of_a_normal_error() -> None:
    found = calibrate(_errors_of(np.full((1, 0, 4), np.nan)), np.full((1, 4), 100.0))
    assert found.quantiles[0] == pytest.approx(normal_quantiles())
    assert np.diff(found.scale[0]).min() > 0
