"""A made-up shop of any size: items in a tree of categories, customers who keep to a few of its leaves, and its model
and catalogue as the service keeps them on disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.common.store import Put, open_store
from services.recommendation.adapters import snapshots
from services.recommendation.adapters.models import model_documents
from services.recommendation.adapters.store import ITEMS, item_document
from services.recommendation.app import COLLECTIONS, Settings
from services.recommendation.domain.item import Item, Money
from services.recommendation.domain.model import Model, Training

TENANT = "bench"
DIMENSIONS = 64
DEPARTMENTS, GROUPS, LEAVES = 10, 10, 10
"""Departments of the shop, groups of a department, leaves of a group: a tenth, a hundredth, a thousandth of it."""
SPREAD = (1.0, 0.7, 0.5, 1.0)
"""How far departments, groups, leaves and items lie from what they belong to."""
HISTORY, TASTES, FOLLOWERS = 12, 3, 10
PRICES = 100_000
WRITTEN_AT_ONCE = 5000
VERSION = "bench"

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Shop:
    """Vectors of items with their leaves and prices, and the items that each customer bought."""

    vectors: Vectors
    leaves: Rows
    prices: Rows
    bought: NDArray[np.int32]

    @property
    def queries(self) -> Vectors:
        """The vectors of the first customers."""
        return np.stack([self.vectors[rows].mean(axis=0) for rows in self.bought[:1000]])

    def path(self, row: int) -> tuple[str, ...]:
        """The categories of an item."""
        leaf = int(self.leaves[row])
        return f"d{leaf // (GROUPS * LEAVES)}", f"g{leaf // LEAVES}", f"l{leaf}"


def make_shop(item_count: int, customer_count: int, seed: int = 1) -> Shop:
    """Vectors of length 1, as those of contrast have: an item lies about its leaf, a leaf about its group, and so on.
    The first of the dimensions say more than the last."""
    random = np.random.default_rng(seed)
    weights = (np.arange(1, DIMENSIONS + 1) ** -0.35).astype(np.float32)

    def about(centres: Vectors, count: int, spread: float) -> Vectors:
        more = random.normal(size=(count, DIMENSIONS)).astype(np.float32) * weights * np.float32(spread)
        return np.asarray(np.repeat(centres, count // len(centres), axis=0) + more, dtype=np.float32)

    centres = np.zeros((1, DIMENSIONS), dtype=np.float32)
    for count, spread in zip(np.cumprod((DEPARTMENTS, GROUPS, LEAVES)).tolist(), SPREAD, strict=False):
        centres = about(centres, count, spread)
    leaves = random.integers(0, len(centres), item_count)
    noise = random.normal(size=(item_count, DIMENSIONS)).astype(np.float32) * weights * np.float32(SPREAD[-1])
    vectors = centres[leaves] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.argsort(leaves, kind="stable")
    starts = np.searchsorted(leaves[order], np.arange(len(centres) + 1))
    liked = random.integers(0, len(centres), (customer_count, TASTES)).repeat(HISTORY // TASTES, axis=1)
    place = starts[liked] + random.integers(0, 2**31, liked.shape) % np.maximum(starts[liked + 1] - starts[liked], 1)
    bought = np.sort(order[np.minimum(place, item_count - 1)], axis=1).astype(np.int32)
    return Shop(vectors, leaves, random.integers(0, PRICES, item_count), bought)


async def keep_shop(shop: Shop, folder: Path) -> None:
    """Write the catalogue and the live model as a service finds them in its data folder."""
    model = _model(shop)
    snapshots.write(model, folder / "written")
    snapshots.publish(folder / "written", folder / "recommendation-models" / f"tenant-{TENANT}" / VERSION)
    async with open_store(Settings(data_dir=folder), COLLECTIONS) as opened:
        await opened.commit(model_documents(TENANT, model.training, live=True))
        for items in _items(shop, model):
            await opened.commit([Put(TENANT, ITEMS, each.item_id, item_document(each, 0, 0)) for each in items])


def _items(shop: Shop, model: Model) -> Iterator[list[Item]]:
    for first in range(0, len(shop.vectors), WRITTEN_AT_ONCE):
        rows = range(first, min(first + WRITTEN_AT_ONCE, len(shop.vectors)))
        yield [
            Item(model.item_ids[row], f"Item {row}", shop.path(row), "Own", Money("EUR", int(shop.prices[row])))
            for row in rows
        ]


def _model(shop: Shop) -> Model:
    items, customers = len(shop.vectors), len(shop.bought)
    random = np.random.default_rng(2)
    none = np.zeros(items + 1, dtype=np.int64)
    ends = np.arange(customers + 1, dtype=np.int64) * HISTORY
    lines = customers * HISTORY
    buyers = np.bincount(shop.bought.ravel(), minlength=items)
    steps = np.tile(np.arange(HISTORY - 1, -1, -1, dtype=np.int32), customers)
    training = Training(
        VERSION, "contrastive", 1, 1, 1, 1, 180.0, 5, 0.4, DIMENSIONS, DIMENSIONS, lines, customers, lines, items,
        following_share=0.2, new_following_share=0.3,
    )  # fmt: skip
    return Model(
        training=training,
        item_ids=[f"i{row:07d}" for row in range(items)],
        customer_ids=[f"c{row:07d}" for row in range(customers)],
        context=shop.vectors, target=shop.vectors, likeness=shop.vectors,
        recent_buyers=buyers, history_starts=ends, history_items=shop.bought.ravel(),
        history_weights=random.random(lines).astype(np.float32), history_baskets=np.ones(lines, dtype=np.int32),
        pair_starts=none, pair_items=none[:0].astype(np.int32), pair_baskets=none[:0].astype(np.int32),
        item_baskets=buyers.astype(np.int32),
        next_starts=np.arange(items + 1, dtype=np.int64) * FOLLOWERS,
        next_items=random.integers(0, items, items * FOLLOWERS).astype(np.int32),
        next_strengths=random.random(items * FOLLOWERS).astype(np.float32),
        trail_starts=ends, trail_items=shop.bought.ravel(), trail_steps=steps,
        interest_starts=np.zeros(customers + 1, dtype=np.int64), interest_items=np.empty(0, dtype=np.int32),
        interest_weights=np.empty(0, dtype=np.float32),
    )  # fmt: skip
