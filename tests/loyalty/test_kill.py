"""kill -9 in the middle of earning, on both engines, and two processes on one member: nothing is lost or doubled."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub

from services.loyalty.app import Settings, serve
from tests.conftest import Keyring
from tests.loyalty.club import NOBODY, Club
from tests.mongodb import MongoServer

ROOT = Path(__file__).parents[2]
EARNS = 1000
KILLED_AFTER = 300
HOT = 1000


class ServiceProcess:
    """``python -m services loyalty``, on a free port."""

    def __init__(self, folder: Path, keyring: Keyring, **more: str) -> None:
        settings = {
            "TESSERA_DATA_DIR": str(folder),
            "LOYALTY_PORT": "0",
            "PROFILES_ADDR": NOBODY,
            "AUTH_PUBLIC_KEY_FILE": str(keyring.public_key),
            "SERVICE_TOKEN_FILE": str(keyring.service_token),
            "LOG_LEVEL": "INFO",
            **more,
        }
        environment = {**os.environ, **settings, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
        command = [sys.executable, "-m", "services", "loyalty"]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
        self.address = self._wait()

    def kill(self) -> None:
        """Stop it as a power cut would."""
        self._process.kill()
        self._process.wait()
        assert self._process.stderr
        self._process.stderr.close()

    def _wait(self) -> str:
        """The address, from the log line that says so."""
        assert self._process.stderr
        for line in self._process.stderr:
            with suppress(json.JSONDecodeError):
                message = str(json.loads(line)["message"])
                if message.startswith("loyalty serves on "):
                    return message.removeprefix("loyalty serves on ")
        raise AssertionError("the service did not start")


@pytest.fixture(params=["sqlite", "mongodb"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the environment says of the store."""
    if request.param == "sqlite":
        yield {}
        return
    server = MongoServer(tmp_path)
    try:
        yield {"STORE_URL": server.url}
    finally:
        server.stop()


async def test_a_killed_service_has_lost_and_doubled_nothing(
    configure: Callable[..., Any], keyring: Keyring, engine: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in engine.items():
        monkeypatch.setenv(name, value)
    settings = configure(Settings, profiles_addr=NOBODY)
    process = await asyncio.to_thread(ServiceProcess, settings.data_dir, keyring, **engine)
    acknowledged: dict[str, pb.Entry] = {}
    try:
        async with grpc.aio.insecure_channel(process.address) as channel:
            club = Club(LoyaltyServiceStub(channel), keyring.header())
            await club.open()
            await _earn_until_killed(club, process, acknowledged)
    finally:
        process.kill()
    assert KILLED_AFTER <= len(acknowledged) < EARNS

    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        club = Club(LoyaltyServiceStub(channel), keyring.header())
        assert list((await club.check()).violations) == []
        # Every request is sent again: those that were acknowledged answer as they did.
        again: dict[str, pb.Entry] = {}
        for start in range(0, EARNS, 500):
            numbers = list(map(str, range(start, start + 500)))
            again.update(zip(numbers, await asyncio.gather(*(_earn(club, number) for number in numbers)), strict=True))
        assert {number: again[number] for number in acknowledged} == acknowledged
        checked = await club.check()
        assert (checked.entry_count, list(checked.violations)) == (EARNS, [])
        assert (checked.balances[0].member_points, checked.balances[0].issuance_points) == (EARNS * 3, -EARNS * 3)


async def _earn(club: Club, number: str) -> pb.Entry:
    return await club.earn(3, f"p{int(number) % 7}", request_id=f"earn-{number}")


async def _earn_until_killed(club: Club, process: ServiceProcess, acknowledged: dict[str, pb.Entry]) -> None:
    numbers = iter(map(str, range(EARNS)))
    enough = asyncio.Event()

    async def client() -> None:
        with suppress(grpc.aio.AioRpcError):  # how a client learns that the service is dead
            for number in numbers:
                acknowledged[number] = await _earn(club, number)
                if len(acknowledged) >= KILLED_AFTER:
                    enough.set()

    clients = [asyncio.create_task(client()) for _ in range(32)]
    await enough.wait()
    await asyncio.to_thread(process.kill)
    await asyncio.gather(*clients)


async def test_a_thousand_at_once_on_one_member_through_two_processes_are_each_applied_once(
    configure: Callable[..., Any], keyring: Keyring, tmp_path: Path
) -> None:
    folder = configure(Settings, profiles_addr=NOBODY).data_dir
    server = await asyncio.to_thread(MongoServer, tmp_path)
    processes: list[ServiceProcess] = []
    try:
        for _ in range(2):
            processes.append(await asyncio.to_thread(ServiceProcess, folder, keyring, STORE_URL=server.url))
        async with AsyncExitStack() as stack:
            channels = [
                await stack.enter_async_context(grpc.aio.insecure_channel(process.address)) for process in processes
            ]
            clubs = [Club(LoyaltyServiceStub(channel), keyring.header()) for channel in channels]
            await clubs[0].open()
            await clubs[1].earn(1000, request_id="start")
            earns = [clubs[n % 2].earn(3, request_id=f"e{n}") for n in range(0, HOT, 2)]
            burns = [clubs[n // 2 % 2].burn(2, request_id=f"b{n}") for n in range(0, HOT, 2)]
            assert len(await asyncio.gather(*earns, *burns)) == HOT  # none is refused
            member, checked = await clubs[0].member(), await clubs[1].check()
            assert (member.balance_points, member.entry_count) == (1000 + HOT // 2, HOT + 1)
            assert (checked.entry_count, list(checked.violations)) == (HOT + 1, [])
    finally:
        for process in processes:
            process.kill()
        server.stop()
