"""Reconciled forecasts add up, and are the least squares estimate that the paper's matrices give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.forecasting.learning.panel import forecast_panel
from services.forecasting.learning.reconciliation import ROOT, reconcile, togetherness

UNBOUNDED = -np.inf
Floats = NDArray[np.float64]


@st.composite
def trees(draw: st.DrawFn) -> NDArray[np.int64]:
    """The places of wholes: each series is a part of one that comes before it."""
    count = draw(st.integers(1, 12))
    return np.array([ROOT, *(draw(st.integers(0, each)) for each in range(count - 1))], dtype=np.int64)


def leaves_of(parents: NDArray[np.int64]) -> list[int]:
    return [series for series in range(len(parents)) if series not in parents]


def summing(parents: NDArray[np.int64]) -> Floats:
    """The matrix S of the paper: series by leaves."""
    leaves = leaves_of(parents)
    matrix = np.zeros((len(parents), len(leaves)))
    for column, leaf in enumerate(leaves):
        series = leaf
        while series != ROOT:
            matrix[series, column] = 1
            series = int(parents[series])
    return matrix


@given(trees(), st.integers(0, 2**32 - 1))
def test_it_is_minimum_trace_reconciliation(parents: NDArray[np.int64], seed: int) -> None:
    random = np.random.default_rng(seed)
    forecasts, variances = random.normal(10, 5, len(parents)), random.uniform(0.1, 10, len(parents))
    s = summing(parents)
    weighted = s.T / variances
    expected = s @ np.linalg.solve(weighted @ s, weighted @ forecasts)
    floor = np.full(len(parents), UNBOUNDED)
    np.testing.assert_allclose(reconcile(forecasts, variances, parents, floor), expected, rtol=1e-6, atol=1e-6)


@given(trees(), st.integers(0, 2**32 - 1))
def test_wholes_are_their_parts_and_nothing_is_below_the_floor(parents: NDArray[np.int64], seed: int) -> None:
    random = np.random.default_rng(seed)
    forecasts, variances = random.normal(0, 5, (len(parents), 3)), random.uniform(0.1, 10, (len(parents), 3))
    forecasts[1:][random.random((len(parents) - 1, 3)) < 0.2] = np.nan
    found = reconcile(forecasts, variances, parents, np.zeros(len(parents)))
    assert np.nanmin(found) >= 0
    for whole in set(parents.tolist()) - {ROOT}:
        parts = found[parents == whole]
        some = np.isfinite(parts).any(axis=0)
        np.testing.assert_allclose(found[whole][some], np.nansum(parts, axis=0)[some], rtol=1e-9)


def test_what_is_surer_moves_less() -> None:
    found = reconcile(
        np.array([12.0, 4.0, 4.0]), np.array([1.0, 1.0, 2.0]), np.array([ROOT, 0, 0]), np.full(3, UNBOUNDED)
    )
    assert found == pytest.approx([11.0, 5.0, 6.0])


def test_parts_that_err_together_say_less_about_their_whole() -> None:
    parents = np.array([ROOT, 0, 0])
    same, opposite = np.array([[0.0], [1.0], [1.0]]), np.array([[0.0], [1.0], [-0.5]])
    assert togetherness(same, parents) == pytest.approx([2.0, 1.0, 1.0])
    assert togetherness(opposite, parents)[0] == pytest.approx(0.25 / 1.25)
    forecasts, variances, floor = np.array([12.0, 4.0, 4.0]), np.ones(3), np.full(3, UNBOUNDED)
    apart = reconcile(forecasts, variances, parents, floor)
    together = reconcile(forecasts, variances, parents, floor, togetherness(same, parents))
    assert together[0] > apart[0]


def test_a_part_that_was_not_sold_yet_stays_unknown() -> None:
    found = reconcile(np.array([12.0, 4.0, np.nan]), np.ones(3), np.array([ROOT, 0, 0]), np.zeros(3))
    assert found[:2] == pytest.approx([8.0, 8.0])
    assert np.isnan(found[2])


def test_forecasts_of_a_panel_add_up_and_are_no_worse_for_the_whole() -> None:
    random = np.random.default_rng(1)
    weeks = np.arange(150)
    parts = [50 + 10 * n + 8 * np.sin(weeks / 52 * 2 * np.pi + n) + random.normal(0, 6, 150) for n in range(6)]
    series = [np.sum(parts, axis=0), *parts]
    parents = np.array([ROOT, *[0] * 6])
    apart = forecast_panel(series, 52, 8).series
    together = forecast_panel(series, 52, 8, parents=parents).series
    np.testing.assert_allclose(together[0].points, np.sum([one.points for one in together[1:]], axis=0), rtol=1e-12)
    assert together[0].accuracy
    assert apart[0].accuracy
    assert together[0].accuracy.rmse <= apart[0].accuracy.rmse * 1.05
