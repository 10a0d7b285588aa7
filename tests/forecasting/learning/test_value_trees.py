"""Trees of what customers spend: they see what models of purchases cannot, correct them, and are the same each time."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.forecasting.learning.customer_value import Expected
from services.forecasting.learning.holdout import rank_correlation
from services.forecasting.learning.propensity import quality
from services.forecasting.learning.purchases import FloatArray
from services.forecasting.learning.value_trees import Examples, Known, Said, ValueTrees, grow, load, revalued, together

ROWS = 2_000


def expected(likely: FloatArray, each: FloatArray) -> Expected:
    """By models that expect 1.5 orders of whom they expect any, and a lifetime of six horizons."""
    return Expected(
        likely, likely, 1.5 * likely, each, 1.5 * likely * each, 9.0 * likely * each, np.full(len(each), 9.0)
    )


def examples(seed: int, rows: int = ROWS) -> Examples:
    """Customers of whom the models know how likely they come and what they spend, but not the first feature, which
    trebles the odds and doubles the revenue of those in whom it is above zero."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 4))
    likely, each = random.beta(2, 4, rows), random.gamma(3, 2_000, rows)
    above = features[:, 0] > 0
    odds = np.where(above, 3.0, 1.0) * likely / (1 - likely)
    came = (random.random(rows) < odds / (1 + odds)).astype(np.float64)
    revenue = came * each * np.where(above, 3.0, 1.5) * random.gamma(4, 0.25, rows)
    return Examples([f"c{it}" for it in range(rows)], Known(features, expected(likely, each)), came, revenue)


def revenue_of(said: Said) -> FloatArray:
    return said.probability_of_order * said.amount


@pytest.fixture(scope="module")
def correcting() -> ValueTrees:
    return grow(together([examples(1), examples(2)]), correcting=True)


def test_trees_that_correct_the_models_rank_customers_better_than_either_alone(correcting: ValueTrees) -> None:
    came = examples(3)
    alone = grow(together([examples(1), examples(2)]), correcting=False)
    ranks = [
        rank_correlation(revenue, came.revenue) or 0.0
        for revenue in (
            revenue_of(correcting.says(came.known)), revenue_of(alone.says(came.known)), came.known.expected.revenue
        )
    ]  # fmt: skip
    assert ranks[0] > max(ranks[1:]) + 0.05


def test_probabilities_and_revenue_are_at_the_level_of_what_comes(correcting: ValueTrees) -> None:
    came = examples(4, 6_000)
    said = correcting.says(came.known)
    assert quality(0, said.probability_of_order, came.came > 0).calibration_error < 0.05
    assert revenue_of(said).sum() == pytest.approx(came.revenue.sum(), rel=0.15)


def test_trees_that_are_kept_as_text_say_the_same(correcting: ValueTrees) -> None:
    known = examples(5, 200).known
    again = load(json.loads(json.dumps(correcting.dump())))
    assert again.asks(4)
    assert not again.asks(5)
    before, after = correcting.says(known), again.says(known)
    assert (before.probability_of_order == after.probability_of_order).all()
    assert (before.amount == after.amount).all()


positive = st.floats(0.0, 1e7)
share = st.floats(0.0, 1.0)


@settings(max_examples=30)
@given(share, positive, share, positive, st.integers(1, 730), st.integers(1, 3650), st.floats(0.0, 10.0))
def test_what_is_expected_agrees_with_itself_whatever_trees_say(
    likely: float, each: float, said: float, amount: float, horizon: int, lifetime: int, rate: float
) -> None:
    before = expected(np.array([likely]), np.array([each]))
    before = replace(before, probability_alive=np.array([(1 + likely) / 2]))
    after = revalued(before, Said(np.array([said]), np.array([amount])), horizon, lifetime, rate)
    assert after.probability_of_order[0] == said <= after.probability_alive[0] <= 1
    assert after.orders[0] >= said
    assert after.orders[0] * after.order_value[0] == pytest.approx(after.revenue[0], rel=1e-9)
    assert after.revenue[0] == said * amount
    assert after.lifetime_value[0] >= 0
    if lifetime >= horizon:
        assert after.lifetime_value[0] >= after.revenue[0] * (1 + rate) ** (-horizon / 730.5) * (1 - 1e-9)
