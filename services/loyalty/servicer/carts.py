"""Carts, conditions and times as messages have them."""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import rule_pb2
from tessera.loyalty.v1 import cart_pb2 as pb

from services.common.rules import wire
from services.common.rules.condition import Condition
from services.common.validation import FieldInvalid
from services.loyalty.domain.cart import Cart, CartLine, Shopper
from services.loyalty.servicer.calls import micros, timestamp


def read_cart(message: pb.Cart) -> Cart:
    """The cart; ``FieldInvalid`` where JSON is not an object."""
    shopper = message.shopper
    return Cart(
        Shopper(
            shopper.customer_id,
            frozenset(shopper.segment_ids),
            _object(shopper.traits_json, "cart.shopper.traits_json"),
        ),
        message.currency,
        tuple(_line(line) for line in message.lines),
        message.shipping_minor,
        message.channel,
        message.store_id,
    )


def _line(line: pb.CartLine) -> CartLine:
    return CartLine(
        line_id=line.line_id,
        item_id=line.item_id,
        quantity=line.quantity,
        price_minor=line.price_minor,
        categories=tuple(line.categories),
        attributes=_object(line.attributes_json, f"cart.lines[{line.line_id}].attributes_json"),
        floor_minor=line.floor_minor,
    )


def _object(text: str, field: str) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FieldInvalid(f"{field} is not a JSON object", field=field)
    return found


def read_condition(holder: Any, name: str) -> Condition | None:
    """The rule in that field of the message, if there is one; ``RuleInvalid`` where a node is unset."""
    return Condition(wire.read(getattr(holder, name))) if holder.HasField(name) else None


def condition_message(condition: Condition | None) -> rule_pb2.Rule | None:
    """A condition."""
    return wire.write(condition.rule) if condition else None


def read_time(holder: Any, name: str, absent: int) -> int:
    """The instant in that field of the message, in microseconds."""
    return micros(getattr(holder, name)) if holder.HasField(name) else absent


def time_message(time: int, absent: int) -> Timestamp | None:
    """An instant, unset where it is the one that means none."""
    return None if time == absent else timestamp(time)


def read_duration(holder: Any, name: str, default: int, longest: int) -> int:
    """Whole seconds in that field, in microseconds; ``FieldInvalid`` unless from one second to ``longest``."""
    if not holder.HasField(name):
        return default
    duration: Duration = getattr(holder, name)
    found = duration.seconds * 1_000_000
    if duration.nanos or not 1_000_000 <= found <= longest:
        raise FieldInvalid(f"{name} must be from one to {longest // 1_000_000} whole seconds", field=name)
    return found
