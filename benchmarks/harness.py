"""What all benchmarks share: one result a line, a table for people or JSON, and a closed-loop load generator.

Machines differ and are noisy, so every figure stands beside a peer's from the same run; the ratio is what counts.
"""

import asyncio
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Result:
    """One figure beside its peer's. ``goal`` is the ratio (or, without a peer, the figure) that is wanted."""

    name: str
    ours: float
    unit: str
    peer: float | None = None
    peer_name: str = ""
    goal: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's."""
        return self.ours / self.peer if self.peer else None


@dataclass(frozen=True, slots=True)
class Load:
    """What a closed loop of clients measured: calls a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


def report(title: str, results: Sequence[Result]) -> None:
    """Print the results: with ``--json`` one object a line, otherwise a table."""
    if "--json" in sys.argv[1:]:
        for result in results:
            print(json.dumps({**asdict(result), "ratio": result.ratio}))
        return
    table = Table("what", "ours", "peer", "ratio", "goal", title=title)
    for result in results:
        peer = f"{result.peer:,.4g} ({result.peer_name})" if result.peer is not None else ""
        ratio = f"{result.ratio:.3f}" if result.ratio is not None else ""
        table.add_row(result.name, f"{result.ours:,.4g} {result.unit}", peer, ratio, result.goal)
    Console(width=140).print(table)


async def closed_loop(call: Callable[[], Awaitable[object]], *, clients: int, seconds: float) -> Load:
    """``clients`` tasks call one after the other for ``seconds``, after a tenth of that to warm up."""
    await _loop(call, clients, seconds / 10)
    began = time.perf_counter()
    latencies = await _loop(call, clients, seconds)
    took = time.perf_counter() - began
    cuts = statistics.quantiles(latencies, n=100)
    return Load(rate=len(latencies) / took, p50=cuts[49] * 1000, p99=cuts[98] * 1000)


async def _loop(call: Callable[[], Awaitable[object]], clients: int, seconds: float) -> list[float]:
    end = time.perf_counter() + seconds
    latencies: list[float] = []

    async def client() -> None:
        while (began := time.perf_counter()) < end:
            await call()
            latencies.append(time.perf_counter() - began)

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


def megabytes(pid: int, field: str = "VmRSS") -> float:
    """A figure of a process's memory."""
    (line,) = re.findall(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line) / 1024


def forget_peak(pid: int) -> None:
    """Count the peak of a process's memory from here."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
