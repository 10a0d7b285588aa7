"""Record a batch of events; those that are wrong become dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.profiles.domain.dead_letter import bury
from services.profiles.domain.event import Incoming, Rejection
from services.profiles.handlers.checking import check
from services.profiles.handlers.recording import NOTHING, Notice, Recorder
from services.profiles.ports import DeadLetters, EventSchemas

IDENTIFIER_SUPPRESSED = "IDENTIFIER_SUPPRESSED"
SUPPRESSED = "the event carries an identifier of somebody who asked to be forgotten; do not send it again"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    recorded_count: int
    duplicate_count: int
    rejections: tuple[Rejection, ...]
    notices: tuple[Notice, ...]
    """What recorded events did not do, or break: message id, reason and sentence."""


async def ingest_events(
    recorder: Recorder,
    letters: DeadLetters | None,
    schemas: EventSchemas,
    clock: Clock,
    tenant: str,
    batch: Sequence[Incoming],
) -> Outcome:
    """Record what is acceptable and new; the rest goes to ``letters``, if they are given.

    ``Conflict`` only after twenty attempts against other processes.
    """
    now = to_micros(clock())
    checked = check(batch, now, await schemas.demands(tenant), await recorder.settings(tenant))
    observations, rejections = checked.observations, tuple(checked.rejections)
    written = await recorder.record(tenant, observations, now) if observations else NOTHING
    if rejections and letters is not None:
        await letters.keep(tenant, [bury(batch[each.index], each, now) for each in rejections])
    if written.suppressed:
        telemetry.counter("profiles.events.suppressed").add(len(written.suppressed))
        rejections = _with_suppressed(batch, rejections, written.suppressed)
    recorded = len(written.recorded)
    duplicates = len(observations) - recorded - _count_suppressed(rejections)
    notices = [*written.notices, *(notice for notice in checked.notices if notice[0] in written.recorded)]
    return Outcome(recorded, duplicates, rejections, tuple(notices))


def _with_suppressed(
    batch: Sequence[Incoming], rejections: Sequence[Rejection], suppressed: frozenset[str]
) -> tuple[Rejection, ...]:
    """The rejections with those of suppressed events, which are kept nowhere."""
    wrong = {each.index for each in rejections}
    refused = [
        Rejection(index, event.message_id, IDENTIFIER_SUPPRESSED, SUPPRESSED)
        for index, event in enumerate(batch)
        if event.message_id in suppressed and index not in wrong
    ]
    return tuple(sorted((*rejections, *refused), key=lambda each: each.index))


def _count_suppressed(rejections: Sequence[Rejection]) -> int:
    return sum(each.reason == IDENTIFIER_SUPPRESSED for each in rejections)
