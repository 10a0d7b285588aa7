"""The lines of an order, from the `products` that an event or a caller tells."""

from collections.abc import Mapping
from typing import Any

from services.common.money import to_minor
from services.loyalty.domain.earning import Line

LINES_MAX = 10_000


def lines_of(products: Any, currency: str) -> tuple[Line, ...]:
    """Each product as a line; ``ValueError`` or ``OverflowError`` if one has no price that could be counted."""
    if not isinstance(products, list) or len(products) > LINES_MAX:
        raise ValueError(f"products must be a list of at most {LINES_MAX}")
    return tuple(_line(product, currency) for product in products)


def _line(product: Any, currency: str) -> Line:
    if not isinstance(product, Mapping):
        raise ValueError("a product must be an object")
    quantity = _number(product, "quantity", 1.0)
    total = product.get("total")
    amount = _number(product, "price", None) * quantity if total is None else _number(product, "total", None)
    return Line(to_minor(amount, currency), max(0, int(quantity)), product)


def _number(product: Mapping[str, Any], name: str, default: float | None) -> float:
    value = product.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} of a product must be a number")
    return float(value)
