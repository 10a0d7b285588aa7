"""One tenant's catalogue in memory: just what decides whether an item may be recommended."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.item import Facets, Item, ItemFilter, PriceRange, facets_of

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

ROWS_MIN = 1024
MASKS_MAX = 64
NOTHING: Mapping[str, str] = {}


class Shelf:
    """Items as rows. A row belongs to one item for ever: a deleted item finds it again when it comes back."""

    def __init__(self) -> None:
        self._row_of: dict[str, int] = {}
        self._ids: list[str] = []
        self._facets: list[Facets] = []
        self._attributes: list[Mapping[str, str]] = []
        self._currencies: dict[str, int] = {"": 0}
        self._prices = np.zeros((ROWS_MIN, 2), dtype=np.int64)
        """Currency and amount; currency 0 where no price is known."""
        self._listed = np.zeros(ROWS_MIN, dtype=bool)
        self._visible = np.zeros(ROWS_MIN, dtype=bool)
        self._stocked = np.zeros(ROWS_MIN, dtype=bool)
        self._in_category: dict[str, set[int]] = {}
        self._of_brand: dict[str, set[int]] = {}
        self._masks: dict[tuple[object, ...], Mask] = {}
        self._projection: tuple[tuple[str, int], Rows] | None = None
        self.item_count = 0

    @property
    def row_count(self) -> int:
        """How many rows were ever given out; grows whenever an item comes that was never here."""
        return len(self._ids)

    def put(self, item: Item) -> None:
        """Put an item on the shelf, or replace it there."""
        row = self._row_of.get(item.item_id)
        if row is None:
            row = self._append(item.item_id)
        elif self._listed[row]:
            self._take(row)
        self._listed[row] = True
        self._visible[row] = not item.hidden
        self._stocked[row] = not item.hidden and not item.out_of_stock
        self._facets[row], self._attributes[row] = facets_of(item), item.attributes or NOTHING
        self._prices[row] = self._price(item)
        for category in item.categories:
            self._in_category.setdefault(category, set()).add(row)
        self._of_brand.setdefault(item.brand, set()).add(row)
        self.item_count += 1
        self._masks.clear()

    def remove(self, item_id: str) -> None:
        """Take an item off the shelf; absent is fine."""
        row = self._row_of.get(item_id)
        if row is not None and self._listed[row]:
            self._take(row)
            self._masks.clear()

    def __contains__(self, item_id: str) -> bool:
        row = self._row_of.get(item_id)
        return row is not None and bool(self._listed[row])

    def categories(self, item_id: str) -> tuple[str, ...]:
        """The path of an item that is on the shelf."""
        return self._facets[self._row_of[item_id]].categories

    def facets(self, item_ids: Iterable[str]) -> dict[str, Facets]:
        """What is known of items, those that were ever here."""
        return {item_id: self._facets[row] for item_id in item_ids if (row := self._row_of.get(item_id)) is not None}

    def mask(self, wanted: ItemFilter) -> Mask:
        """Which rows ``wanted`` allows."""
        allowed = self._standing(wanted)
        if not wanted.item_ids and not wanted.excluded_item_ids:
            return allowed
        allowed = allowed.copy()
        if wanted.item_ids:
            named = np.zeros_like(allowed)
            named[self._known(wanted.item_ids)] = True
            allowed &= named
        allowed[self._known(wanted.excluded_item_ids)] = False
        return allowed

    def allows(self, mask: Mask, item_id: str) -> bool:
        """Whether an item is on the shelf, visible, and allowed by a mask that may be older than the item."""
        row = self._row_of.get(item_id, len(mask))
        return row < len(mask) and bool(mask[row] and self._visible[row])

    def rows(self, item_ids: Sequence[str]) -> Rows:
        """The row of each item, -1 for those that were never here."""
        return np.fromiter((self._row_of.get(item_id, -1) for item_id in item_ids), np.int64, len(item_ids))

    def project(self, mask: Mask, model_version: str, item_ids: Sequence[str]) -> Mask:
        """``mask`` over a model's items instead of rows. Where each of them stands is remembered for one model."""
        key = (model_version, self.row_count)
        if self._projection is None or self._projection[0] != key:
            self._projection = key, self.rows(item_ids)
        rows = self._projection[1]
        known = (rows >= 0) & (rows < len(mask))
        projected = np.zeros(len(rows), dtype=bool)
        projected[known] = mask[rows[known]]
        return projected

    def newest(self, mask: Mask) -> Iterator[str]:
        """The ids that a mask allows, those that came last first."""
        return (self._ids[row] for row in np.flatnonzero(mask)[::-1])

    def _standing(self, wanted: ItemFilter) -> Mask:
        """The mask of a filter's conditions that many requests share, remembered until an item changes."""
        key = (wanted.categories, wanted.brands, wanted.include_out_of_stock, wanted.price, wanted.attributes)
        if (known := self._masks.get(key)) is not None:
            return known
        allowed = (self._visible if wanted.include_out_of_stock else self._stocked)[: self.row_count].copy()
        for names, listing in ((wanted.categories, self._in_category), (wanted.brands, self._of_brand)):
            if names:
                named = np.zeros_like(allowed)
                for name in names:
                    named[list(listing.get(name, ()))] = True
                allowed &= named
        if wanted.price:
            allowed &= self._priced(wanted.price)
        for name, values in wanted.attributes:
            given = (attributes.get(name) in values for attributes in self._attributes)
            allowed &= np.fromiter(given, np.bool_, self.row_count)
        if len(self._masks) >= MASKS_MAX:
            self._masks.clear()
        self._masks[key] = allowed
        return allowed

    def _priced(self, wanted: PriceRange) -> Mask:
        prices = self._prices[: self.row_count]
        fits = prices[:, 0] == self._currencies.get(wanted.currency, -1)
        if wanted.least is not None:
            fits &= prices[:, 1] >= wanted.least
        if wanted.most is not None:
            fits &= prices[:, 1] <= wanted.most
        return np.asarray(fits, dtype=np.bool_)

    def _price(self, item: Item) -> tuple[int, int]:
        if item.price is None:
            return 0, 0
        currency = self._currencies.setdefault(item.price.currency, len(self._currencies))
        return currency, item.price.amount_minor

    def _known(self, item_ids: Iterable[str]) -> list[int]:
        return [row for item_id in item_ids if (row := self._row_of.get(item_id)) is not None]

    def _append(self, item_id: str) -> int:
        row = len(self._ids)
        self._row_of[item_id] = row
        self._ids.append(item_id)
        self._facets.append(Facets())
        self._attributes.append(NOTHING)
        if row == len(self._listed):
            self._listed, self._visible, self._stocked = (
                np.concatenate([flags, np.zeros_like(flags)]) for flags in (self._listed, self._visible, self._stocked)
            )
            self._prices = np.concatenate([self._prices, np.zeros_like(self._prices)])
        return row

    def _take(self, row: int) -> None:
        for category in self._facets[row].categories:
            self._in_category[category].discard(row)
        self._of_brand[self._facets[row].brand].discard(row)
        self._listed[row] = self._visible[row] = self._stocked[row] = False
        self.item_count -= 1
