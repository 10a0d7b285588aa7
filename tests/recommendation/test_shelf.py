"""The catalogue in memory against a plain model of it."""

from hypothesis import given
from hypothesis import strategies as st

from services.recommendation.domain.item import Item, ItemFilter
from services.recommendation.domain.shelf import Shelf

names = st.sampled_from(["a", "b", "c", "d", "e"])
categories = st.lists(st.sampled_from(["FOOD", "MILK", "TOYS"]), max_size=2, unique=True).map(tuple)
items = st.builds(
    Item,
    item_id=names,
    categories=categories,
    brand=st.sampled_from(["", "Own", "Other"]),
    out_of_stock=st.booleans(),
    hidden=st.booleans(),
)
filters = st.builds(
    ItemFilter,
    categories=st.frozensets(st.sampled_from(["FOOD", "MILK", "none"]), max_size=2),
    brands=st.frozensets(st.sampled_from(["Own", "none"]), max_size=1),
    item_ids=st.frozensets(names, max_size=3),
    excluded_item_ids=st.frozensets(names, max_size=2),
    include_out_of_stock=st.booleans(),
)


def allowed(item: Item, wanted: ItemFilter) -> bool:
    return (
        not item.hidden
        and (wanted.include_out_of_stock or not item.out_of_stock)
        and (not wanted.categories or bool(wanted.categories & set(item.categories)))
        and (not wanted.brands or item.brand in wanted.brands)
        and (not wanted.item_ids or item.item_id in wanted.item_ids)
        and item.item_id not in wanted.excluded_item_ids
    )


@given(st.lists(st.one_of(items, names), max_size=30), filters)
def test_a_mask_allows_just_what_the_filter_says_after_any_changes(steps: list[Item | str], wanted: ItemFilter) -> None:
    shelf, expected = Shelf(), dict[str, Item]()
    for step in steps:
        shelf.mask(wanted)
        if isinstance(step, Item):
            shelf.put(step)
            expected[step.item_id] = step
        else:
            shelf.remove(step)
            expected.pop(step, None)
    mask = shelf.mask(wanted)
    passing = {item_id for item_id, item in expected.items() if allowed(item, wanted)}
    assert set(shelf.newest(mask)) == passing
    assert {name for name in "abcde" if shelf.allows(mask, name)} == passing
    assert shelf.item_count == len(expected)
    assert [name in shelf for name in "abcde"] == [name in expected for name in "abcde"]
    assert shelf.project(mask, "m1", list("xabcde")).tolist() == [name in passing for name in "xabcde"]


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
    assert shelf.project(mask, "m1", ["a"]).tolist() == [False]


def test_a_shelf_grows_past_its_first_rows_and_answers_the_newest_first() -> None:
    shelf = Shelf()
    for number in range(3000):
        shelf.put(Item(f"i{number}"))
    assert shelf.item_count == 3000
    assert next(shelf.newest(shelf.mask(ItemFilter()))) == "i2999"


def test_where_a_models_items_stand_is_seen_anew_when_items_come() -> None:
    shelf = Shelf()
    shelf.put(Item("a"))
    assert shelf.project(shelf.mask(ItemFilter()), "m1", ["b", "a"]).tolist() == [False, True]
    shelf.put(Item("b"))
    assert shelf.project(shelf.mask(ItemFilter()), "m1", ["b", "a"]).tolist() == [True, True]
    assert shelf.project(shelf.mask(ItemFilter()), "m2", ["a"]).tolist() == [True]
