"""Orders are read exactly, and what is wrong with one is named."""

from typing import Any

import pytest

from services.profiles.domain.order import Order, OrderInvalid, read_order

LINE = {"product_id": "p", "price": 0.1, "quantity": 3}


def properties(**changed: Any) -> dict[str, Any]:
    return {"order_id": "o", "currency": "USD", "products": [LINE], **changed}


def test_the_total_is_the_sum_of_the_lines_if_absent() -> None:
    assert read_order(properties(products=[LINE, {**LINE, "total": 0.25}])) == Order("o", "USD", 55)


def test_a_stated_total_wins() -> None:
    assert read_order(properties(total=12.34)).total_minor == 1234


def test_a_currency_without_cents_has_none() -> None:
    assert read_order(properties(currency="JPY", total=500)).total_minor == 500


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"order_id": ""}, "order_id"),
        ({"order_id": 7}, "order_id"),
        ({"currency": "usd"}, "currency"),
        ({"currency": {"$ne": 1}}, "currency"),
        ({"products": "p"}, "products"),
        ({"products": [LINE] * 1001}, "products"),
        ({"products": [LINE, "p"]}, "products[1]"),
        ({"products": [{**LINE, "product_id": ""}]}, "products[0].product_id"),
        ({"products": [{**LINE, "price": -1}]}, "products[0].price"),
        ({"products": [{**LINE, "price": True}]}, "products[0].price"),
        ({"products": [{**LINE, "quantity": "2"}]}, "products[0].quantity"),
        ({"products": [{**LINE, "total": 1e13}]}, "products[0].total"),
        ({"total": float("nan")}, "total"),
        ({"total": -0.01}, "total"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(OrderInvalid) as refused:
        read_order(properties(**changed))
    assert refused.value.metadata == {"field": field}
    assert field in str(refused.value)
