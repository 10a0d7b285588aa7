"""Two processes write to the same documents at once: conflicts are seen, no update is lost, the feed has all."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from services.common.store import Document, Insert, Query
from tests.contracts.conftest import ACCOUNTS, EVENTS, Engine

REPOSITORY = Path(__file__).parents[2]
TIMES = 60


async def test_two_processes_lose_no_update(engine: Engine) -> None:
    store = await engine.open()
    await store.commit([Insert("acme", ACCOUNTS, "counter", {"points": 0})])
    processes = [await counting(engine.place, name) for name in ("one", "two")]
    try:
        for process in processes:
            assert await line(process) == "ready"
        for process in processes:
            assert process.stdin
            process.stdin.write(b"go\n")
        conflicts = [int(await line(process)) for process in processes]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.communicate()
    assert await store.get("acme", ACCOUNTS, "counter") == Document("counter", {"points": 2 * TIMES}, 2 * TIMES + 1)
    assert sum(conflicts) > 0, "the two processes never met: the test shows nothing"
    seen: list[int] = []
    async for batch in store.changes():
        seen += [change.body["time"] for change in batch]
        if len(seen) >= 2 * TIMES:
            break
    assert seen == list(range(1, 2 * TIMES + 1)), "the feed is not in commit order"
    assert await store.count("acme", EVENTS, Query()) == 2 * TIMES


async def counting(place: str, name: str) -> Process:
    """A process that adds to the counter when it is told to begin."""
    module = ("-m", "tests.contracts.store_writer", "counter", place, str(TIMES), name)
    return await asyncio.create_subprocess_exec(sys.executable, *module, cwd=REPOSITORY, stdin=PIPE, stdout=PIPE)


async def line(process: Process) -> str:
    """The next line that the process prints."""
    assert process.stdout
    return (await process.stdout.readline()).decode().strip()
