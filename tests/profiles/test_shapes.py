"""What is recognised at once is what the rules, one by one, accept: no more, and for the vocabulary no less."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import InvalidArgument
from services.profiles.domain.order import AMOUNT_MAX, read_order
from services.profiles.domain.vocabulary import VOCABULARY, check_properties
from services.profiles.handlers.shapes import is_right, order_of

SCALARS = st.sampled_from(
    ["", "x", "USD", "USD\n", "usd", None, True, False, 0, 1, -1, 2**63, 0.5, -0.5, AMOUNT_MAX, AMOUNT_MAX * 2]
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("a"), inner))


def said(names: list[str], lists: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Properties, most of them of these names, some of them lists of such objects."""
    fields = {name: JSON | st.sampled_from(["p1", 4.5]) for name in names}
    fields |= {
        name: st.lists(st.fixed_dictionaries({}, optional=each) | JSON, max_size=3) for name, each in lists.items()
    }
    return st.fixed_dictionaries({}, optional={**fields, "unheard_of": JSON})


def of_event(event: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    definition = VOCABULARY[event]
    lists = {name: dict.fromkeys((*element.types, "unheard_of"), SCALARS) for name, element in definition.lists.items()}
    return st.tuples(st.just(event), said(list(definition.types), lists))


def refuses(event: str, properties: dict[str, Any]) -> bool:
    try:
        check_properties(event, properties)
    except InvalidArgument:
        return True
    return False


@settings(max_examples=150)
@given(st.sampled_from(sorted(VOCABULARY)).flatmap(of_event))
def test_the_compiled_vocabulary_accepts_what_the_vocabulary_accepts(case: tuple[str, dict[str, Any]]) -> None:
    event, properties = case
    assert is_right(event, properties) is not refuses(event, properties)


def test_an_event_of_another_vocabulary_may_say_anything() -> None:
    assert is_right("My Own", {"product_id": {"any": ["thing"]}})


AMOUNTS = st.sampled_from([0, 1, 2.5, 0.1, AMOUNT_MAX, AMOUNT_MAX * 2, -1, True, "1", None])
LINES = st.fixed_dictionaries(
    {"product_id": st.sampled_from(["p1", "p2", "p3", ""]), "price": AMOUNTS},
    optional={"quantity": AMOUNTS, "total": AMOUNTS, "sku": SCALARS, "position": SCALARS, "unheard_of": JSON},
)
ORDERS = st.fixed_dictionaries(
    {
        "order_id": st.sampled_from(["o1", "o2", "o3", "", None, 7]),
        "currency": st.sampled_from(["USD", "EUR", "JPY", "KWD", "USD\n", "usd", "US", None]),
        "products": st.lists(LINES | st.sampled_from(["p", None]), max_size=2) | st.none(),
        "total": AMOUNTS,
    },
    optional={"tax": SCALARS, "coupon": SCALARS, "unheard_of": JSON},
)


@settings(max_examples=150)
@given(ORDERS)
def test_an_order_that_is_recognised_is_the_order_that_the_rules_read(properties: dict[str, Any]) -> None:
    order = order_of(properties)
    if order is None:
        return
    assert read_order(properties) == order
    check_properties("Order Completed", properties)


@pytest.mark.parametrize(
    "changed", [{}, {"total": 0}, {"products": []}, {"store_id": 7}, {"tax": None}, {"total": 1e12}]
)
def test_an_order_as_sources_send_it_is_recognised(changed: dict[str, Any]) -> None:
    line = {"product_id": "p", "price": 4, "quantity": 2.5, "total": None, "category": "Mugs", "size": {"any": 1}}
    properties = {"order_id": "o", "currency": "USD", "total": 10.25, "products": [line] * 3, **changed}
    assert order_of(properties) == read_order(properties)
