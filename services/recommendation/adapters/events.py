"""Follows profiles (records the lines of orders, views and carts, moves them when customers are merged, forgets whom it
erases) and segmentation (who is in which segment)."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import grpc
import msgspec
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.common import telemetry
from services.common.feed import follow
from services.common.money import to_minor
from services.recommendation.adapters.interactions import FOLLOWER, ColumnarInteractions, Lines, Moved, Shows
from services.recommendation.adapters.memberships import FOLLOWER as MEMBERSHIP_FOLLOWER
from services.recommendation.adapters.memberships import Move, StoredMemberships
from services.recommendation.domain.signals import KIND_OF

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


class Shown(msgspec.Struct):
    """What is read of a view or a cart; one that names no product but only its ``sku`` says nothing here."""

    product_id: str = ""


_decode = msgspec.json.Decoder(Order).decode
_decode_shown = msgspec.json.Decoder(Shown).decode


@dataclass(frozen=True, slots=True)
class Erased:
    """A person is to be forgotten."""

    tenant: str
    erasure_id: str
    customer_ids: tuple[str, ...]
    """The customer and all origins, in order."""

    @property
    def removal(self) -> Moved:
        """What it means for the lines."""
        return Moved(erased={(self.tenant, customer_id) for customer_id in self.customer_ids})


@dataclass(slots=True)
class Told:
    """What a batch of changes says."""

    lines: Lines = field(default_factory=Lines)
    shows: Shows = field(default_factory=Shows)
    moved: Moved = field(default_factory=Moved)
    erased: list[Erased] = field(default_factory=list)


Erase = Callable[[Erased], Awaitable[None]]
"""Removes what is held of a person and says so; again, it changes nothing."""


async def follow_orders(channel: grpc.aio.Channel, interactions: ColumnarInteractions, erase: Erase) -> None:
    """Record every order, view and cart, for ever: each once, across crashes and repetitions."""
    stub = ProfilesServiceStub(channel)

    def stream(cursor: str) -> AsyncIterator[pb.FollowChangesResponse]:
        request = pb.FollowChangesRequest(after_cursor=cursor, event_names=[ORDER_COMPLETED, *KIND_OF])
        return aiter(stub.FollowChanges(request))

    async def apply(batch: pb.FollowChangesResponse) -> None:
        told = told_of(batch)
        for erased in told.erased:
            await erase(erased)
        await interactions.record(told.lines, batch.cursor, told.moved, told.shows)
        telemetry.counter("recommendation.interactions.recorded").add(len(told.lines.tenant))
        telemetry.counter("recommendation.signals.recorded").add(len(told.shows.tenant))

    await follow(FOLLOWER, interactions.cursor, stream, apply)


def told_of(batch: pb.FollowChangesResponse) -> Told:
    """What a batch says. An order that cannot be read is left out and logged: it must not hold up those behind it."""
    told = Told()
    for change in batch.changes:
        tenant = change.tenant_id
        match change.WhichOneof("kind"):
            case "event_recorded" if change.event_recorded.name == ORDER_COMPLETED:
                _read(told.lines, tenant, change.event_recorded)
            case "event_recorded" if change.event_recorded.name in KIND_OF:
                _look(told.shows, tenant, change.event_recorded)
            case "customers_merged":
                merged = change.customers_merged
                _move(told.moved, tenant, merged.origin_customer_ids, merged.merged_customer_id, merged.customer_id)
            case "customers_unmerged":
                parted = change.customers_unmerged
                _move(told.moved, tenant, parted.origin_customer_ids, parted.customer_id, parted.restored_customer_id)
            case "customer_erased":
                gone = change.customer_erased
                erased = Erased(tenant, gone.erasure_id, tuple(sorted({gone.customer_id, *gone.origin_customer_ids})))
                told.erased.append(erased)
                told.moved.erased |= erased.removal.erased
    return told


def _move(moved: Moved, tenant: str, origins: Iterable[str], before: str, after: str) -> None:
    moved.owners.update(((tenant, origin), after) for origin in origins)
    moved.touched |= {(tenant, before), (tenant, after)}


def _read(lines: Lines, tenant: str, event: pb.RecordedEvent) -> None:
    try:
        _add(lines, tenant, event)
    except msgspec.MsgspecError as error:
        log.warning("order event %s is left out: %s", event.message_id, error)
        telemetry.counter("recommendation.orders.unreadable").add(1)


def _add(lines: Lines, tenant: str, event: pb.RecordedEvent) -> None:
    order = _decode(event.properties_json)
    products, currency = order.products, order.currency
    count = len(products)
    time = event.event_time.seconds * 1_000_000 + event.event_time.nanos // 1000
    lines.tenant += [tenant] * count
    lines.customer_id += [event.customer_id] * count
    lines.origin_customer_id += [event.origin_customer_id or event.customer_id] * count
    lines.basket_id += [order.order_id] * count
    lines.item_id += [line.product_id for line in products]
    lines.time += [time] * count
    lines.quantity += [line.quantity for line in products]
    lines.amount_minor += [
        to_minor(line.price * line.quantity if line.total is None else line.total, currency) for line in products
    ]
    lines.currency += [currency] * count


def _look(shows: Shows, tenant: str, event: pb.RecordedEvent) -> None:
    """Take in a view or a cart; what cannot be read says nothing."""
    try:
        item_id = _decode_shown(event.properties_json).product_id
    except msgspec.MsgspecError:
        item_id = ""
    if item_id:
        shows.tenant.append(tenant)
        shows.customer_id.append(event.customer_id)
        shows.origin_customer_id.append(event.origin_customer_id or event.customer_id)
        shows.item_id.append(item_id)
        shows.kind.append(int(KIND_OF[event.name]))
        shows.time.append(event.event_time.seconds * 1_000_000 + event.event_time.nanos // 1000)


async def follow_memberships(channel: grpc.aio.Channel, memberships: StoredMemberships) -> None:
    """Keep who is in which segment, for ever."""
    stub = SegmentationServiceStub(channel)

    def stream(cursor: str) -> AsyncIterator[segmentation.FollowMembershipsResponse]:
        return aiter(stub.FollowMemberships(segmentation.FollowMembershipsRequest(after_cursor=cursor)))

    async def apply(batch: segmentation.FollowMembershipsResponse) -> None:
        entered = segmentation.TRANSITION_ENTERED
        moves = (
            Move(change.tenant_id, change.segment_id, change.customer_id, change.transition == entered)
            for change in batch.changes
        )
        await memberships.apply(moves, batch.cursor)

    await follow(MEMBERSHIP_FOLLOWER, memberships.cursor, stream, apply)
