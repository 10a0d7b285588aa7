"""Media mix: true returns come back from simulated sales, derivatives are right, and the best budget is the best."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from benchmarks.media_mix import World, simulated
from services.forecasting.learning.media_mix import MediaMix, Panel, _Problem, default_prior, fit
from services.forecasting.learning.response import Bounds, Response, best_at, best_within

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@pytest.fixture(scope="module")
def world() -> World:
    return simulated(seed=3, regions=24, periods=120, channels=6)


@pytest.fixture(scope="module")
def fitted(world: World) -> MediaMix:
    return fit(world.panel, default_prior(6))


def test_true_returns_lie_within_their_intervals(world: World, fitted: MediaMix) -> None:
    deviation = np.sqrt(np.diag(fitted.covariance))[:6]
    away = np.abs(np.log(fitted.roi) - np.log(world.roi)) / deviation
    assert fitted.converged
    assert (away < 1.645).mean() >= 4 / 6
    assert away.max() < 3.5
    assert deviation.max() < 0.7  # the data, not the prior of .9, have spoken


def test_the_parts_add_up_and_returns_are_contributions_by_spend(world: World, fitted: MediaMix) -> None:
    contributed = fitted.contributions.sum(axis=0)
    np.testing.assert_allclose(contributed / world.panel.spend.sum(axis=(0, 1)), fitted.roi, rtol=1e-9)
    np.testing.assert_allclose(fitted.fitted.sum(axis=1), world.panel.outcome.sum(axis=1), rtol=1e-9)


def test_periods_that_were_not_seen_are_expected_about_as_they_came(world: World) -> None:
    panel = world.panel
    early = fit(Panel(panel.outcome[:, :108], panel.spend[:, :108], panel.baseline[:108]), default_prior(6))
    expected = early.expected(panel.outcome, panel.spend, panel.baseline, 108)
    actual = panel.outcome[:, 108:].sum(axis=0)
    assert np.abs(expected - actual).sum() / actual.sum() < 0.1


def test_the_jacobian_is_that_of_the_model() -> None:
    world = simulated(seed=1, regions=3, periods=40, channels=2)
    problem = _Problem(world.panel, default_prior(2), 0.3)
    theta = np.array([[0.1, 0.4], [-0.3, 0.5], [0.2, -0.4]])
    point, step = problem.at(theta), 1e-6
    for index in range(6):
        moved = theta.ravel().copy()
        moved[index] += step
        slope = -(problem.at(moved.reshape(3, 2)).residual - point.residual).ravel() / step
        np.testing.assert_allclose(point.jacobian[:, index], slope, atol=1e-5)


def test_an_experiment_draws_the_return_to_what_it_found(world: World) -> None:
    prior = default_prior(6)
    prior.mean[0, 2], prior.deviation[0, 2] = np.log(5.0), 0.02
    assert fit(world.panel, prior).roi[2] == pytest.approx(5.0, rel=0.06)


def test_where_there_is_nothing_to_learn_from_the_prior_remains() -> None:
    rng = np.random.default_rng(0)
    spend = np.full((1, 30, 1), 10.0)  # it never varies: it cannot be told from the level
    panel = Panel(1000 + rng.normal(0, 10, (1, 30)), spend, np.arange(30.0)[:, None] / 30)
    found = fit(panel, default_prior(1))
    assert found.theta[0, 0] == pytest.approx(0.2, abs=0.2)
    assert np.sqrt(found.covariance[0, 0]) == pytest.approx(0.9, rel=0.25)


def _curves(ceiling: Array, half: Array) -> Response:
    return Response(ceiling[None], half[None])


@st.composite
def _plans(draw: st.DrawFn) -> tuple[Response, Bounds, float]:
    regions, channels = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    shape = (regions, channels)
    low = rng.uniform(0, 2, channels)
    bounds = Bounds(low, low + rng.uniform(0.5, 20, channels), np.zeros(shape), rng.uniform(3, 20, shape))
    share = draw(st.floats(0.02, 0.98))
    total = float(bounds.least.sum() + share * (bounds.most.sum() - bounds.least.sum()))
    return _curves(rng.uniform(1, 50, shape), rng.uniform(0.5, 20, shape)), bounds, total


@given(_plans())
def test_the_plan_adds_up_keeps_its_bounds_and_no_exchange_betters_it(plan: tuple[Response, Bounds, float]) -> None:
    response, bounds, total = plan
    spend = best_within(response, bounds, total)
    by_channel = spend.sum(axis=0)
    assert spend.sum() == pytest.approx(total, rel=1e-6)
    assert (spend >= bounds.region_low - 1e-9).all()
    assert (spend <= bounds.region_high + 1e-9).all()
    assert (by_channel >= bounds.least * (1 - 1e-6)).all()
    assert (by_channel <= bounds.most * (1 + 1e-6)).all()
    best, step = response.outcome(spend)[0].sum(), 1e-3 * total
    cells = [(r, c) for r in range(spend.shape[0]) for c in range(spend.shape[1])]
    for giver in cells:
        for taker in cells:
            moved = spend.copy()
            moved[giver] -= step
            moved[taker] += step
            sums = moved.sum(axis=0)
            if (
                (moved >= bounds.region_low).all()
                and (moved <= bounds.region_high).all()
                and (sums >= bounds.least).all()
                and (sums <= bounds.most).all()
            ):
                assert response.outcome(moved)[0].sum() <= best * (1 + 1e-6)


def test_the_plan_is_that_of_a_general_optimiser() -> None:
    response = _curves(np.array([[30.0, 20.0, 10.0]]), np.array([[5.0, 2.0, 1.0]]))
    unbounded = Bounds(np.zeros(3), np.full(3, 100.0), np.zeros((1, 3)), np.full((1, 3), 100.0))
    spend = best_within(response, unbounded, 12.0)
    found = minimize(  # type: ignore[call-overload]
        lambda it: -response.outcome(it.reshape(1, 3))[0].sum(),
        np.full(3, 4.0),
        bounds=[(0, 100)] * 3,
        constraints={"type": "eq", "fun": lambda it: it.sum() - 12},
        tol=1e-12,
    )
    np.testing.assert_allclose(spend[0], found.x, atol=1e-3)
    slopes = response.slope(spend)[0, 0]
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-6)  # one more unit brings in the same everywhere


@given(st.floats(0.01, 10))
def test_a_price_is_what_one_more_unit_brings_in(price: float) -> None:
    response = _curves(np.array([[30.0, 20.0]]), np.array([[5.0, 2.0]]))
    bounds = Bounds(np.zeros(2), np.full(2, 1e6), np.zeros((1, 2)), np.full((1, 2), 1e6))
    spend = best_at(response, bounds, price)
    slope = response.slope(spend)[0]
    np.testing.assert_allclose(np.where(spend > 0, slope, price), price, rtol=1e-6)
    assert (slope[spend == 0] <= price * (1 + 1e-9)).all()
