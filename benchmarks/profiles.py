"""Profiles: durable ingest beside bare inserts of the same rows, the feed, reads among many customers, and memory.

The server is a process of its own, this one is the load. ``--events=N``, ``--customers=N`` and ``--rows=N`` set how
much there is of each, ``--only=NAME`` runs one part: ``ingest``, ``feed``, ``traits``, ``reads`` or ``imports``; of
these, ``--table=customers.csv`` (or ``events``, or ``parquet``) runs one file alone. The data goes where ``TMPDIR``
points: name a disk where durability is to cost what it costs. Rates and latencies hold on a quiet machine; microseconds
of processor hold, about, on a busy one too. On two quiet cores the goals are shown by

    python -m benchmarks.profiles --only=ingest --events=1000000
    python -m benchmarks.profiles --only=feed --events=200000
    python -m benchmarks.profiles --only=reads --customers=1000000
    python -m benchmarks.profiles --only=imports --rows=1000000
"""

import asyncio
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import grpc
import uvloop
from tessera.common.v1 import job_pb2
from tessera.profiles.v1 import computed_trait_pb2 as computed
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1 import transfer_pb2 as transfer
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from benchmarks.harness import Result, cpu_seconds, forget_peak, megabytes, report
from benchmarks.profiles_data import BATCH, batches, file_of
from benchmarks.serving import free_port, reachable
from deploy.local import tokens
from services.common.sealing import read_master_keys
from services.common.store import Insert
from services.common.store.sqlite import SqliteStore
from services.profiles.adapters.customer_keys import CUSTOMER_KEYS, CustomerKeys
from services.profiles.adapters.identities import IDENTITIES, identity_write
from services.profiles.adapters.keys import TENANT_KEYS, TenantKeys
from services.profiles.adapters.sealed import CUSTOMERS, customer_body
from services.profiles.adapters.store import COLLECTIONS
from services.profiles.domain.customer import Customer, Lifetime, Trait

CONNECTIONS = 4
RATE, READ_SECONDS = 500, 10
TENANT = "bench"
SMALL = (CUSTOMERS.name, CUSTOMER_KEYS.name, IDENTITIES.name)
Metadata = tuple[tuple[str, str], ...]


def asked(name: str, default: int) -> int:
    """A size from the command line."""
    given = [argument.partition("=")[2] for argument in sys.argv[1:] if argument.startswith(f"--{name}=")]
    return int(given[-1]) if given else default


PARTS = ("ingest", "feed", "traits", "reads", "imports")
TABLES = [argument.removeprefix("--table=") for argument in sys.argv[1:] if argument.startswith("--table=")]
ONLY = [argument.removeprefix("--only=") for argument in sys.argv[1:] if argument.startswith("--only=")] or PARTS
EVENTS, KNOWN, ROWS = asked("events", 100_000), asked("customers", 200_000), asked("rows", 100_000)


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, int]]:
    """Profiles in a process of its own: its port and its process id."""
    port = free_port()
    environment = {
        **os.environ,
        "AUTH_PUBLIC_KEY_FILE": str(tokens.ensure_key(folder)),
        "TESSERA_DATA_DIR": str(folder),
        "LOG_LEVEL": "ERROR",
        "PROFILES_PORT": str(port),
    }
    running = subprocess.Popen([sys.executable, "-m", "services", "profiles"], env=environment)
    try:
        yield port, running.pid
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()


@asynccontextmanager
async def connected(port: int, count: int) -> Any:
    """Stubs over connections of their own."""
    await reachable(port)
    option = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=option) for _ in range(count)]
    try:
        yield [ProfilesServiceStub(channel) for channel in channels]
    finally:
        for channel in channels:
            await channel.close()


async def ingest(port: int, pid: int, metadata: Metadata) -> tuple[float, list[float]]:
    """Events a second, and the server's memory after each quarter."""
    waiting, memory, done = list(batches(EVENTS)), [], 0
    quarter = len(waiting) // 4 or 1
    method = "/tessera.profiles.v1.ProfilesService/IngestEvents"

    async def client() -> None:
        nonlocal done
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=(("grpc.use_local_subchannel_pool", 1),)
        ) as channel:
            call = channel.unary_unary(method, response_deserializer=pb.IngestEventsResponse.FromString)
            while waiting:
                answer = await call(waiting.pop(), metadata=metadata)
                assert not answer.rejections
                done += 1
                if done % quarter == 0:
                    memory.append(megabytes(pid))

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CONNECTIONS * 2)))
    return EVENTS / (time.perf_counter() - began), memory


def bare_inserts(path: Path) -> tuple[float, float]:
    """Events a second, and microseconds of processor an event, of nothing but inserts.

    The rows that the server wrote go into another file of the same tables, 500 events a commit.
    The same pragmas, so the same durability; nothing is decoded, checked or looked up.
    """
    source = sqlite3.connect(path)
    tables = {name: source.execute(f"SELECT * FROM {name}").fetchall() for name in ("events", "_feed", *SMALL)}
    schema = source.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'sqlite_sequence'")
    statements = [sql for (sql,) in schema]
    source.close()
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        target = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        for pragma in ("page_size = 8192", "journal_mode = WAL", "synchronous = FULL", "cache_size = -64000"):
            target.execute(f"PRAGMA {pragma}")
        for sql in statements:
            target.execute(sql)
        commits = max(1, len(tables["events"]) // BATCH)
        began, used = time.perf_counter(), time.process_time()
        for number in range(commits):
            target.execute("BEGIN IMMEDIATE")
            for name, rows in tables.items():
                part = rows[len(rows) * number // commits : len(rows) * (number + 1) // commits]
                if part:
                    marks = ",".join("?" * len(part[0]))
                    target.executemany(f"INSERT INTO {name} VALUES ({marks})", part)
            target.execute("COMMIT")
        took, used = time.perf_counter() - began, time.process_time() - used
        target.close()
    count = len(tables["events"])
    return count / took, used / count * 1e6


async def many_customers(path: Path) -> None:
    """Customers written into the store directly, as profiles writes them."""
    store = await SqliteStore.open(path, (*COLLECTIONS, TENANT_KEYS))
    master = read_master_keys((path.parent / "profiles_master_key").read_text("ascii"), "the benchmark")
    keys = CustomerKeys(store, TenantKeys(store, master))
    tenant_key = await keys.tenant_keys.get(TENANT)
    for start in range(0, KNOWN, 5_000):
        made = {f"k{number:09}": os.urandom(32) for number in range(start, min(start + 5_000, KNOWN))}
        writes = await keys.writes(TENANT, made)
        for number, (customer_id, key) in enumerate(made.items(), start):
            names = [("user_id", f"r{number}"), ("email", f"{number}@example.com")]
            said = {"email": names[1][1], "city": "Lyon", "age": number % 90}
            traits = {name: Trait(value, 1) for name, value in said.items()}
            customer = Customer(customer_id, names, traits, Lifetime(3, 1, {"USD": 1234}, 1, 1), 1, 1)
            writes.append(Insert(TENANT, CUSTOMERS, customer_id, customer_body(TENANT, customer, key)))
            writes += (identity_write(TENANT, tenant_key, name, customer_id, key) for name in names)
        await store.commit(writes)
    await store.close()


async def follow(port: int, metadata: Metadata, heard: asyncio.Queue[int]) -> None:
    """Follow the feed as bytes; ``heard`` gets the length of each response."""
    method = "/tessera.profiles.v1.ProfilesService/FollowChanges"
    encode = pb.FollowChangesRequest.SerializeToString
    option = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=option) as channel:
        call = channel.unary_stream(method, request_serializer=encode)
        async for response in call(pb.FollowChangesRequest(), metadata=metadata):
            heard.put_nowait(len(response))


async def following(folder: Path, followers: int) -> float:
    """Microseconds of processor an event that the server takes to record and to tell it to some live followers."""
    metadata = (("authorization", f"Bearer {_token(folder)}"),)
    with server(folder) as (port, pid):
        async with connected(port, 1) as (stub,):
            heard: asyncio.Queue[int] = asyncio.Queue()
            tasks = [asyncio.create_task(follow(port, metadata, heard)) for _ in range(followers)]
            first = pb.Event(message_id="first", type=pb.EVENT_TYPE_TRACK, name="Begun", user_id="nobody")
            await stub.IngestEvents(pb.IngestEventsRequest(events=[first]), metadata=metadata)
            for _ in tasks:
                await heard.get()  # every one of them has begun
            before = cpu_seconds(pid)
            await ingest(port, pid, metadata)
            goal = (await stub.GetStatistics(pb.GetStatisticsRequest(), metadata=metadata)).event_count
            assert goal == EVENTS + 1
            while True:  # until nobody hears anything for a while
                try:
                    async with asyncio.timeout(2):
                        await heard.get()
                except TimeoutError:
                    break
            used = cpu_seconds(pid) - before
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return used / EVENTS * 1e6


async def reads(stub: Any, metadata: Metadata) -> tuple[float, float]:
    """Milliseconds of GetCustomer by identifier, the median and the 99th of a hundred, at 500 calls a second.

    Calls begin when their time has come, whether those before were answered or not: waiting counts.
    """
    latencies: list[float] = []

    async def read(number: int, due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        person = pb.Identifier(type="user_id", value=f"r{number * 7919 % KNOWN}")
        await stub.GetCustomer(pb.GetCustomerRequest(identifier=person), metadata=metadata)
        latencies.append((time.perf_counter() - due) * 1000)

    for seconds in (1, READ_SECONDS):  # the first second warms up
        latencies.clear()
        began = time.perf_counter() + 0.05
        await asyncio.gather(*(read(number, began + number / RATE) for number in range(RATE * seconds)))
    cuts = quantiles(latencies, n=100)
    return cuts[49], cuts[98]


async def finished(stub: Any, job_id: str, metadata: Metadata) -> job_pb2.Job:
    """The job, once it has ended."""
    while True:
        job: job_pb2.Job = (await stub.GetJob(computed.GetJobRequest(job_id=job_id), metadata=metadata)).job
        if job.state not in (job_pb2.JOB_STATE_PENDING, job_pb2.JOB_STATE_RUNNING):
            return job
        await asyncio.sleep(0.1)


async def import_rows(
    stub: Any, pid: int, metadata: Metadata, rows: int, kind: Any, format: Any
) -> tuple[float, float, float]:
    """Rows a second, the peak of the server's memory above what it had, and microseconds of its processor a row."""
    numbers = [transfer.ColumnMapping(column="event_time", target="event_time", type=transfer.COLUMN_TYPE_NUMBER)]
    columns: list[transfer.ColumnMapping] = numbers if kind == transfer.IMPORT_KIND_EVENTS else []
    wanted = transfer.CreateImportRequest(kind=kind, format=format, columns=columns)
    made = await stub.CreateImport(wanted, metadata=metadata)
    import_id, offset = getattr(made, "import").import_id, 0
    for part in file_of(kind, format, rows):
        for start in range(0, len(part), 1 << 20):
            data = part[start : start + (1 << 20)]
            request = transfer.UploadImportChunkRequest(import_id=import_id, offset=offset, data=data)
            offset = (await stub.UploadImportChunk(request, metadata=metadata)).received_bytes
    before, used = megabytes(pid), cpu_seconds(pid)
    forget_peak(pid)
    began = time.perf_counter()
    job = (await stub.StartImport(transfer.StartImportRequest(import_id=import_id), metadata=metadata)).job
    job = await finished(stub, job.job_id, metadata)
    assert job.results["recorded"] == str(rows), job
    used, took = cpu_seconds(pid) - used, time.perf_counter() - began
    return rows / took, megabytes(pid, "VmHWM") - before, used / rows * 1e6


async def ingesting(folder: Path, traits: int = 0) -> tuple[float, list[float], float]:
    """Events a second, memory by quarter, and microseconds of processor an event, with some computed traits defined."""
    metadata = (("authorization", f"Bearer {_token(folder)}"),)
    with server(folder) as (port, pid):
        async with connected(port, 1) as (stub,):
            for number in range(traits):
                wanted = computed.ComputedTrait(
                    name=f"spent_{number}",
                    kind=computed.COMPUTED_TRAIT_KIND_SUM,
                    event_name="Order Completed",
                    property="total",
                )
                request = computed.CreateComputedTraitRequest(computed_trait=wanted)
                made = (await stub.CreateComputedTrait(request, metadata=metadata)).computed_trait
                await finished(stub, made.job_id, metadata)
            before = cpu_seconds(pid)
            rate, memory = await ingest(port, pid, metadata)
            return rate, memory, (cpu_seconds(pid) - before) / EVENTS * 1e6


def _token(folder: Path) -> str:
    tokens.ensure_key(folder)
    return tokens.mint(folder, tenant=TENANT)


def folder_in(scratch: str, name: str) -> Path:
    """A data folder of a part's own."""
    folder = Path(scratch) / name
    folder.mkdir()
    return folder


async def measure_ingest(scratch: str) -> list[Result]:
    """Recording orders, and memory meanwhile."""
    folder = folder_in(scratch, "plain")
    rate, memory, cpu = await ingesting(folder)
    bare, bare_cpu = bare_inserts(next(folder.glob("profiles.sqlite3")))
    return [
        Result("Order Completed, batches of 500", rate, "events/s", bare, "bare inserts", ">= 0.40; >= 5,000/s"),
        Result("... processor of the server", cpu, "us/event", bare_cpu, "bare inserts"),
        Result(f"... memory after {EVENTS:,}, and after a quarter", memory[-1], "MB", memory[0], "a quarter", "flat"),
    ]


async def measure_feed(scratch: str) -> list[Result]:
    """Recording orders while five follow."""
    alone = await following(folder_in(scratch, "alone"), 0)
    followed = await following(folder_in(scratch, "followed"), 5)
    return [Result("Order Completed with five live followers", followed, "us/event", alone, "with none")]


async def measure_traits(scratch: str) -> list[Result]:
    """Recording orders of which computed traits are made."""
    plain, _, cpu = await ingesting(folder_in(scratch, "without"))
    rate, _, with_traits = await ingesting(folder_in(scratch, "traits"), traits=3)
    return [
        Result("Order Completed with three computed traits of it", rate, "events/s", plain, "without"),
        Result("... processor of the server", with_traits, "us/event", cpu, "without"),
    ]


async def measure_reads(scratch: str) -> list[Result]:
    """Reading customers among many."""
    folder = folder_in(scratch, "many")
    with server(folder) as (port, _):  # makes the file and its tables
        await reachable(port)
    await many_customers(next(folder.glob("profiles.sqlite3")))
    metadata = (("authorization", f"Bearer {_token(folder)}"),)
    with server(folder) as (port, pid):
        async with connected(port, 1) as (stub,):
            before = cpu_seconds(pid)
            median, slow = await reads(stub, metadata)
            used = (cpu_seconds(pid) - before) / (RATE * (READ_SECONDS + 1)) * 1e6
            return [
                Result(f"GetCustomer among {KNOWN:,}, 500/s, p99", slow, "ms", goal="< 10"),
                Result("... median", median, "ms"),
                Result("... processor of the server", used, "us/call"),
            ]


async def measure_imports(scratch: str) -> list[Result]:
    """Files of customers and of events, each into a store of its own: a tenth of the rows, then all."""
    results = []
    for kind, form in itertools.product(("customers", "events"), ("csv", "parquet")):
        if TABLES and f"{kind}.{form}" not in TABLES:
            continue
        folder = folder_in(scratch, f"imports-{kind}-{form}")
        metadata = (("authorization", f"Bearer {_token(folder)}"),)
        wanted = (getattr(transfer, f"IMPORT_KIND_{kind.upper()}"), getattr(transfer, f"TABLE_FORMAT_{form.upper()}"))
        with server(folder) as (port, pid):
            async with connected(port, 1) as (stub,):
                small = await import_rows(stub, pid, metadata, ROWS // 10, *wanted)
                large = await import_rows(stub, pid, metadata, ROWS, *wanted)
        results += [
            Result(f"import of {ROWS:,} {kind}, {form}", large[0], "rows/s"),
            Result("... processor of the server", large[2], "us/row", small[2], f"{ROWS // 10:,} rows"),
            Result("... peak of memory above", large[1], "MB", small[1], f"{ROWS // 10:,} rows", "flat"),
        ]
    return results


_MEASURES = dict(
    zip(PARTS, (measure_ingest, measure_feed, measure_traits, measure_reads, measure_imports), strict=True)
)


async def measure() -> list[Result]:
    """The parts that were asked for, each in a folder of its own."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as scratch:
        for part in ONLY:
            results += await _MEASURES[part](scratch)
    results.append(Result(f"load of the machine at the end, of {os.cpu_count()} cores", os.getloadavg()[0], ""))
    return results


if __name__ == "__main__":
    uvloop.install()
    report("Profiles", asyncio.run(measure()))
