"""kill -9 while windows end: everybody leaves exactly once, without an event."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.segmentation.v1 import segmentation_service_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.common.clock import system_clock, to_micros
from services.common.rules import Aggregate, EventCondition, Operator, TimeWindow, wire
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from tests.conftest import Keyring
from tests.segmentation.histories import DAY
from tests.segmentation.platform import ordered

if TYPE_CHECKING:
    from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceAsyncStub

ROOT = Path(__file__).resolve().parent.parent.parent
YEAR = 365 * DAY
CUSTOMERS = 20
Client = tuple["SegmentationServiceAsyncStub", tuple[tuple[str, str], ...]]


@asynccontextmanager
async def _process(environment: dict[str, str], keyring: Keyring) -> AsyncIterator[tuple[Client, int]]:
    """Segmentation in a process of its own, and its process id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "segmentation",
        cwd=ROOT, env={**os.environ, **environment}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        address = ""
        while not address:
            line = json.loads(await process.stderr.readline())
            address = line["message"].rpartition(" ")[2] if "serves on" in line["message"] else ""
        async with grpc.aio.insecure_channel(address) as channel:
            yield (SegmentationServiceStub(channel), keyring.header()), process.pid
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it was killed, and nobody has looked yet
                process.send_signal(signal.SIGTERM)
            await process.communicate()


async def _followed(client: Client, count: int) -> list[pb.MembershipChange]:
    """The feed from its beginning, once it has ``count`` entries."""
    stub, metadata = client
    found: list[pb.MembershipChange] = []
    call = stub.FollowMemberships(pb.FollowMembershipsRequest(), metadata=metadata)
    async for batch in call:
        found += batch.changes
        if len(found) >= count:
            break
    call.cancel()
    return found


async def test_windows_that_end_around_a_kill_make_everybody_leave_exactly_once(
    configure: Callable[..., ProfilesSettings], keyring: Keyring, tmp_path: Path
) -> None:
    async with (
        serve_profiles(configure(ProfilesSettings)) as source,
        grpc.aio.insecure_channel(source.address) as channel,
    ):
        environment = {
            "TESSERA_DATA_DIR": str(tmp_path / "killed"),
            "AUTH_PUBLIC_KEY_FILE": str(keyring.public_key),
            "SERVICE_TOKEN_FILE": str(keyring.service_token),
            "PROFILES_ADDR": source.address,
            "SEGMENTATION_PORT": "0",
        }
        async with _process(environment, keyring) as (client, pid):
            stub, metadata = client
            year = EventCondition(
                "Order Completed", Aggregate.COUNT, Operator.AT_LEAST, (1.0,), window=TimeWindow(within=YEAR)
            )
            await stub.CreateSegment(pb.CreateSegmentRequest(name="year", rule=wire.write(year)), metadata=metadata)
            first_end = to_micros(system_clock()) + 10_000_000
            ends = [first_end + number * 100_000 for number in range(CUSTOMERS)]
            orders = [_ordered(number, end - YEAR) for number, end in enumerate(ends)]
            request = profiles.IngestEventsRequest(events=orders)
            await ProfilesServiceStub(channel).IngestEvents(request, metadata=metadata)
            await _followed(client, CUSTOMERS + 5)
            os.kill(pid, signal.SIGKILL)
        async with _process(environment, keyring) as (client, _):
            changes = await _followed(client, 2 * CUSTOMERS)
    by_customer = defaultdict(list)
    for change in changes:
        by_customer[change.customer_id].append((change.transition, change.change_time.ToMicroseconds()))
    kinds = [[kind for kind, _ in made] for made in by_customer.values()]
    assert kinds == [[pb.TRANSITION_ENTERED, pb.TRANSITION_LEFT]] * CUSTOMERS
    left = sorted(made[1][1] for made in by_customer.values())
    assert all(time >= end for time, end in zip(left, ends, strict=True)), "nobody leaves before the window ends"


def _ordered(number: int, time: int) -> profiles.Event:
    event = ordered(f"u{number}", 0, 10)
    event.message_id = f"m{number}"
    event.event_time.CopyFrom(Timestamp(seconds=time // 1_000_000, nanos=time % 1_000_000 * 1000))
    return event
