"""Earning from orders as they are fed, and how far that has come."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.loyalty.domain.books import OrderCounts
from services.loyalty.domain.orders import EarnFromOrders
from services.loyalty.ports import Entries, Ledger, OrderFeed


@dataclass(frozen=True, slots=True)
class Status:
    """How far orders have been applied, and what the ledger holds."""

    applied_cursor: str
    entry_count: int
    orders: OrderCounts


async def earn_from_orders(
    ledger: Ledger, orders: Mapping[str, EarnFromOrders], after: str, cursor: str
) -> OrderCounts:
    """Apply a batch of the order feed, by tenant, and move the feed on, all in one commit."""
    return await ledger.earn_from_orders(orders, after, cursor)


async def get_status(feed: OrderFeed, entries: Entries, tenant: str) -> Status:
    """The state of one tenant."""
    return Status(await feed.cursor(), await entries.count(tenant), await feed.counts(tenant))
