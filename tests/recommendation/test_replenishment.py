"""Due again: rhythms are shrunk to what others do, and the list is better than asking what was bought most."""

import numpy as np
import pandas as pd
import pytest

from services.recommendation.domain.replenishment import DAY, Due, Rhythms, due_again, learn
from tests.evaluation_data import evaluation_data

HORIZON = 7 * DAY
Real = tuple[dict[int, list[Due]], dict[int, list[str]], dict[int, set[str]]]


def rhythms(gap: int = 10, customers: int = 20, repeats: int = 6) -> Rhythms:
    """A shop where everybody buys milk every ``gap`` days, and a sofa once."""
    random = np.random.default_rng(5)
    rows = [
        (customer, 0, time)
        for customer in range(customers)
        for time in np.cumsum(random.normal(gap, 1, repeats).round().clip(2))
    ]
    rows += [(customer, 1, 3.0) for customer in range(customers)]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return learn(columns[0].astype(np.int32), columns[1].astype(np.int32), columns[2], ["milk", "sofa"])


def test_somebody_new_to_an_item_is_expected_in_the_rhythm_of_everybody() -> None:
    (due,) = due_again(rhythms(), [("milk", 100 * DAY)], 105 * DAY, HORIZON)
    assert due.interval / DAY == pytest.approx(10, rel=0.1)
    assert due.due_time == due.last_time + due.interval


def test_an_own_rhythm_weighs_more_the_more_often_it_was_seen() -> None:
    shop = rhythms()
    slow = [("milk", day * 30 * DAY) for day in range(8)]
    intervals = [due_again(shop, slow[:seen], 250 * DAY, HORIZON)[0].interval / DAY for seen in (1, 2, 4, 8)]
    assert intervals == sorted(intervals)
    assert 10 < intervals[1] < intervals[3] < 30.5
    assert intervals[3] > 1.8 * intervals[0]


def test_what_was_just_bought_is_less_due_than_what_has_run_out_and_what_is_never_bought_again_is_not_due() -> None:
    shop = rhythms()
    milk = [("milk", day * 10 * DAY) for day in range(5)]
    bought = due_again(shop, [*milk, ("sofa", 30 * DAY)], 41 * DAY, HORIZON)
    ran_out = due_again(shop, [*milk, ("sofa", 30 * DAY)], 48 * DAY, HORIZON)
    chances = [{it.item_id: it.probability for it in found} for found in (bought, ran_out)]
    assert chances[0]["milk"] < 0.3 < 0.6 < chances[1]["milk"]
    assert chances[1]["sofa"] < 0.05


def test_who_has_stayed_away_for_long_is_taken_to_have_stopped() -> None:
    milk = [("milk", day * 10 * DAY) for day in range(5)]
    due = [due_again(rhythms(), milk, day * DAY, HORIZON)[0].probability for day in (48, 80, 300)]
    assert due[0] > due[1] > due[2]
    assert due[2] < 0.05


def test_a_shop_without_repeats_expects_none() -> None:
    shop = learn(np.array([0, 1], np.int32), np.array([0, 1], np.int32), np.array([1.0, 2.0]), ["a", "b"])
    (due,) = due_again(shop, [("a", DAY)], 10 * DAY, HORIZON)
    assert due.probability == 0


def _precision(ranked: dict[int, list[str]], truth: dict[int, set[str]], count: int = 5) -> float:
    return float(np.mean([len(set(items[:count]) & truth[customer]) / count for customer, items in ranked.items()]))


@pytest.fixture(scope="module")
def real() -> Real:
    """Of every fourth household: what is due in a week, what it bought most before, and what it bought in that week."""
    lines = pd.read_parquet(evaluation_data("complete_journey") / "transactions.parquet")
    lines = lines[lines.household_id % 4 == 0]
    days = lines.transaction_timestamp.to_numpy().astype("datetime64[D]").astype(np.int64)
    lines = pd.DataFrame({"who": lines.household_id, "item": lines.product_id.astype(str), "day": days})
    lines = lines.drop_duplicates()
    edge = int(lines.day.max()) - 41
    past, future = lines[lines.day < edge], lines[(lines.day >= edge) & (lines.day < edge + 7)]
    item_codes, item_ids = pd.factorize(past["item"])
    shop = learn(past.who.to_numpy(np.int32), item_codes.astype(np.int32), past.day.to_numpy(float), list(item_ids))
    truth = {who: set(future["item"][future.who == who]) for who in future.who.unique().tolist()}
    due, most = {}, {}
    for who in truth:
        group = past[past.who == who]
        purchases = [(item, day * DAY) for item, day in zip(group["item"].tolist(), group.day.tolist(), strict=True)]
        due[who] = due_again(shop, purchases, edge * DAY, HORIZON)
        most[who] = list(group["item"].value_counts(sort=True).index)
    return due, most, truth


def test_on_real_baskets_the_due_list_beats_what_was_bought_most(real: Real) -> None:
    due, most, truth = real
    assert len(due) > 300
    ranked = {who: [each.item_id for each in found] for who, found in due.items()}
    assert _precision(ranked, truth) > 1.04 * _precision(most, truth)


@pytest.mark.parametrize(("low", "high"), [(0.03, 0.1), (0.1, 0.2), (0.2, 0.6)])
def test_on_real_baskets_what_is_said_to_be_likely_is(real: Real, low: float, high: float) -> None:
    due, _, truth = real
    said = [
        (each.probability, each.item_id in truth[who])
        for who, found in due.items()
        for each in found
        if low <= each.probability < high
    ]
    promised, kept = np.mean(said, axis=0)
    assert len(said) > 1000
    assert kept == pytest.approx(promised, rel=0.25)
