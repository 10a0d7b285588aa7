"""Events live against a hundred mixed segments: from when segmentation hears of an event until its feed tells who came.

``python -m benchmarks.segmentation_live [CUSTOMERS] [SECONDS]`` (100,000 customers with 20 events each, and 60 seconds,
unless given) prints a table. 1,000 events a second are fed as profiles' feed, in ten batches a second: nineteen of
twenty are of ``ACTIVE`` customers with a history, whose memberships were recorded before, the others first orders of
new ones. Each of these comes to be in many segments, and the time until the feed tells of the first is what is
measured. The clock, the schedule and the evaluation run as they do in the service.
"""

import asyncio
import random
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import orjson
from tessera.profiles.v1 import profiles_service_pb2 as pb

from benchmarks.harness import Result, report
from benchmarks.segmentation import NOW, RULES, TENANT, Bench, data_folder
from services.common.app import every
from services.common.clock import from_micros
from services.common.rules import text
from services.common.store import Store
from services.common.store.sqlite import SqliteStore
from services.segmentation.adapters.events import Follower
from services.segmentation.adapters.memberships import StoredMemberships
from services.segmentation.adapters.store import StoredSegments
from services.segmentation.app import ALL_COLLECTIONS
from services.segmentation.domain.segment import Segment
from services.segmentation.handlers.evaluation import AHEAD_MICROS_MIN, Evaluation
from services.segmentation.ports import Request

SEGMENTS, EVENTS_A_SECOND, BATCHES_A_SECOND, SECONDS = 100, 1_000, 10, 60
NEWCOMERS = EVENTS_A_SECOND // BATCHES_A_SECOND // 20
ACTIVE = 5_000
CLOCK_SECONDS = 30.0
NAMES = ("Product Viewed", "Product Added", "Order Completed", "Signed In")


def mixed() -> Iterator[str]:
    """The twenty rules with other windows and thresholds each time, until there are enough."""
    for number in range(SEGMENTS):
        ours, _ = list(RULES.values())[number % len(RULES)]
        yield re.sub(r'(?<=duration\(")\d+|(?<=>= )\d+', partial(_more, number // len(RULES)), ours)


def _more(more: int, figure: re.Match[str]) -> str:
    return str(int(figure[0]) + more)


class Live:
    """A service without its ports, over a bench."""

    def __init__(self, bench: Bench, store: Store) -> None:
        self.bench, self.began = bench, time.perf_counter()
        self.segments, self.memberships = StoredSegments(store), StoredMemberships(store)
        self.evaluation = Evaluation(self.segments, self.memberships, bench.analytics, self.clock)
        self.follower = Follower(_silent, bench.analytics, self.evaluation.touch, _unheard)
        self.heard: dict[str, float] = {}
        self.latencies: list[float] = []
        self.random = random.Random(5)
        self.all_seen = asyncio.Event()

    def clock(self) -> datetime:
        return from_micros(self.micros())

    def micros(self) -> int:
        return NOW + int((time.perf_counter() - self.began) * 1_000_000)

    async def prepare(self) -> list[str]:
        """Segments, and the memberships of some customers: recording those of all takes hours and changes nothing of
        what is measured."""
        for number, ours in enumerate(mixed()):
            catalogue = await self.segments.catalogue(TENANT)
            made = Segment(f"s{number}", f"s{number}", "", text.parse(ours), 1, NOW, NOW)
            await self.segments.save(TENANT, made, catalogue, Request("", ""))
        query = f"SELECT DISTINCT customer FROM plain USING SAMPLE reservoir({2 * ACTIVE} ROWS) REPEATABLE (5)"
        active = sorted(row[0] for row in self.bench.root.execute(query).fetchall())[:ACTIVE]
        self.evaluation._known_until = NOW + AHEAD_MICROS_MIN  # the start would evaluate everybody
        self.evaluation.touch(TENANT, active)
        await self.evaluation.work()
        return active

    async def watch(self) -> None:
        """Note when the feed first tells of each newcomer."""
        async for batch in self.memberships.changes(await self.memberships.newest(), TENANT):
            seen = time.perf_counter()
            for change in batch.changes:
                if (heard := self.heard.pop(change.customer_id, None)) is not None:
                    self.latencies.append(seen - heard)
            if not self.heard:
                self.all_seen.set()

    async def feed(self, active: list[str], batches: int) -> None:
        """Batches at a steady pace: what is late is not waited for."""
        began = time.perf_counter()
        for batch in range(batches):
            changes = [self._change(batch, place, active) for place in range(EVENTS_A_SECOND // BATCHES_A_SECOND)]
            await asyncio.sleep(max(0.0, began + batch / BATCHES_A_SECOND - time.perf_counter()))
            heard = time.perf_counter()
            self.heard |= {each.event_recorded.customer_id: heard for each in changes[:NEWCOMERS]}
            await self.follower.apply(pb.FollowChangesResponse(changes=changes, cursor=f"c{batch}", caught_up=True))

    def _change(self, batch: int, place: int, active: list[str]) -> pb.Change:
        change = pb.Change(tenant_id=TENANT)
        event, drawn = change.event_recorded, self.random.random()
        event.message_id = f"live{batch}_{place}"
        if place < NEWCOMERS:
            event.customer_id, event.name = f"new{batch}_{place}", "Order Completed"
        else:
            event.customer_id = self.random.choice(active)
            event.name = NAMES[sum(drawn >= share for share in (0.70, 0.85, 0.95))]
        properties: dict[str, object] = {"category": f"category{self.random.randrange(20)}"}
        if event.name == "Order Completed":
            total = round(self.random.lognormvariate(3, 1.2), 2)
            properties |= {"order_id": event.message_id, "currency": "USD", "total": total, "products": []}
        event.type, event.properties_json = pb.EVENT_TYPE_TRACK, orjson.dumps(properties).decode()
        event.event_time.FromMicroseconds(self.micros())
        return change


def _silent(cursor: str) -> AsyncIterator[pb.FollowChangesResponse]:
    raise AssertionError("events are fed by hand")


async def _unheard(erased: object) -> None:
    raise AssertionError("nobody is erased")


async def live(bench: Bench, store: Store, seconds: int) -> Iterator[Result]:
    """Feed for some seconds, and wait until everything was told."""
    service = Live(bench, store)
    active = await service.prepare()
    working = [
        asyncio.create_task(each)
        for each in (
            service.evaluation.run(lambda: service.follower.caught_up),
            service.evaluation.keep_time(),
            every(CLOCK_SECONDS, service.evaluation.tick),
            service.watch(),
        )
    ]
    await asyncio.sleep(1)
    began, processor = time.perf_counter(), time.process_time()
    await service.feed(active, seconds * BATCHES_A_SECOND)
    busy = (time.process_time() - processor) / (time.perf_counter() - began)
    async with asyncio.timeout(10 * seconds):
        while service.heard:
            service.all_seen.clear()
            await service.all_seen.wait()
    for task in working:
        task.cancel()
    cuts = statistics.quantiles(service.latencies, n=1000)
    what = f"{SEGMENTS} segments, {EVENTS_A_SECOND} events/s"
    return iter(
        [
            Result(f"{what}, p50", cuts[499], "s"),
            Result(f"{what}, p99", cuts[989], "s", goal="< 1"),
            Result(f"{what}, greatest of {len(service.latencies)}", max(service.latencies), "s"),
            Result(f"{what}, processor", busy, "s/s"),
        ]
    )


async def main() -> None:
    """Print the results."""
    given = [int(each) for each in sys.argv[1:] if each.isdigit()]
    with data_folder() as folder, tempfile.TemporaryDirectory() as documents:
        bench = Bench(folder, given[0] if given else 100_000)
        store = await SqliteStore.open(Path(documents) / "documents.sqlite3", ALL_COLLECTIONS)
        results = list(await live(bench, store, given[1] if len(given) > 1 else SECONDS))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        results.append(Result("memory, highest", memory, "GiB", goal="< 6"))
        await store.close()
        await bench.columnar.close()
    report(f"{bench.count:,} events of {bench.customers:,} customers, and more of them live", results)


if __name__ == "__main__":
    asyncio.run(main())
