"""Probabilities of goals: as good as can be on customers whose habits are known, calibrated, and always the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from services.forecasting.domain.propensity import FEATURES, FloatArray, Moment
from services.forecasting.handlers.fit_propensity import MOMENTS_MAX, moments_until
from services.forecasting.learning.holdout import area_under_curve
from services.forecasting.learning.propensity import (
    PropensityTrees,
    average_precision,
    calibration,
    fit,
    importance,
    load,
    quality,
    sampled,
)

DAY = 86_400_000_000


def customers(count: int, seed: int) -> tuple[Moment, FloatArray]:
    """Customers of whom the first two features decide, in a way that is known; the probability of each."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, len(FEATURES)))
    features[random.random(features.shape) < 0.1] = np.nan
    first, second = np.nan_to_num(features[:, 0]), np.nan_to_num(features[:, 1])
    likely: FloatArray = expit(1.2 * first - 1.0 + np.where(second > 0, 1.5 * first, -0.5))
    ids = [f"c{number}" for number in range(count)]
    return Moment(ids, features, random.random(count) < likely), likely


@pytest.fixture(scope="module")
def trees() -> PropensityTrees:
    return fit([customers(4_000, 1)[0], customers(4_000, 2)[0]])


def test_customers_whom_it_never_saw_are_ranked_nearly_as_well_as_by_the_truth(trees: PropensityTrees) -> None:
    moment, likely = customers(4_000, 3)
    label = moment.reached.astype(np.float64)
    best = area_under_curve(likely, label) or 0.0
    assert (area_under_curve(trees.probabilities(moment.features), label) or 0.0) > best - 0.015


def test_probabilities_are_the_shares_that_come(trees: PropensityTrees) -> None:
    moment, _ = customers(20_000, 4)
    found = quality(0, trees.probabilities(moment.features), moment.reached)
    assert found.calibration_error < 0.02
    assert found.brier < 0.85 * found.base_brier
    assert [it.customer_count for it in found.deciles] == [2_000] * 10
    assert found.deciles[0].lift > 2 * (found.deciles[4].lift or 0)  # type: ignore[operator]


def test_what_decides_is_what_is_named(trees: PropensityTrees) -> None:
    moment, _ = customers(2_000, 5)
    shares = importance(trees.contributions(moment.features), FEATURES)
    assert list(shares)[:2] == list(FEATURES[:2])
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares[FEATURES[0]] > 0.5


def test_contributions_add_up_to_the_odds(trees: PropensityTrees) -> None:
    moment, _ = customers(50, 6)
    said = trees.probabilities(moment.features)
    rest = np.log(said / (1 - said)) - trees.contributions(moment.features).sum(axis=1)
    assert np.ptp(rest) < 1e-6


def test_the_same_moments_give_the_same_model_and_it_is_kept_whole(trees: PropensityTrees) -> None:
    again = fit([customers(4_000, 1)[0], customers(4_000, 2)[0]])
    moment, _ = customers(500, 7)
    said = trees.probabilities(moment.features)
    assert np.array_equal(again.probabilities(moment.features), said)
    assert np.array_equal(load(trees.dump()).probabilities(moment.features), said)


def test_scores_too_sure_of_themselves_are_drawn_back() -> None:
    random = np.random.default_rng(8)
    truth = random.normal(size=20_000)
    reached = random.random(20_000) < expit(truth - 0.5)
    slope, shift = calibration(3 * truth, reached)
    assert slope == pytest.approx(1 / 3, abs=0.02)
    assert shift == pytest.approx(-0.5, abs=0.05)


def test_scores_that_point_the_wrong_way_are_left_out() -> None:
    random = np.random.default_rng(9)
    truth = random.normal(size=5_000)
    assert calibration(-truth, random.random(5_000) < expit(truth))[0] == 0


def test_a_share_of_the_customers_is_the_same_at_every_moment() -> None:
    early, late = sampled(customers(3_000, 1)[0], 0.3), sampled(customers(2_000, 2)[0], 0.3)
    assert 700 < len(early) < 1_100
    assert set(late.ids) == {it for it in early.ids if int(it[1:]) < 2_000}
    assert len(early.features) == len(early.reached) == len(early)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40))
def test_average_precision_is_the_mean_precision_at_each_hit(rows: list[tuple[int, bool]]) -> None:
    score = np.array([row[0] for row in rows], dtype=np.float64)
    label = np.array([row[1] for row in rows], dtype=np.float64)
    found = average_precision(score, label)
    if not label.any():
        assert found is None
        return
    at_each = [label[score >= it].sum() / (score >= it).sum() for it in score[label == 1]]
    assert found == pytest.approx(float(np.mean(at_each)))


@given(st.integers(1, 365), st.integers(0, 900), st.integers(0, 2_000))
def test_no_moment_learns_from_what_comes_after_the_end(horizon: int, first: int, more: int) -> None:
    end = first + 3 * horizon + more
    found = moments_until(first * DAY, end * DAY, horizon * DAY)
    assert 1 <= len(found) <= MOMENTS_MAX
    assert all(it + horizon * DAY <= end * DAY for it in found)
    assert all(it >= (first + horizon) * DAY for it in found)
    assert found == sorted(set(found), reverse=True)
