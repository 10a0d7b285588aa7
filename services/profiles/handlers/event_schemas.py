"""What a tenant demands of its events: put, get, delete."""

from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists, Conflict, FailedPrecondition, NotFound, RequestIdReused
from services.common.json import JsonInvalid, read_object
from services.profiles.domain.event_schema import (
    BYTES_MAX,
    SCHEMAS_MAX,
    EventSchema,
    Mode,
    SchemaInvalid,
    check_shape,
)
from services.profiles.ports import EventSchemas, Request

ATTEMPTS_MAX = 10


class EventSchemaNotFound(NotFound):
    """No event of this name has a schema, or not this version of it."""


class TooManyEventSchemas(FailedPrecondition):
    """The tenant has as many schemas as it may. Metadata ``maximum``."""


async def put_event_schema(
    schemas: EventSchemas, clock: Clock, request: Request, event_name: str, text: str, mode: Mode
) -> EventSchema:
    """The version that holds now; ``SchemaInvalid``, ``TooManyEventSchemas``, ``RequestIdReused``."""
    try:
        schema = read_object(text, BYTES_MAX)
    except JsonInvalid as error:
        raise SchemaInvalid("", str(error)) from error
    check_shape(schema)
    schemas.compile(schema)
    for attempt in range(ATTEMPTS_MAX):
        if (before := await schemas.put_before(request)) is not None:
            return before
        current = await schemas.get(request.tenant, event_name)
        if current is None and await schemas.count(request.tenant) >= SCHEMAS_MAX:
            raise TooManyEventSchemas(f"{SCHEMAS_MAX} events have a schema; delete one", maximum=SCHEMAS_MAX)
        if current is not None and (current.json, current.mode) == (text, mode):
            return current
        version = current.version + 1 if current else 1
        try:
            made = EventSchema(event_name, version, mode, text, to_micros(clock()))
            await schemas.put(request, made, current)
            return made
        except RequestIdReused:
            raise
        except (AlreadyExists, Conflict):
            if attempt == ATTEMPTS_MAX - 1:
                raise
    raise AssertionError("unreachable")


async def get_event_schema(schemas: EventSchemas, tenant: str, event_name: str, version: int) -> EventSchema:
    """The version, or with 0 the one that holds; ``EventSchemaNotFound``."""
    found = await schemas.get(tenant, event_name, version)
    if found is None:
        which = f"version {version} of a schema" if version else "a schema"
        raise EventSchemaNotFound(f"the event {event_name} does not have {which}", event_name=event_name)
    return found


async def delete_event_schema(schemas: EventSchemas, request: Request, event_name: str) -> None:
    """Demand nothing more; ``EventSchemaNotFound``, ``RequestIdReused``."""
    if not await schemas.delete(request, event_name):
        raise EventSchemaNotFound(f"the event {event_name} does not have a schema", event_name=event_name)
