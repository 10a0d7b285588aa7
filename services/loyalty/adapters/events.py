"""Following profiles: each `Order Completed` becomes an order that earns, and may be refunded or cancelled."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import grpc
import msgspec
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common import telemetry
from services.common.feed import follow
from services.common.money import to_minor
from services.loyalty.adapters.store import ORDER_FOLLOWER
from services.loyalty.domain.books import OrderCounts
from services.loyalty.domain.orders import ApplyOrderEvents, Order
from services.loyalty.domain.refunds import OrderRefund
from services.loyalty.ports import OrderFeed

ORDER_COMPLETED = "Order Completed"
ORDER_REFUNDED = "Order Refunded"
ORDER_CANCELLED = "Order Cancelled"
ORDER_EVENTS = (ORDER_COMPLETED, ORDER_REFUNDED, ORDER_CANCELLED)

Apply = Callable[[Mapping[str, ApplyOrderEvents], str, str], Awaitable[OrderCounts]]
"""Applies orders by tenant and moves the feed from one cursor to the next."""
Stream = Callable[[str], AsyncIterator[profiles.FollowChangesResponse]]
"""Batches of orders after a cursor."""


class _Line(msgspec.Struct):
    price: float
    quantity: float = 1
    total: float | None = None


class _Properties(msgspec.Struct):
    order_id: str
    currency: str
    products: msgspec.Raw
    total: float | None = None


class _RefundProperties(msgspec.Struct):
    order_id: str
    currency: str | None = None
    total: float | None = None
    products: list[_Line] | None = None


_decode_properties = msgspec.json.Decoder(_Properties).decode
_decode_refund = msgspec.json.Decoder(_RefundProperties).decode
_decode_lines = msgspec.json.Decoder(list[_Line]).decode


class OrderFollower:
    """Reads profiles' feed for ever and hands over each batch with the cursors before and after it."""

    def __init__(self, stream: Stream, feed: OrderFeed, apply: Apply) -> None:
        self._stream, self._feed, self._apply = stream, feed, apply
        self._position = ""

    async def run(self) -> None:
        """Follow for ever, through failures."""
        await follow(ORDER_FOLLOWER, self._load_cursor, self._stream, self.apply)

    async def apply(self, batch: profiles.FollowChangesResponse) -> None:
        """Apply the orders and refunds of one batch."""
        outcome = await self._apply(read_orders(batch.changes), self._position, batch.cursor)
        self._position = batch.cursor
        for reason in ("other_currency", "small", "duplicate", "invalid"):
            if skipped := getattr(outcome, reason):
                telemetry.counter("loyalty.orders.skipped").add(skipped, {"reason": reason})
        if outcome.refunds:
            telemetry.counter("loyalty.orders.refunded").add(outcome.refunds)

    async def _load_cursor(self) -> str:
        self._position = await self._feed.cursor()
        return self._position


def order_stream(channel: grpc.aio.Channel) -> Stream:
    """The orders and their refunds in profiles' feed, of all tenants."""
    stub = ProfilesServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[profiles.FollowChangesResponse]:
        request = profiles.FollowChangesRequest(after_cursor=cursor, event_names=ORDER_EVENTS)
        async for response in stub.FollowChanges(request):
            yield response

    return stream


def read_orders(changes: Sequence[profiles.Change]) -> dict[str, ApplyOrderEvents]:
    """The orders and refunds among the changes, by tenant. What cannot be read is counted: it never stops the feed."""
    read: dict[str, list[Order | OrderRefund]] = {}
    unreadable: dict[tuple[str, bool], int] = {}
    for change in changes:
        event = change.event_recorded
        if event.name not in ORDER_EVENTS:
            continue
        is_order = event.name == ORDER_COMPLETED
        try:
            told = _order(event) if is_order else _refund(event)
        except (msgspec.MsgspecError, ValueError, OverflowError):
            unreadable[change.tenant_id, is_order] = unreadable.get((change.tenant_id, is_order), 0) + 1
        else:
            read.setdefault(change.tenant_id, []).append(told)
    return {
        tenant: ApplyOrderEvents(
            read.get(tenant, ()), unreadable.get((tenant, True), 0), unreadable.get((tenant, False), 0)
        )
        for tenant in {**read, **dict.fromkeys(tenant for tenant, _ in unreadable)}
    }


def _order(event: profiles.RecordedEvent) -> Order:
    properties = _decode_properties(event.properties_json)
    return Order(
        order_id=properties.order_id,
        member_id=event.customer_id,
        currency=properties.currency,
        amount_minor=_amount_minor(properties),
        event_time=_micros(event),
    )


def _refund(event: profiles.RecordedEvent) -> OrderRefund:
    """What is refunded: the total, or else the lines, or else, and whenever it is cancelled, the whole order."""
    properties = _decode_refund(event.properties_json)
    amounts: tuple[float, ...] | None = None
    if event.name == ORDER_REFUNDED and properties.total is not None:
        amounts = (properties.total,)
    elif event.name == ORDER_REFUNDED and properties.products is not None:
        amounts = tuple(
            line.price * line.quantity if line.total is None else line.total for line in properties.products
        )
    return OrderRefund(properties.order_id, properties.currency or "", amounts, _micros(event))


def _micros(event: profiles.RecordedEvent) -> int:
    return event.event_time.seconds * 1_000_000 + event.event_time.nanos // 1000


def _amount_minor(properties: _Properties) -> int:
    if properties.total is not None:
        return to_minor(properties.total, properties.currency)
    lines = _decode_lines(properties.products)
    return sum(
        to_minor(line.price * line.quantity if line.total is None else line.total, properties.currency)
        for line in lines
    )
