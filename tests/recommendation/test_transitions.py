"""What follows what, worked out by hand, and trails."""

import numpy as np
import pytest

from services.recommendation.learning.purchases import Purchases
from services.recommendation.learning.transitions import (
    BACKWARD,
    FROM_EXPONENT,
    GAP_DECAY,
    TO_EXPONENT,
    follow,
    trails,
)
from tests.recommendation.making import shop


def bought(*lines: tuple[int, int, int, float], items: int = 4) -> Purchases:
    """Lines of customer, basket, item, age."""
    columns = [np.array(column) for column in zip(*lines, strict=True)]
    customers, baskets, codes = (column.astype(np.int32) for column in columns[:3])
    return Purchases(
        customers,
        baskets,
        codes,
        columns[3].astype(np.float32),
        int(customers.max()) + 1,
        int(baskets.max()) + 1,
        items,
    )


CHAIN = bought((0, 0, 0, 9), (0, 1, 1, 5), (0, 2, 2, 1), (1, 3, 0, 8), (1, 4, 1, 2))
"""One customer bought 0, 1 and 2 in this order, another one 0 and then 1."""


def test_transitions_are_those_worked_out_by_hand() -> None:
    matrix = follow(CHAIN).matrix().toarray()

    def scaled(count: float, source: float, target: float) -> float:
        return float(count / source**FROM_EXPONENT / target**TO_EXPONENT)

    assert matrix[0, 1] == pytest.approx(scaled(2, 2, 2))
    assert matrix[0, 2] == pytest.approx(scaled(GAP_DECAY, 2, 1))
    assert matrix[1, 0] == pytest.approx(scaled(2 * BACKWARD, 2, 2))
    assert matrix[2, 0] == pytest.approx(scaled(BACKWARD * GAP_DECAY, 1, 2))
    assert np.diag(matrix).tolist() == [0, 0, 0, 0]
    assert matrix[3].tolist() == [0, 0, 0, 0]


def test_transitions_fade_with_the_age_of_the_later_basket_and_so_does_what_they_are_divided_by() -> None:
    fading = follow(CHAIN, half_life_days=2.0).matrix().toarray()
    steps = 2**-2.5 + 2**-1.0  # from 0 to 1, five and two days ago
    sources, targets = 2**-4.5 + 2**-4.0, 2**-2.5 + 2**-1.0
    assert fading[0, 1] == pytest.approx(steps / sources**FROM_EXPONENT / targets**TO_EXPONENT, rel=1e-5)
    assert fading[1, 0] == pytest.approx(BACKWARD * steps / targets**FROM_EXPONENT / sources**TO_EXPONENT, rel=1e-5)
    ever = follow(CHAIN, half_life_days=1e9).matrix().toarray()
    assert np.allclose(ever, follow(CHAIN).matrix().toarray(), rtol=1e-5)


def test_what_is_long_gone_does_not_lead() -> None:
    gone = bought((0, 0, 0, 900), (0, 1, 1, 890), (1, 2, 0, 9), (1, 3, 2, 1))
    fading = follow(gone, half_life_days=10.0).matrix().toarray()
    assert fading[0, 2] > 1000 * fading[0, 1]
    assert np.isfinite(fading).all()


def test_the_strongest_successors_are_kept_in_order() -> None:
    kept = follow(CHAIN, successors=1)
    assert kept.items[kept.starts[0] : kept.starts[1]].tolist() == [1]
    every = follow(shop().purchases.distinct())
    for first, end in zip(every.starts, every.starts[1:], strict=False):
        assert (np.diff(every.strengths[first:end]) <= 0).all()


def test_items_of_one_basket_do_not_follow_each_other() -> None:
    assert follow(bought((0, 0, 0, 1), (0, 0, 1, 1))).matrix().nnz == 0


def test_a_trail_has_the_newest_items_last_each_once() -> None:
    again = bought((0, 0, 2, 9), (0, 1, 1, 5), (0, 2, 2, 1), (0, 2, 3, 1), (1, 3, 0, 8), (2, 4, 1, 2))
    walked = trails(again, 10)
    assert walked.starts.tolist() == [0, 3, 4, 5]
    assert walked.items[:3].tolist() == [1, 2, 3]
    assert walked.steps[:3].tolist() == [1, 0, 0]
    assert trails(again, 2).items[:2].tolist() == [2, 3]


def test_transitions_of_kinds_stay_within_the_kind() -> None:
    matrix = follow(shop().purchases.distinct()).matrix().tocoo()
    assert len(matrix.row)
    assert (matrix.row % 2 == matrix.col % 2).all()
