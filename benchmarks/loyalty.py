"""Earning and burning over gRPC, durable, beside what the same SQLite file commits with nothing else around it.

The peer writes what one entry writes (the entry, its member, the kept answer: three rows of about the same sizes) with
the same durability (WAL, ``synchronous=FULL``) and in groups of as many transactions as there are clients: more than
that no group of a closed loop holds. The server is a process of its own; this one is the load. At the end the ledger
checks itself.
"""

import asyncio
import itertools
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import uvloop
from tessera.loyalty.v1 import batch_pb2
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub

from benchmarks.harness import Load, Result, closed_loop, report
from benchmarks.serving import free_port, process
from deploy.local import tokens

CLIENTS = 32
SECONDS = 5.0
MEMBERS = 1000
BATCH, BATCH_CLIENTS = 100, 8
ENTRY_BYTES, MEMBER_BYTES, ANSWER_BYTES = 420, 380, 520
"""What one entry, a member with a few lots and a kept answer come to as documents."""
VOUCHERIFY_MEDIAN, VOUCHERIFY_P95 = 170.0, 350.0
"""Milliseconds that Voucherify publishes for redemptions; another machine, over the internet."""


def bare_commits(file: Path) -> float:
    """Transactions a second of bare SQLite, in groups of ``CLIENTS``, each group durable."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        for table in ("entries", "members", "requests"):
            database.execute(f"CREATE TABLE {table} (id TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID")
        written, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            database.execute("BEGIN IMMEDIATE")
            for number in range(written, written + CLIENTS):
                database.execute("INSERT INTO entries VALUES (?, ?)", (f"e{number}", bytes(ENTRY_BYTES)))
                member = f"m{number % MEMBERS}"
                database.execute("INSERT OR REPLACE INTO members VALUES (?, ?)", (member, bytes(MEMBER_BYTES)))
                database.execute("INSERT INTO requests VALUES (?, ?)", (f"r{number}", bytes(ANSWER_BYTES)))
            database.execute("COMMIT")
            written += CLIENTS
        return written / (time.perf_counter() - began)


def movements(stub: Any, metadata: tuple[tuple[str, str]], members: Iterator[str], run: str) -> Callable[[], Any]:
    """Calls that earn and burn in turn, each once."""
    numbers = itertools.count()

    def call() -> Any:
        number, member_id = next(numbers), next(members)
        named: dict[str, Any] = {"program_id": "club", "member_id": member_id, "request_id": f"{run}-{number}"}
        if number % 2:
            return stub.BurnPoints(pb.BurnPointsRequest(points=1, **named), metadata=metadata)
        return stub.EarnPoints(pb.EarnPointsRequest(points=2, **named), metadata=metadata)

    return call


def batches(stub: Any, metadata: tuple[tuple[str, str]]) -> Callable[[], Any]:
    """Calls that each earn and burn ``BATCH`` times in turn, spread over the members."""
    numbers = itertools.count()

    def call() -> Any:
        movements = [
            batch_pb2.PointsMovement(
                kind=batch_pb2.MOVEMENT_KIND_BURN if number % 2 else batch_pb2.MOVEMENT_KIND_EARN,
                program_id="club",
                member_id=f"m{number % MEMBERS}",
                points=1,
                request_id=f"batch-{number}",
            )
            for number in itertools.islice(numbers, BATCH)
        ]
        return stub.BatchMovePoints(batch_pb2.BatchMovePointsRequest(movements=movements), metadata=metadata)

    return call


async def measure() -> list[Result]:
    """One server, two loads; then the bare file on the same disk."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, port = Path(scratch), free_port()
        environment = {
            "AUTH_PUBLIC_KEY_FILE": str(tokens.ensure_key(folder)),
            "TESSERA_DATA_DIR": scratch,
            "LOG_LEVEL": "ERROR",
            "LOYALTY_PORT": str(port),
        }
        metadata = (("authorization", f"Bearer {tokens.mint(folder, tenant='bench')}"),)
        with process("services", "loyalty", **environment):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub: Any = LoyaltyServiceStub(channel)
                await _open(stub, metadata)
                names = [f"m{number}" for number in range(MEMBERS)]
                spread_out = itertools.chain.from_iterable(zip(names, names, strict=True))
                spread = await _load(movements(stub, metadata, itertools.cycle(spread_out), "spread"))
                hot = await _load(movements(stub, metadata, itertools.repeat("hot"), "hot"))
                batched = await closed_loop(batches(stub, metadata), clients=BATCH_CLIENTS, seconds=SECONDS)
                check = await stub.CheckLedger(pb.CheckLedgerRequest(), metadata=metadata, timeout=300)
                assert not check.violations, check.violations
        bare = bare_commits(folder / "bare.sqlite3")
    in_batches = Result(
        f"batches of {BATCH}: rate", batched.rate * BATCH, "movements/s", bare, "bare SQLite, transactions/s", ">= 0.35"
    )
    return [
        *_results("spread over 1,000 members", spread, bare),
        *_results("one hot member", hot, bare),
        in_batches,
        Result(f"batches of {BATCH}: p99", batched.p99, "ms"),
    ]


async def _open(stub: Any, metadata: tuple[tuple[str, str]]) -> None:
    opening = pb.CreateProgramRequest(
        program_id="club", name="Club", currency="USD", points_per_100_minor=1, validity_months=12, request_id="open"
    )
    await stub.CreateProgram(opening, metadata=metadata, wait_for_ready=True)
    for number in range(0, MEMBERS, 100):
        members = [*(f"m{each}" for each in range(number, number + 100)), *(["hot"] if number == 0 else [])]
        await asyncio.gather(
            *(
                stub.EarnPoints(
                    pb.EarnPointsRequest(program_id="club", member_id=each, points=10**6, request_id=f"start-{each}"),
                    metadata=metadata,
                )
                for each in members
            )
        )


async def _load(call: Callable[[], Any]) -> Load:
    return await closed_loop(call, clients=CLIENTS, seconds=SECONDS)


def _results(name: str, load: Load, bare: float) -> list[Result]:
    return [
        Result(f"{name}: rate", load.rate, "calls/s", bare, "bare SQLite, transactions/s", ">= 0.35"),
        Result(f"{name}: p50", load.p50, "ms", VOUCHERIFY_MEDIAN, "Voucherify, published median"),
        Result(f"{name}: p99", load.p99, "ms", VOUCHERIFY_P95, "Voucherify, published p95"),
    ]


if __name__ == "__main__":
    report(f"loyalty, {CLIENTS} clients, {SECONDS:g} s each", uvloop.run(measure()))
