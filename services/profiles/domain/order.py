"""Orders: the one event whose content profiles reads, because lifetime figures are made of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.errors import InvalidArgument
from services.common.money import to_minor

PRODUCTS_MAX = 1000
AMOUNT_MAX = 1e12
_CURRENCY = re.compile("[A-Z]{3}")


class OrderInvalid(InvalidArgument):
    """An ``Order Completed`` that lacks something or holds something impossible."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an order came to, in the currency's minor unit."""

    order_id: str
    currency: str
    total_minor: int


def read_order(properties: Mapping[str, Any]) -> Order:
    """The order in an event's properties; ``OrderInvalid`` says which field is wrong and how."""
    order_id, currency = properties.get("order_id"), properties.get("currency")
    if not isinstance(order_id, str) or not order_id:
        raise OrderInvalid("order_id must be text, and not empty", field="order_id")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise OrderInvalid("currency must be three capital letters (ISO 4217)", field="currency")
    products = properties.get("products")
    if not isinstance(products, list) or len(products) > PRODUCTS_MAX:
        raise OrderInvalid(f"products must be a list of at most {PRODUCTS_MAX}", field="products")
    lines = _lines_minor(products, currency)
    total = properties.get("total")
    return Order(order_id, currency, lines if total is None else to_minor(_amount(total, "total"), currency))


def _lines_minor(products: Sequence[Any], currency: str) -> int:
    total = 0
    for index, product in enumerate(products):
        if not isinstance(product, dict):
            raise OrderInvalid(f"products[{index}] must be an object", field=f"products[{index}]")
        product_id = product.get("product_id")
        if not isinstance(product_id, str) or not product_id:
            field = f"products[{index}].product_id"
            raise OrderInvalid(f"{field} must be text, and not empty", field=field)
        total += _line_minor(product, index, currency)
    return total


def _line_minor(product: Mapping[str, Any], index: int, currency: str) -> int:
    price = _amount(product.get("price"), "price", index)
    quantity = _amount(product.get("quantity", 1), "quantity", index)
    stated = product.get("total")
    return to_minor(price * quantity if stated is None else _amount(stated, "total", index), currency)


def _amount(value: object, field: str, index: int | None = None) -> float:
    if type(value) in (int, float) and 0 <= value <= AMOUNT_MAX:  # type: ignore[operator]  # exact types: no bool
        return value  # type: ignore[return-value]
    path = field if index is None else f"products[{index}].{field}"
    raise OrderInvalid(f"{path} must be a number from 0 to {AMOUNT_MAX:g}", field=path)
