"""What is bought together where data are few: windows and counts as by hand, shrunk as far as counts leave room."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recommendation.domain.baskets import Baskets, baskets_of
from services.recommendation.domain.companions import (
    STRENGTHS,
    Companions,
    WindowInvalid,
    check_window,
    windows_of,
)

LINES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 30)), min_size=1, max_size=40)


def divided(lines: list[tuple[int, int, int]], window: int) -> Baskets:
    customers, items, times = (np.array(column) for column in zip(*lines, strict=True))
    return windows_of(customers.astype(np.int32), items.astype(np.int32), times, list("abcde"), window)


def by_hand(lines: list[tuple[int, int, int]], window: int) -> Counter[frozenset[str]]:
    found: Counter[frozenset[str]] = Counter()
    for customer in {each for each, _, _ in lines}:
        own = sorted((time, item) for who, item, time in lines if who == customer)
        while own:
            inside = [item for time, item in own if time <= own[0][0] + window]
            found[frozenset("abcde"[item] for item in inside)] += 1
            own = own[len(inside) :]
    return found


@given(LINES, st.integers(1, 20))
@settings(max_examples=60)
def test_windows_are_those_of_going_through_the_lines_of_each_customer(
    lines: list[tuple[int, int, int]], window: int
) -> None:
    baskets = divided(lines, window)
    cells = [baskets.items[first:end] for first, end in zip(baskets.starts[:-1], baskets.starts[1:], strict=True)]
    assert Counter(frozenset(baskets.item_ids[item] for item in cell) for cell in cells) == by_hand(lines, window)


def companions(carts: list[str], families: list[int]) -> Companions:
    lines = np.array([(owner, ord(item) - 97) for owner, cart in enumerate(carts) for item in cart], dtype=np.int32)
    ids = [chr(97 + each) for each in range(len(families))]
    return Companions(
        baskets_of(lines[:, 0], lines[:, 1], ids), np.arange(len(families)), np.array(families, dtype=np.int32)
    )


def beside(found: Companions, item: str, family: int) -> dict[str, float]:
    allowed = np.ones(len(found.families), dtype=bool)
    return {each.item_id: each.smoothed_lift for each in found.beside(item, family, allowed, 100)}


def test_the_lift_of_categories_is_that_of_all_pairs_of_their_items() -> None:
    random = np.random.default_rng(3)
    carts = ["".join(sorted(random.choice(list("abcdefgh"), size=3, replace=False))) for _ in range(300)]
    families = [0, 0, 1, 1, 1, 2, 2, -1]
    found = companions(carts, families)
    sizes = Counter(item for cart in carts for item in cart)
    for family in range(3):
        pulls = found.pulls(family)
        for other in range(8):
            if families[other] < 0:
                assert pulls[other] == 1
                continue
            pairs = expected = 0.0
            for left in range(8):
                for right in range(8):
                    if left != right and families[left] == family and families[right] == families[other]:
                        a, b = chr(97 + left), chr(97 + right)
                        pairs += sum(a in cart and b in cart for cart in carts)
                        expected += sizes[a] * sizes[b] / len(carts)
            assert pulls[other] == pytest.approx((pairs + 5) / (expected + 5))
    assert found.pulls(7).tolist() == [1.0] * 8


def test_what_nobody_bought_is_answered_with_what_its_category_is_bought_with() -> None:
    carts = ["ac", "bc", "ad", "bd"] * 20 + ["e", "f"] * 60
    found = companions(carts, [0, 0, 1, 1, 2, 2, 0])
    items = found.beside("g", 0, np.ones(7, dtype=bool), 10)
    assert {each.item_id for each in items} == {"c", "d"}
    assert all(each.together == 0 and each.lift == 0 and each.smoothed_lift == each.category_lift for each in items)


def test_a_pair_that_came_once_is_pulled_to_its_categories_and_one_that_came_often_stays() -> None:
    carts = ["ab"] * 40 + ["cd"] + ["a", "b"] * 20 + ["c", "d"] * 5 + ["ef", "eg", "fg"] * 10
    found = companions(carts, [0, 1, 0, 1, 2, 2, 2])
    often = next(each for each in found.beside("a", 0, np.ones(7, dtype=bool), 10) if each.item_id == "b")
    once = next(each for each in found.beside("c", 0, np.ones(7, dtype=bool), 10) if each.item_id == "d")
    assert (often.together, once.together) == (40, 1)
    assert abs(often.smoothed_lift - often.lift) < 0.25 * abs(often.category_lift - often.lift) + 1e-9
    for each in (often, once):
        low, high = sorted((each.lift, each.category_lift))
        assert low <= each.smoothed_lift <= high


def test_the_strength_is_large_where_lifts_are_those_of_categories_and_small_where_they_scatter() -> None:
    random = np.random.default_rng(11)
    items, families = 24, [each % 3 for each in range(24)]
    even = ["".join(chr(97 + it) for it in random.choice(items, size=4, replace=False)) for _ in range(3000)]
    pairs = [chr(97 + it) + chr(97 + (it * 5 + 1) % items) for it in range(items) if (it * 5 + 1) % items != it]
    uneven = [str(random.choice(pairs)) for _ in range(3000)]
    # The likelihoods of strengths differ by dozens of logarithms here, whatever the seed.
    assert companions(even, families).strength >= 5
    assert companions(uneven, families).strength <= 0.5
    assert companions(["a"], [0]).strength in STRENGTHS


def test_an_item_is_never_beside_itself_and_nothing_that_is_not_allowed_is() -> None:
    found = companions(["abc"] * 5 + ["d"] * 20, [0, 0, 0, 1])
    assert set(beside(found, "a", 0)) == {"b", "c"}
    only = found.beside("a", 0, np.array([True, True, False, True]), 10)
    assert [each.item_id for each in only] == ["b"]
    assert found.allowed(np.array([True, False, True])).tolist() == [True, False, True, False]


@pytest.mark.parametrize("window", [0, 3_600_000_000 - 1, 2160 * 3_600_000_000 + 1])
def test_windows_out_of_range_are_refused(window: int) -> None:
    with pytest.raises(WindowInvalid):
        check_window(window)


def test_counts_do_not_depend_on_the_order_of_lines() -> None:
    lines = [(0, 1, 5), (1, 2, 3), (0, 2, 7), (1, 1, 40), (0, 3, 90)]
    first = divided(lines, 10)
    for left, right in combinations(range(len(lines)), 2):
        swapped = list(lines)
        swapped[left], swapped[right] = swapped[right], swapped[left]
        again = divided(swapped, 10)
        assert sorted(again.sizes.tolist()) == sorted(first.sizes.tolist())
