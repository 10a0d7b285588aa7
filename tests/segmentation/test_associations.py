"""Associations against the counts that were published for the groceries data, and against all subsets by hand."""

import itertools
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.rules import TimeWindow
from services.segmentation.domain.association import (
    AssociationsInvalid,
    AssociationsTooMany,
    Baskets,
    Order,
    Thresholds,
    check_thresholds,
)
from services.segmentation.domain.selection import EventFilter
from services.segmentation.handlers.get_associations import find
from services.segmentation.learning.associations import associations, frequent_itemsets
from services.segmentation.ports import BasketItems
from tests.evaluation_data import evaluation_data
from tests.segmentation.histories import DAY, NOW
from tests.segmentation.studies import Study, did, ordered


def held(baskets: list[set[str]]) -> BasketItems:
    names = sorted(set().union(*baskets))
    pairs = [(number, names.index(item)) for number, basket in enumerate(baskets) for item in sorted(basket)]
    numbers = np.array(pairs, np.int64).reshape(-1, 2)
    return BasketItems(numbers[:, 0], numbers[:, 1], len(baskets), names)


@pytest.fixture(scope="module")
def groceries() -> BasketItems:
    lines = pd.read_parquet(evaluation_data("groceries") / "transactions.parquet")
    return held([set(items) for _, items in lines.groupby("transaction")["item"]])


@pytest.mark.parametrize(
    ("support", "confidence", "count"), [(0.001, 0.5, 5668), (0.001, 0.8, 410), (0.006, 0.25, 463)]
)
def test_the_groceries_have_as_many_rules_as_was_published(
    groceries: BasketItems, support: float, confidence: float, count: int
) -> None:
    wanted = Thresholds(support, confidence, size_max=10)
    assert len(find(groceries, wanted, Order.LIFT).rules) == count


def test_figures_of_a_rule_of_the_groceries_are_those_of_pandas(groceries: BasketItems) -> None:
    lines = pd.read_parquet(evaluation_data("groceries") / "transactions.parquet")
    table = pd.crosstab(lines.transaction, lines["item"]) > 0
    rules = find(groceries, Thresholds(0.006, 0.25, 3), Order.CONFIDENCE).rules
    assert [rule.confidence for rule in rules] == sorted((rule.confidence for rule in rules), reverse=True)
    for rule in rules[:20]:
        left, right = table[list(rule.antecedent)].all(axis=1), table[rule.consequent]
        both, p_left, p_right = (left & right).mean(), left.mean(), right.mean()
        assert math.isclose(rule.support, both)
        assert math.isclose(rule.confidence, both / p_left)
        assert math.isclose(rule.lift, both / p_left / p_right)
        assert math.isclose(rule.leverage, both - p_left * p_right)
        assert rule.conviction is not None
        assert math.isclose(rule.conviction, (1 - p_right) / (1 - both / p_left))


@settings(max_examples=60, deadline=None)
@given(
    baskets=st.lists(st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1, max_size=150),
    count_min=st.integers(1, 6),
    size_max=st.integers(1, 6),
    confidence=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_itemsets_and_rules_are_those_of_all_subsets(
    baskets: list[set[str]], count_min: int, size_max: int, confidence: float
) -> None:
    some = held(baskets)
    counted = Counter(
        tuple(some.names.index(item) for item in subset)
        for basket in baskets
        for size in range(1, size_max + 1)
        for subset in itertools.combinations(sorted(basket), size)
    )
    expected = {itemset: count for itemset, count in counted.items() if count >= count_min}
    found = frequent_itemsets(some.baskets, some.items, len(baskets), count_min, size_max)
    assert found == expected
    rules = {(rule.antecedent, rule.consequent): rule.count for rule in associations(found, confidence)}
    assert rules == {
        (tuple(each for each in itemset if each != right), right): count
        for itemset, count in expected.items()
        if len(itemset) > 1
        for right in itemset
        if count >= confidence * expected[tuple(each for each in itemset if each != right)]
    }


def test_more_than_can_be_looked_through_is_refused() -> None:
    everything = held([set(map(chr, range(0x4E00, 0x4E00 + 25)))] * 3)
    with pytest.raises(AssociationsTooMany) as refused:
        find(everything, Thresholds(0.5, 0.5, size_max=10), Order.LIFT)
    assert "raise support_min" in refused.value.message


@pytest.mark.parametrize(
    "wanted",
    [Thresholds(0), Thresholds(1.1), Thresholds(confidence=-0.1), Thresholds(size_min=5), Thresholds(size_min=1)],
)
def test_thresholds_that_make_no_sense_are_refused(wanted: Thresholds) -> None:
    with pytest.raises(AssociationsInvalid):
        check_thresholds(wanted)


async def test_baskets_are_the_orders_of_the_window_with_each_item_once(both: Study) -> None:
    def lines(*categories: str) -> list[dict[str, str]]:
        return [{"category": category} for category in categories]

    history = [
        ordered("ann", NOW - DAY, 1, products=lines("tea", "milk", "tea")),
        ordered("bob", NOW - DAY, 1, products=lines("milk")),
        ordered("bob", NOW - 2 * DAY, 1, products=[]),
        ordered("bob", NOW - 9 * DAY, 1, products=lines("rum")),
        did("cyd", "Viewed", NOW, products=lines("rum")),
    ]
    tenant = await both.tenant_with(history)
    week = Baskets(EventFilter("Order Completed"), TimeWindow(within=7 * DAY), "products.category")
    found = await both.insights.basket_items(tenant, week, NOW)
    assert (found.names, found.basket_count) == (["milk", "tea"], 2)
    assert sorted(Counter(found.items.tolist()).items()) == [(0, 2), (1, 1)]
    (rule,) = find(found, Thresholds(0.1, 0.6), Order.LIFT).rules
    assert (rule.antecedent, rule.consequent, rule.lift, rule.conviction) == (("tea",), "milk", 1.0, None)
    nothing = await both.insights.basket_items(tenant, week, NOW - 300 * DAY)
    assert find(nothing, Thresholds(), Order.LIFT).rules == []
