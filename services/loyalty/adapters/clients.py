"""Profiles, as personal prices are learnt from it: its feed of orders, refunds, consents and erasures."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import grpc
import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import consent_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.money import to_minor
from services.loyalty.adapters.events import ORDER_CANCELLED, ORDER_COMPLETED, ORDER_REFUNDED
from services.loyalty.domain.order_lines import LINES_MAX
from services.loyalty.domain.price_history import (
    OrderPriced,
    OrderReturned,
    PersonForgotten,
    PriceBatch,
    PricedLine,
    PriceTold,
    Returned,
)
from services.loyalty.domain.price_model import PriceConsent

ITEM_ID_MAX = 128
PriceStream = Callable[[str], AsyncIterator[PriceBatch]]
"""Batches of what profiles tells after a cursor."""


class _Product(msgspec.Struct):
    product_id: Any = None
    sku: Any = None
    price: Any = None
    quantity: Any = None
    total: Any = None
    discount: Any = None


class _Order(msgspec.Struct):
    order_id: str
    currency: str = ""
    products: list[_Product] | None = None
    total: Any = None


_decode = msgspec.json.Decoder(_Order).decode


def price_stream(channel: grpc.aio.Channel) -> PriceStream:
    """Profiles' feed, of all tenants; of events only what orders tell."""
    stub = ProfilesServiceStub(channel)
    names = [ORDER_COMPLETED, ORDER_REFUNDED, ORDER_CANCELLED]

    async def stream(cursor: str) -> AsyncIterator[PriceBatch]:
        request = profiles.FollowChangesRequest(after_cursor=cursor, event_names=names)
        async for response in stub.FollowChanges(request):
            yield PriceBatch(list(read_prices(response.changes)), response.cursor)

    return stream


def read_prices(changes: Sequence[profiles.Change]) -> Iterator[tuple[str, PriceTold]]:
    """What the changes tell of prices, with its tenant. What cannot be read is passed over: others count it."""
    for change in changes:
        told: PriceTold | None = None
        match change.WhichOneof("kind"):
            case "event_recorded":
                told = _event(change.event_recorded)
            case "consent_changed":
                told = _consent(change.consent_changed)
            case "customer_erased":
                erased = change.customer_erased
                told = PersonForgotten(tuple(dict.fromkeys((erased.customer_id, *erased.origin_customer_ids))))
        if told is not None:
            yield change.tenant_id, told


def _event(event: profiles.RecordedEvent) -> PriceTold | None:
    if event.anonymised:
        return None
    try:
        order = _decode(event.properties_json)
        if event.name == ORDER_COMPLETED:
            lines = tuple(filter(None, (_line(each, order.currency) for each in order.products or ())))
            owner = event.origin_customer_id or event.customer_id
            return OrderPriced(order.order_id, owner, _micros(event.event_time), lines[:LINES_MAX])
        if event.name == ORDER_REFUNDED and order.products is not None:
            items = tuple(filter(None, map(_returned, order.products)))
            return OrderReturned(order.order_id, event.message_id, items)
        if event.name == ORDER_CANCELLED or (event.name == ORDER_REFUNDED and order.total is None):
            return OrderReturned(order.order_id, event.message_id, None)
        return None  # a refund of an amount: of which items is not told
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return None


def _line(product: _Product, currency: str) -> PricedLine | None:
    """What was paid for an item: its total, or else its price for each unit, less its discount."""
    item_id, quantity = _item(product), _units(product)
    if product.total is None and _is_number(product.price):
        off = product.discount if _is_number(product.discount) else 0
        paid = product.price * quantity - off
    else:
        paid = product.total
    if not item_id or quantity < 1 or not _is_number(paid) or paid <= 0:
        return None
    amount_minor = to_minor(paid, currency)
    return PricedLine(item_id, quantity, amount_minor) if amount_minor > 0 else None


def _returned(product: _Product) -> Returned | None:
    item_id, quantity = _item(product), _units(product)
    return Returned(item_id, quantity) if item_id and quantity > 0 else None


def _item(product: _Product) -> str:
    name = product.product_id or product.sku
    return name if isinstance(name, str) and len(name) <= ITEM_ID_MAX else ""


def _units(product: _Product) -> int:
    """Whole units; what is sold by weight is one at its price."""
    if product.quantity is None:
        return 1
    return max(1, int(product.quantity)) if _is_number(product.quantity) and product.quantity > 0 else 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _consent(changed: profiles.ConsentChanged) -> PriceConsent | None:
    if changed.channel:
        return None
    return PriceConsent(
        changed.origin_customer_id or changed.customer_id,
        changed.purpose,
        changed.state == consent_pb2.CONSENT_STATE_GRANTED,
        _micros(changed.change_time),
        _micros(changed.expire_time),
    )


def _micros(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1000
