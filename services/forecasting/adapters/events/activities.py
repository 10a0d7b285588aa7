"""Profiles' events as what customers did."""

from collections.abc import Container, Iterator, Sequence
from typing import Any, NamedTuple

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

from services.common.flat.columns import flat_columns
from services.common.flat.properties import Flat, flatten
from services.forecasting.adapters.activities import ACTIVITIES, LOOKING
from services.forecasting.domain.event_properties import bounded

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


_HEADS = ACTIVITIES.schema.names[: ACTIVITIES.schema.get_field_index("described")]
_decode = msgspec.json.Decoder(_Said).decode
_NOTHING = _Said()


def activities(changes: Sequence[Change], without: Container[tuple[str, str]] = ()) -> pa.Table:
    """What customers did by ``changes``, as rows of the table, ``without`` those of some tenants' origins."""
    rows = [row for change in changes for row in _rows(change, without)]
    heads = list(zip(*(it.head for it in rows), strict=True)) if rows else [()] * len(_HEADS)
    columns = {
        name: pa.array(column, type=ACTIVITIES.schema.field(name).type)
        for name, column in zip(_HEADS, heads, strict=True)
    }
    kept = [bounded(it.properties) if it.properties else (Flat(), []) for it in rows]
    columns |= {
        "described": pa.array([None if it.properties is None else 1 for it in rows], type=pa.int64()),
        **flat_columns([flat for flat, _ in kept]),
        "left_out": pa.array([left_out for _, left_out in kept], type=pa.list_(pa.string())),
    }
    return pa.Table.from_arrays([columns[name] for name in ACTIVITIES.schema.names], schema=ACTIVITIES.schema)


class _Row(NamedTuple):
    head: tuple[Any, ...]
    properties: Flat | None
    """Of the event, in its first row."""


def _rows(change: Change, without: Container[tuple[str, str]]) -> Iterator[_Row]:
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
        yield _Row((*head, product, category, *place, *opens), None if number else _properties(event))
        products.add(product)
        categories.add(category)


def _properties(event: RecordedEvent) -> Flat:
    try:
        found = msgspec.json.decode(event.properties_json or b"{}")
    except msgspec.MsgspecError:
        return Flat()
    return flatten(found) if isinstance(found, dict) else Flat()


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
