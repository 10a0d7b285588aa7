"""Event schemas in the schema: what a tenant demands of its events."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from tessera.profiles.v1 import event_schema_pb2 as pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.registry import from_proto, input_from_proto, mutation, query


@from_proto(pb.EventSchema, "event_name", "schema_json", "mode", "version", "create_time")
class EventSchema: ...


@input_from_proto(pb.PutEventSchemaRequest, "request_id", "event_name", "schema_json", "mode")
class PutEventSchemaInput: ...


@from_proto(pb.PutEventSchemaResponse, "event_schema")
class PutEventSchemaPayload: ...


@input_from_proto(pb.DeleteEventSchemaRequest, "request_id", "event_name")
class DeleteEventSchemaInput: ...


@query(by_rpc("profiles.ListEventSchemas"))
async def event_schemas(
    info: Info,
    first: First = 20,
    after: After = None,
    event_name: Annotated[
        str | None, strawberry.argument(description="All versions of this event's, the newest first.")
    ] = None,
) -> Page[pb.EventSchema]:
    """What is demanded of events, by event name."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.EventSchema], str]:
        request = pb.ListEventSchemasRequest(event_name=event_name or "", page_size=size, page_token=token)
        answer = await info.context.backends.profiles.ListEventSchemas(request, metadata=info.context.metadata)
        return answer.event_schemas, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("profiles.GetEventSchema"))
async def event_schema(info: Info, event_name: str, version: int = 0) -> pb.EventSchema | None:
    """What is demanded of an event, now or by a version; null if there is none."""
    request = pb.GetEventSchemaRequest(event_name=event_name, version=version)
    call = info.context.backends.profiles.GetEventSchema(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.event_schema if answer else None


@mutation(by_rpc("profiles.PutEventSchema"))
async def put_event_schema(info: Info, input: pb.PutEventSchemaRequest) -> pb.PutEventSchemaResponse:
    return await info.context.backends.profiles.PutEventSchema(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.DeleteEventSchema"))
async def delete_event_schema(info: Info, input: pb.DeleteEventSchemaRequest) -> strawberry.ID:
    """Demand nothing more of an event; answers its name."""
    await info.context.backends.profiles.DeleteEventSchema(input, metadata=info.context.metadata)
    return strawberry.ID(input.event_name)
