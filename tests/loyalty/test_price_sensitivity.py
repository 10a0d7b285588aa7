"""Estimating price sensitivities: on people whose elasticities are known, and on a retailer's weeks to come."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.price_sensitivity import (
    LAST_WEEK,
    SLOPE,
    TEST_WEEK,
    auc,
    correlation,
    held_out,
    learnt,
    lines_of_sample,
)
from services.loyalty.domain.price_sensitivity import (
    PriceDataInsufficient,
    Prior,
    Purchases,
    choices_of,
    pool,
    pool_groups,
    posterior,
    weigh,
)
from tests.evaluation_data import evaluation_data

WEEKS, ITEMS = 52, 60


def market(elasticity: Sequence[float] | NDArray[np.float64], rate: float = 0.02, seed: int = 1) -> Purchases:
    """Purchases of persons with these elasticities: items at a third off now and then, more of them in summer."""
    random = np.random.default_rng(seed)
    persons = len(elasticity)
    regular = random.uniform(1, 20, ITEMS)
    cheap = random.random((ITEMS, WEEKS)) < 0.3
    price = regular[:, None] * np.where(cheap, random.uniform(0.6, 0.8, (ITEMS, WEEKS)), 1.0)
    liked = random.gamma(1.0, rate, (persons, ITEMS))
    relative = np.log(price / regular[:, None])
    intensity = liked[:, :, None] * np.exp(-np.asarray(elasticity)[:, None, None] * relative[None])
    visits = random.random((persons, 1, WEEKS)) < 0.7
    person, item, week = np.nonzero((random.poisson(intensity) > 0) & visits)
    # Something that everybody buys at one price says when they came, and nothing of prices.
    came = np.nonzero(visits[:, 0, :])
    return Purchases(
        np.concatenate((person, came[0])),
        np.concatenate((item, np.full(len(came[0]), ITEMS))),
        np.concatenate((week, came[1])),
        np.concatenate((price[item, week], np.ones(len(came[0])))),
        persons,
    )


@pytest.fixture(scope="module")
def truth() -> NDArray[np.float64]:
    return np.random.default_rng(5).normal(2.0, 0.8, 400)


def test_the_elasticity_of_a_population_and_its_spread_are_found(truth: NDArray[np.float64]) -> None:
    pooling = pool_groups(weigh(market(truth)), np.full(len(truth), -1))
    assert pooling.population.mean == pytest.approx(truth.mean(), abs=4 * pooling.population.mean_error)
    assert pooling.population.variance**0.5 == pytest.approx(0.8, abs=0.25)


def test_shrunk_estimates_are_nearer_to_the_truth_than_the_population_and_than_their_own(
    truth: NDArray[np.float64],
) -> None:
    evidence = weigh(market(truth, rate=0.01))
    prior = pool_groups(evidence, np.full(len(truth), -1)).population
    rows = list(zip(evidence.weighted, evidence.precision, evidence.event_count, strict=True))
    found = [posterior(prior, *row) for row in rows]
    shrunk = np.array([each.elasticity for each in found])
    told = evidence.precision > 1e-6
    own = evidence.weighted[told] / evidence.precision[told]

    def error(estimate: NDArray[np.float64], of: NDArray[np.float64]) -> float:
        return float(np.sqrt(np.mean((estimate - of) ** 2)))

    assert error(shrunk, truth) < 0.9 * error(np.full(len(truth), prior.mean), truth)
    assert error(shrunk[told], truth[told]) < 0.7 * error(own, truth[told])
    inside = [low <= each <= high for each, (low, high) in zip(truth, (one.interval for one in found), strict=True)]
    assert 0.88 <= np.mean(inside) <= 0.99


def test_groups_that_differ_are_told_apart_and_small_ones_are_drawn_to_the_population() -> None:
    group = np.repeat([0, 1, 2], [150, 150, 3])
    purchases = market(np.choose(group, [1.0, 3.0, 3.0]))
    pooling = pool_groups(weigh(purchases), group)
    one, three, few = (pooling.groups[name] for name in range(3))
    assert one.elasticity < 1.5 < 2.5 < three.elasticity
    assert few.standard_error > 3 * three.standard_error
    assert pooling.prior_of(-1) == pooling.population != pooling.prior_of(0)


def test_groups_that_are_alike_are_the_population() -> None:
    purchases = market([2.0] * 120)
    pooling = pool_groups(weigh(purchases), np.zeros(120, dtype=np.int64))
    assert pooling.prior_of(0).mean == pooling.population.mean


def test_what_a_person_likes_and_what_items_cost_in_general_says_nothing() -> None:
    purchases = market([2.0] * 60)
    scale = np.random.default_rng(2).uniform(0.1, 10, ITEMS + 1)
    order = np.random.default_rng(3).permutation(len(purchases.person))
    other = Purchases(
        purchases.person[order],
        purchases.item[order],
        purchases.week[order] + 2900,
        (purchases.price * scale[purchases.item])[order],
        60,
    )
    one, same = weigh(purchases), weigh(other)
    assert one.elasticity == pytest.approx(same.elasticity, abs=1e-6)
    assert np.allclose(one.precision, same.precision)


def test_a_price_that_one_person_alone_paid_is_no_price_of_the_week() -> None:
    purchases = market([2.0] * 60)
    alone = replace(purchases, item=purchases.item + (ITEMS + 1) * purchases.person)
    assert [len(each.person) for each in choices_of(alone)] == [0]


def test_too_little_is_refused_with_what_there_is() -> None:
    none = np.array([], dtype=np.int64)
    with pytest.raises(PriceDataInsufficient) as refused:
        weigh(Purchases(none, none, none, none.astype(np.float64), 0))
    assert refused.value.metadata == {"events": "0", "persons": "0"}
    with pytest.raises(PriceDataInsufficient):
        weigh(market([2.0] * 9, rate=1.0))


@given(
    st.floats(-5, 5),
    st.floats(0.01, 10),
    st.floats(-5, 5),
    st.floats(0.001, 1000),
)
def test_an_estimate_lies_between_what_is_expected_and_what_is_seen_and_is_surer_than_both(
    mean: float, variance: float, seen: float, precision: float
) -> None:
    found = posterior(Prior(mean, variance), seen * precision, precision, 7)
    unsure = posterior(Prior(mean, variance, 0.5), seen * precision, precision, 7)
    assert unsure.elasticity == found.elasticity
    assert found.standard_error <= unsure.standard_error <= (found.standard_error**2 + 0.25) ** 0.5 + 1e-12
    assert min(mean, seen) - 1e-9 <= found.elasticity <= max(mean, seen) + 1e-9
    assert found.standard_error <= min(variance**0.5, precision**-0.5) + 1e-12
    assert found.interval[0] < found.elasticity < found.interval[1]
    assert posterior(Prior(mean, variance), 0.0, 0.0, 0).elasticity == pytest.approx(mean)


def test_what_does_not_differ_is_pooled_into_one() -> None:
    prior = pool(np.full(50, 1.5), np.full(50, 0.25))
    assert prior.mean == pytest.approx(1.5)
    assert prior.variance == 0
    assert prior.mean_error == pytest.approx(0.5 / 50**0.5)
    found = posterior(prior, 9.0, 3.0, 1)
    assert (found.elasticity, found.standard_error) == (prior.mean, prior.mean_error)


def test_a_retailers_weeks_to_come_are_told_better_with_persons_than_without() -> None:
    evaluation_data("complete_journey")
    lines = lines_of_sample()
    _, elasticity = learnt(lines, TEST_WEEK)
    found = held_out(lines, elasticity, TEST_WEEK, LAST_WEEK + 1, SLOPE)
    assert found.rank_correlation > 0.4
    assert found.auc > 0.7
    assert found.line_log_loss < found.population_log_loss - 0.002
    assert found.line_auc > found.population_line_auc


def test_measures_of_agreement_are_what_their_names_say() -> None:
    assert auc(np.array([True, False, True, False]), np.array([3.0, 1.0, 2.0, 2.0])) == pytest.approx(0.875)
    assert correlation(np.array([1.0, 2, 3]), np.array([10.0, 20, 15])) == pytest.approx(0.5)
