"""The events of Segment's e-commerce specification, version 2: what each needs, and the types of what it may say.

The specification gives every property a type and makes none compulsory. So a property that is absent, or null, is
accepted, and so is one that the specification does not know. Refused are a property of another type, and an event
that does not name what it is about: a product by `product_id` or `sku`, an order by `order_id`, a coupon by
`coupon_id`, `coupon_name` or `coupon`, a promotion by `promotion_id`, `name` or `creative`, a search by `query`, a step
of a checkout by `step`. Where sources differ on the type, both are taken: `position`, `rating` and `step` are numbers
or text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.common.errors import InvalidArgument

LIST_LENGTH_MAX = 1000
Types = frozenset[type]
Properties = Mapping[str, Any]

_NULL = type(None)
TEXT: Types = frozenset({str, _NULL})
NUMBER: Types = frozenset({int, float, _NULL})  # exact types: a truth value is no number
EITHER: Types = TEXT | NUMBER
LIST: Types = frozenset({list, _NULL})
_NAMES = {TEXT: "text", NUMBER: "a number", EITHER: "text or a number", LIST: "a list"}


class PropertiesInvalid(InvalidArgument):
    """An event of the vocabulary that lacks something or holds something of a wrong type. Metadata ``field``."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} {problem}", field=path)


@dataclass(frozen=True, slots=True)
class Definition:
    """What an event may say. Of each group in ``needs`` one at least must be there, and not be empty."""

    types: Mapping[str, Types]
    needs: tuple[tuple[str, ...], ...] = ()
    lists: Mapping[str, "Definition"] = field(default_factory=dict)
    """What the elements of its lists are."""


def check_properties(event: str, properties: Properties) -> None:
    """``PropertiesInvalid`` if ``event`` is of the vocabulary and ``properties`` are not what it says."""
    definition = VOCABULARY.get(event)
    if definition is not None:
        _check(definition, properties, "")


def _check(definition: Definition, properties: Properties, path: str) -> None:
    _check_types(definition, properties, path)
    for group in definition.needs:
        for name in group:
            if properties.get(name) not in (None, ""):
                break
        else:
            raise PropertiesInvalid(path + group[0], f"is needed{_alternatives(group)}")
    for name, element in definition.lists.items():
        if values := properties.get(name):
            _check_elements(element, values, path + name)


def _check_types(definition: Definition, properties: Properties, path: str) -> None:
    for name, value in properties.items():
        allowed = definition.types.get(name)
        if allowed is not None and type(value) not in allowed:
            raise PropertiesInvalid(path + name, f"must be {_NAMES[allowed]}")


def _check_elements(element: Definition, values: Sequence[Any], path: str) -> None:
    if len(values) > LIST_LENGTH_MAX:
        raise PropertiesInvalid(path, f"must have at most {LIST_LENGTH_MAX} elements")
    for index, value in enumerate(values):
        if type(value) is not dict:
            raise PropertiesInvalid(f"{path}[{index}]", "must be an object")
        _check(element, value, f"{path}[{index}].")


def _alternatives(group: tuple[str, ...]) -> str:
    return f" (or {' or '.join(group[1:])})" if len(group) > 1 else ""


def _typed(types: Types, names: str) -> dict[str, Types]:
    return dict.fromkeys(names.split(), types)


_PRODUCT_TYPES = {
    **_typed(TEXT, "product_id sku category name brand variant coupon currency url image_url"),
    **_typed(NUMBER, "price quantity value"),
    "position": EITHER,
}
_PRODUCT_NEEDS = (("product_id", "sku"),)
_PRODUCTS = {"products": Definition(_PRODUCT_TYPES, _PRODUCT_NEEDS)}
_CHOICE = Definition(_typed(TEXT, "type value"))
_ORDER_TYPES = {
    **_typed(TEXT, "order_id checkout_id affiliation coupon currency"),
    **_typed(NUMBER, "subtotal total revenue shipping tax discount value"),
    "products": LIST,
}


def _product(names: str = "", **types: Types) -> Definition:
    return Definition({**_PRODUCT_TYPES, **_typed(TEXT, names), **types}, _PRODUCT_NEEDS)


def _listing(names: str, **types: Types) -> Definition:
    lists = {name: _CHOICE for name in types if name in ("filters", "sorts")}
    return Definition({**_typed(TEXT, names), "products": LIST, **types}, lists={**_PRODUCTS, **lists})


def _coupon() -> Definition:
    types = {**_typed(TEXT, "order_id cart_id coupon_id coupon_name coupon reason"), "discount": NUMBER}
    return Definition(types, (("coupon_id", "coupon_name", "coupon"),))


_ORDER = Definition(_ORDER_TYPES, (("order_id",),), _PRODUCTS)
_PROMOTION = Definition(
    {**_typed(TEXT, "promotion_id creative name"), "position": EITHER}, (("promotion_id", "name", "creative"),)
)
_STEP = Definition(
    {**_typed(TEXT, "checkout_id order_id shipping_method payment_method"), "step": EITHER}, (("step",),)
)
_PAYMENT = Definition(_STEP.types)

# Its id, its currency, and of its lines what makes the total, are read, and so checked, by `order`.
_ORDER_COMPLETED = Definition(_ORDER_TYPES, lists={"products": Definition(_PRODUCT_TYPES)})

VOCABULARY: Mapping[str, Definition] = {
    "Products Searched": Definition(_typed(TEXT, "query"), (("query",),)),
    "Product List Viewed": _listing("list_id category"),
    "Product List Filtered": _listing("list_id category", filters=LIST, sorts=LIST),
    "Promotion Viewed": _PROMOTION,
    "Promotion Clicked": _PROMOTION,
    "Product Clicked": _product(),
    "Product Viewed": _product(),
    "Product Added": _product("cart_id"),
    "Product Removed": _product("cart_id"),
    "Cart Viewed": _listing("cart_id"),
    "Checkout Started": Definition(_ORDER_TYPES, lists=_PRODUCTS),
    "Checkout Step Viewed": _STEP,
    "Checkout Step Completed": _STEP,
    "Payment Info Entered": _PAYMENT,
    "Order Updated": _ORDER,
    "Order Completed": _ORDER_COMPLETED,
    "Order Refunded": _ORDER,
    "Order Cancelled": _ORDER,
    "Coupon Entered": _coupon(),
    "Coupon Applied": _coupon(),
    "Coupon Denied": _coupon(),
    "Coupon Removed": _coupon(),
    "Product Added to Wishlist": _product("wishlist_id wishlist_name"),
    "Product Removed from Wishlist": _product("wishlist_id wishlist_name"),
    "Wishlist Product Added to Cart": _product("wishlist_id wishlist_name cart_id"),
    "Product Shared": _product("share_via share_message recipient"),
    "Cart Shared": _listing("share_via share_message recipient cart_id"),
    "Product Reviewed": _product("review_id review_body", rating=EITHER),
}
"""What each event of the specification may say, by its name."""
