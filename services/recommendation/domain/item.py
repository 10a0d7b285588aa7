"""Items of the catalogue, and which of them a request allows."""

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items may be answered; every condition that is not empty must hold. Hidden items never pass."""

    categories: frozenset[str] = frozenset()
    brands: frozenset[str] = frozenset()
    item_ids: frozenset[str] = frozenset()
    excluded_item_ids: frozenset[str] = frozenset()
    include_out_of_stock: bool = False


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
