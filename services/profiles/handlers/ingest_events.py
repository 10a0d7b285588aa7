"""Record a batch of events; those that are wrong become dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.clock import Clock, to_micros
from services.profiles.domain.dead_letter import bury
from services.profiles.domain.event import Incoming, Rejection
from services.profiles.handlers.checking import check
from services.profiles.handlers.recording import NOTHING, Recorder
from services.profiles.ports import DeadLetters


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    recorded_count: int
    duplicate_count: int
    rejections: tuple[Rejection, ...]
    unjoined: tuple[str, ...]
    """The message ids of aliases that left two customers two."""


async def ingest_events(
    recorder: Recorder, letters: DeadLetters, clock: Clock, tenant: str, batch: Sequence[Incoming]
) -> Outcome:
    """Record what is acceptable and new. ``Conflict`` only after twenty attempts against other processes."""
    now = to_micros(clock())
    observations, rejections = check(batch, now)
    written = await recorder.record(tenant, observations, now) if observations else NOTHING
    if rejections:
        rejected = [bury(batch[each.index], each.reason, each.message, now) for each in rejections]
        await letters.keep(tenant, rejected)
    recorded = len(written.recorded)
    return Outcome(recorded, len(observations) - recorded, rejections, tuple(sorted(written.unjoined)))
