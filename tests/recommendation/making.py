"""Shops with a known answer: customers of two kinds, each of whom buys items of their own kind only."""

from dataclasses import dataclass

import numpy as np

from services.recommendation.adapters.interactions import Lines
from services.recommendation.domain.item import Item
from services.recommendation.learning.purchases import Purchases

DAY = 86_400_000_000
NOW = 1_760_000_000_000_000
TENANT = "acme"


@dataclass(frozen=True)
class Shop:
    """Lines of baskets in which item ``i`` is bought by customers ``c`` with ``c % kinds == i % kinds`` only."""

    customers: np.ndarray
    baskets: np.ndarray
    items: np.ndarray
    ages_days: np.ndarray
    customer_count: int = 40
    item_count: int = 24

    @property
    def purchases(self) -> Purchases:
        return Purchases(
            self.customers.astype(np.int32),
            self.baskets.astype(np.int32),
            self.items.astype(np.int32),
            self.ages_days.astype(np.float32),
            self.customer_count,
            int(self.baskets.max()) + 1,
            self.item_count,
        )

    @property
    def lines(self) -> Lines:
        """The same as lines of orders of tenant ``acme``: customers ``c0``…, items ``i0``…, baskets ``b0``…"""
        count = len(self.items)
        return Lines(
            tenant=[TENANT] * count,
            customer_id=[f"c{code}" for code in self.customers],
            basket_id=[f"b{code}" for code in self.baskets],
            item_id=[f"i{code}" for code in self.items],
            time=[NOW - int(age * DAY) for age in self.ages_days],
            quantity=[1.0] * count,
            amount_minor=[100] * count,
            currency=["USD"] * count,
        )


def shop(kinds: int = 2, seed: int = 7, baskets_each: int = 6) -> Shop:
    """A shop with baskets of four over the last 100 days. No customer has every item of their kind."""
    random = np.random.default_rng(seed)
    rows: list[tuple[int, int, int, float]] = []
    basket = 0
    for customer in range(Shop.customer_count):
        own = np.arange(customer % kinds, Shop.item_count, kinds)
        liked = random.permutation(own)[: len(own) - 3]
        for age in np.linspace(1, 100, baskets_each):
            rows += [(customer, basket, int(item), float(age)) for item in random.permutation(liked)[:4]]
            basket += 1
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Shop(columns[0], columns[1], columns[2], columns[3])


def catalogue(count: int = Shop.item_count) -> list[Item]:
    """The items of a shop, of two categories and one brand, and one item that nobody bought."""
    made = [
        Item(f"i{code}", f"Item {code}", ("ALL", f"KIND {code % 2}"), "Own", None, {"place": str(code)})
        for code in range(count)
    ]
    return [*made, Item("unsold", "Unsold", ("ALL", "KIND 0"), "Own")]
