"""The analytical tables of segmentation, and their rows made from profiles' events."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeGuard

import pyarrow as pa

from services.common import telemetry
from services.common.columnar import Amendment, Assign, Keep, Table
from services.common.flat.columns import FLAT, flat_columns
from services.common.flat.properties import Flat, flatten
from services.common.money import decimals, to_minor
from services.common.rules.bucket import fnv1a
from services.segmentation.adapters.group_tables import GROUP_MEMBERS, GROUP_TABLES
from services.segmentation.adapters.messages import MESSAGES
from services.segmentation.adapters.predicted_tables import PREDICTED_TABLES

log = logging.getLogger(__name__)

ORDER_COMPLETED = "Order Completed"
IDENTIFY, TRACK = 1, 2  # the types of the contract

EVENTS = Table(
    "events",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("customer_hash", pa.int64()),  # FNV-1a of the id, for buckets
            ("origin_id", pa.string()),  # whose it was before any merge
            ("message_id", pa.string()),
            ("name", pa.string()),
            ("time", pa.int64()),
            ("currency", pa.string()),  # of an order; null for other events
            ("total_minor", pa.int64()),
            *FLAT,
        ]
    ),
    key=("tenant", "message_id", "time"),  # the time spares looking for a message among those of other times
)
TRAITS = Table(
    "traits",
    # One row for each trait that an event tells; a forgotten one has nothing present. Every value is kept with its
    # time, so that a rule can be evaluated as of any moment.
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("origin_id", pa.string()),  # a computed trait has none: it is computed anew after a merge
            ("message_id", pa.string()),
            ("name", pa.string()),
            ("time", pa.int64()),
            ("tie", pa.string()),  # orders values of the same moment as profiles does
            *FLAT,
        ]
    ),
    key=("tenant", "message_id", "time"),
)
CONSENTS = Table(
    "consents",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("origin_id", pa.string()),
            ("purpose", pa.string()),
            ("channel", pa.string()),
            ("time", pa.int64()),
            ("tie", pa.string()),  # of two statements at the same moment the refusal holds
            ("granted", pa.bool_()),
        ]
    ),
    key=("tenant", "origin_id", "purpose", "channel", "time"),
    keep=Keep.LAST,
)
LIST_ENTRIES = Table(
    "list_entries",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("origin_id", pa.string()),
            ("list_id", pa.string()),
            ("time", pa.int64()),
            ("tie", pa.string()),
            ("listed", pa.bool_()),
        ]
    ),
    key=("tenant", "list_id", "origin_id", "tie"),
)
CLUSTERED = Table(
    "clustered",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("clustering_id", pa.string()),
            ("cluster", pa.int64()),
        ]
    ),
    key=("tenant", "clustering_id", "customer_id"),
    keep=Keep.LAST,
)
RESEMBLING = Table(
    "resembling",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("lookalike_id", pa.string()),
            ("place", pa.int64()),
        ]
    ),
)
TABLES = (
    EVENTS,
    TRAITS,
    CONSENTS,
    LIST_ENTRIES,
    CLUSTERED,
    RESEMBLING,
    *PREDICTED_TABLES,
    MESSAGES,
    *GROUP_TABLES,
)
MOVED = (EVENTS, TRAITS, CONSENTS, LIST_ENTRIES, GROUP_MEMBERS)
"""The tables whose rows belong to whoever their origin belongs to."""


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
    origin_id: str = ""
    """Whose it was before any merge; empty: the customer's own."""


@dataclass(frozen=True, slots=True)
class Computed:
    """A computed trait has another value (``None``: none any more); time in microseconds."""

    tenant: str
    customer_id: str
    name: str
    time: int
    value: Any


@dataclass(frozen=True, slots=True)
class Consented:
    """A consent was given, refused, withdrawn or ran out; time in microseconds."""

    tenant: str
    customer_id: str
    origin_id: str
    purpose: str
    channel: str
    time: int
    granted: bool


def rows(
    observed: Sequence[Observed], computed: Sequence[Computed] = (), consented: Sequence[Consented] = ()
) -> dict[Table, pa.Table]:
    """What a batch adds to each table."""
    batch = {EVENTS: _events(observed)} if observed else {}
    told = [
        _told(event, name, value)
        for event in observed
        if event.type == IDENTIFY
        for name, value in event.content.items()
    ]
    told += [_told_by_computation(each) for each in computed]
    if told:
        batch[TRAITS] = _traits(told)
    if consented:
        batch[CONSENTS] = _consents(consented)
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
        "customer_hash": [hashed(event.customer_id) for event in observed],
        "origin_id": [event.origin_id or event.customer_id for event in observed],
        "currency": currencies,
        "total_minor": totals,
        **flat_columns(flats),
    }
    return pa.table({name: columns[name] for name in EVENTS.schema.names}, schema=EVENTS.schema)


@lru_cache(maxsize=100_000)
def hashed(customer_id: str) -> int:
    """FNV-1a of a customer id, of which buckets are made."""
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
    lines = event.content.get("products", ())
    if event.content.get("cost") is None and (cost := _cost(lines)) is not None:
        flat.numbers["cost"], flat.present["cost"] = [cost], None
    if stated is not None:
        return currency, to_minor(stated, currency)
    total = sum(to_minor(_line_amount(line), currency) for line in lines)
    flat.numbers["total"] = [total / 10 ** decimals(currency)]
    flat.present["total"] = None
    return currency, total


def _cost(lines: Any) -> float | None:
    """What the lines of an order cost the shop, where each of them says what a piece costs."""
    if not isinstance(lines, list) or not lines:
        return None
    total = 0.0
    for line in lines:
        cost, quantity = (line.get("cost"), line.get("quantity", 1)) if isinstance(line, dict) else (None, 1)
        if not _is_number(cost) or not _is_number(quantity):
            return None
        total += cost * quantity
    return total


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _line_amount(line: Mapping[str, Any]) -> float:
    stated = line.get("total")
    return float(line["price"] * line.get("quantity", 1) if stated is None else stated)


@dataclass(frozen=True, slots=True)
class _Told:
    """One row of traits."""

    tenant: str
    customer_id: str
    origin_id: str
    message_id: str
    name: str
    time: int
    value: Any


def _told(event: Observed, name: str, value: Any) -> _Told:
    origin = event.origin_id or event.customer_id
    return _Told(event.tenant, event.customer_id, origin, event.message_id, name, event.time, value)


def _told_by_computation(computed: Computed) -> _Told:
    message_id = f"computed:{computed.customer_id}:{computed.name}:{computed.time}"
    return _Told(computed.tenant, computed.customer_id, "", message_id, computed.name, computed.time, computed.value)


def _traits(told: Sequence[_Told]) -> pa.Table:
    columns = {
        **_columns(told, "tenant", "customer_id", "origin_id", "message_id", "name", "time"),
        "tie": [repr(each.value) for each in told],
        **flat_columns([flatten({each.name: each.value}) for each in told]),
    }
    return pa.table({name: columns[name] for name in TRAITS.schema.names}, schema=TRAITS.schema)


def _consents(consented: Sequence[Consented]) -> pa.Table:
    columns = {
        **_columns(consented, "tenant", "customer_id", "origin_id", "purpose", "channel", "time", "granted"),
        "tie": ["0" if each.granted else "1" for each in consented],
    }
    return pa.table({name: columns[name] for name in CONSENTS.schema.names}, schema=CONSENTS.schema)


def owned(owners: Mapping[tuple[str, str], str]) -> list[Amendment]:
    """Gives the rows of each tenant's origins to whom they belong from now on."""
    values = pa.table(
        {
            "tenant": [tenant for tenant, _ in owners],
            "origin_id": [origin for _, origin in owners],
            "customer_id": list(owners.values()),
        }
    )
    with_hash = values.append_column("customer_hash", pa.array([hashed(who) for who in owners.values()], pa.int64()))
    return [
        Assign(table, ("tenant", "origin_id"), with_hash if "customer_hash" in table.schema.names else values)
        for table in (*MOVED, MESSAGES)
    ]


def owners_of(amendments: Sequence[Amendment]) -> dict[tuple[str, str], str]:
    """To whom the rows of each tenant's origins belong after ``amendments`` made by ``owned``."""
    return {
        (row["tenant"], row["origin_id"]): row["customer_id"]
        for amendment in amendments
        if isinstance(amendment, Assign) and amendment.table is EVENTS
        for row in amendment.values.to_pylist()
    }


def _columns(observed: Sequence[object], *names: str) -> dict[str, list[Any]]:
    return {name: [getattr(event, name) for event in observed] for name in names}
