"""Following profiles: each `Order Completed` becomes an order that earns."""

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
from services.loyalty.domain.orders import EarnFromOrders, Order
from services.loyalty.ports import OrderFeed

ORDER_EVENT = "Order Completed"

Apply = Callable[[Mapping[str, EarnFromOrders], str, str], Awaitable[OrderCounts]]
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


_decode_properties = msgspec.json.Decoder(_Properties).decode
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
        """Earn from the orders of one batch."""
        outcome = await self._apply(read_orders(batch.changes), self._position, batch.cursor)
        self._position = batch.cursor
        for reason in ("other_currency", "small", "duplicate", "invalid"):
            if skipped := getattr(outcome, reason):
                telemetry.counter("loyalty.orders.skipped").add(skipped, {"reason": reason})

    async def _load_cursor(self) -> str:
        self._position = await self._feed.cursor()
        return self._position


def order_stream(channel: grpc.aio.Channel) -> Stream:
    """The orders in profiles' feed, of all tenants."""
    stub = ProfilesServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[profiles.FollowChangesResponse]:
        request = profiles.FollowChangesRequest(after_cursor=cursor, event_names=[ORDER_EVENT])
        async for response in stub.FollowChanges(request):
            yield response

    return stream


def read_orders(changes: Sequence[profiles.Change]) -> dict[str, EarnFromOrders]:
    """The orders among the changes, by tenant. Those that cannot be read are counted: they never stop the feed."""
    orders: dict[str, list[Order]] = {}
    unreadable: dict[str, int] = {}
    for change in changes:
        event = change.event_recorded
        if event.name != ORDER_EVENT:
            continue
        try:
            order = _order(event)
        except (msgspec.MsgspecError, ValueError, OverflowError):
            unreadable[change.tenant_id] = unreadable.get(change.tenant_id, 0) + 1
        else:
            orders.setdefault(change.tenant_id, []).append(order)
    return {
        tenant: EarnFromOrders(orders.get(tenant, ()), unreadable.get(tenant, 0)) for tenant in {**orders, **unreadable}
    }


def _order(event: profiles.RecordedEvent) -> Order:
    properties = _decode_properties(event.properties_json)
    time = event.event_time
    return Order(
        order_id=properties.order_id,
        member_id=event.customer_id,
        currency=properties.currency,
        amount_minor=_amount_minor(properties),
        event_time=time.seconds * 1_000_000 + time.nanos // 1000,
    )


def _amount_minor(properties: _Properties) -> int:
    if properties.total is not None:
        return to_minor(properties.total, properties.currency)
    lines = _decode_lines(properties.products)
    return sum(
        to_minor(line.price * line.quantity if line.total is None else line.total, properties.currency)
        for line in lines
    )
