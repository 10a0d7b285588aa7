"""The analytical tables of segmentation, and their rows made from profiles' events."""

import logging
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa

from services.common import telemetry
from services.common.columnar import Table
from services.common.money import decimals, to_minor
from services.common.rules.bucket import fnv1a
from services.segmentation.domain.properties import Flat, flatten

log = logging.getLogger(__name__)

ORDER_COMPLETED = "Order Completed"
IDENTIFY, TRACK = 1, 2  # the types of the contract
MAPS: dict[str, pa.DataType] = {
    "texts": pa.string(),
    "numbers": pa.float64(),
    "flags": pa.bool_(),
    "instants": pa.int64(),
    "elements": pa.string(),
}
_FLAT = [
    *((name, pa.map_(pa.string(), pa.list_(kind))) for name, kind in MAPS.items()),
    ("present", pa.list_(pa.string())),
]

EVENTS = Table(
    "events",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("customer_hash", pa.int64()),  # FNV-1a of the id, for buckets
            ("message_id", pa.string()),
            ("name", pa.string()),
            ("time", pa.int64()),
            ("currency", pa.string()),  # of an order; null for other events
            ("total_minor", pa.int64()),
            *_FLAT,
        ]
    ),
    key=("tenant", "message_id"),
)
TRAITS = Table(
    "traits",
    # One row for each trait that an event tells; a forgotten one has nothing present. Every value is kept with its
    # time, so that a rule can be evaluated as of any moment.
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("message_id", pa.string()),
            ("name", pa.string()),
            ("time", pa.int64()),
            ("tie", pa.string()),  # orders values of the same moment as profiles does
            *_FLAT,
        ]
    ),
    key=("tenant", "message_id"),
)
TABLES = (EVENTS, TRAITS)


@dataclass(frozen=True, slots=True)
class Observed:
    """One event of profiles' feed with its content parsed; time in microseconds."""

    tenant: str
    customer_id: str
    message_id: str
    type: int
    name: str
    time: int
    content: Mapping[str, Any]


def rows(observed: Sequence[Observed]) -> dict[Table, pa.Table]:
    """What a batch adds to each table."""
    identified = [event for event in observed if event.type == IDENTIFY]
    batch = {EVENTS: _events(observed)}
    if identified:
        batch[TRAITS] = _traits(identified)
    return batch


def _events(observed: Sequence[Observed]) -> pa.Table:
    flats, currencies, totals = [], [], []
    for event in observed:
        flat = Flat() if event.type == IDENTIFY else flatten(event.content)
        currency, total = _order(event, flat) if _is_order(event) else (None, None)
        flats.append(flat)
        currencies.append(currency)
        totals.append(total)
    columns = {
        **_columns(observed, "tenant", "customer_id", "message_id", "name", "time"),
        "customer_hash": [_hash(event.customer_id) for event in observed],
        "currency": currencies,
        "total_minor": totals,
        **_flat_columns(flats),
    }
    return pa.table({name: columns[name] for name in EVENTS.schema.names}, schema=EVENTS.schema)


@lru_cache(maxsize=100_000)
def _hash(customer_id: str) -> int:
    return fnv1a(customer_id.encode())


def _is_order(event: Observed) -> bool:
    return event.type == TRACK and event.name == ORDER_COMPLETED


def _order(event: Observed, flat: Flat) -> tuple[str, int] | tuple[None, None]:
    """Currency and amount; a total that was left out is filled in, so that rules can compare it.

    Profiles accepts an order only with a currency, and with a total or priced lines. One that is unreadable all the
    same is an event without an amount: it must not stop the feed.
    """
    try:
        return _amount(event, flat)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        log.warning("order %s of tenant %s cannot be read and counts as an event only", event.message_id, event.tenant)
        telemetry.counter("segmentation.orders.unreadable").add(1)
        return None, None


def _amount(event: Observed, flat: Flat) -> tuple[str, int]:
    currency = str(event.content["currency"])
    stated = event.content.get("total")
    if stated is not None:
        return currency, to_minor(stated, currency)
    lines = event.content.get("products", ())
    total = sum(to_minor(_line_amount(line), currency) for line in lines)
    flat.numbers["total"] = [total / 10 ** decimals(currency)]
    flat.present["total"] = None
    return currency, total


def _line_amount(line: Mapping[str, Any]) -> float:
    stated = line.get("total")
    return float(line["price"] * line.get("quantity", 1) if stated is None else stated)


def _traits(identified: Sequence[Observed]) -> pa.Table:
    told = [(event, name, value) for event in identified for name, value in event.content.items()]
    columns = {
        **_columns([event for event, _, _ in told], "tenant", "customer_id", "message_id", "time"),
        "name": [name for _, name, _ in told],
        "tie": [repr(value) for _, _, value in told],
        **_flat_columns([flatten({name: value}) for _, name, value in told]),
    }
    return pa.table({name: columns[name] for name in TRAITS.schema.names}, schema=TRAITS.schema)


def _columns(observed: Sequence[Observed], *names: str) -> dict[str, list[Any]]:
    return {name: [getattr(event, name) for event in observed] for name in names}


def _flat_columns(flats: Sequence[Flat]) -> dict[str, pa.Array]:
    columns = {name: _maps([getattr(flat, name) for flat in flats], kind) for name, kind in MAPS.items()}
    return {**columns, "present": _lists([flat.present for flat in flats], pa.string())}


def _maps(maps: Sequence[Mapping[str, list[Any]]], kind: pa.DataType) -> pa.Array:
    """An array of maps from a path to a list of values, built from offsets: much faster than from Python maps."""
    keys = [key for values in maps for key in values]
    lists = _lists([values for each in maps for values in each.values()], kind)
    return pa.MapArray.from_arrays(_offsets(maps), pa.array(keys, pa.string()), lists)


def _lists(lists: Sequence[Any], kind: pa.DataType) -> pa.Array:
    values = [value for each in lists for value in each]
    return pa.ListArray.from_arrays(_offsets(lists), pa.array(values, kind))


def _offsets(parts: Sequence[Sized]) -> pa.Array:
    offsets, end = [0], 0
    for part in parts:
        end += len(part)
        offsets.append(end)
    return pa.array(offsets, pa.int32())
