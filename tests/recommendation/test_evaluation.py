"""Figures that can be worked out by hand."""

import numpy as np
import pytest

from services.recommendation.learning.evaluation import best, breadth, figures


def rows(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_figures_are_those_worked_out_by_hand() -> None:
    found = figures([rows(5, 1, 9), rows(2)], [rows(1, 7), rows(3)])
    assert found["recall_at_20"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["precision_at_20"] == pytest.approx(1 / 40)
    assert found["hit_rate_at_20"] == pytest.approx(1 / 2)
    ideal = 1 + 1 / np.log2(3)
    assert found["ndcg_at_20"] == pytest.approx((1 / np.log2(3) / ideal) / 2)
    assert found["mrr_at_20"] == pytest.approx(1 / 2 / 2)
    assert found["map_at_20"] == pytest.approx(1 / 2 / 2 / 2)
    assert found["f1_at_20"] == pytest.approx(2 * 1 / (2 + 20) / 2)


def test_a_perfect_list_has_ndcg_one_and_only_twenty_places_count() -> None:
    perfect = figures([np.arange(30)], [np.arange(30)])
    assert perfect["ndcg_at_20"] == pytest.approx(1)
    assert perfect["recall_at_20"] == pytest.approx(20 / 30)


def test_customers_who_bought_nothing_are_not_judged() -> None:
    assert figures([rows(1)], [rows()]) == {}
    assert figures([rows(1), rows(2)], [rows(), rows(2)])["recall_at_20"] == 1


def test_equal_scores_go_by_place_and_what_is_banned_is_left_out() -> None:
    scores = np.array([1, 3, -np.inf, 3, 0], dtype=np.float32)
    assert best(scores, 5).tolist() == [1, 3, 0, 4]
    assert best(scores, 2).tolist() == [1, 3]
    assert best(np.empty(0, np.float32)).tolist() == []


def test_coverage_novelty_and_diversity_are_those_worked_out_by_hand() -> None:
    buyers = np.array([4, 2, 1, 0, 8])
    likeness = np.array([[1, 0], [0, 1], [1, 0], [0, 0], [0.6, 0.8]], dtype=np.float32)
    found = breadth([rows(0, 1), rows(0, 2)], buyers, 8, likeness)
    assert found["coverage_at_20"] == pytest.approx(3 / 4)
    assert found["novelty_at_20"] == pytest.approx((1 + 2 + 1 + 3) / 4)
    assert found["diversity_at_20"] == pytest.approx((1 + 0) / 2)
    assert breadth([rows()], buyers, 8, likeness) == {}
