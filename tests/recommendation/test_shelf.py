"""The catalogue in memory against a plain model of it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.recommendation.domain.attributes import AttributeTable
from services.recommendation.domain.item import Item, ItemFilter, Money, PriceRange
from services.recommendation.domain.shelf import Shelf

names = st.sampled_from(["a", "b", "c", "d", "e"])
categories = st.lists(st.sampled_from(["FOOD", "MILK", "TOYS"]), max_size=2, unique=True).map(tuple)
currencies = st.sampled_from(["EUR", "USD"])
items = st.builds(
    Item,
    item_id=names,
    categories=categories,
    brand=st.sampled_from(["", "Own", "Other"]),
    price=st.none() | st.builds(Money, currencies, st.integers(0, 9)),
    attributes=st.dictionaries(st.sampled_from(["size", "colour"]), st.sampled_from(["S", "L"]), max_size=2),
    out_of_stock=st.booleans(),
    hidden=st.booleans(),
    expire_time=st.sampled_from([0, 0, 10, 20, 30]),
)
ends = st.none() | st.integers(0, 9)
filters = st.builds(
    ItemFilter,
    categories=st.frozensets(st.sampled_from(["FOOD", "MILK", "none"]), max_size=2),
    brands=st.frozensets(st.sampled_from(["Own", "none"]), max_size=1),
    item_ids=st.frozensets(names, max_size=3),
    excluded_item_ids=st.frozensets(names, max_size=2),
    include_out_of_stock=st.booleans(),
    price=st.none() | st.builds(PriceRange, currencies, ends, ends),
    attributes=st.lists(
        st.tuples(st.sampled_from(["size", "none"]), st.frozensets(st.sampled_from(["S", "L"]), min_size=1)), max_size=1
    ).map(tuple),
)
steps = st.lists(st.one_of(items, names, st.integers(1, 12)), max_size=30)
"""An item that is put, the id of one that is removed, or a step of time."""


def allowed(item: Item, wanted: ItemFilter, now: int) -> bool:
    return (
        not item.hidden
        and not 0 < item.expire_time <= now
        and (wanted.include_out_of_stock or not item.out_of_stock)
        and (not wanted.categories or bool(wanted.categories & set(item.categories)))
        and (not wanted.brands or item.brand in wanted.brands)
        and (not wanted.item_ids or item.item_id in wanted.item_ids)
        and item.item_id not in wanted.excluded_item_ids
        and (wanted.price is None or priced(item.price, wanted.price))
        and all(item.attributes.get(name) in values for name, values in wanted.attributes)
    )


def priced(price: Money | None, wanted: PriceRange) -> bool:
    if price is None or price.currency != wanted.currency:
        return False
    return (wanted.least is None or price.amount_minor >= wanted.least) and (
        wanted.most is None or price.amount_minor <= wanted.most
    )


@given(steps, filters, st.integers(1, 40))
def test_a_mask_allows_just_what_the_filter_says_after_any_changes(
    steps: list[Item | str | int], wanted: ItemFilter, changes_max: int
) -> None:
    shelf, expected, now = Shelf(changes_max=changes_max), dict[str, Item](), 0
    model = list("xabcde")
    for step in steps:
        shelf.selection(wanted, "m1", model)
        if isinstance(step, Item):
            shelf.put(step)
            expected[step.item_id] = step
        elif isinstance(step, str):
            shelf.remove(step)
            expected.pop(step, None)
        else:
            now += step
        shelf.advance(now)
    mask = shelf.mask(wanted)
    passing = {item_id for item_id, item in expected.items() if allowed(item, wanted, now)}
    assert set(shelf.newest(mask)) == passing
    assert {name for name in "abcde" if shelf.allows(mask, name)} == passing
    assert shelf.item_count == len(expected)
    assert [name in shelf for name in "abcde"] == [name in expected for name in "abcde"]
    selected = shelf.selection(wanted, "m1", model)
    assert selected.mask.tolist() == [name in passing for name in model]
    assert [model[row] for row in selected.rows] == sorted(passing)
    assert selected.count == len(passing)
    assert shelf.project(mask, "m1", model).mask.tolist() == selected.mask.tolist()


def test_a_filter_that_nothing_changed_for_is_answered_with_the_same_selection() -> None:
    shelf, model = Shelf(), ["a", "b", "c"]
    for item in (Item("a", categories=("FOOD",)), Item("b", categories=("TOYS",))):
        shelf.put(item)
    food = ItemFilter(categories=frozenset({"FOOD"}))
    first = shelf.selection(food, "m1", model)
    shelf.put(Item("b", title="other", categories=("TOYS",)))
    assert shelf.selection(food, "m1", model) is first
    shelf.put(Item("c", categories=("FOOD",)))
    assert shelf.selection(food, "m1", model).mask.tolist() == [True, False, True]
    assert shelf.selection(food, "m2", ["c", "b"]).mask.tolist() == [True, False]
    assert first.mask.tolist() == [True, False, False]


def test_the_attributes_of_items_that_change_often_are_kept_once() -> None:
    table = AttributeTable(tidied_from=10)
    for number in range(200):
        table.put(number % 7, {"size": str(number % 3), "turn": str(number)})
    sizes = [
        table.having("size", {"1"}, slice(None), 7).tolist(),
        table.having("size", {"1"}, np.arange(7), 7).tolist(),
    ]
    last = {number % 7: number % 3 == 1 for number in range(200)}
    assert sizes == [[last[row] for row in range(7)]] * 2
    assert table.places <= 30


def test_an_item_that_is_deleted_after_the_mask_was_made_is_not_allowed_by_it() -> None:
    shelf = Shelf()
    shelf.put(Item("a"))
    mask = shelf.mask(ItemFilter())
    shelf.remove("a")
    assert not shelf.allows(mask, "a")


def test_an_item_that_came_after_the_mask_was_made_is_not_allowed_by_it() -> None:
    shelf = Shelf()
    mask = shelf.mask(ItemFilter())
    shelf.put(Item("a"))
    assert not shelf.allows(mask, "a")
    assert shelf.project(mask, "m1", ["a"]).mask.tolist() == [False]


def test_a_shelf_grows_past_its_first_rows_and_answers_the_newest_first() -> None:
    shelf = Shelf()
    for number in range(3000):
        shelf.put(Item(f"i{number}"))
    assert shelf.item_count == 3000
    assert next(shelf.newest(shelf.mask(ItemFilter()))) == "i2999"


def test_where_a_models_items_stand_is_seen_anew_when_items_come() -> None:
    shelf = Shelf()
    shelf.put(Item("a"))
    assert shelf.project(shelf.mask(ItemFilter()), "m1", ["b", "a"]).mask.tolist() == [False, True]
    shelf.put(Item("b"))
    assert shelf.project(shelf.mask(ItemFilter()), "m1", ["b", "a"]).mask.tolist() == [True, True]
    assert shelf.project(shelf.mask(ItemFilter()), "m2", ["a"]).mask.tolist() == [True]
