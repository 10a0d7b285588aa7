"""Each method gives the forecast that can be worked out by hand."""

import numpy as np
import pytest

from services.forecasting.learning.baselines import drift, recent_mean, seasonal_naive
from services.forecasting.learning.histories import FloatArray, Histories, join, side_by_side
from services.forecasting.learning.holt_winters import holt_winters
from services.forecasting.learning.methods import SMOOTHING_COUNT, Task, run_all
from services.forecasting.learning.regression import regression
from services.forecasting.learning.seasonality import find_season
from services.forecasting.learning.smoothing import DAMPED, HOLT, SIMPLE, smooth
from services.forecasting.learning.theta import theta

LINE: FloatArray = np.arange(100.0, 220.0, 3.0)
PATTERN = np.array([10.0, 20, 30, 40, 50, 90, 5])
WEEKS: FloatArray = np.tile(PATTERN, 8)


def alone(series: FloatArray) -> Histories:
    return side_by_side([series])[0]


def test_histories_of_unequal_length_end_together_and_the_longest_come_first() -> None:
    histories, places = side_by_side([np.ones(2), np.ones(5), np.ones(3)])
    assert places.tolist() == [2, 0, 1]
    assert histories.sizes.tolist() == [5, 3, 2]
    assert histories.begun().tolist() == [1, 1, 2, 3, 3]


def test_histories_of_one_series_are_joined_with_each_value_as_it_was_first_known() -> None:
    series = [np.array([1.0, 2]), np.array([10.0, 20, 30, 40, 50]), np.array([-10.0, -20, -30])]
    of, held_out = np.array([0, 1, 1]), np.array([0, 0, 2])
    histories, places = side_by_side(series, of, held_out)
    joined = join(histories)
    first, second = joined.histories.values.T
    assert first.tolist() == [-10, -20, -30, 40, 50]
    assert second[3:].tolist() == [1, 2]
    assert joined.histories.starts.tolist() == [0, 3]
    assert joined.column[places].tolist() == [1, 0, 0]
    assert joined.sizes[places].tolist() == [5, 5, 3]
    assert joined.earliest.tolist() == [places[2], places[0]]


def test_a_forecast_from_an_earlier_end_knows_nothing_of_what_came_later() -> None:
    random = np.random.default_rng(5)
    known = random.gamma(9.0, 10.0, 80)
    histories = [np.concatenate([known, later]) for later in (random.gamma(9.0, 90.0, 20), np.zeros(20))]
    found = []
    for whole in histories:
        together, places = side_by_side([whole, known, known[:50]], np.zeros(3, int), np.array([0, 20, 50]))
        found.append(run_all(Task(together, 7, 5, np.zeros((105, 0)), 100 - together.held_out))[0][:, places])
    assert found[0][:, 1:] == pytest.approx(found[1][:, 1:], nan_ok=True)
    assert found[0][:, 0] != pytest.approx(found[1][:, 0], nan_ok=True)


def test_the_seasonal_naive_method_repeats_the_last_season() -> None:
    assert seasonal_naive(alone(WEEKS), 7, 9)[0].tolist() == [*PATTERN, 10, 20]
    assert seasonal_naive(alone(np.array([1.0, 2.0])), 7, 3)[0].tolist() == [2, 2, 2]


def test_drift_continues_the_line_through_the_first_and_the_last_value() -> None:
    assert drift(alone(LINE), 2)[0] == pytest.approx([220, 223])


def test_the_recent_mean_is_of_what_there_is() -> None:
    assert recent_mean(alone(np.array([100.0, 1, 2, 3])), 2, 3)[0].tolist() == [2, 2]
    assert recent_mean(alone(np.array([1.0, 3.0])), 1, 10)[0].tolist() == [2]


def test_simple_smoothing_of_a_constant_is_the_constant() -> None:
    assert smooth(alone(np.full(20, 7.0)), SIMPLE).forecast(3)[0] == pytest.approx([7, 7, 7])


def test_simple_smoothing_follows_a_new_level_and_averages_noise() -> None:
    stepped = np.array([10.0] * 30 + [50.0] * 30)
    noisy: FloatArray = 10 + np.tile([1.0, -1.0], 40)
    assert smooth(alone(stepped), SIMPLE).forecast(1)[0] == pytest.approx([50], abs=0.5)
    assert smooth(alone(noisy), SIMPLE).forecast(1)[0] == pytest.approx([10], abs=0.3)


def test_holt_and_theta_continue_a_line() -> None:
    assert smooth(alone(LINE), HOLT).forecast(3)[0] == pytest.approx([220, 223, 226])


def test_theta_goes_on_with_half_the_slope_of_the_line_of_its_history() -> None:
    forecast = theta(alone(LINE), 5)[0]
    assert np.diff(forecast) == pytest.approx([1.5] * 4)
    assert forecast[0] == pytest.approx(218.5, abs=1.6)


def test_a_damped_trend_levels_off_below_the_line() -> None:
    damped = smooth(alone(LINE), DAMPED).forecast(40)[0]
    assert np.diff(damped).min() > 0
    assert np.diff(damped)[-1] < 1.0
    assert damped[-1] < LINE[-1] + 3 * 40


@pytest.mark.parametrize("level", [0.0, 1000.0])
def test_a_pure_season_is_found_and_removed(level: float) -> None:
    season = find_season(alone(WEEKS + level), 7)
    flat = season.adjust(alone(WEEKS + level)).values
    assert flat == pytest.approx(np.full_like(flat, level + PATTERN.mean()))
    assert season.restore(np.full((1, 7), level + PATTERN.mean()))[0] == pytest.approx(PATTERN + level)


def test_a_series_with_zeros_has_an_additive_season() -> None:
    season = find_season(alone(WEEKS - 5), 7)
    assert not season.multiplicative[0]
    assert season.restore(np.full((1, 7), PATTERN.mean() - 5))[0] == pytest.approx(PATTERN - 5)


def test_noise_has_no_season() -> None:
    noise = np.random.default_rng(7).normal(100, 10, 70)
    assert find_season(alone(noise), 7).factors == pytest.approx(np.ones((7, 1)))


def test_holt_winters_continues_a_season() -> None:
    assert holt_winters(alone(WEEKS), 7, 9)[0][0] == pytest.approx([*PATTERN, 10, 20])
    assert np.isnan(holt_winters(alone(WEEKS[:13]), 7, 2)[0]).all()


def test_regression_continues_a_season_and_knows_a_holiday() -> None:
    calendar = np.zeros((70 + 7, 1))
    calendar[[10, 25, 40, 55, 72]] = 1.0
    series = np.tile(PATTERN, 10) + 100 * calendar[:70, 0]
    forecast = regression(alone(series), 7, 7, calendar, np.array([70]))[0]
    expected = PATTERN + 100 * calendar[70:, 0]
    assert forecast == pytest.approx(expected, rel=0.3, abs=12)
    assert forecast[2] > PATTERN[2] + 50


def test_every_method_answers_for_every_series_whatever_the_company() -> None:
    random = np.random.default_rng(3)
    series = [random.gamma(2.0, 50.0, size) for size in (60, 31, 14)]
    together, places = side_by_side(series)
    ends = np.full(3, 60)
    calendar = np.zeros((67, 0))
    both = run_all(Task(together, 7, 7, calendar, ends))[0][:, places]
    for position, one in enumerate(series):
        single = run_all(Task(alone(one), 7, 7, calendar[60 - len(one) :], np.array([len(one)])))[0]
        assert both[:, position] == pytest.approx(single[:, 0], nan_ok=True)
    assert both.shape == (SMOOTHING_COUNT + 1, 3, 7)
