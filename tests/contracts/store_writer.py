"""A process that writes to a store until it is killed, and prints what was acknowledged.

``python -m tests.contracts.store_writer pairs PLACE``: commits of three documents, from several tasks, without end.
``python -m tests.contracts.store_writer counter PLACE TIMES NAME``: adds one to a shared counter so many times.
"""

import asyncio
import os
import sys
from typing import Any

from services.common.errors import Conflict
from services.common.store import Insert, Put, Replace, Store
from tests.contracts.conftest import ACCOUNTS, EVENTS, MESSAGES, open_place

TASKS = 4


def body(key: str) -> dict[str, Any]:
    """What the documents of a commit hold, so that a torn one is recognised."""
    return {"customer_id": key, "time": hash_of(key), "text": key * 100}


def hash_of(key: str) -> int:
    """A number that belongs to the key."""
    return int.from_bytes(key.encode()[-7:])


async def write_pairs(store: Store) -> None:
    """Commit for ever; print the key of each commit that was acknowledged."""
    run = os.getpid()

    async def write(task: int) -> None:
        for n in range(1_000_000):
            key = f"{run}-{task}-{n}"
            await store.commit(
                [
                    Insert("acme", EVENTS, key, body(key)),
                    Insert("acme", ACCOUNTS, key, body(key)),
                    Put("acme", MESSAGES, f"{run}-{task}", {"newest": n}),
                ]
            )
            os.write(1, f"{key}\n".encode())

    await asyncio.gather(*(write(task) for task in range(TASKS)))


async def count(store: Store, times: int, name: str) -> None:
    """Read, add one, write at the version that was read; again after a conflict."""
    conflicts = 0
    for n in range(times):
        while True:
            document = await store.get("acme", ACCOUNTS, "counter")
            assert document
            total = {"points": document.body["points"] + 1}
            try:
                await store.commit(
                    [
                        Replace("acme", ACCOUNTS, "counter", total, document.version),
                        Insert("acme", EVENTS, f"{name}-{n}", {"customer_id": name, "time": document.version}),
                    ]
                )
                break
            except Conflict:
                conflicts += 1
    os.write(1, f"{conflicts}\n".encode())


async def main(mode: str, place: str, *rest: str) -> None:
    """Open the place and write."""
    store = await open_place(place)
    os.write(1, b"ready\n")
    if mode == "pairs":
        await write_pairs(store)
    else:
        await asyncio.to_thread(sys.stdin.readline)  # so that both begin at once
        await count(store, int(rest[0]), rest[1])
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
