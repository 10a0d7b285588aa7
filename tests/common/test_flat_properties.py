"""JSON laid flat."""

from services.common.flat.properties import DEPTH_MAX, NUMBER_MAX, flatten


def test_every_path_has_its_values_by_type() -> None:
    flat = flatten({"total": 5, "city": "Rome", "vip": True, "gone": None, "at": {"place": "x"}})
    assert flat.numbers == {"total": [5.0]}
    assert flat.texts == {"city": ["Rome"], "at.place": ["x"]}
    assert flat.flags == {"vip": [True]}
    assert list(flat.present) == ["total", "city", "vip", "at.place", "at"]


def test_a_list_on_the_way_means_each_of_its_elements() -> None:
    flat = flatten({"products": [{"category": "A"}, {"category": "B", "price": 1.5}, 7]})
    assert flat.texts == {"products.category": ["A", "B"]}
    assert flat.numbers == {"products.price": [1.5]}
    assert flat.elements == {"products": ["n7.0"]}


def test_a_list_at_the_end_has_elements_that_keep_their_types() -> None:
    flat = flatten({"tags": ["1", 1, 1.0, True, None, "true", -0.0]})
    assert flat.elements == {"tags": ["t1", "n1.0", "n1.0", "btrue", "ttrue", "n0.0"]}
    assert (flat.texts, flat.numbers, list(flat.present)) == ({}, {}, ["tags"])


def test_texts_that_are_dates_or_times_are_instants_too() -> None:
    flat = flatten(
        {"a": "1970-01-02", "b": "1970-01-01T00:00:01Z", "c": "1970-01-01T01:00:00+01:00", "d": "1970-13-01"}
    )
    assert flat.instants == {"a": [86_400_000_000], "b": [1_000_000], "c": [0]}
    assert len(flat.texts) == 4


def test_numbers_that_cannot_be_summed_exactly_are_missing() -> None:
    flat = flatten({"a": NUMBER_MAX, "b": NUMBER_MAX * 1.1, "c": [10**40]})
    assert flat.numbers == {"a": [NUMBER_MAX]}
    assert list(flat.present) == ["a", "c"]


def test_endless_depth_is_not_followed() -> None:
    content: object = "x"
    for _ in range(900):
        content = {"a": content}
    flat = flatten({"a": content, "list": [[[[1]]]]})
    assert flat.texts == {}
    assert max(path.count(".") for path in flat.present) == DEPTH_MAX - 1
    assert flat.elements == {"list": ["n1.0"]}
