"""How fast lists are found: the index beside brute force, peers and under filters; ``Recommend`` over gRPC beside the
bare search. ``python -m benchmarks.recommendation speed [--items=N] [--customers=N] [--only=index|rpc]``.

Searches run on one thread, and their rates are of processor time, so that a busy machine changes them little. The peers
are measured where they are installed: ``pip install hnswlib usearch``.
"""

import asyncio
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import faiss as _faiss
import grpc
import msgspec
import numpy as np
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceStub

from benchmarks.harness import Result, closed_loop, cpu_seconds, megabytes
from benchmarks.recommendation_shop import PRICES, TENANT, Rows, Shop, Vectors, keep_shop, make_shop
from benchmarks.serving import free_port, reachable
from deploy.local import tokens
from services.recommendation.adapters.index import FaissIndex
from services.recommendation.adapters.index_building import build, tuning_path
from services.recommendation.adapters.index_kinds import Tuning
from services.recommendation.domain.selection import Selection

faiss: Any = _faiss

LENGTH = 20
AT_ONCE = 64
QUERIES = 400
SHARES = (0.5, 0.1, 0.01, 0.001)
RATE, SECONDS, CLIENTS = 500, 10, 16
BATCH = 100
"""Customers of one BatchRecommend."""


def asked(name: str, default: str) -> str:
    """A value from the command line."""
    given = [argument.partition("=")[2] for argument in sys.argv[1:] if argument.startswith(f"--{name}=")]
    return given[-1] if given else default


@dataclass(frozen=True)
class Bench:
    """What is measured on: the index of a shop, exact answers, and filters by how much they keep."""

    shop: Shop
    index: FaissIndex
    exact: FaissIndex
    queries: Vectors

    @property
    def filters(self) -> dict[str, Selection]:
        """By price, which has nothing to do with taste, and by category, whose items lie together."""
        found = {}
        for share, per in zip(SHARES, (0, 100, 10, 1), strict=True):
            found[f"{share:.1%} by price"] = Selection(self.shop.prices < share * PRICES)
            kept = self.shop.leaves < 500 if not per else self.shop.leaves // per == 3
            found[f"{share:.1%} by category"] = Selection(kept)
        return found


def measure() -> list[Result]:
    """All parts."""
    items = int(asked("items", "100000"))
    customers = int(asked("customers", str(items)))
    faiss.omp_set_num_threads(1)
    shop = make_shop(items, customers)
    with tempfile.TemporaryDirectory() as scratch:
        results = measure_index(shop, Path(scratch)) if asked("only", "index") == "index" else []
        if asked("only", "rpc") == "rpc":
            results += asyncio.run(measure_rpcs(shop, Path(scratch)))
    return [*results, Result(f"load of the machine at the end, of {os.cpu_count()} cores", os.getloadavg()[0], "")]


def measure_index(shop: Shop, scratch: Path) -> list[Result]:
    """Build, search with and without filters, and the peers."""
    path, name = scratch / "target.index", f"{len(shop.vectors):,} items"
    began = time.process_time()
    built = build(shop.vectors, shop.queries[:200], path)
    seconds = time.process_time() - began
    tuning = msgspec.json.decode(tuning_path(path).read_bytes(), type=Tuning) if built else None
    index = FaissIndex(shop.vectors, path if built else None, tuning)
    bench = Bench(shop, index, FaissIndex(shop.vectors), shop.queries[200 : 200 + QUERIES])
    kind = tuning.kind if tuning else "exact"
    everything = Selection(np.ones(len(shop.vectors), dtype=np.bool_))
    truth = bench.exact.find(bench.queries, LENGTH, everything)[0]
    few = bench.queries[:64]
    flat = _rate(lambda: _one_by_one(bench.exact, few, everything), len(few))
    flat_batched = _rate(lambda: _batched(bench.exact, bench.queries, everything), QUERIES)
    ours = _rate(lambda: _batched(index, bench.queries, everything), QUERIES)
    recall = _recall(_batched(index, bench.queries, everything), truth)
    results = [
        Result(
            f"{name}, {kind}, {AT_ONCE} queries at once", ours, "queries/s", flat, "flat, one by one", ">= 100 at 1M"
        ),
        Result("... beside flat in batches as well", ours, "queries/s", flat_batched, "flat, batches"),
        Result(f"... recall of the best {LENGTH}", recall, "", goal=">= .95"),
        Result(
            "... one by one", _rate(lambda: _one_by_one(index, few, everything), len(few)), "queries/s", flat, "flat"
        ),
        Result("... building and measuring all kinds", seconds, "CPU s"),
        Result("... size", path.stat().st_size / 2**20 if built else 0.0, "MiB"),
    ]
    for label, allowed in bench.filters.items():
        truth = bench.exact.find(bench.queries, LENGTH, allowed)[0]
        rate = _rate(partial(_batched, index, bench.queries, allowed), QUERIES)
        results += [
            Result(f"... a filter that keeps {label}", rate, "queries/s", flat, "flat, one by one, no filter"),
            Result("    recall", _recall(_batched(index, bench.queries, allowed), truth), "", goal=">= .95"),
        ]
    return [*results, *measure_peers(bench, ours)]


def measure_peers(bench: Bench, ours: float) -> list[Result]:
    """``hnswlib`` and ``usearch`` at their usual settings, as wide as it takes them to find .95."""
    everything = Selection(np.ones(len(bench.shop.vectors), dtype=np.bool_))
    truth = bench.exact.find(bench.queries, LENGTH, everything)[0]
    results = []
    for name, make in (("hnswlib", _hnswlib), ("usearch", _usearch)):
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed: pip install {name}; it is left out")
            continue
        began = time.process_time()
        search = make(bench.shop.vectors)
        seconds = time.process_time() - began
        for breadth in (32, 64, 128, 256, 512):
            rate = _rate(partial(search, bench.queries, breadth), QUERIES)
            recall = _recall(search(bench.queries, breadth), truth)
            if recall >= 0.95:
                break
        results += [
            Result(f"{name}, M = 16, ef = {breadth}: recall {recall:.3f}; ours", ours, "queries/s", rate, name),
            Result("... building", seconds, "CPU s"),
        ]
    return results


def _hnswlib(vectors: Vectors) -> Callable[[Vectors, int], Rows]:
    import hnswlib  # type: ignore[import-not-found]  # a peer, not a dependency

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=100, M=16)
    index.set_num_threads(1)
    index.add_items(vectors)

    def search(queries: Vectors, breadth: int) -> Rows:
        index.set_ef(breadth)
        return np.asarray(index.knn_query(queries, k=LENGTH)[0], dtype=np.int64)

    return search


def _usearch(vectors: Vectors) -> Callable[[Vectors, int], Rows]:
    from usearch.index import Index  # type: ignore[import-not-found]  # a peer, not a dependency

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=16, expansion_add=100)
    index.add(np.arange(len(vectors)), vectors, threads=1)

    def search(queries: Vectors, breadth: int) -> Rows:
        index.expansion_search = breadth
        return np.asarray(index.search(queries, LENGTH, threads=1).keys, dtype=np.int64).reshape(len(queries), -1)

    return search


def _batched(index: FaissIndex, queries: Vectors, allowed: Selection) -> Rows:
    parts = range(0, len(queries), AT_ONCE)
    return np.concatenate([index.find(queries[first : first + AT_ONCE], LENGTH, allowed)[0] for first in parts])


def _one_by_one(index: FaissIndex, queries: Vectors, allowed: Selection) -> Rows:
    return np.concatenate([index.find(query[None], LENGTH, allowed)[0] for query in queries])


def _rate(work: Callable[[], object], count: int) -> float:
    """Per second of processor time, the better of two."""
    best = 0.0
    for _ in range(2):
        began = time.process_time()
        work()
        best = max(best, count / max(time.process_time() - began, 1e-9))
    return best


def _recall(found: Rows, truth: Rows) -> float:
    shares = [
        len(np.intersect1d(a, b[b >= 0])) / max(int((b >= 0).sum()), 1) for a, b in zip(found, truth, strict=True)
    ]
    return float(np.mean(shares))


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, int]]:
    """Recommendation in a process of its own: its port and its process id."""
    port = free_port()
    environment = {
        **os.environ,
        "AUTH_PUBLIC_KEY_FILE": str(tokens.ensure_key(folder)),
        "TESSERA_DATA_DIR": str(folder),
        "LOG_LEVEL": "ERROR",
        "RECOMMENDATION_PORT": str(port),
    }
    running = subprocess.Popen([sys.executable, "-m", "services", "recommendation"], env=environment)
    try:
        yield port, running.pid
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()


async def measure_rpcs(shop: Shop, scratch: Path) -> list[Result]:
    """Lists over gRPC, with a filter that keeps a tenth of the items, beside the bare search with the same one."""
    await keep_shop(shop, scratch)
    folder = scratch / "recommendation-models" / f"tenant-{TENANT}" / "bench"
    path = folder / "target.index"
    tuning = msgspec.json.decode(tuning_path(path).read_bytes(), type=Tuning) if path.exists() else None
    index = FaissIndex(shop.vectors, path if tuning else None, tuning)
    allowed = Selection(shop.leaves // 100 == 3)
    bare = _rate(lambda: _batched(index, shop.queries, allowed), len(shop.queries))
    tokens.ensure_key(scratch)
    metadata = (("authorization", f"Bearer {tokens.mint(scratch, tenant=TENANT)}"),)
    wanted = item_pb.ItemFilter(categories=["d3"])
    with server(scratch) as (port, pid):
        await reachable(port)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = RecommendationServiceStub(channel)
            numbers = iter(range(10**9))

            async def one() -> None:
                customer = f"c{next(numbers) * 7919 % len(shop.bought):07d}"
                request = pb.RecommendRequest(customer_id=customer, count=LENGTH, filter=wanted)
                answer = await stub.Recommend(request, metadata=metadata, timeout=600)
                assert len(answer.recommendations.items) == LENGTH

            async def many() -> None:
                ids = [f"c{next(numbers) * 7919 % len(shop.bought):07d}" for _ in range(BATCH)]
                request = pb.BatchRecommendRequest(customer_ids=ids, count=LENGTH, filter=wanted)
                answer = await stub.BatchRecommend(request, metadata=metadata, timeout=600)
                assert all(len(each.items) == LENGTH for each in answer.recommendations)

            began = time.perf_counter()
            while True:  # the catalogue is read when the server starts, and requests wait for it
                try:
                    await one()
                    break
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                        raise
            return [
                Result(f"{len(shop.vectors):,} items, from start to first list", time.perf_counter() - began, "s"),
                *await _load(pid, "Recommend", one, 1, bare),
                *await _load(pid, f"BatchRecommend of {BATCH}", many, BATCH, bare),
                *await _steady(pid, one),
                Result("memory of the server", megabytes(pid), "MB", goal="< 2,048"),
                Result("... at its highest", megabytes(pid, "VmHWM"), "MB", goal="< 2,048"),
                Result("... of it its own, not mapped files", megabytes(pid, "RssAnon"), "MB"),
            ]


async def _load(pid: int, name: str, call: Callable[[], Any], lists: int, bare: float) -> list[Result]:
    before, began = cpu_seconds(pid), next(_calls)
    load = await closed_loop(lambda: _counted(call), clients=CLIENTS // (4 if lists > 1 else 1), seconds=SECONDS / 2)
    used = (cpu_seconds(pid) - before) / ((next(_calls) - began - 1) * lists)
    return [
        Result(f"{name}, a filter that keeps a tenth", load.rate * lists, "lists/s", bare, "bare search"),
        Result("... by processor time of the server", 1 / used, "lists/CPU s", bare, "bare search", ">= 0.5"),
        Result("... p99", load.p99, "ms"),
    ]


async def _steady(pid: int, call: Callable[[], Any]) -> list[Result]:
    """Calls at a steady rate, whether those before have been answered or not."""
    latencies: list[float] = []
    refused: list[str] = []

    async def timed(due: float) -> None:
        try:
            await call()
        except grpc.aio.AioRpcError as error:  # a machine that is too slow for the rate has calls refused
            refused.append(error.code().name)
        else:
            latencies.append(time.perf_counter() - due)

    before, start = cpu_seconds(pid), time.perf_counter()
    async with asyncio.TaskGroup() as calls:
        for number in range(RATE * SECONDS):
            due = start + number / RATE
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            calls.create_task(timed(due))
    cuts = quantiles(latencies, n=100)
    used = (cpu_seconds(pid) - before) / (RATE * SECONDS) * 1000
    return [
        Result(f"Recommend at {RATE} requests/s, p99", cuts[98], "s", goal="< 0.020"),
        Result("... median", cuts[49], "s"),
        Result("... refused", float(len(refused)), "calls", goal="0"),
        Result("... processor of the server", used, "ms/call"),
    ]


_calls = iter(range(10**9))


async def _counted(call: Callable[[], Any]) -> None:
    next(_calls)
    await call()
