"""``make run`` as a user starts it: a command line with a folder and ports of its own, and what it says."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import ports

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "deploy.local")
NAMES = ("profiles", "segmentation", "recommendation", "forecasting", "loyalty", "crm", "gateway", "mail")
SERVING = "Ctrl-C stops everything"
LOAD_SECONDS_MAX = 400
STOP_SECONDS_MAX = 60
CTRL_C = b"\x03"
# A terminal of its own around a command, which hears as keys what comes in, as in a terminal window.
ON_A_TERMINAL = (
    sys.executable,
    "-c",
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))",
)


class Run:
    """One start of the command."""

    def __init__(
        self,
        folder: Path,
        ports: Mapping[str, int],
        *,
        command: Sequence[str] = COMMAND,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        said = {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "TESSERA_DATA_DIR": str(folder), "COLUMNS": "200", **said, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._said = bytearray()
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def said(self) -> str:
        """Everything printed so far."""
        return self._said.decode(errors="replace").replace("\r\n", "\n")

    def wait_for(self, words: str, seconds: float) -> str:
        """What was printed once ``words`` were; fails if the command ends without them."""
        with self._more:
            self._more.wait_for(lambda: words in self.said or not self._reader.is_alive(), seconds)
        assert words in self.said, f"not said in {seconds:.0f} s: {words}\n{self.said[-3000:]}\n{self.log()[-3000:]}"
        return self.said

    def interrupt(self) -> int:
        """What Ctrl-C does, where the command has no terminal: the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.status()

    def press_ctrl_c(self) -> int:
        """The same where it has one, by the key."""
        assert self.process.stdin
        self.process.stdin.write(CTRL_C)
        self.process.stdin.flush()
        return self.status()

    def status(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """The exit status, once the command has ended and its output is read."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(
                f"still runs after {seconds:.0f} s\n{self.said[-3000:]}\n{self.log()[-3000:]}"
            ) from error
        self._reader.join(STOP_SECONDS_MAX)
        assert not self._reader.is_alive(), "somebody still holds the output"
        return status

    def log(self) -> str:
        """What the processes of the platform said."""
        log = self.folder / "platform.log"
        return log.read_text(errors="replace") if log.is_file() else ""

    def pid(self, name: str) -> int:
        """The process of a service."""
        (found,) = re.findall(rf" {name}\.1 started \(pid=(\d+)\)", self.log())
        return int(found)

    def close(self) -> None:
        """End it if it still runs, in order if that is possible."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        for pid in processes_on(self.folder):
            os.kill(pid, signal.SIGKILL)
        self._reader.join(STOP_SECONDS_MAX)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _read(self) -> None:
        assert self.process.stdout
        while some := os.read(self.process.stdout.fileno(), 65536):
            with self._more:
                self._said += some
                self._more.notify_all()
        with self._more:
            self._more.notify_all()


def free_ports() -> dict[str, int]:
    """A free port for each part."""
    return dict(zip(NAMES, ports.free_ports(len(NAMES)), strict=True))


def processes_on(folder: Path) -> list[int]:
    """The processes of a platform on this folder, whoever their parents are now."""
    mark = f"TESSERA_DATA_DIR={folder}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() and process.name != str(os.getpid()):
                found.append(int(process.name))
        except OSError:
            continue  # it has ended meanwhile, or is another user's
    return found


def none_left(folder: Path, ports: Mapping[str, int]) -> bool:
    """Whether no process of a platform on this folder runs, and all ports are free; what ends gets a moment."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if not processes_on(folder) and not any(_answers(port) for port in ports.values()):
            return True
        time.sleep(0.05)
    return False


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
