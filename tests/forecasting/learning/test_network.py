"""The network of all series: what it learns, that it sees nothing of the future, and how it takes part."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from services.forecasting.domain.measures import Granularity
from services.forecasting.domain.seasons import RHYTHMS
from services.forecasting.learning import network
from services.forecasting.learning.histories import FloatArray
from services.forecasting.learning.known_ahead import Learners, learn
from services.forecasting.learning.lagged import Known, Panel
from services.forecasting.learning.network import NetworkFitting
from services.forecasting.learning.panel import forecast_panel

HORIZON, LENGTH, COUNT = 7, 230, 24
DAILY = RHYTHMS[Granularity.DAY]
FIT = NetworkFitting(steps=300)
SERIES = np.arange(COUNT)


def known(count: int = COUNT, length: int = LENGTH) -> Known:
    """Nothing but the rhythm of days."""
    width = length + HORIZON
    return Known(DAILY, np.zeros((width, 0)), np.zeros((count, width, 0)), (), np.zeros((count, 0), dtype=np.int64))


def waves(count: int = COUNT, length: int = LENGTH, seed: int = 1) -> tuple[list[FloatArray], FloatArray]:
    """Series with a week, and a wave of 18 days that no other method looks for; and how they go on."""
    random = np.random.default_rng(seed)
    day = np.arange(length + HORIZON)
    size, phase = random.uniform(10, 1000, (count, 1)), random.uniform(0, 2 * np.pi, (count, 1))
    mean = 5 + np.sin(2 * np.pi * day / 18 + phase) + 0.5 * (day % 7 == 5)
    sales = size * (mean + random.normal(0, 0.1, mean.shape))
    return list(sales[:, :length]), sales[:, length:]


@pytest.fixture(scope="module")
def fitted() -> network.Network:
    """A network of all but the last week."""
    found = FIT(Panel(waves()[0], known()), LENGTH - HORIZON, HORIZON)
    assert found is not None
    return found


def test_it_learns_what_the_series_have_in_common(fitted: network.Network) -> None:
    panel = Panel(waves()[0], known())
    came = panel.values[:, -HORIZON:]
    error = np.abs(fitted.forecast(panel, np.full(COUNT, LENGTH - HORIZON), SERIES) - came).mean(axis=1)
    week_ago = np.abs(panel.values[:, -2 * HORIZON : -HORIZON] - came).mean(axis=1)
    assert (error < 0.5 * week_ago).mean() > 0.9


def test_it_knows_nothing_of_what_came_after_its_end_and_is_the_same_again(fitted: network.Network) -> None:
    series, _ = waves()
    other = [np.concatenate([one[:-HORIZON], one[-HORIZON:] * 9]) for one in series]
    ends = np.full(COUNT, LENGTH - HORIZON)
    again = FIT(Panel(other, known()), LENGTH - HORIZON, HORIZON)
    assert again is not None
    np.testing.assert_array_equal(
        fitted.forecast(Panel(series, known()), ends, SERIES), again.forecast(Panel(other, known()), ends, SERIES)
    )


def test_it_is_chosen_by_its_errors_and_taken_apart(fitted: network.Network) -> None:
    calls: list[tuple[int, bool]] = []

    def fit(panel: Panel, end: int, horizon: int, before: object) -> network.Network:
        calls.append((end, before is not None))
        return fitted

    series, came = waves()
    # One network, of the first origin, stands for those of all: fitting is tested above.
    early = replace(known(), rhythm=replace(DAILY, year=0))
    without = forecast_panel(series, 7, HORIZON, known=early, learners=Learners(boosting=False)).series
    found = forecast_panel(series, 7, HORIZON, known=early, learners=Learners(boosting=False, network=fit)).series
    assert calls[-1] == (LENGTH, True)
    assert [end for end, _ in calls] == sorted(end for end, _ in calls)
    assert 2 <= len(calls) <= 4
    assert np.mean([one.weights.get("neural_network", 0.0) for one in found]) > 0.5
    assert _error(found, came) < _error(without, came)
    for one in found:
        np.testing.assert_allclose(sum(one.parts.values()), one.points, rtol=1e-9)
        assert one.parts["season"].any()


def test_panels_that_are_too_small_and_histories_that_are_too_short_have_none(fitted: network.Network) -> None:
    few, _ = waves(network.SERIES_MIN - 1)
    assert FIT(Panel(few, known(len(few))), LENGTH, HORIZON) is None
    short = [one[-70:] for one in waves()[0]]
    assert FIT(Panel(short, known(length=70)), 70, HORIZON) is None
    mixed = [*waves()[0][1:], waves()[0][0][-40:]]
    said = fitted.forecast(Panel(mixed, known()), np.full(COUNT, LENGTH), SERIES)
    assert np.isfinite(said[:-1]).all()
    assert np.isnan(said[-1]).all()


def test_one_that_takes_too_long_is_given_up() -> None:
    assert NetworkFitting(seconds=0.0)(Panel(waves()[0], known()), LENGTH, HORIZON) is None


def test_without_torch_forecasts_are_made_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    network.available.cache_clear()
    try:
        learnt = learn(waves()[0], known(), [0, 7, 14], HORIZON, Learners(boosting=False, network=FIT))
    finally:
        network.available.cache_clear()
    assert not learnt.networks


def test_series_that_do_not_change_and_spikes_make_no_nonsense() -> None:
    series, _ = waves()
    series[0][:] = 3.0
    series[1][:] = 0.0
    series[2][-20] *= 1000
    found = FIT(Panel(series, known()), LENGTH, HORIZON)
    assert found is not None
    said = found.forecast(Panel(series, known()), np.full(COUNT, LENGTH), SERIES)
    assert np.isfinite(said).all()
    np.testing.assert_allclose(said[0], 3.0, rtol=0.1)
    np.testing.assert_allclose(said[1], 0.0, atol=1e-6)


def _error(found: object, came: FloatArray) -> float:
    return float(np.abs(np.stack([one.points for one in found]) / came - 1).mean())  # type: ignore[attr-defined]
