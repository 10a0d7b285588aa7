"""Follows the orders that profiles publishes, and records their lines."""

import logging
from collections.abc import AsyncIterator

import grpc
import msgspec
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common import telemetry
from services.common.feed import follow
from services.common.money import to_minor
from services.recommendation.adapters.interactions import FOLLOWER, ColumnarInteractions, Lines

log = logging.getLogger(__name__)

ORDER_COMPLETED = "Order Completed"


class Line(msgspec.Struct):
    """One product of an order."""

    product_id: str
    price: float = 0.0
    quantity: float = 1.0
    total: float | None = None


class Order(msgspec.Struct):
    """What is read of an order; profiles has checked it."""

    order_id: str
    currency: str
    products: list[Line]


_decode = msgspec.json.Decoder(Order).decode


async def follow_orders(channel: grpc.aio.Channel, interactions: ColumnarInteractions) -> None:
    """Record every order, for ever: each once, across crashes and repetitions."""
    stub = ProfilesServiceStub(channel)

    def stream(cursor: str) -> AsyncIterator[pb.FollowChangesResponse]:
        request = pb.FollowChangesRequest(after_cursor=cursor, event_names=[ORDER_COMPLETED])
        return aiter(stub.FollowChanges(request))

    async def apply(batch: pb.FollowChangesResponse) -> None:
        lines = lines_of(batch)
        await interactions.record(lines, batch.cursor)
        telemetry.counter("recommendation.interactions.recorded").add(len(lines.tenant))

    await follow(FOLLOWER, interactions.cursor, stream, apply)


def lines_of(batch: pb.FollowChangesResponse) -> Lines:
    """The lines of all orders in a batch. An order that cannot be read is left out and logged: it must not hold up
    those behind it."""
    lines = Lines()
    for change in batch.changes:
        if change.WhichOneof("kind") == "event_recorded" and change.event_recorded.name == ORDER_COMPLETED:
            try:
                _add(lines, change.tenant_id, change.event_recorded)
            except msgspec.MsgspecError as error:
                log.warning("order event %s is left out: %s", change.event_recorded.message_id, error)
                telemetry.counter("recommendation.orders.unreadable").add(1)
    return lines


def _add(lines: Lines, tenant: str, event: pb.RecordedEvent) -> None:
    order = _decode(event.properties_json)
    products, currency = order.products, order.currency
    count = len(products)
    time = event.event_time.seconds * 1_000_000 + event.event_time.nanos // 1000
    lines.tenant += [tenant] * count
    lines.customer_id += [event.customer_id] * count
    lines.basket_id += [order.order_id] * count
    lines.item_id += [line.product_id for line in products]
    lines.time += [time] * count
    lines.quantity += [line.quantity for line in products]
    lines.amount_minor += [
        to_minor(line.price * line.quantity if line.total is None else line.total, currency) for line in products
    ]
    lines.currency += [currency] * count
