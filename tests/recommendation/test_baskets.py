"""Sets of items: their figures are those of counting by hand, and no set is part of another one."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recommendation.domain.baskets import Baskets, Bundle, Growth, baskets_of, bundles_from, bundles_with

ITEMS = "abcdef"
CARTS = st.lists(st.sets(st.sampled_from(ITEMS), min_size=1), min_size=5, max_size=60)


def baskets(carts: list[set[str]]) -> Baskets:
    lines = [(owner, ITEMS.index(item)) for owner, cart in enumerate(carts) for item in sorted(cart) * 2]
    codes = np.array(lines, dtype=np.int32)
    return baskets_of(codes[:, 0], codes[:, 1], list(ITEMS))


def anything(max_size: int = 3, least: int = 2) -> Growth:
    return Growth(np.ones(len(ITEMS), dtype=bool), max_size, least)


def check(bundle: Bundle, carts: list[set[str]]) -> None:
    held = [cart for cart in carts if set(bundle.item_ids) <= cart]
    before = [cart for cart in carts if set(bundle.item_ids[:-1]) <= cart]
    shares = [sum(item in cart for cart in carts) / len(carts) for item in bundle.item_ids]
    assert bundle.basket_count == len(held)
    assert bundle.support == pytest.approx(len(held) / len(carts))
    assert bundle.confidence == pytest.approx(len(held) / len(before))
    assert bundle.lift == pytest.approx(len(held) / len(carts) / np.prod(shares))
    assert bundle.leverage == pytest.approx(len(held) / len(carts) - np.prod(shares))


@given(CARTS, st.integers(2, 5))
@settings(max_examples=60)
def test_figures_are_those_of_counting_and_sets_do_not_contain_each_other(carts: list[set[str]], size: int) -> None:
    counted = baskets(carts)
    pairs = list(combinations(ITEMS, 2))
    for found in (
        bundles_from(counted, pairs, anything(size), 100),
        bundles_with(counted, 0, anything(size), 100),
    ):
        sets = [frozenset(bundle.item_ids) for bundle in found]
        assert len(set(sets)) == len(sets)
        assert not any(left < right for left in sets for right in sets)
        assert [bundle.strength for bundle in found] == sorted((it.strength for it in found), reverse=True)
        for bundle in found:
            assert 2 <= len(bundle.item_ids) <= size
            assert bundle.basket_count >= 2
            check(bundle, carts)


def test_three_items_that_are_always_together_are_one_set() -> None:
    carts = [{"a", "b", "c"}] * 10 + [{"d"}, {"e"}] * 30
    assert [set(it.item_ids) for it in bundles_with(baskets(carts), 0, anything(), 5)] == [{"a", "b", "c"}]


def test_an_item_that_is_in_every_basket_joins_no_set() -> None:
    carts = [{"a", "b", "f"}] * 10 + [{"d", "f"}, {"e", "f"}] * 30
    assert set(bundles_with(baskets(carts), 0, anything(), 5)[0].item_ids) == {"a", "b"}


def test_what_is_not_allowed_is_in_no_set() -> None:
    carts = [{"a", "b", "c"}] * 10 + [{"d"}] * 30
    allowed = np.array([item != "c" for item in ITEMS])
    found = bundles_with(baskets(carts), 0, Growth(allowed, 3, 2), 5)
    assert [set(it.item_ids) for it in found] == [{"a", "b"}]
