"""Figures that can be worked out by hand, and the choice of the blend."""

import numpy as np
import pandas as pd
import pytest

from services.recommendation.learning.evaluation import best, figures
from services.recommendation.learning.purchases import Purchases
from services.recommendation.learning.spectral import Spectral
from services.recommendation.learning.validation import SHARE_UNMEASURED, validate
from tests.evaluation_data import evaluation_data
from tests.recommendation.making import shop


def rows(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_figures_are_those_worked_out_by_hand() -> None:
    found = figures([rows(5, 1, 9), rows(2)], [rows(1, 7), rows(3)])
    assert found["recall_at_20"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["precision_at_20"] == pytest.approx(1 / 40)
    assert found["hit_rate_at_20"] == pytest.approx(1 / 2)
    ideal = 1 + 1 / np.log2(3)
    assert found["ndcg_at_20"] == pytest.approx((1 / np.log2(3) / ideal) / 2)


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


def test_where_there_is_too_little_nothing_is_claimed() -> None:
    few = shop().purchases.distinct().within(10)
    validation = validate(few, Spectral(8), 180.0, seed=1)
    assert validation.metrics == {}
    assert validation.frequency_share == SHARE_UNMEASURED


def test_on_kinds_the_vectors_find_new_items_better_than_what_is_popular() -> None:
    metrics = validate(shop(baskets_each=12).purchases.distinct(), Spectral(8), 180.0, seed=1).metrics
    assert metrics["model.new.ndcg_at_20"] > metrics["popular.new.ndcg_at_20"]
    assert metrics["model.next.ndcg_at_20"] > metrics["popular.next.ndcg_at_20"]


def test_on_a_real_grocer_new_items_beat_what_is_popular_and_the_blend_beats_own_frequencies() -> None:
    lines = pd.read_parquet(evaluation_data("complete_journey") / "transactions.parquet")
    lines = lines[lines.quantity > 0]
    ages = (lines.transaction_timestamp.max() - lines.transaction_timestamp).dt.total_seconds() / 86_400
    codes = [pd.factorize(lines[name])[0] for name in ("household_id", "basket_id", "product_id")]
    purchases = Purchases(
        codes[0].astype(np.int32), codes[1].astype(np.int32), codes[2].astype(np.int32),
        ages.to_numpy(np.float32), *(int(code.max()) + 1 for code in codes),
    )  # fmt: skip
    validation = validate(purchases.distinct(), Spectral(), 180.0, seed=1)
    metrics = validation.metrics
    assert metrics["model.new.ndcg_at_20"] > metrics["popular.new.ndcg_at_20"]
    assert metrics["model.new.recall_at_20"] > metrics["popular.new.recall_at_20"]
    # Repeat purchases: own frequencies are hard to beat (their NDCG is double that of the vectors alone); the blend
    # must not lose to them.
    assert metrics["model.next.ndcg_at_20"] >= metrics["frequency.next.ndcg_at_20"]
    assert metrics["frequency.next.ndcg_at_20"] > 1.5 * metrics["vectors.next.ndcg_at_20"]
