"""Earning from orders as they are fed, refunding them, and how far that has come."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.loyalty.domain.books import OrderCounts
from services.loyalty.domain.orders import ApplyOrderEvents
from services.loyalty.domain.refunds import Refunded, RefundOrder
from services.loyalty.ports import Entries, Ledger, OrderFeed, Request


@dataclass(frozen=True, slots=True)
class Status:
    """How far orders have been applied, and what the ledger holds."""

    applied_cursor: str
    entry_count: int
    orders: OrderCounts


async def apply_order_events(
    ledger: Ledger, orders: Mapping[str, ApplyOrderEvents], after: str, cursor: str, *follower: str
) -> OrderCounts:
    """Apply a batch of a feed, by tenant, and move its follower on, all in one commit."""
    return await ledger.apply_order_events(orders, after, cursor, *follower)


async def refund_order(
    ledger: Ledger, request: Request, *, program_id: str, order_id: str, amount_minor: int | None, reason: str
) -> Refunded:
    """Refund an order, or a part of it, in one programme."""
    refunding = RefundOrder(
        program_id=program_id, order_id=order_id, amount_minor=amount_minor, reason=reason, request_id=request.id
    )
    return await ledger.post(request, refunding)


async def get_status(feed: OrderFeed, entries: Entries, tenant: str) -> Status:
    """The state of one tenant."""
    return Status(await feed.cursor(), await entries.count(tenant), await feed.counts(tenant))
