"""A real MongoDB for tests: ``TEST_MONGODB_URL``, or a server process of this session's own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_START_SECONDS_MAX = 60
_LISTENING = re.compile(rb"listening on 127\.0\.0\.1:(\d+)")


class MongoServer:
    """A MongoDB-compatible server in a process of its own, on a free port, without authentication."""

    def __init__(self, folder: Path, *, durable: bool = False, port: int = 0) -> None:
        """``durable`` keeps the data in ``folder`` and syncs each commit; without, they are gone with the process."""
        command = [str(Path(sys.executable).parent / "secantusd-py"), "--port", str(port)]
        command += ["--storage-path", str(folder / "mongodb"), "--sync-on-commit"] if durable else []
        command += [] if durable else ["--storage-path", ":memory:"]
        self._log = folder / "mongodb.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        self.port = self._wait()

    @property
    def url(self) -> str:
        """Its address."""
        return f"mongodb://127.0.0.1:{self.port}/"

    def stop(self) -> None:
        """Stop it in order."""
        self._process.terminate()
        self._process.wait()

    def kill(self) -> None:
        """Stop it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def _wait(self) -> int:
        deadline = time.monotonic() + _START_SECONDS_MAX
        while time.monotonic() < deadline and self._process.poll() is None:
            if found := _LISTENING.search(self._log.read_bytes()):
                return int(found[1])
            time.sleep(0.02)
        self.kill()
        pytest.fail(f"the MongoDB server did not start: {self._log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that all tests share: use a database of your own in it."""
    if url := os.environ.get("TEST_MONGODB_URL"):
        yield url
        return
    server = MongoServer(tmp_path_factory.mktemp("mongodb"))
    try:
        yield server.url
    finally:
        server.stop()
