"""Elasticities of simulated shops whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.forecasting.domain.propensity import FloatArray
from services.forecasting.learning.elasticity import (
    WIDTH,
    Answers,
    Own,
    answers,
    dersimonian_laird,
    drawn_together,
    grouped,
    poisson,
)

WEEKS = 130
PRODUCTS = 60


def shop(seed: int, level: float = 2.0) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Units, prices, promotions, and the elasticity of each product: about -2.5 in the first half, -1 in the second.

    Demand grows, has a season that all share, and prices fall while promotions run, so none of them may be left out.
    """
    random = np.random.default_rng(seed)
    truth = np.where(np.arange(PRODUCTS) < PRODUCTS // 2, -2.5, -1.0) + random.normal(0, 0.3, PRODUCTS)
    weeks = np.arange(WEEKS)
    season = 0.4 * np.sin(2 * np.pi * weeks / 52.18) + 0.2 * random.normal(size=WEEKS)
    promotions = (random.random((PRODUCTS, WEEKS)) < 0.15).astype(np.float64)
    steps = 0.1 * random.normal(size=(PRODUCTS, WEEKS // 13))
    prices = np.exp(np.repeat(steps, 13, axis=1)[:, :WEEKS] - 0.2 * promotions)
    demand = level + season + 0.003 * weeks + truth[:, None] * np.log(prices) + 0.4 * promotions
    noise = random.gamma(10, 0.1, (PRODUCTS, WEEKS))
    return random.poisson(np.exp(demand) * noise).astype(np.float64), prices, promotions, truth


@pytest.fixture(scope="module")
def learnt() -> tuple[Answers, FloatArray]:
    units, prices, promotions, truth = shop(1)
    return answers(units, prices, promotions, 7.0, 20), truth


GROUP = (np.arange(PRODUCTS) >= PRODUCTS // 2).astype(np.int64)


def test_pooled_elasticities_are_nearer_the_truth_than_each_alone(learnt: tuple[Answers, FloatArray]) -> None:
    told, truth = learnt
    drawn = drawn_together(told.price, GROUP, 2)
    assert drawn is not None
    alone = float(np.sqrt(np.mean((told.price.value - truth) ** 2)))
    assert float(np.sqrt(np.mean((drawn.value - truth) ** 2))) < min(0.95 * alone, 0.4)
    inside = np.abs(drawn.value - truth) <= WIDTH * drawn.error
    assert inside.mean() > 0.8
    assert drawn.group_value == pytest.approx([-2.5, -1.0], abs=0.25)
    assert drawn.mean == pytest.approx(-1.75, abs=0.3)


def test_a_promotion_is_told_apart_from_the_lower_price_that_comes_with_it(learnt: tuple[Answers, FloatArray]) -> None:
    drawn = drawn_together(learnt[0].promotion, GROUP, 2)
    assert drawn is not None
    assert drawn.mean == pytest.approx(0.4, abs=0.08)


def test_intervals_of_products_alone_hold_the_truth_about_as_often_as_they_say() -> None:
    held: list[bool] = []
    for seed in (2, 3):
        units, prices, promotions, truth = shop(seed, level=1.0)
        own = answers(units, prices, promotions, 7.0, 20).price
        held.extend((np.abs(own.value - truth) <= WIDTH * own.error).tolist())
    assert 0.8 < np.mean(held) <= 1.0


def test_a_price_that_never_moves_says_nothing_and_the_product_has_the_mean_of_its_category() -> None:
    units, prices, _, _ = shop(4)
    prices[0] = 3.0
    told = answers(units, prices, np.zeros_like(units), 7.0, 20)
    assert np.isnan(told.price.value[0])
    assert told.variation[0] < 0.01 < told.variation[1]
    drawn = drawn_together(told.price, GROUP, 2)
    assert drawn is not None
    assert drawn.value[0] == pytest.approx(drawn.group_value[0])
    assert drawn.error[0] > drawn.group_error[0]


@pytest.mark.parametrize("case", ["never", "briefly", "once"])
def test_what_is_hardly_sold_says_nothing(case: str) -> None:
    random = np.random.default_rng(5)
    units, prices = np.zeros((1, 60)), np.exp(0.1 * random.normal(size=(1, 60)))
    if case != "never":
        units[0, 10 : 11 if case == "once" else 25] = 4.0
    told = answers(units, prices, np.zeros_like(units), 7.0, 20)
    assert np.isnan(told.price.value).all()
    assert drawn_together(told.price, np.zeros(1, dtype=np.int64), 1) is None


def test_a_poisson_regression_finds_what_made_the_counts() -> None:
    random = np.random.default_rng(6)
    design = np.column_stack([np.ones(4_000), random.normal(size=4_000)])
    line, errors = poisson(design, random.poisson(np.exp(0.5 - 1.5 * design[:, 1])).astype(np.float64))
    assert line == pytest.approx([0.5, -1.5], abs=0.06)
    assert (np.abs(line - [0.5, -1.5]) < 4 * errors).all()


@given(
    st.lists(st.tuples(st.floats(-4, 2), st.floats(0.05, 2), st.integers(0, 2)), min_size=1, max_size=12),
)
def test_a_product_lies_between_what_it_says_and_its_category(rows: list[tuple[float, float, int]]) -> None:
    own = Own(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))
    group = np.array([row[2] for row in rows], dtype=np.int64)
    drawn = drawn_together(own, group, 3)
    assert drawn is not None
    ends = np.sort(np.stack([own.value, drawn.group_value[group]]), axis=0)
    assert (ends[0] - 1e-9 <= drawn.value).all()
    assert (drawn.value <= ends[1] + 1e-9).all()
    assert min(own.value) - 1e-9 <= drawn.mean <= max(own.value) + 1e-9
    assert np.isfinite(drawn.error).all()


def test_truths_that_do_not_differ_have_no_spread_and_others_have_theirs() -> None:
    random = np.random.default_rng(7)
    variance = np.full(4_000, 0.04)
    assert dersimonian_laird(random.normal(0, 0.2, 4_000), variance) < 0.005
    assert dersimonian_laird(random.normal(0, 0.2, 4_000) + random.normal(0, 0.5, 4_000), variance) == pytest.approx(
        0.25, abs=0.03
    )
    numbers, names = grouped(["b", "a", "b"])
    assert (numbers.tolist(), names) == ([0, 1, 0], ["b", "a"])
