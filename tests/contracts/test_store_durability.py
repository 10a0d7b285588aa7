"""kill -9 in mid-write: no acknowledged commit is lost and none is half there, with both engines."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.common.store import Query, Store
from tests.contracts.conftest import ACCOUNTS, EVENTS, MESSAGES, open_place
from tests.contracts.store_writer import TASKS, body
from tests.mongodb import MongoServer

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def writing(place: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that commits to ``place`` until the end of the block, where it is killed."""
    command = [sys.executable, "-m", "tests.contracts.store_writer", "pairs", place]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=errors)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def read_keys(process: "subprocess.Popen[bytes]", number: int) -> list[str]:
    """The next keys that the process prints; all that are left where ``number`` is -1."""
    assert process.stdout
    lines = process.stdout.readlines() if number < 0 else [process.stdout.readline() for _ in range(number)]
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]  # the last line may be torn


async def test_killing_the_process_loses_no_acknowledged_commit(tmp_path: Path) -> None:
    place, acknowledged = str(tmp_path / "store.sqlite3"), set[str]()
    for commits in (40, 333, 1):
        with writing(place, tmp_path / "errors") as process:
            assert read_keys(process, 1) == ["ready"], (tmp_path / "errors").read_text()
            acknowledged |= set(read_keys(process, commits))
            process.kill()
            acknowledged |= set(read_keys(process, -1))
        store = await open_place(place)
        await check(store, acknowledged)
        await store.close()


async def test_killing_the_database_server_loses_no_acknowledged_commit(tmp_path: Path) -> None:
    server, acknowledged = MongoServer(tmp_path, durable=True), set[str]()
    try:
        for commits in (25, 60):
            with writing(f"{server.url}test", tmp_path / "errors") as process:
                assert read_keys(process, 1) == ["ready"], (tmp_path / "errors").read_text()
                acknowledged |= set(read_keys(process, commits))
                server.kill()
                process.kill()
                acknowledged |= set(read_keys(process, -1))
            server = MongoServer(tmp_path, durable=True)
            store = await open_place(f"{server.url}test")
            await check(store, acknowledged)
            await store.close()
    finally:
        server.kill()


async def check(store: Store, acknowledged: set[str]) -> None:
    """Everything acknowledged is there; everything that is there is whole; the feed tells the same."""
    events = (await store.find("acme", EVENTS, Query(limit=100_000))).documents
    accounts = (await store.find("acme", ACCOUNTS, Query(limit=100_000))).documents
    assert acknowledged <= {event.id for event in events}
    assert events == accounts
    assert all(event.body == body(event.id) and event.version == 1 for event in events)
    newest: dict[str, int] = {}
    for event in events:
        task, _, n = event.id.rpartition("-")
        newest[task] = max(newest.get(task, 0), int(n))
    messages = (await store.find("acme", MESSAGES, Query(limit=100_000))).documents
    assert {message.id: message.body["newest"] for message in messages} == newest
    assert len(events) - len(acknowledged) <= TASKS * 3
    in_feed = set[str]()
    goal = await store.end_of_feed()
    async for batch in store.changes():
        in_feed |= {change.id for change in batch if change.collection == "events"}
        if batch[-1].cursor == goal:
            break
    assert in_feed == {event.id for event in events}
