"""Serve destinations: each is sent one delivery after the other, again until it arrives or nobody believes it will."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.common.errors import Conflict
from services.segmentation.domain.delivery import (
    SECOND,
    Delivery,
    DeliveryState,
    Moved,
    Outcome,
    Parcel,
    Patience,
    Progress,
    Run,
    given_up,
    ndjson,
    signed,
    transitions_parcel,
)
from services.segmentation.domain.destination import AudiencePush, Destination, Format, State, TransitionPush
from services.segmentation.domain.object_push import ObjectPush
from services.segmentation.handlers.object_pushes import ObjectPusher
from services.segmentation.ports import Memberships, MemberWriter, Segments
from services.segmentation.ports.destinations import Courier, Destinations

log = logging.getLogger(__name__)

LOOK_SECONDS = 30.0
"""How often it is looked who is to be served, besides when somebody says so."""
RETRY_SECONDS = 2.0
SLEEP_SECONDS_MAX = 60.0
IDLE_BATCHES = 20
"""After so many batches of the feed with nothing for a destination its place is kept."""


class _Disabled(Exception):
    """The destination is not served any more."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """What came of an attempt; ``then`` is the progress if it arrived."""

    outcome: Outcome
    items: int
    then: Progress
    object_key: str = ""


@dataclass
class _Served:
    version: int
    task: asyncio.Task[None]


@dataclass
class Dispatch:
    """Serves the active destinations of all tenants, each by a task of its own."""

    destinations: Destinations
    segments: Segments
    memberships: Memberships
    courier: Courier
    pusher: ObjectPusher
    csv_file: Callable[[], MemberWriter]
    clock: Clock
    chance: Callable[[], float]
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        self._woken = asyncio.Event()
        self._served: dict[tuple[str, str], _Served] = {}

    def wake(self) -> None:
        """Look soon who is to be served."""
        self._woken.set()

    async def run(self) -> None:
        """Serve for ever."""
        try:
            while True:
                self._woken.clear()
                await self._look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._woken.wait()
        finally:
            for key in list(self._served):
                await self._leave(key)

    async def _look(self) -> None:
        try:
            known = {(tenant, each.destination_id): each async for tenant, each in self.destinations.all()}
        except Exception:
            log.exception("destinations could not be read and will be again")
            return
        active = {key: each for key, each in known.items() if each.state is State.ACTIVE}
        for key, served in list(self._served.items()):
            if key not in active or active[key].version != served.version or served.task.done():
                await self._leave(key)
                if key not in known:
                    await self.destinations.sweep(*key)
        for key, each in active.items():
            if key not in self._served:
                task = asyncio.create_task(self._serve(key[0], each), name=f"destination {each.destination_id}")
                self._served[key] = _Served(each.version, task)

    async def _leave(self, key: tuple[str, str]) -> None:
        task = self._served.pop(key).task
        task.cancel()
        await asyncio.wait([task])

    async def _serve(self, tenant: str, destination: Destination) -> None:
        """Until it is disabled, changed by somebody, or cancelled."""
        while True:
            try:
                progress = await self._begin(tenant, destination)
                if isinstance(destination.content, TransitionPush):
                    await self._tell_transitions(tenant, destination, destination.content, progress)
                else:
                    await self._push_again_and_again(tenant, destination, destination.content, progress)
            except _Disabled:
                return
            except Conflict:  # somebody changed it: it is served as it is now
                self.wake()
                return
            except Exception:
                log.exception("destination %s could not be served and will be again", destination.destination_id)
                await asyncio.sleep(RETRY_SECONDS)

    async def _begin(self, tenant: str, destination: Destination) -> Progress:
        """From where it is served."""
        progress = await self.destinations.progress(tenant, destination.destination_id)
        if progress is None:
            progress = Progress(await self.memberships.newest())
        if progress.generation != destination.generation:
            progress = replace(
                progress,
                cursor=destination.skip_to or progress.cursor,
                lineage="" if destination.skip_to else progress.lineage,
                generation=destination.generation,
                attempts=0,
                failed_since=0,
                next_attempt=0,
            )
            await self.destinations.record(tenant, destination.destination_id, progress)
        return progress

    async def _tell_transitions(
        self, tenant: str, destination: Destination, content: TransitionPush, progress: Progress
    ) -> None:
        idle = 0
        async for batch in self.memberships.changes(progress.cursor, tenant):
            moved = [
                Moved(each.cursor, each.segment_id, each.customer_id, each.entered, each.time)
                for each in batch.changes
                if not content.segment_ids or each.segment_id in content.segment_ids
            ]
            for start in range(0, len(moved), content.batch_size):
                part = moved[start : start + content.batch_size]
                parcel = transitions_parcel(destination.destination_id, part)
                progress = await self._deliver_parcel(tenant, destination, progress, parcel, cursor=part[-1].cursor)
            progress = replace(progress, cursor=batch.cursor)
            idle = 0 if moved else idle + 1
            if idle == IDLE_BATCHES:
                idle = 0
                await self.destinations.record(tenant, destination.destination_id, progress)

    async def _push_again_and_again(
        self, tenant: str, destination: Destination, content: AudiencePush | ObjectPush, progress: Progress
    ) -> None:
        run = progress.run
        if run is not None and isinstance(content, ObjectPush):
            run = _new_run()  # what it may have written is not written over
        while True:
            if run is None:
                progress = await self._next_run(tenant, destination, content, progress)
                run = progress.run
                assert run is not None
            if isinstance(content, ObjectPush):
                progress = await self._push_file(tenant, destination, content, progress, run)
            else:
                progress = await self._push_chunk(tenant, destination, content, progress, run)
            run = progress.run

    async def _next_run(
        self, tenant: str, destination: Destination, content: AudiencePush | ObjectPush, progress: Progress
    ) -> Progress:
        """Wait until a push is due, and begin it."""
        due = content.due(progress.due, self._now())
        if due != progress.due:
            progress = replace(progress, due=due)
            await self.destinations.record(tenant, destination.destination_id, progress)
        if destination.asked <= progress.asked:
            await self._until(due)
        while not (await self.memberships.census(tenant, content.segment_id)).refresh_time:
            await self._check_segment(tenant, destination, content, progress)
            await asyncio.sleep(RETRY_SECONDS / 10)  # it has no members before it was evaluated for the first time
        now = self._now()
        planned = content.next_start(now) if now >= due else due
        progress = replace(progress, run=_new_run(), due=planned, asked=max(destination.asked, progress.asked))
        await self.destinations.record(tenant, destination.destination_id, progress)
        return progress

    async def _push_chunk(
        self, tenant: str, destination: Destination, content: AudiencePush, progress: Progress, run: Run
    ) -> Progress:
        await self._check_segment(tenant, destination, content, progress)
        members, token = await self.memberships.members(tenant, content.segment_id, content.chunk_size, run.token)
        as_csv = content.format is Format.CSV
        parcel = Parcel(
            f"{run.push_id}.{run.chunk}",
            self.csv_file().write(members) if as_csv else ndjson(members),
            {
                "content-type": "text/csv; charset=utf-8" if as_csv else "application/x-ndjson",
                "tessera-push-id": run.push_id,
                "tessera-segment-id": content.segment_id,
                "tessera-chunk": str(run.chunk),
                "tessera-last-chunk": "false" if token else "true",
            },
            len(members),
        )
        following = replace(run, chunk=run.chunk + 1, token=token) if token else None
        return await self._deliver_parcel(tenant, destination, progress, parcel, run=following)

    async def _push_file(
        self, tenant: str, destination: Destination, content: ObjectPush, progress: Progress, run: Run
    ) -> Progress:
        async def send(progress: Progress) -> _Sent:
            await self._check_segment(tenant, destination, content, progress)
            attempt = await self.pusher.attempt(tenant, destination, content, progress, run.push_id)
            then = replace(attempt.progress, run=None)
            return _Sent(attempt.outcome, attempt.rows, then, attempt.key)

        return await self._deliver(tenant, destination, progress, run.push_id, send)

    async def _check_segment(
        self, tenant: str, destination: Destination, content: AudiencePush | ObjectPush, progress: Progress
    ) -> None:
        """Disable a destination whose segment is gone."""
        if await self.segments.get(tenant, content.segment_id) is None:
            reason = f"there is no segment {content.segment_id} any more"
            await self._disable(tenant, destination, progress, None, reason)

    async def _deliver_parcel(
        self, tenant: str, destination: Destination, progress: Progress, parcel: Parcel, **then: str | Run | None
    ) -> Progress:
        """Send it until it arrives; the progress after it, changed by ``then``, is kept with the delivery."""

        async def send(progress: Progress) -> _Sent:
            now = self._now()
            headers = signed(parcel, destination.secrets(now), now)
            outcome = await self.courier.send(destination.url, headers, parcel.body)
            return _Sent(outcome, parcel.items, replace(progress, **then))  # type: ignore[arg-type]

        return await self._deliver(tenant, destination, progress, parcel.delivery_id, send)

    async def _deliver(
        self,
        tenant: str,
        destination: Destination,
        progress: Progress,
        delivery_id: str,
        send: Callable[[Progress], Awaitable[_Sent]],
    ) -> Progress:
        """Again until it arrives; the progress after it is kept with the delivery."""
        first = progress.failed_since or self._now()
        while True:
            await self._until(progress.next_attempt)
            sent = await _measured(send(progress))
            now, outcome = self._now(), sent.outcome
            made = Delivery(
                delivery_id,
                destination.destination_id,
                DeliveryState.SUCCEEDED if outcome.delivered else DeliveryState.RETRYING,
                progress.attempts + 1,
                sent.items,
                first,
                now,
                outcome.http_status,
                outcome.error,
                sent.object_key,
            )
            if outcome.delivered:
                progress = sent.then.succeeded(now)
                await self.destinations.record(tenant, destination.destination_id, progress, made)
                return progress
            progress = progress.failed(outcome, self.patience, self.chance(), now)
            if reason := given_up(progress, outcome, self.patience):
                await self._disable(tenant, destination, progress, made, reason)
            await self.destinations.record(tenant, destination.destination_id, progress, made)

    async def _disable(
        self, tenant: str, destination: Destination, progress: Progress, made: Delivery | None, reason: str
    ) -> None:
        """Raises ``_Disabled``. A push that was under way begins anew when it is resumed."""
        log.warning("destination %s is disabled: %s", destination.destination_id, reason)
        disabled = replace(
            destination,
            state=State.DISABLED,
            reason=reason,
            update_time=self._now(),
            version=destination.version + 1,
        )
        failed = replace(made, state=DeliveryState.FAILED) if made else None
        asked = -1 if progress.run else progress.asked  # as if somebody asked for it as soon as it is resumed
        progress = replace(progress, run=None, next_attempt=0, asked=asked)
        await self.destinations.record(tenant, destination.destination_id, progress, failed, disabled)
        raise _Disabled

    async def _until(self, moment: int) -> None:
        while (remaining := moment - self._now()) > 0:  # noqa: ASYNC110 - the clock may be set
            await asyncio.sleep(min(remaining / SECOND, SLEEP_SECONDS_MAX))

    def _now(self) -> int:
        return to_micros(self.clock())


async def _measured(sending: Awaitable[_Sent]) -> _Sent:
    began = time.perf_counter()
    sent = await sending
    labels = {"outcome": "delivered" if sent.outcome.delivered else "failed"}
    telemetry.counter("segmentation.deliveries.attempted").add(1, labels)
    telemetry.histogram("segmentation.deliveries.duration").record((time.perf_counter() - began) * 1000, labels)
    return sent


def _new_run() -> Run:
    return Run(f"push_{uuid.uuid4().hex}")
