"""A service as a pod runs it: a process that says where it serves, and ends cleanly when it is told to."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.conftest import Keyring

ROOT = Path(__file__).parents[2]
SECONDS = 60


async def test_a_service_ends_with_status_0_when_it_is_asked_to(keyring: Keyring, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "TESSERA_DATA_DIR": str(tmp_path),
        "PROFILES_PORT": "0",
        "AUTH_PUBLIC_KEY_FILE": str(keyring.public_key),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "profiles", cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            assert process.stderr is not None
            told = (await process.stderr.readline()).decode()
            port = re.search(r"profiles serves on 127\.0\.0\.1:(\d+)", told)
            assert port, told
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port[1]}") as channel:
                answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
            assert b"Traceback" not in await process.stderr.read()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
