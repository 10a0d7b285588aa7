"""Rejected events."""

from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.common.auth import principal
from services.common.clock import Clock
from services.profiles.domain.dead_letter import DeadLetter
from services.profiles.handlers.dead_letters import get_dead_letter, keep_dead_letters, replay_dead_letters
from services.profiles.handlers.recording import Recorder
from services.profiles.ports import DeadLetters, EventSchemas
from services.profiles.servicer.messages import Context, event_message, incoming, named, timestamp

PAGE_SIZE_DEFAULT = 20


class DeadLetterRpcs:
    """Keeps, shows and replays what was rejected."""

    _recorder: Recorder
    _dead_letters: DeadLetters
    _schemas: EventSchemas
    _clock: Clock

    async def KeepDeadLetters(self, request: pb.KeepDeadLettersRequest, context: Context) -> pb.KeepDeadLettersResponse:
        unreadable = [(each.source_text, each.reason, each.message) for each in request.unreadable]
        await keep_dead_letters(self._dead_letters, self._clock, principal().tenant, unreadable)
        return pb.KeepDeadLettersResponse()

    async def ListDeadLetters(self, request: pb.ListDeadLettersRequest, context: Context) -> pb.ListDeadLettersResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        letters, token = await self._dead_letters.page(principal().tenant, request.reason, size, request.page_token)
        return pb.ListDeadLettersResponse(dead_letters=map(_dead_letter, letters), next_page_token=token)

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, context: Context) -> pb.GetDeadLetterResponse:
        letter = await get_dead_letter(self._dead_letters, principal().tenant, request.dead_letter_id)
        return pb.GetDeadLetterResponse(dead_letter=_dead_letter(letter))

    async def ReplayDeadLetters(
        self, request: pb.ReplayDeadLettersRequest, context: Context
    ) -> pb.ReplayDeadLettersResponse:
        corrected = incoming(request.corrected_event) if request.HasField("corrected_event") else None
        outcome = await replay_dead_letters(
            self._dead_letters,
            self._recorder,
            self._schemas,
            self._clock,
            named(request),
            request.dead_letter_ids,
            corrected,
        )
        return pb.ReplayDeadLettersResponse(
            recorded_count=outcome.recorded_count,
            duplicate_count=outcome.duplicate_count,
            rejections=[
                pb.ReplayRejection(dead_letter_id=key, reason=reason, message=message)
                for key, reason, message in outcome.rejections
            ],
        )

    async def DeleteDeadLetters(
        self, request: pb.DeleteDeadLettersRequest, context: Context
    ) -> pb.DeleteDeadLettersResponse:
        deleted = await self._dead_letters.delete(named(request), list(dict.fromkeys(request.dead_letter_ids)))
        return pb.DeleteDeadLettersResponse(deleted_count=deleted)


def _dead_letter(letter: DeadLetter) -> pb.DeadLetter:
    return pb.DeadLetter(
        dead_letter_id=letter.dead_letter_id,
        reason=letter.reason,
        message=letter.message,
        reject_time=timestamp(letter.reject_time),
        event=None if letter.source else event_message(letter.event),
        truncated=letter.truncated,
        source_text=letter.source,
        path=letter.path,
    )
