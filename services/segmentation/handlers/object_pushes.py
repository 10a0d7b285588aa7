"""Write a segment into object storage: the file, then what says that it is there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.common.store.feed_cursor import position
from services.segmentation.domain.delivery import Outcome, Progress, test_parcel
from services.segmentation.domain.destination import Destination
from services.segmentation.domain.object_push import (
    OBJECT_BYTES_MAX,
    Contents,
    FileForm,
    ObjectPush,
    Place,
    Written,
    manifest,
)
from services.segmentation.handlers.member_columns import Row, with_columns
from services.segmentation.ports import Memberships, RowWriter
from services.segmentation.ports.objects import AudienceFiles, Blob, Blobs, ObjectStore
from services.segmentation.ports.trait_values import TraitValues

ROWS_A_PART, MEMBERS_A_READ = 20_000, 1000
FEED_SILENCE_SECONDS = 2.0
"""How long is waited for changes up to what was the end of the feed. What comes later is in the next push."""
JSON = "application/json"
KINDS = {FileForm.CSV: "text/csv; charset=utf-8", FileForm.PARQUET: "application/vnd.apache.parquet"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an attempt: how many rows the file has, its key, and the progress if it arrived."""

    outcome: Outcome
    rows: int
    key: str
    progress: Progress


@dataclass(frozen=True)
class ObjectPusher:
    """What writes the files of destinations."""

    memberships: Memberships
    objects: ObjectStore
    values: TraitValues
    files: AudienceFiles
    blobs: Blobs
    clock: Clock

    async def attempt(
        self, tenant: str, destination: Destination, push: ObjectPush, progress: Progress, push_id: str
    ) -> Attempt:
        """Once; what goes wrong is in the outcome."""
        number = f"{push_id}.{progress.attempts + 1}" if progress.attempts else push_id
        place = Place(tenant, destination.destination_id, number, to_micros(self.clock()))
        key = place.key(push, push.key)
        lineage = push.lineage(destination.url)
        if push.contents is Contents.ALL or progress.lineage != lineage:
            progress = replace(progress, base="", lineage="", cursor=await self.memberships.newest())
            rows = self._members(tenant, push)
        else:
            changed, cursor = await self._changed(tenant, push, progress.cursor)
            progress, rows = replace(progress, cursor=cursor), _listed(changed)
        try:
            with self.blobs() as blob:
                written, outcome = await self._file(tenant, rows, push, blob)
                if outcome.delivered:
                    told = manifest(push, place, push_id, progress.base, key, written)
                    outcome = await self._put_all(tenant, destination, push, place, key, blob, told)
        except OSError as error:
            written, outcome = _nothing(), Outcome(0, f"the file could not be written here: {error}"[:300])
        if outcome.delivered:
            telemetry.counter("segmentation.objects.written").add(written.size)
        return Attempt(outcome, written.rows, key, replace(progress, base=push_id, lineage=lineage))

    async def test(self, tenant: str, destination: Destination, push: ObjectPush) -> tuple[str, Outcome]:
        """Write an object that says nothing of anybody: its key, and what came of it."""
        now = to_micros(self.clock())
        key = Place(tenant, destination.destination_id, "", now).key(push, push.latest_key) + ".test"
        content = test_parcel(destination.destination_id, key, now).body
        return key, await self._put(destination, push, key, JSON, content)

    async def _put_all(
        self, tenant: str, destination: Destination, push: ObjectPush, place: Place, key: str, blob: Blob, told: bytes
    ) -> Outcome:
        """The file, what says what is in it, and what names it as the newest; each when the one before is there."""
        outcome = await self.objects.put(destination.url, key, push, destination.secret, KINDS[push.form], blob)
        for name in (f"{key}.manifest.json", place.key(push, push.latest_key)):
            if outcome.delivered:
                outcome = await self._put(destination, push, name, JSON, told)
        return outcome

    async def _put(self, destination: Destination, push: ObjectPush, key: str, kind: str, content: bytes) -> Outcome:
        with self.blobs() as blob:
            blob.write(content)
            return await self.objects.put(destination.url, key, push, destination.secret, kind, blob)

    async def _file(
        self, tenant: str, rows: AsyncIterator[Sequence[Row]], push: ObjectPush, blob: Blob
    ) -> tuple[Written, Outcome]:
        writer, count = self.files(push), 0
        async for part in rows:
            cells = await with_columns(self.values, tenant, part, push.columns)
            await asyncio.to_thread(_append, writer, blob, cells)
            count += len(part)
            if blob.size > OBJECT_BYTES_MAX:
                return _nothing(), Outcome(0, "the file has more than 5 GiB, which no storage takes at once")
        await asyncio.to_thread(lambda: blob.write(writer.end()))
        return Written(count, blob.size, blob.sha256, self.files.columns(push)), Outcome(0)

    async def _members(self, tenant: str, push: ObjectPush) -> AsyncIterator[Sequence[Row]]:
        """All members, in parts."""
        part: list[Row] = []
        after = ""
        while True:
            page, after = await self.memberships.members(tenant, push.segment_id, MEMBERS_A_READ, after)
            part += page if push.contents is Contents.ALL else [(who, "entered", since) for who, since in page]
            if len(part) >= ROWS_A_PART or not after:
                yield part
                part = []
            if not after:
                return

    async def _changed(self, tenant: str, push: ObjectPush, cursor: str) -> tuple[dict[str, tuple[bool, int]], str]:
        """Who entered or left after ``cursor``, as it stands by now, and the cursor of the newest change read."""
        found: dict[str, tuple[bool, int]] = {}
        end = position(await self.memberships.newest())
        changes = aiter(self.memberships.changes(cursor, tenant))
        while position(cursor) < end:
            try:
                batch = await asyncio.wait_for(anext(changes), FEED_SILENCE_SECONDS)
            except TimeoutError:  # what comes last in the feed is another tenant's
                break
            cursor = batch.cursor
            for each in batch.changes:
                if each.segment_id == push.segment_id:
                    found[each.customer_id] = (each.entered, each.time)
        return found, cursor


async def _listed(changed: dict[str, tuple[bool, int]]) -> AsyncIterator[Sequence[Row]]:
    rows: list[Row] = [(who, "entered" if entered else "left", time) for who, (entered, time) in changed.items()]
    for start in range(0, len(rows), ROWS_A_PART):
        yield rows[start : start + ROWS_A_PART]


def _append(writer: RowWriter, blob: Blob, rows: Sequence[Row]) -> None:
    blob.write(writer.write(rows))


def _nothing() -> Written:
    return Written(0, 0, "", ())
