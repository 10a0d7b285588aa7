"""Items of the catalogue, and which of them a request allows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from services.common.errors import InvalidArgument, NotFound


class ItemNotFound(NotFound):
    """The catalogue has no item of this id."""


class ItemRepeated(InvalidArgument):
    """One request holds the same item twice."""


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount in the currency's minor unit."""

    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can be bought and recommended."""

    item_id: str
    title: str = ""
    categories: tuple[str, ...] = ()
    """From the general to the particular."""
    brand: str = ""
    price: Money | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    out_of_stock: bool = False
    hidden: bool = False
    cost: Money | None = None
    stock_quantity: int | None = None
    publish_time: int = 0
    """Since when it can be bought, in microseconds; 0 where it is not known."""
    expire_time: int = 0
    """From when on it is in no list any more, in microseconds; 0 for never."""


@dataclass(frozen=True, slots=True)
class Facets:
    """What is known of an item that a list may be made by."""

    categories: tuple[str, ...] = ()
    brand: str = ""
    margin: float | None = None
    """What is left of the price, from 0 to 1; ``None`` where price or cost is not known."""
    stock: int | None = None
    publish_time: int = 0


class ItemInvalid(InvalidArgument):
    """An item that cannot be. Metadata ``item_id`` names it, ``problem`` what is wrong."""


def check_amounts(items: Iterable[Item]) -> None:
    """``ItemInvalid`` for a price or a cost below zero."""
    for item in items:
        for name, money in (("price", item.price), ("cost", item.cost)):
            if money and money.amount_minor < 0:
                problem = f"its {name} is below zero"
                raise ItemInvalid(f"item {item.item_id}: {problem}", item_id=item.item_id, problem=problem)


def facets_of(item: Item) -> Facets:
    """What a list may be made by."""
    return Facets(item.categories, item.brand, _margin(item.price, item.cost), item.stock_quantity, item.publish_time)


def _margin(price: Money | None, cost: Money | None) -> float | None:
    if price is None or cost is None or price.currency != cost.currency or price.amount_minor <= 0:
        return None
    return min(max((price.amount_minor - cost.amount_minor) / price.amount_minor, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class PriceRange:
    """Prices in one currency, in minor units; an end that is ``None`` is open."""

    currency: str
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items may be answered; every condition that is not empty must hold. Hidden items never pass."""

    categories: frozenset[str] = frozenset()
    brands: frozenset[str] = frozenset()
    item_ids: frozenset[str] = frozenset()
    excluded_item_ids: frozenset[str] = frozenset()
    include_out_of_stock: bool = False
    price: PriceRange | None = None
    attributes: tuple[tuple[str, frozenset[str]], ...] = ()
    """Names with the values of which one is needed."""


class Change(Enum):
    """What an upsert does to an item."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


def change(stored: Item | None, item: Item) -> Change:
    """What storing ``item`` changes where ``stored`` is."""
    if stored is None:
        return Change.CREATED
    return Change.UNCHANGED if stored == item else Change.UPDATED
