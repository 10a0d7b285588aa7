"""Customers and events as files, a part at a time."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from services.common import json
from services.common.clock import from_micros
from services.profiles.domain.customer_filter import CustomerFilter
from services.profiles.domain.event import EventType
from services.profiles.domain.table_import import TableFormat
from services.profiles.handlers.computing import Computing
from services.profiles.handlers.finding import Found, every_customer
from services.profiles.ports import EventFilter
from services.profiles.ports.transfer import NewTable

Part = tuple[bytes, int]

CUSTOMER_COLUMNS = {
    "customer_id": "text",
    "identifiers": "text",
    "first_seen_time": "time",
    "last_seen_time": "time",
    "event_count": "number",
    "order_count": "number",
    "spend_minor": "text",
    "computed_traits": "text",
}
EVENT_COLUMNS = {
    "message_id": "text",
    "customer_id": "text",
    "type": "text",
    "name": "text",
    "event_time": "time",
    "record_time": "time",
    "properties": "text",
}


async def export_customers(
    computing: Computing,
    new_table: NewTable,
    tenant: str,
    format: TableFormat,
    wanted: CustomerFilter,
    traits: Sequence[str],
) -> AsyncIterator[Part]:
    """The parts of the file, each with how many rows there were until then; ``RuleInvalid``, ``RuleUnsupported``."""
    columns = {
        **CUSTOMER_COLUMNS,
        **(dict.fromkeys((f"traits.{name}" for name in traits), "text") or {"traits": "text"}),
    }
    wanted.check()
    table = new_table(format, list(columns), list(columns.values()))
    count = 0
    async for some in every_customer(computing, tenant, wanted):
        count += len(some)
        if part := await asyncio.to_thread(table.write, [_customer_row(format, found, traits) for found in some]):
            yield part, count
    yield await asyncio.to_thread(table.end), count


async def export_events(
    computing: Computing, new_table: NewTable, tenant: str, format: TableFormat, wanted: EventFilter
) -> AsyncIterator[Part]:
    """The parts of the file, each with how many rows there were until then."""
    table = new_table(format, list(EVENT_COLUMNS), list(EVENT_COLUMNS.values()))
    count = 0
    async for some in computing.profiles.every_event(tenant, wanted):
        count += len(some)
        rows = [
            (
                event.message_id,
                event.customer_id,
                EventType(event.type).name,
                event.name,
                _time(format, event.event_time),
                _time(format, event.record_time),
                event.json,
            )
            for event in some
        ]
        if part := await asyncio.to_thread(table.write, rows):
            yield part, count
    yield await asyncio.to_thread(table.end), count


def _customer_row(format: TableFormat, found: Found, names: Sequence[str]) -> list[object]:
    customer, computed = found
    traits = {name: trait.value for name, trait in customer.traits.items() if trait.value is not None}
    return [
        customer.customer_id,
        json.write([{"type": kind, "value": value} for kind, value in customer.identifiers]),
        _time(format, customer.first_seen_time),
        _time(format, customer.last_seen_time),
        customer.lifetime.event_count,
        customer.lifetime.order_count,
        json.write(customer.lifetime.spend_minor),
        json.write(computed),
        *([_text(traits.get(name)) for name in names] or [json.write(traits)]),
    ]


def _time(format: TableFormat, micros: int) -> object:
    return micros if format is TableFormat.PARQUET else from_micros(micros).isoformat()


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.write(value)
