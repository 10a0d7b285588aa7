"""Following profiles: orders earn and are refunded, other events earn by rules, traits are kept for rules."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import grpc
import msgspec
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.common import telemetry
from services.common.feed import follow
from services.common.money import to_minor
from services.loyalty.adapters.store import MEMBERSHIP_FOLLOWER, ORDER_FOLLOWER
from services.loyalty.domain.achievement_events import Happened
from services.loyalty.domain.achievement_refunds import OrderUndone
from services.loyalty.domain.books import OrderCounts
from services.loyalty.domain.coupon_code import normal
from services.loyalty.domain.customer import MembershipTold, TraitsTold, address_of, month_and_day
from services.loyalty.domain.erasure import Erasure
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.domain.order_lines import lines_of
from services.loyalty.domain.orders import ApplyOrderEvents, Details, Event, Order, Told
from services.loyalty.domain.referral_operations import FriendNamed
from services.loyalty.domain.referral_orders import FriendOrdered, ReferredOrderRefunded
from services.loyalty.domain.refunds import OrderRefund
from services.loyalty.domain.shared_account import AccountsLeft
from services.loyalty.domain.told_orders import CancelledOrder, QuotedOrder
from services.loyalty.ports import OrderFeed

ORDER_COMPLETED = "Order Completed"
ORDER_REFUNDED = "Order Refunded"
ORDER_CANCELLED = "Order Cancelled"
REFUNDS = (ORDER_REFUNDED, ORDER_CANCELLED)

TEXT_MAX = 100
"""Characters of a code, or of an id, that an order carries."""

Apply = Callable[[Mapping[str, ApplyOrderEvents], str, str], Awaitable[OrderCounts]]
"""Applies orders by tenant and moves the feed from one cursor to the next."""
ApplyFrom = Callable[[Mapping[str, ApplyOrderEvents], str, str, str], Awaitable[OrderCounts]]
"""The same, for the follower that is named last."""
Stream = Callable[[str], AsyncIterator[profiles.FollowChangesResponse]]
"""Batches of orders after a cursor."""


class _Line(msgspec.Struct):
    price: float
    quantity: float = 1
    total: float | None = None


class _Order(msgspec.Struct):
    """What is read of every order; the rest only where rules ask for it, or the total has to be added up."""

    order_id: str
    currency: str
    total: float | None = None
    referral_code: Any = None
    quote_id: Any = None


class _RefundProperties(msgspec.Struct):
    order_id: str
    currency: str | None = None
    total: float | None = None
    products: list[_Line] | None = None


_decode_refund = msgspec.json.Decoder(_RefundProperties).decode
_decode_order = msgspec.json.Decoder(_Order).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


MembershipStream = Callable[[str], AsyncIterator[segmentation.FollowMembershipsResponse]]
"""Batches of memberships after a cursor."""


class MembershipFollower:
    """Reads segmentation's feed for ever, so that what orders earn never waits for another service's answer."""

    def __init__(self, stream: MembershipStream, feed: OrderFeed, apply: ApplyFrom) -> None:
        self._stream, self._feed, self._apply = stream, feed, apply
        self._position = ""

    async def run(self) -> None:
        """Follow for ever, through failures."""
        await follow(MEMBERSHIP_FOLLOWER, self._load_cursor, self._stream, self.apply)

    async def apply(self, batch: segmentation.FollowMembershipsResponse) -> None:
        """Apply the memberships of one batch."""
        await self._apply(read_memberships(batch.changes), self._position, batch.cursor, MEMBERSHIP_FOLLOWER)
        self._position = batch.cursor

    async def _load_cursor(self) -> str:
        self._position = await self._feed.cursor(MEMBERSHIP_FOLLOWER)
        return self._position


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
        for reason in ("other_currency", "small", "duplicate", "invalid", "limited", "blocked"):
            if skipped := getattr(outcome, reason):
                telemetry.counter("loyalty.orders.skipped").add(skipped, {"reason": reason})
        if outcome.refunds:
            telemetry.counter("loyalty.orders.refunded").add(outcome.refunds)

    async def _load_cursor(self) -> str:
        self._position = await self._feed.cursor()
        return self._position


def order_stream(channel: grpc.aio.Channel) -> Stream:
    """Profiles' feed, of all tenants. All of it: which events earn is for rules to say, that come and go."""
    stub = ProfilesServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[profiles.FollowChangesResponse]:
        async for response in stub.FollowChanges(profiles.FollowChangesRequest(after_cursor=cursor)):
            yield response

    return stream


def membership_stream(channel: grpc.aio.Channel) -> MembershipStream:
    """Segmentation's feed, of all tenants."""
    stub = SegmentationServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[segmentation.FollowMembershipsResponse]:
        async for response in stub.FollowMemberships(segmentation.FollowMembershipsRequest(after_cursor=cursor)):
            yield response

    return stream


def read_memberships(changes: Sequence[segmentation.MembershipChange]) -> dict[str, ApplyOrderEvents]:
    """Who entered and left, by tenant."""
    read: dict[str, list[Told]] = {}
    for change in changes:
        entered = change.transition == segmentation.TRANSITION_ENTERED
        read.setdefault(change.tenant_id, []).append(MembershipTold(change.customer_id, change.segment_id, entered))
    return {tenant: ApplyOrderEvents(told) for tenant, told in read.items()}


def read_orders(changes: Sequence[profiles.Change]) -> dict[str, ApplyOrderEvents]:
    """What the changes tell, by tenant. What cannot be read is counted: it never stops the feed."""
    read: dict[str, list[Told]] = {}
    unreadable: dict[tuple[str, bool], int] = {}
    for change in changes:
        kind = change.WhichOneof("kind")
        if kind != "event_recorded":
            if kind in _TOLD:
                read.setdefault(change.tenant_id, []).extend(_TOLD[kind](getattr(change, kind)))
            continue
        event = change.event_recorded
        if event.anonymised:  # what was given for it stays with the pseudonym
            continue
        try:
            told = [*_read(event)]
        except (msgspec.MsgspecError, ValueError, OverflowError, TypeError):
            if event.name == ORDER_COMPLETED or event.name in REFUNDS:
                key = change.tenant_id, event.name == ORDER_COMPLETED
                unreadable[key] = unreadable.get(key, 0) + 1
        else:
            read.setdefault(change.tenant_id, []).extend(told)
    return {
        tenant: ApplyOrderEvents(
            read.get(tenant, ()), unreadable.get((tenant, True), 0), unreadable.get((tenant, False), 0)
        )
        for tenant in {**read, **dict.fromkeys(tenant for tenant, _ in unreadable)}
    }


def _read(event: profiles.RecordedEvent) -> Iterator[Told]:
    if event.name in REFUNDS:
        refund = _refund(event)
        yield refund
        yield OrderUndone(refund.order_id, refund.amounts is None, refund.currency, refund.amounts or ())
        yield from _ended(refund)
        return
    if event.name == ORDER_COMPLETED:
        told = _decode_order(event.properties_json or "{}")
        order = _order(told, event)
        if code := _text(told.referral_code):
            yield FriendNamed(normal(code), order.member_id)
        if quote_id := _text(told.quote_id):
            yield QuotedOrder(order.order_id, quote_id)  # first: what it promises is what the order earns
        yield order
        details = partial(_properties, event.properties_json)
        yield Happened(
            event.message_id,
            event.name,
            order.member_id,
            order.event_time,
            details,
            order.order_id,
            order.origin_id,
            order.currency,
            order.amount_minor,
        )
        yield FriendOrdered(order.order_id, order.member_id, order.currency, order.amount_minor)
    elif event.type == profiles.EVENT_TYPE_IDENTIFY:
        if traits := _traits(event, _decode_object(event.properties_json or "{}")):
            yield traits
    else:
        details = partial(_properties, event.properties_json)
        yield Event(
            event_id=event.message_id,
            name=event.name,
            member_id=event.customer_id,
            event_time=_micros(event),
            details=details,
            origin_id=event.origin_customer_id,
        )
        yield Happened(
            event.message_id,
            event.name,
            event.customer_id,
            _micros(event),
            details,
            origin_id=event.origin_customer_id,
        )


def _ended(refund: OrderRefund) -> Iterator[Told]:
    """What a refund means for promotions; its amounts are in the order's currency."""
    if refund.amounts is None:
        yield CancelledOrder(refund.order_id)
        yield ReferredOrderRefunded(refund.order_id, None)
    elif refund.currency:
        amount_minor = sum(to_minor(amount, refund.currency) for amount in refund.amounts)
        yield ReferredOrderRefunded(refund.order_id, amount_minor)


def _text(found: Any) -> str:
    return found if isinstance(found, str) and len(found) <= TEXT_MAX and found.isprintable() else ""


def _order(told: _Order, event: profiles.RecordedEvent) -> Order:
    currency = told.currency
    if told.total is None:
        lines = lines_of(_decode_object(event.properties_json).get("products"), currency)
        amount_minor = sum(line.amount_minor for line in lines)
    else:
        amount_minor = to_minor(told.total, currency)
    details = partial(_details, event.properties_json, currency)
    return Order(
        order_id=told.order_id,
        member_id=event.customer_id,
        currency=currency,
        amount_minor=amount_minor,
        event_time=_micros(event),
        details=details,
        origin_id=event.origin_customer_id,
        quoted=bool(_text(told.quote_id)),
    )


def _details(text: str, currency: str) -> Details:
    properties = _properties(text)
    try:
        return properties, lines_of(properties.get("products"), currency)
    except (ValueError, OverflowError):
        return properties, ()  # the total says what it came to: it earns, though no rule about items gives anything


def _properties(text: str) -> dict[str, Any]:
    """The object in the text. Anything else, which profiles records of nothing, fulfils no rule and stops no feed."""
    try:
        return _decode_object(text or "{}")
    except msgspec.MsgspecError:
        return {}


def _traits(event: profiles.RecordedEvent, traits: dict[str, Any]) -> TraitsTold | None:
    birthday, address = traits.get("birthday"), traits.get("address")
    told_birthday = None if birthday is None else month_and_day(str(birthday))
    told_address = address_of(address) if isinstance(address, dict) else None
    if told_birthday is None and told_address is None:
        return None
    return TraitsTold(event.customer_id, _micros(event), told_birthday, told_address)


def _merge(merged: profiles.CustomersMerged) -> MergeTold:
    return MergeTold(merged.merge_id, merged.customer_id, merged.merged_customer_id)


def _unmerge(parted: profiles.CustomersUnmerged) -> UnmergeTold:
    return UnmergeTold(
        parted.merge_id, parted.customer_id, parted.restored_customer_id, tuple(parted.origin_customer_ids)
    )


def _erasure(erased: profiles.CustomerErased) -> Erasure:
    customer_ids = tuple(dict.fromkeys((erased.customer_id, *erased.origin_customer_ids)))
    return Erasure(erased.erasure_id, customer_ids, erased.pseudonym)


_TOLD: dict[str, Callable[[Any], Sequence[Told]]] = {
    "customers_merged": lambda merged: (_merge(merged),),
    "customers_unmerged": lambda unmerged: (_unmerge(unmerged),),
    "customer_erased": lambda erased: (AccountsLeft(erasure := _erasure(erased)), erasure),
}


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
