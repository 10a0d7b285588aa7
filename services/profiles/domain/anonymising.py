"""What stays of an event when the person goes: what was done with which products, and nothing that names or describes.

Only properties of the e-commerce vocabulary that are about products and money stay. One that a source made up may say
anything about the person, and goes.
"""

from collections.abc import Callable, Mapping
from typing import Any

from services.common import json
from services.common.json import read_object
from services.profiles.domain.event import JSON_BYTES_MAX, EventType
from services.profiles.domain.vocabulary import VOCABULARY

KEPT_TYPES = frozenset({EventType.TRACK, EventType.PAGE, EventType.SCREEN})
"""Of the other kinds nothing but the person is left."""
PRODUCT = frozenset(
    {"product_id", "sku", "category", "brand", "variant", "price", "quantity", "position", "currency", "value", "total"}
)
ORDER = frozenset(
    {"subtotal", "revenue", "shipping", "tax", "discount", "affiliation", "list_id", "promotion_id", "step", "rating"}
)
IDS = frozenset({"order_id", "checkout_id", "cart_id"})
"""Those that lead to a person in other systems: they stay apart from each other, and lead nowhere."""

Pseudonymous = Callable[[str, str], str]
"""A text that follows from a kind and an id, and does not lead back."""


def anonymous(name: str, text: str, pseudonymous: Pseudonymous) -> str:
    """The properties of an event without the person, as JSON; none of an event of the source's own."""
    if name not in VOCABULARY:
        return "{}"
    properties = read_object(text, JSON_BYTES_MAX)
    kept = {key: value for key, value in properties.items() if key in PRODUCT | ORDER and _is_plain(value)}
    for key in IDS & properties.keys():
        if isinstance(properties[key], str) and properties[key]:
            kept[key] = pseudonymous(key, properties[key])
    products = properties.get("products")
    if isinstance(products, list):
        kept["products"] = [_product(each) for each in products if isinstance(each, dict)]
    return json.write(kept)


def _product(product: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in product.items() if key in PRODUCT and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) or value is None
