"""Which figures can hardly be true, and what stands in for them."""

import numpy as np
import pytest

from services.forecasting.domain.spikes import find_spikes


def test_a_figure_far_above_all_others_is_a_spike_and_has_the_median_around_it() -> None:
    history = np.arange(1.0, 31.0)
    history[12] = 13_000
    found = find_spikes(history)
    assert found is not None
    assert (found.places.tolist(), found.newest) == ([12], False)
    assert found.instead[0] == np.median([*range(6, 13), *range(14, 21)])


def test_the_newest_figure_is_told_and_left() -> None:
    history = np.full(30, 5.0)
    history[[3, 29]] = -5_000.0, 5_000.0
    assert find_spikes(history) is None  # two of thirty
    history[3] = 5.0
    found = find_spikes(history)
    assert found is not None
    assert (len(found.places), found.newest) == (0, True)


@pytest.mark.parametrize(
    "history",
    [
        np.array([1.0] * 20 + [100.0] + [1.0] * 20),  # a hundred times is not more than that
        np.array([0.0] * 50 + [900.0] + [0.0] * 50),  # nothing to compare with
        np.array([1.0] * 7 + [900.0]),
        np.array([1.0] * 40 + [900.0] * 40),  # a new level
        np.tile(np.array([1.0] * 334 + [500.0] * 31), 2),  # a season
        np.zeros(30),
        np.array([5.0]),
    ],
)
def test_what_may_be_true_is_left(history: np.ndarray) -> None:
    assert find_spikes(history) is None
