"""Profiles' events as what customers did."""

from collections.abc import Container, Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
from tessera.profiles.v1.profiles_service_pb2 import (
    EVENT_TYPE_ALIAS,
    EVENT_TYPE_GROUP,
    EVENT_TYPE_IDENTIFY,
    EVENT_TYPE_PAGE,
    EVENT_TYPE_SCREEN,
    Change,
    RecordedEvent,
)

from services.forecasting.adapters.activities import ACTIVITIES, LOOKING

_TOLD_OTHERWISE = frozenset({EVENT_TYPE_IDENTIFY, EVENT_TYPE_GROUP, EVENT_TYPE_ALIAS})
_PAGES = frozenset({EVENT_TYPE_PAGE, EVENT_TYPE_SCREEN})


class _Product(msgspec.Struct):
    product_id: Any = ""
    category: Any = ""


class _Said(msgspec.Struct):
    """What of an event's properties is looked at; whatever else they are."""

    product_id: Any = ""
    category: Any = ""
    store_id: Any = ""
    channel: Any = ""
    products: Any = None


_decode = msgspec.json.Decoder(_Said).decode
_NOTHING = _Said()


def activities(changes: Sequence[Change], without: Container[tuple[str, str]] = ()) -> pa.Table:
    """What customers did by ``changes``, as rows of the table, ``without`` those of some tenants' origins."""
    rows = [row for change in changes for row in _rows(change, without)]
    columns = zip(*rows, strict=True) if rows else [()] * len(ACTIVITIES.schema)
    arrays = [pa.array(column, type=kind) for column, kind in zip(columns, ACTIVITIES.schema.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=ACTIVITIES.schema)


def _rows(change: Change, without: Container[tuple[str, str]]) -> Iterator[tuple[Any, ...]]:
    event, tenant = change.event_recorded, change.tenant_id
    origin = event.origin_customer_id or event.customer_id
    # What an anonymised person did is there already, under the same pseudonym.
    if not event.message_id or event.type in _TOLD_OTHERWISE or event.anonymised or (tenant, origin) in without:
        return
    said = _said(event)
    micros = event.event_time.seconds * 1_000_000 + event.event_time.nanos // 1000
    head = (tenant, event.message_id, micros, event.name, event.customer_id, origin)
    place = (_text(said.store_id), _text(said.channel), int(event.type in _PAGES or event.name in LOOKING))
    products, categories = set(), set()
    for number, (product, category) in enumerate(_named(said)):
        opens = (int(not number), int(product not in products), int(category not in categories))
        yield (*head, product, category, *place, *opens)
        products.add(product)
        categories.add(category)


def _said(event: RecordedEvent) -> _Said:
    try:
        return _decode(event.properties_json or b"{}")
    except msgspec.MsgspecError:  # it happened, whatever it says
        return _NOTHING


def _named(said: _Said) -> list[tuple[str, str]]:
    """The products of an event with their categories; nothing and nothing of one that names none."""
    if isinstance(said.products, list) and said.products:
        return [
            (_text(it.get("product_id")), _text(it.get("category"))) for it in said.products if isinstance(it, dict)
        ]
    return [(_text(said.product_id), _text(said.category))]


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value) if type(value) is int else ""
