"""The processes of a local platform: checked before they start, watched while they run, stopped together."""

import asyncio
import contextlib
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local import tokens
from services.common.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable

SERVICES = tokens.SERVICES
DEFAULT_PORTS = {
    **{name: 50051 + index for index, name in enumerate(SERVICES)},
    "gateway": 8080,
    "mail": 50025,
}
HOST = "127.0.0.1"
DISK_BYTES_MIN = 2 * 1024**3
START_SECONDS_MAX = 90.0
STARTED_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 20.0
NOTICE_SECONDS = 2.0
WATCH_SECONDS = 0.25
LOG = "platform.log"
_PROCFILE = Path(__file__).with_name("Procfile")
_STARTED = re.compile(r"^\S+ system +\| \w+\.1 started \(pid=(\d+)\)$", re.MULTILINE)
_STOPPED = re.compile(r"^\S+ system +\| (\w+)\.1 stopped \(rc=(-?\d+)\)$")


class PortsTaken(FailedPrecondition):
    """Some port that the platform needs is in use."""


class PortInvalid(InvalidArgument):
    """A variable does not hold a port."""


class DiskFull(ResourceExhausted):
    """There is too little space for the data."""


class ProcessStopped(Unavailable):
    """A process of the platform stopped by itself."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform that runs: where its parts are, and the folder of its data and log."""

    folder: Path
    ports: Mapping[str, int]
    runner: subprocess.Popen[bytes]

    def address(self, name: str) -> str:
        """Where ``name`` listens."""
        return f"{HOST}:{self.ports[name]}"

    @property
    def gateway_url(self) -> str:
        """The GraphQL gateway."""
        return f"http://{self.address('gateway')}"

    @property
    def log(self) -> Path:
        """What the processes said."""
        return self.folder / LOG

    def check_alive(self) -> None:
        """``ProcessStopped``, with the words of the process that stopped first, unless all run."""
        if words := last_words(self.log, self.runner.poll()):
            raise ProcessStopped(f"{words} (the log is {self.log})")

    async def while_alive(self, work: Coroutine[None, None, None]) -> None:
        """Do ``work``; ``ProcessStopped`` as soon as a process stops, which is then the reason if ``work`` failed.

        Waiting for calls to fail would not do: one that is made while a server goes away may hang until its deadline.
        """
        task, watch = asyncio.create_task(work), asyncio.create_task(self._watch())
        try:
            await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
            if task.done() and task.exception():  # the end of a process is known a moment after its silence
                await asyncio.wait((watch,), timeout=NOTICE_SECONDS)
            await (watch if watch.done() else task)
        finally:
            for each in (task, watch):
                each.cancel()
            await asyncio.gather(task, watch, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            self.check_alive()
            await asyncio.sleep(WATCH_SECONDS)

    async def ready(self) -> None:
        """Wait until every service and the gateway answer; ``ProcessStopped`` as soon as one cannot."""
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                await asyncio.gather(*(self._serving(name) for name in SERVICES), self._gateway_ready())
        except TimeoutError as error:
            raise ProcessStopped(
                f"not all services answered in {START_SECONDS_MAX:.0f} s; {self.log} says why"
            ) from error

    async def _serving(self, name: str) -> None:
        async with grpc.aio.insecure_channel(self.address(name)) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while True:
                self.check_alive()
                with contextlib.suppress(grpc.aio.AioRpcError):
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=0.5)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return

    async def _gateway_ready(self) -> None:
        async with httpx.AsyncClient(base_url=self.gateway_url) as client:
            while True:
                self.check_alive()
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get("/readyz")).is_success:
                        return
                await asyncio.sleep(0.2)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Platform]:
    """The platform, started and ready; leaving stops every process of it."""
    ports = _ports()
    _check_ports(ports)
    _check_disk(folder)
    environment = _environment(folder, ports)
    runner = _start(folder, environment)
    try:
        platform = Platform(folder, ports, runner)
        await platform.ready()
        yield platform
    finally:
        await asyncio.to_thread(_stop, runner, folder / LOG)


def _start(folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    importlib.import_module("honcho")  # if it is missing, that is said here and now
    with (folder / LOG).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "honcho", "--procfile", str(_PROCFILE), "--no-colour", "start"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches this process only, which then stops them in order
        )


def _stop(runner: subprocess.Popen[bytes], log: Path) -> None:
    # The runner does not stop what it has not finished starting, and then waits for it.
    until = time.monotonic() + STARTED_SECONDS_MAX
    while runner.poll() is None and len(_started(log)) < len(DEFAULT_PORTS) and time.monotonic() < until:
        time.sleep(0.05)
    if runner.poll() is None:
        runner.send_signal(signal.SIGTERM)
    try:
        runner.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(runner.pid, signal.SIGKILL)
        runner.wait()
    # Each process leads a group. Normally none is left; a killed one leaves its children, a killed runner everything.
    for group in _started(log):
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


def _started(log: Path) -> list[int]:
    return [int(pid) for pid in _STARTED.findall(log.read_text(errors="replace"))]


def _ports() -> dict[str, int]:
    ports = {}
    for name, default in DEFAULT_PORTS.items():
        variable = f"{name.upper()}_PORT"
        said = os.environ.get(variable) or str(default)
        if not said.isdecimal() or not 0 < int(said) < 65536:
            raise PortInvalid(f"{variable} is {said!r}, which is not a port: 1 to 65535")
        ports[name] = int(said)
    return ports


def _check_ports(ports: Mapping[str, int]) -> None:
    taken = []
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                taken.append(f"{port} ({name.upper()}_PORT)")
    if taken:
        raise PortsTaken(
            f"these ports are in use: {', '.join(taken)}; stop what listens there, or set the variables to others"
        )


def _check_disk(folder: Path) -> None:
    stored = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder).free
    if free + stored < DISK_BYTES_MIN:
        raise DiskFull(
            f"{folder} has {free / 1024**3:.1f} GiB free, {DISK_BYTES_MIN / 1024**3:.0f} are needed; "
            "make room, or set TESSERA_DATA_DIR to a folder with more"
        )


def _environment(folder: Path, ports: Mapping[str, int]) -> dict[str, str]:
    key = tokens.ensure_key(folder)
    token = tokens.write_token(folder, tokens.mint(folder, tenant="*", subject="platform"))
    return {
        # What the shell's environment may decide otherwise,
        **{f"{name.upper()}_DRAIN_SECONDS_MAX": "2" for name in (*SERVICES, "gateway")},
        "GATEWAY_DEVELOPMENT": "true",
        **os.environ,
        # and what has to fit together.
        **{f"{name.upper()}_PORT": str(port) for name, port in ports.items()},
        **{f"{name.upper()}_ADDR": f"{HOST}:{ports[name]}" for name in SERVICES},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        "TESSERA_DATA_DIR": str(folder),
        "AUTH_PUBLIC_KEY_FILE": str(key),
        "SERVICE_TOKEN_FILE": str(token),
        "CRM_SMTP_URL": f"smtp://{HOST}:{ports['mail']}",
    }


def last_words(log: Path, status: int | None) -> str:
    """Why the platform stops, in the words of the process that ended first; empty while none has.

    ``status``: how the runner ended, if it has.
    """
    lines = log.read_text(errors="replace").splitlines()
    for index, line in enumerate(lines):
        if stopped := _STOPPED.search(line):
            return _why(stopped[1], int(stopped[2]), lines[:index])
    if status is None:
        return ""
    return f"the runner of the processes {_ended(status)}"


def _why(name: str, status: int, lines: Sequence[str]) -> str:
    """The sentence that a process says before it ends begins with its name; what it logs is JSON."""
    own = f" {name}.1 "
    said = [text for prefix, _, text in (line.partition("| ") for line in lines) if own in f" {prefix} "]
    sentences = [text for text in said if text.startswith(f"{name}: ")]
    return sentences[-1] if sentences and status > 0 else f"{name} {_ended(status)}"


def _ended(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"stopped with exit status {status}"
