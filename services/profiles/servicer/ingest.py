"""Events in."""

from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.common.auth import principal
from services.common.clock import Clock
from services.profiles.handlers.ingest_events import ingest_events
from services.profiles.handlers.recording import Recorder
from services.profiles.ports import DeadLetters, EventSchemas
from services.profiles.servicer.messages import Context, incoming


class IngestRpcs:
    """Records events."""

    _recorder: Recorder
    _dead_letters: DeadLetters
    _schemas: EventSchemas
    _clock: Clock

    async def IngestEvents(self, request: pb.IngestEventsRequest, context: Context) -> pb.IngestEventsResponse:
        batch = [incoming(event) for event in request.events]
        outcome = await ingest_events(
            self._recorder, self._dead_letters, self._schemas, self._clock, principal().tenant, batch
        )
        return pb.IngestEventsResponse(
            recorded_count=outcome.recorded_count,
            duplicate_count=outcome.duplicate_count,
            rejections=[
                pb.Rejection(
                    index=it.index, message_id=it.message_id, reason=it.reason, message=it.message, path=it.path
                )
                for it in outcome.rejections
            ],
            notices=[pb.Notice(message_id=key, reason=reason, message=text) for key, reason, text in outcome.notices],
        )
