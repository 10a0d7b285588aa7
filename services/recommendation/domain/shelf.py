"""One tenant's catalogue in memory: just what decides whether an item may be recommended.

Everything is kept in columns, so that a filter over a million items takes milliseconds; and what a filter allows is
remembered and, when items change, looked at again for those items alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.attributes import AttributeTable
from services.recommendation.domain.columns import Array, Codes, Columns
from services.recommendation.domain.item import Facets, Item, ItemFilter, PriceRange, facets_of
from services.recommendation.domain.selection import Mask, Rows, Selection

REMEMBERED_BYTES = 64_000_000
"""Of masks, and of selections; a byte for each item and filter."""
REMEMBERED_MIN, REMEMBERED_MAX = 8, 64
CHANGES_MAX = 4096
"""Changed rows that are known one by one; what was made before them is made anew."""
NO_STOCK = -1
NEWEST_AT_ONCE = 256
"""New items that are put into order at once; most lists find theirs among the first."""

Remembered = TypeVar("Remembered")
At = slice | Rows


class Places:
    """Where a model's items stand on a shelf: the row of each item, and the item's place of each row; -1 for none."""

    def __init__(self, model_version: str, item_ids: Sequence[str], rows: Rows, row_count: int) -> None:
        self.model_version = model_version
        self._rows = rows
        self._missing = {item_ids[place]: place for place in np.flatnonzero(rows < 0).tolist()}
        self._of_row = np.full(row_count, -1, dtype=np.int64)
        self._of_row[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        self._known = row_count

    @property
    def of_row(self) -> Rows:
        """The place of each row."""
        return self._of_row[: self._known]

    def extend(self, ids: Sequence[str]) -> None:
        """Take in the rows that came since."""
        while self._known < len(ids):
            if self._known == len(self._of_row):
                self._of_row = np.concatenate([self._of_row, np.full(max(len(self._of_row), 1), -1, dtype=np.int64)])
            place = self._missing.pop(ids[self._known], -1)
            self._of_row[self._known] = place
            if place >= 0:
                self._rows[place] = self._known
            self._known += 1

    def over(self, mask: Mask) -> Mask:
        """A mask of rows as one of places; what has no row, or one that came after the mask, is not allowed."""
        with_end = np.append(mask, False)
        return with_end[np.where(self._rows < 0, len(mask), np.minimum(self._rows, len(mask)))]


class Shelf:
    """Items as rows. A row belongs to one item for ever: a deleted item finds it again when it comes back."""

    def __init__(self, changes_max: int = CHANGES_MAX) -> None:
        self._changes_max = changes_max
        self._row_of: dict[str, int] = {}
        self._ids: list[str] = []
        self._columns = Columns(
            listed=np.bool_, visible=np.bool_, stocked=np.bool_, path=np.int32, brand=np.int32, currency=np.int32,
            price=np.int64, margin=np.float64, stock=np.int64, publish=np.int64, since=np.int64, expire=np.int64,
        )  # fmt: skip
        self._paths: Codes[tuple[str, ...]] = Codes()
        self._paths_through: dict[str, list[int]] = {}
        self._brands: Codes[str] = Codes()
        self._currencies = Codes([""])
        """Currency 0 where no price is known."""
        self._attributes = AttributeTable()
        self._expiring: list[tuple[int, int]] = []
        self._masks: OrderedDict[Hashable, tuple[int, Mask]] = OrderedDict()
        self._selections: OrderedDict[Hashable, tuple[int, Selection]] = OrderedDict()
        self._changed: list[int] = []
        self._forgotten = 0
        self._places: Places | None = None
        self.item_count = 0

    @property
    def row_count(self) -> int:
        """How many rows were ever given out; grows whenever an item comes that was never here."""
        return len(self._ids)

    def put(self, item: Item, create_time: int = 0) -> None:
        """Put an item on the shelf, or replace it there; ``create_time``, in microseconds, is when it first came."""
        row = self._row_of.get(item.item_id)
        if row is None:
            row = self._append(item.item_id)
        self.item_count += not self._columns["listed"][row]
        if item.expire_time and item.expire_time != self._columns["expire"][row]:
            heappush(self._expiring, (item.expire_time, row))
        facets = facets_of(item)
        self._columns.set(row, {
            "listed": True,
            "visible": not item.hidden,
            "stocked": not item.hidden and not item.out_of_stock,
            "path": self._path(facets.categories),
            "brand": self._brands.code(facets.brand),
            "currency": self._currencies.code(item.price.currency) if item.price else 0,
            "price": item.price.amount_minor if item.price else 0,
            "margin": np.nan if facets.margin is None else facets.margin,
            "stock": NO_STOCK if facets.stock is None else facets.stock,
            "publish": facets.publish_time,
            "since": facets.publish_time or create_time,
            "expire": item.expire_time,
        })  # fmt: skip
        self._attributes.put(row, item.attributes)
        self._note(row)

    def remove(self, item_id: str) -> None:
        """Take an item off the shelf; absent is fine."""
        row = self._row_of.get(item_id)
        if row is not None and self._columns["listed"][row]:
            self._columns.set(row, {"listed": False, "visible": False, "stocked": False, "expire": 0})
            self.item_count -= 1
            self._note(row)

    def advance(self, now: int) -> None:
        """Hide what has expired by ``now``, in microseconds."""
        while self._expiring and self._expiring[0][0] <= now:
            time, row = heappop(self._expiring)
            if self._columns["expire"][row] == time:
                self._columns.set(row, {"visible": False, "stocked": False, "expire": 0})
                self._note(row)

    def __contains__(self, item_id: str) -> bool:
        row = self._row_of.get(item_id)
        return row is not None and bool(self._columns["listed"][row])

    def categories(self, item_id: str) -> tuple[str, ...]:
        """The path of an item that is on the shelf."""
        path: int = self._columns["path"][self._row_of[item_id]]
        return self._paths.names[path]

    def families(self, rows: Rows) -> NDArray[np.int32]:
        """A number for the whole path of categories of each row, the same for the same path; -1 where there is none."""
        paths = self._columns["path"]
        codes = np.where(rows < 0, -1, paths[rows] if len(paths) else -1)
        nowhere = self._paths.known(())
        return np.where(codes == nowhere, -1, codes).astype(np.int32)

    def price(self, item_id: str) -> int:
        """What an item costs, in minor units; 0 where that is not known."""
        row = self._row_of.get(item_id)
        return 0 if row is None else int(self._columns["price"][row])

    def facets(self, item_ids: Iterable[str]) -> dict[str, Facets]:
        """What is known of items, those that were ever here."""
        return {item_id: self._facets(row) for item_id in item_ids if (row := self._row_of.get(item_id)) is not None}

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
        return row < len(mask) and bool(mask[row] and self._columns["visible"][row])

    def rows(self, item_ids: Sequence[str]) -> Rows:
        """The row of each item, -1 for those that were never here."""
        return np.fromiter((self._row_of.get(item_id, -1) for item_id in item_ids), np.int64, len(item_ids))

    def selection(self, wanted: ItemFilter, model_version: str, item_ids: Sequence[str]) -> Selection:
        """What ``wanted`` allows of a model's items; the same object as long as that is the same."""
        places = self._where(model_version, item_ids)

        def whole() -> Selection:
            return Selection(places.over(self._standing(wanted)))

        def updated(selection: Selection, rows: Rows) -> Selection:
            rows = rows[places.of_row[rows] >= 0]
            return selection.updated(places.of_row[rows], self._fits(wanted, rows))

        if wanted.item_ids:
            return self.project(self.mask(wanted), model_version, item_ids)
        selection = self._remembered(self._selections, (*_key(wanted), model_version), whole, updated)
        if not wanted.excluded_item_ids:
            return selection
        excluded = places.of_row[self._known(wanted.excluded_item_ids)]
        return selection.without(excluded[excluded >= 0])

    def project(self, mask: Mask, model_version: str, item_ids: Sequence[str]) -> Selection:
        """``mask`` over a model's items instead of rows."""
        return Selection(self._where(model_version, item_ids).over(mask))

    def newest(self, mask: Mask) -> Iterator[str]:
        """The ids that a mask allows, those that are available for the shortest time first."""
        first = self.latest(mask, (), NEWEST_AT_ONCE)
        yield from first
        if len(first) == NEWEST_AT_ONCE:
            yield from self.latest(mask, first, self.row_count)

    def available_time(self, item_id: str) -> int:
        """Since when an item that was ever here is available, in microseconds: as it was published, or as it came."""
        return int(self._columns["since"][self._row_of[item_id]])

    def latest(
        self, mask: Mask, without: Iterable[str], count: int, start: int | None = None, end: int | None = None
    ) -> list[str]:
        """The ids that a mask allows, those that became available last first, then those that came last; at most
        ``count``, and only those that did so from ``start`` on and until ``end``, both in microseconds."""
        allowed = mask.copy()
        known = [row for row in self._known(without) if row < len(mask)]
        allowed[known] = False
        since = self._columns["since"][: len(mask)]
        allowed &= self._columns["visible"][: len(mask)]
        if start is not None:
            allowed &= since >= start
        if end is not None:
            allowed &= since <= end
        rows = np.flatnonzero(allowed)
        if len(rows) > count:
            least = np.partition(since[rows], len(rows) - count)[len(rows) - count]
            rows = rows[since[rows] >= least]
        return [self._ids[row] for row in rows[np.lexsort((-rows, -since[rows]))][:count].tolist()]

    def _where(self, model_version: str, item_ids: Sequence[str]) -> "Places":
        """Where a model's items stand; kept for one model."""
        if self._places is None or self._places.model_version != model_version:
            self._places = Places(model_version, item_ids, self.rows(item_ids), self.row_count)
        self._places.extend(self._ids)
        return self._places

    def _standing(self, wanted: ItemFilter) -> Mask:
        """The mask of a filter's conditions that many requests share."""

        def whole() -> Mask:
            return self._fits(wanted, slice(None))

        def updated(mask: Mask, rows: Rows) -> Mask:
            longer = np.concatenate([mask, np.zeros(self.row_count - len(mask), dtype=np.bool_)])
            longer[rows] = self._fits(wanted, rows)
            return longer

        return self._remembered(self._masks, _key(wanted), whole, updated)

    def _remembered(
        self,
        kept: OrderedDict[Hashable, tuple[int, Remembered]],
        key: Hashable,
        whole: Callable[[], Remembered],
        updated: Callable[[Remembered, Rows], Remembered],
    ) -> Remembered:
        """What is kept under a key, brought up to date with the rows that changed since."""
        revision = self._forgotten + len(self._changed)
        known = kept.get(key)
        if known is not None and known[0] == revision:
            kept.move_to_end(key)
            return known[1]
        if known is not None and known[0] >= self._forgotten:
            rows = np.unique(np.array(self._changed[known[0] - self._forgotten :], dtype=np.int64))
            value = updated(known[1], rows)
        else:
            value = whole()
        kept[key] = revision, value
        kept.move_to_end(key)
        room = min(max(REMEMBERED_BYTES // max(self.row_count, 1), REMEMBERED_MIN), REMEMBERED_MAX)
        while len(kept) > room:
            kept.popitem(last=False)
        return value

    def _fits(self, wanted: ItemFilter, at: At) -> Mask:
        """Whether ``wanted`` allows each of some rows, ids aside."""
        columns = self._columns
        allowed: Mask = columns["visible" if wanted.include_out_of_stock else "stocked"][at].copy()
        if wanted.categories:
            through = [code for name in wanted.categories for code in self._paths_through.get(name, ())]
            allowed &= self._paths.table(through)[columns["path"][at]]
        if wanted.brands:
            allowed &= self._brands.table([self._brands.known(name) for name in wanted.brands])[columns["brand"][at]]
        if wanted.price:
            allowed &= self._priced(wanted.price, columns["currency"][at], columns["price"][at])
        for name, values in wanted.attributes:
            allowed &= self._attributes.having(name, values, at, self.row_count)
        return allowed

    def _priced(self, wanted: PriceRange, currencies: Array, prices: NDArray[np.int64]) -> Mask:
        fits = currencies == self._currencies.known(wanted.currency)
        if wanted.least is not None:
            fits &= prices >= wanted.least
        if wanted.most is not None:
            fits &= prices <= wanted.most
        return np.asarray(fits, dtype=np.bool_)

    def _facets(self, row: int) -> Facets:
        columns = self._columns
        margin, stock = float(columns["margin"][row]), int(columns["stock"][row])
        return Facets(
            categories=self._paths.names[columns["path"][row]],
            brand=self._brands.names[columns["brand"][row]],
            margin=None if np.isnan(margin) else margin,
            stock=None if stock == NO_STOCK else stock,
            publish_time=int(columns["publish"][row]),
        )

    def _path(self, categories: tuple[str, ...]) -> int:
        count = len(self._paths.names)
        code = self._paths.code(categories)
        if code == count:
            for name in set(categories):
                self._paths_through.setdefault(name, []).append(code)
        return code

    def _known(self, item_ids: Iterable[str]) -> list[int]:
        return [row for item_id in item_ids if (row := self._row_of.get(item_id)) is not None]

    def _append(self, item_id: str) -> int:
        row = self._columns.extend(1)
        self._row_of[item_id] = row
        self._ids.append(item_id)
        return row

    def _note(self, row: int) -> None:
        self._changed.append(row)
        if len(self._changed) > self._changes_max:
            gone = len(self._changed) // 2
            del self._changed[:gone]
            self._forgotten += gone


def _key(wanted: ItemFilter) -> tuple[Hashable, ...]:
    return wanted.categories, wanted.brands, wanted.include_out_of_stock, wanted.price, wanted.attributes
