"""An erasure that is cut off at any point goes on where it was, and counts everything once."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.app import Settings, serve
from tests.conftest import Keyring
from tests.profiles.client import Client, track
from tests.profiles.test_erasing import PENDING, erase, receipt, removed, user

ROOT = Path(__file__).parents[2]
EVENTS = 12_000
BATCH = 2000


class ServiceProcess:
    """``python -m services profiles``, on a free port."""

    def __init__(self, folder: Path, keyring: Keyring, **variables: str) -> None:
        settings = {
            "TESSERA_DATA_DIR": str(folder),
            "PROFILES_PORT": "0",
            "AUTH_PUBLIC_KEY_FILE": str(keyring.public_key),
            "SERVICE_TOKEN_FILE": str(keyring.service_token),
            "LOG_LEVEL": "INFO",
            **variables,
        }
        environment = {**os.environ, **settings, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
        command = [sys.executable, "-m", "services", "profiles"]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
        self.address = self._wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """Stop it as a power cut would."""
        self._process.kill()
        self._process.wait()
        assert self._process.stderr
        self._process.stderr.close()

    def _wait(self) -> str:
        assert self._process.stderr
        for line in self._process.stderr:
            with suppress(json.JSONDecodeError):
                message = str(json.loads(line)["message"])
                if message.startswith("profiles serves on "):
                    return message.removeprefix("profiles serves on ")
        raise AssertionError("the service did not start")


def removing(erasure: erasure_pb2.Erasure) -> bool:
    """Whether some events are gone."""
    return any(each.kind == "event" for service in erasure.services for each in service.removed)


async def test_a_killed_service_goes_on_erasing_and_counts_everything_once(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    settings = configure(Settings)
    process = await asyncio.to_thread(ServiceProcess, settings.data_dir, keyring)
    try:
        async with grpc.aio.insecure_channel(process.address) as channel:
            acme = Client(ProfilesServiceStub(channel), keyring.header("acme"))
            for begin in range(0, EVENTS, BATCH):
                await acme.ingest(*(track(f"t{n}", "7", at=n) for n in range(begin, begin + BATCH)))
            (accepted,) = (await erase(acme, user("7"))).erasures
            await receipt(acme, accepted.erasure_id, removing)
    finally:
        await asyncio.to_thread(process.kill)

    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        acme = Client(ProfilesServiceStub(channel), keyring.header("acme"))
        found = await receipt(acme, accepted.erasure_id, lambda it: it.state == PENDING)
        assert found.pseudonym == accepted.pseudonym
        counts = await removed(acme, accepted.erasure_id)
        assert counts == {"customer": 1, "encryption_key": 1, "event": EVENTS, "identifier": 1}
        assert (await acme.ingest(track("new", "7"))).rejections[0].reason == "IDENTIFIER_SUPPRESSED"
