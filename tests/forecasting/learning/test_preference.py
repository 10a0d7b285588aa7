"""Of which categories customers buy: told better than by plain ways, calibrated, always the same."""

from itertools import pairwise

import numpy as np
import pytest

from services.forecasting.domain.preference import RankingMethod, Tastes, likeliest, preferences
from services.forecasting.domain.propensity import FEATURES, FloatArray, Moment, Reason
from services.forecasting.learning.preference import (
    PAIR_FEATURES,
    by_category,
    chunks,
    crowd,
    examples,
    frequency,
    liked,
    likely,
    measure,
    pairs,
    ranking,
    restored,
)
from services.forecasting.learning.propensity import PropensityTrees, fit

HORIZON, NAMES = 30, ("FOOD", "TOYS", "BOOKS", "GARDEN")


def customers(count: int, seed: int) -> Tastes:
    """Customers who buy some categories regularly; of half of these they have stopped, some time ago."""
    random = np.random.default_rng(seed)
    rate = random.gamma(0.7, 0.03, (count, len(NAMES))) * np.array([3.0, 1.0, 1.0, 0.3])
    stopped = random.random(rate.shape) < 0.5
    ago = np.where(stopped, random.integers(60, 300, rate.shape), 0)
    tenure = 400
    days = random.poisson(rate * (tenure - ago)).astype(float)
    recency = np.minimum(ago + random.exponential(1 / rate), tenure - 1)
    recent = [np.where(recency < window, np.minimum(days, 1 + days * window / tenure), 0) for window in (30, 90, 365)]
    came = (random.random(rate.shape) < -np.expm1(-rate * HORIZON)) & ~stopped
    who, what = np.nonzero(days)
    features = np.full((count, len(FEATURES)), np.nan)
    figures = {"tenure_days": tenure, "purchase_days": days.sum(axis=1), "amount": 10 * days.sum(axis=1) + 1}
    for name, values in figures.items():
        features[:, FEATURES.index(name)] = values
    moment = Moment([f"c{seed}-{number}" for number in range(count)], features, np.zeros(count, dtype=np.bool_))
    return Tastes(
        moment=moment,
        names=NAMES,
        customers=who,
        categories=what,
        recency_days=np.floor(recency[who, what]),
        first_days=np.full(len(who), tenure, dtype=float),
        days=days[who, what],
        days_in_horizon=recent[0][who, what],
        days_in=np.column_stack([window[who, what] for window in recent]),
        amount=10 * days[who, what],
        bought_later=np.argwhere(came),
    )


@pytest.fixture(scope="module")
def trees() -> PropensityTrees:
    return fit([examples(customers(2_000, 1), HORIZON, 8_000)])


def test_who_has_stopped_buying_of_a_category_is_told_where_frequency_does_not_tell_it(trees: PropensityTrees) -> None:
    found = measure(7, trees, customers(3_000, 2), HORIZON)
    by = {it.method: it for it in found.rankings}
    model, person, popular = (by[it] for it in RankingMethod)
    assert model.log_loss < 0.9 * min(person.log_loss, popular.log_loss)
    assert model.average_precision > person.average_precision + 0.05 > popular.average_precision
    assert model.hit_rate > person.hit_rate
    assert found.calibration_error < 0.03
    assert (found.start, found.customer_count) == (7, 3_000)
    assert 0 < found.base_rate < 0.5


def test_the_same_customers_give_the_same_trees() -> None:
    held = customers(50, 3)
    once, again = (fit([examples(customers(250, 1), HORIZON, 800)]) for _ in range(2))
    rows = slice(0, 50)
    said = likely(once, held, crowd(held), rows, HORIZON)
    assert np.array_equal(likely(again, held, crowd(held), rows, HORIZON), said)
    assert said.shape == (50, len(NAMES))


def test_customers_in_parts_have_the_features_that_they_have_together() -> None:
    it = customers(90, 4)
    known = crowd(it)
    whole = pairs(it, known, slice(0, 90), HORIZON)
    parts = [pairs(it, known, rows, HORIZON) for rows in (slice(0, 40), slice(40, 90))]
    assert np.array_equal(np.vstack(parts), whole, equal_nan=True)
    assert whole.shape == (90 * len(NAMES), len(PAIR_FEATURES))
    at = PAIR_FEATURES.index("category_days")
    dense = np.zeros((90, len(NAMES)))
    dense[it.customers, it.categories] = it.days
    assert np.array_equal(whole[:, at].reshape(90, -1), dense)


def test_examples_are_a_random_part_of_all_pairs_with_their_own_customers() -> None:
    it = customers(1_200, 5)
    some, whole = examples(it, HORIZON, 2_400), examples(it, HORIZON, 10_000)
    assert len(whole) == whole.reached.size == 1_200 * len(NAMES)
    assert len(some.ids) == len(some.features) == len(some.reached)
    assert 2_000 < len(some) < 2_800
    assert whole.ids[:: len(NAMES)] == it.moment.ids
    labels = it.labels()
    assert np.array_equal(whole.reached.reshape(labels.shape), labels)
    assert [rows.start for rows in chunks(2_500)] == [0, 1_000, 2_000]


def test_categories_of_the_same_customers_lie_near_each_other() -> None:
    it = customers(3, 6)
    owned: FloatArray = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0]], dtype=np.float64)
    who, what = np.nonzero(owned)
    ones = np.ones(len(who))
    same = {"days": ones, "amount": ones, "days_in_horizon": ones, "recency_days": ones, "first_days": ones}
    it = Tastes(it.moment, NAMES, who, what, days_in=np.ones((len(who), 3)), bought_later=it.bought_later, **same)
    known = crowd(it)
    assert known.near[0].tolist() == pytest.approx([0.0, 1.0, 0.5, 0.0])
    assert np.array_equal(known.near, known.near.T)
    assert known.popularity.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0.0])
    often = frequency(it, known, slice(0, 3), HORIZON)
    assert all(one > other for one, other in pairwise([often[0, 0], often[2, 0], often[2, 3]]))


def test_each_category_is_measured_and_all_together_come_to_the_whole(trees: PropensityTrees) -> None:
    it = customers(2_500, 8)
    found, labels = measure(0, trees, it, HORIZON), it.labels()
    assert [each.category for each in found.categories] == list(NAMES)
    assert [each.base_rate for each in found.categories] == pytest.approx(labels.mean(axis=0).tolist())
    assert np.mean([each.log_loss for each in found.categories]) == pytest.approx(found.rankings[0].log_loss)
    assert np.mean([each.base_log_loss for each in found.categories]) == pytest.approx(found.base_log_loss)
    alone = [each.personal_frequency_log_loss for each in found.categories]
    assert np.mean(alone) == pytest.approx(found.rankings[1].log_loss)
    assert sum(each.first_count for each in found.categories) == 2_500
    assert sum(each.first_three_count for each in found.categories) == 3 * 2_500
    hits = sum(each.first_count * (each.first_hit_rate or 0) for each in found.categories)
    assert hits == pytest.approx(found.rankings[0].hit_rate * found.buyer_count)
    for each in found.categories:
        mean = sum(part.customer_count * part.probability for part in each.deciles) / 2_500
        assert each.probability == pytest.approx(mean)
    assert sum(part.customer_count for part in found.deciles) == labels.size


def test_of_very_many_pairs_a_part_of_the_customers_is_measured(
    trees: PropensityTrees, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.forecasting.learning.preference.MEASURED_MAX", 4 * 2_000)
    it = customers(4_100, 9)
    found = measure(0, trees, it, HORIZON)
    assert found.customer_count == 2_000  # the first thousand and the fourth
    parts = np.r_[0:1_000, 3_000:4_000]
    assert found.base_rate == pytest.approx(it.labels()[parts].mean())


def test_a_category_that_nobody_is_likeliest_to_buy_of_has_no_hits() -> None:
    said = np.array([[0.9, 0.1, 0.2, 0.3], [0.8, 0.1, 0.3, 0.2]])
    labels = np.array([[1, 0, 0, 1], [0, 0, 0, 1]], dtype=np.bool_)
    one, two, _, four = by_category(0, NAMES, said, said, labels)
    assert (one.first_count, one.first_hit_rate, one.first_three_hit_rate) == (2, 0.5, 0.5)
    assert (two.first_count, two.first_hit_rate, two.first_three_hit_rate) == (0, None, None)
    assert (two.average_precision, two.base_rate) == (None, 0.0)
    assert (four.first_hit_rate, four.first_three_count, four.first_three_hit_rate) == (None, 2, 1.0)


def test_why_a_category_is_what_moves_its_probability(trees: PropensityTrees) -> None:
    it = customers(60, 10)
    known, rows = crowd(it), slice(10, 60)
    found = liked(NAMES, trees, it, known, rows, HORIZON, 2)
    said = likely(trees, it, known, rows, HORIZON)
    features = pairs(it, known, rows, HORIZON).reshape(50, len(NAMES), -1)
    moved = trees.contributions(features.reshape(-1, len(PAIR_FEATURES))).reshape(features.shape)
    for row, best in enumerate(found):
        assert [each.probability for each in best] == sorted(said[row], reverse=True)[:2]
        for each in best:
            at = NAMES.index(each.category)
            assert 0 < len(each.reasons) <= 3
            for why in each.reasons:
                column = PAIR_FEATURES.index(why.feature)
                assert why.contribution == moved[row, at, column]
                assert why.value == (None if np.isnan(value := features[row, at, column]) else value)


def test_trees_are_kept_and_asked_again(trees: PropensityTrees) -> None:
    it = customers(30, 11)
    again = restored(trees.dump())
    assert again is not None
    rows = slice(0, 30)
    one, other = (likely(each, it, crowd(it), rows, HORIZON) for each in (trees, again))
    assert np.allclose(one, other, rtol=1e-12)
    assert restored({}) is None
    narrow = fit([Moment(it.moment.ids, np.ones((30, 2)), np.arange(30) % 2 == 0)])
    assert restored(narrow.dump()) is None


def test_an_order_is_judged_by_those_who_bought() -> None:
    said = np.array([[0.9, 0.5, 0.1, 0.05], [0.8, 0.6, 0.4, 0.3], [0.2, 0.1, 0.05, 0.01]])
    labels = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=np.bool_)
    found = ranking(RankingMethod.MODEL, said, labels, np.array([True, True, False]))
    assert (found.hit_rate, found.hit_rate_of_three) == (0.5, 1.0)
    assert found.average_precision == pytest.approx((1 + 2 / 5) / 2)
    came = np.where(labels, said, 1 - said)
    assert found.log_loss == pytest.approx(float(-np.log(came).mean()))


def test_the_likeliest_are_kept_with_their_part_of_the_whole() -> None:
    said = np.array([[0.1, 0.5, 0.4]])
    why = [(Reason("category_days", 3.0, 0.2),), ()]
    (only,) = preferences(("a", "b", "c"), said, likeliest(said, 2), why)
    assert [it.reasons for it in only] == why
    assert [(it.category, it.probability) for it in only] == [("b", 0.5), ("c", 0.4)]
    assert [it.share for it in only] == pytest.approx([0.5, 0.4])
