"""Rejected events: read one, and ingest them again."""

from collections.abc import Sequence
from dataclasses import replace

from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists, InvalidArgument, NotFound, RequestIdReused
from services.profiles.domain.dead_letter import DeadLetter, bury_unreadable
from services.profiles.domain.event import Incoming
from services.profiles.handlers.checking import check
from services.profiles.handlers.ingest_events import IDENTIFIER_SUPPRESSED, SUPPRESSED
from services.profiles.handlers.recording import NOTHING, Recorder
from services.profiles.ports import DeadLetters, EventSchemas, Replayed, Request

Refused = tuple[str, str, str]


class DeadLetterNotFound(NotFound):
    """No dead letter has this id: it never was, was replayed or deleted, or made room for newer ones."""


class CorrectionAmbiguous(InvalidArgument):
    """A corrected event stands for one dead letter, and several were named."""


async def keep_dead_letters(
    letters: DeadLetters, clock: Clock, tenant: str, unreadable: Sequence[tuple[str, str, str]]
) -> None:
    """Keep what is no event: of each the text, the reason and the message."""
    now = to_micros(clock())
    await letters.keep(
        tenant, [bury_unreadable(source, reason, message, now) for source, reason, message in unreadable]
    )


async def get_dead_letter(letters: DeadLetters, tenant: str, dead_letter_id: str) -> DeadLetter:
    """The dead letter; ``DeadLetterNotFound``."""
    found = await letters.get_many(tenant, [dead_letter_id])
    if dead_letter_id not in found:
        raise DeadLetterNotFound(f"there is no dead letter {dead_letter_id}", dead_letter_id=dead_letter_id)
    return found[dead_letter_id]


async def replay_dead_letters(
    letters: DeadLetters,
    recorder: Recorder,
    schemas: EventSchemas,
    clock: Clock,
    request: Request,
    dead_letter_ids: Sequence[str],
    corrected: Incoming | None,
) -> Replayed:
    """Ingest dead letters again, or ``corrected`` instead of the only one; ``CorrectionAmbiguous``.

    Events are recorded first and dead letters forgotten after: a crash between the two leaves dead letters whose
    replay finds duplicates, and loses nothing.
    """
    wanted = list(dict.fromkeys(dead_letter_ids))
    if corrected is not None and len(wanted) > 1:
        raise CorrectionAmbiguous("a corrected event replaces one dead letter; name one", field="dead_letter_ids")
    if answer := await letters.replayed(request):
        return answer
    now = to_micros(clock())
    found = await letters.get_many(request.tenant, wanted)
    ready, refused = _sort(wanted, found, corrected)
    demands, settings = await schemas.demands(request.tenant), await recorder.settings(request.tenant)
    checked = check([event for _, event in ready], now, demands, settings)
    observations, rejections = checked.observations, checked.rejections
    refused += [(ready[each.index][0], each.reason, each.message) for each in rejections]
    written = await recorder.record(request.tenant, observations, now) if observations else NOTHING
    if written.suppressed:
        keys = [(key, event.message_id) for key, event in ready]
        refused += [(key, IDENTIFIER_SUPPRESSED, SUPPRESSED) for key, each in keys if each in written.suppressed]
    recorded = len(written.recorded)
    duplicates = len(observations) - recorded - len(written.suppressed)
    answer = Replayed(recorded, duplicates, tuple(refused))
    unsettled = {dead_letter_id for dead_letter_id, _, _ in refused}
    try:
        await letters.settle(request, [key for key in wanted if key not in unsettled], answer)
    except RequestIdReused:
        raise
    except AlreadyExists:
        return await letters.replayed(request) or answer
    return answer


def _sort(
    wanted: Sequence[str], found: dict[str, DeadLetter], corrected: Incoming | None
) -> tuple[list[tuple[str, Incoming]], list[Refused]]:
    """What can be ingested, as it came then, and why the rest cannot."""
    ready: list[tuple[str, Incoming]] = []
    refused: list[Refused] = []
    for key in wanted:
        letter = found.get(key)
        if letter is None:
            refused.append((key, "DEAD_LETTER_NOT_FOUND", f"there is no dead letter {key}"))
        elif letter.source and corrected is None:
            refused.append((key, "DEAD_LETTER_UNREADABLE", "there is no event in it; send a corrected one"))
        elif letter.truncated and corrected is None:
            refused.append((key, "DEAD_LETTER_TRUNCATED", "only a part of the event was kept; send a corrected one"))
        else:
            ready.append((key, replace(corrected or letter.event, receive_time=letter.reject_time)))
    return ready, refused
