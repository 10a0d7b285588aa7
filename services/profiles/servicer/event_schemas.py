"""The rpcs of event schemas."""

from tessera.profiles.v1 import event_schema_pb2 as pb

from services.common.auth import principal
from services.common.clock import Clock
from services.common.validation import FieldInvalid
from services.profiles.domain.event_schema import EventSchema, Mode
from services.profiles.handlers.event_schemas import delete_event_schema, get_event_schema, put_event_schema
from services.profiles.ports import EventSchemas
from services.profiles.servicer.messages import PAGE_SIZE_DEFAULT, Context, named, timestamp


class EventSchemaRpcs:
    """Puts, gets, lists and deletes what a tenant demands of its events."""

    _schemas: EventSchemas
    _clock: Clock

    async def PutEventSchema(self, request: pb.PutEventSchemaRequest, context: Context) -> pb.PutEventSchemaResponse:
        if request.mode not in Mode._value2member_map_:
            raise FieldInvalid("mode must be REJECT or WARN", field="mode")
        made = await put_event_schema(
            self._schemas, self._clock, named(request), request.event_name, request.schema_json, Mode(request.mode)
        )
        return pb.PutEventSchemaResponse(event_schema=_schema(made))

    async def GetEventSchema(self, request: pb.GetEventSchemaRequest, context: Context) -> pb.GetEventSchemaResponse:
        found = await get_event_schema(self._schemas, principal().tenant, request.event_name, request.version)
        return pb.GetEventSchemaResponse(event_schema=_schema(found))

    async def ListEventSchemas(
        self, request: pb.ListEventSchemasRequest, context: Context
    ) -> pb.ListEventSchemasResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        schemas, token = await self._schemas.page(principal().tenant, request.event_name, size, request.page_token)
        return pb.ListEventSchemasResponse(event_schemas=map(_schema, schemas), next_page_token=token)

    async def DeleteEventSchema(
        self, request: pb.DeleteEventSchemaRequest, context: Context
    ) -> pb.DeleteEventSchemaResponse:
        await delete_event_schema(self._schemas, named(request), request.event_name)
        return pb.DeleteEventSchemaResponse()


def _schema(schema: EventSchema) -> pb.EventSchema:
    return pb.EventSchema(
        event_name=schema.event_name,
        schema_json=schema.json,
        mode=pb.SchemaMode.ValueType(schema.mode),
        version=schema.version,
        create_time=timestamp(schema.create_time),
    )
