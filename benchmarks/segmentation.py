"""Segments of generated customers: rebuilds beside hand-written SQL, increments and previews.

``python -m benchmarks.segmentation [CUSTOMERS]`` (100,000 unless given, with 20 events each) prints a table, with
``--json`` one object a line; ``--in=FOLDER`` leaves the data in a folder that exists, for the next time. The peer is
DuckDB over plain typed columns of the same events, a query a rule, in the same process, with one thread each. Times are
CPU seconds of the process, so that what else the machine does matters little.
``benchmarks/segmentation_live.py`` measures events live.
"""

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.harness import Result, report
from services.common.clock import from_micros
from services.common.columnar.duckdb import DuckDBColumnar
from services.common.rules import Rule, text
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.kept import Kept
from services.segmentation.adapters.tables import TABLES, hashed
from services.segmentation.domain.matched import by_customer
from services.segmentation.domain.timing import timing

NOW = 1_760_000_000_000_000
DAY = 86_400_000_000
EVENTS_EACH = 20
TENANT = "bench"

GENERATE = """
CREATE TABLE plain AS
SELECT customer, printf('m%d', n) AS message_id, name, time,
  CASE WHEN name = 'Order Completed' THEN round(exp(3 + 1.2 * sqrt(-2 * ln(u1)) * cos(6.283185 * u2)), 2) END AS total,
  CASE WHEN name <> 'Signed In' THEN printf('category%d', (20 * u3 * u3)::INT) END AS category
FROM (
  SELECT n, printf('c%07d', floor({customers} * power(random(), 2))::INT) AS customer,
    CASE WHEN r < .70 THEN 'Product Viewed' WHEN r < .85 THEN 'Product Added' WHEN r < .95 THEN 'Order Completed'
      ELSE 'Signed In' END AS name,
    {now} - ({year} * (1 - n / {events}))::BIGINT AS time,
    greatest(random(), 1e-9) AS u1, random() AS u2, random() AS u3
  FROM (SELECT range AS n, random() AS r FROM range({events}))
)
"""
LOAD = """
INSERT INTO events
SELECT '{tenant}', customer, hash, customer, message_id, name, time,
  CASE WHEN total IS NOT NULL THEN 'USD' END, (total * 100)::BIGINT,
  CASE WHEN category IS NULL THEN MAP {{}} ELSE MAP {{'category': [category]}} END,
  CASE WHEN total IS NULL THEN MAP {{}} ELSE MAP {{'total': [total]}} END,
  MAP {{}}, MAP {{}}, MAP {{}},
  CASE WHEN total IS NOT NULL THEN ['total', 'category'] WHEN category IS NOT NULL THEN ['category'] ELSE [] END
FROM plain JOIN hashes USING (customer) ORDER BY time
"""

# Each rule as our text, and as SQL that answers the same customers from the plain table.
RULES: dict[str, tuple[str, str]] = {}


def _rule(name: str, ours: str, sql: str) -> None:
    RULES[name] = ours, sql


def _windowed() -> None:
    for days in (7, 30, 90, 365):
        within = f"time > {NOW - days * DAY} AND time <= {NOW}"
        _rule(
            f"bought in {days} days",
            f'events("Order Completed").within(duration("{days}d")).count() >= 1',
            f"SELECT customer FROM plain WHERE name = 'Order Completed' AND {within} GROUP BY 1",
        )
        _rule(
            f"spent 100 in {days} days",
            f'events("Order Completed").within(duration("{days}d")).sum(total) >= 100',
            f"SELECT customer FROM plain WHERE name = 'Order Completed' AND {within} GROUP BY 1 "
            "HAVING sum(total) >= 100",
        )
    for days in (7, 30):
        within = f"time > {NOW - days * DAY} AND time <= {NOW}"
        _rule(
            f"did not view in {days} days",
            f'events("Product Viewed").within(duration("{days}d")).count() == 0',
            f"SELECT customer FROM plain WHERE time <= {NOW} GROUP BY 1 "
            f"HAVING count(*) FILTER (name = 'Product Viewed' AND {within}) = 0",
        )


def _of_categories() -> None:
    for number in (0, 3, 7):
        _rule(
            f"viewed category {number} thrice",
            f'events("Product Viewed").where(category == "category{number}").count() >= 3',
            f"SELECT customer FROM plain WHERE name = 'Product Viewed' AND category = 'category{number}' "
            f"AND time <= {NOW} GROUP BY 1 HAVING count(*) >= 3",
        )


def _figures() -> None:
    ordered = f"FROM plain WHERE name = 'Order Completed' AND time <= {NOW} GROUP BY 1 HAVING"
    for name, ours, having in (
        ("mean order of 50", "average(total) >= 50", "avg(total) >= 50"),
        ("an order of 200", "max(total) >= 200", "max(total) >= 200"),
        ("no order under 10", "min(total) >= 10", "min(total) >= 10"),
        ("three categories bought", "distinctCount(category) >= 3", "count(DISTINCT category) >= 3"),
    ):
        _rule(name, f'events("Order Completed").{ours}', f"SELECT customer {ordered} {having}")
    between = f"time > {NOW - 90 * DAY} AND time <= {NOW - 30 * DAY}"
    _rule(
        "lapsing",
        'events("Order Completed").within(duration("90d")).before(duration("30d")).count() >= 1 '
        '&& events("Order Completed").within(duration("30d")).count() == 0',
        f"SELECT customer FROM plain WHERE name = 'Order Completed' GROUP BY 1 HAVING count(*) FILTER ({between}) >= 1 "
        f"AND count(*) FILTER (time > {NOW - 30 * DAY} AND time <= {NOW}) = 0",
    )
    _rule(
        "signed in and spent",
        'events("Signed In").count() >= 1 && events("Order Completed").sum(total) >= 500',
        f"SELECT customer FROM plain WHERE time <= {NOW} GROUP BY 1 HAVING count(*) FILTER (name = 'Signed In') >= 1 "
        "AND sum(total) >= 500",
    )
    _rule(
        "viewed, added, bought within a week",
        'sequence(step("Product Viewed"), step("Product Added").within(duration("7d")), '
        'step("Order Completed").within(duration("7d"))).within(duration("30d"))',
        "SELECT DISTINCT v.customer FROM plain v JOIN plain a ON a.customer = v.customer AND a.name = 'Product Added' "
        f"AND a.time > v.time AND a.time - v.time <= {7 * DAY} JOIN plain o ON o.customer = a.customer "
        f"AND o.name = 'Order Completed' AND o.time > a.time AND o.time - a.time <= {7 * DAY} AND o.time <= {NOW} "
        f"WHERE v.name = 'Product Viewed' AND v.time > {NOW - 30 * DAY} AND v.time <= {NOW}",
    )


_windowed()
_of_categories()
_figures()
assert len(RULES) == 20, len(RULES)


def rules() -> dict[str, Rule]:
    """The twenty as rules."""
    return {name: text.parse(ours) for name, (ours, _) in RULES.items()}


@contextmanager
def measured(seconds: list[float]) -> Iterator[None]:
    """Adds the CPU seconds of the block."""
    began = time.process_time()
    yield
    seconds.append(time.process_time() - began)


async def cpu(work: Callable[[], Awaitable[Any]], times: int = 3) -> float:
    """The least CPU seconds of a few runs."""
    seconds: list[float] = []
    for _ in range(times):
        with measured(seconds):
            await work()
    return min(seconds)


class Bench:
    """The engines over one generated history."""

    def __init__(self, folder: Path, customers: int) -> None:
        self.customers, self.count = customers, customers * EVENTS_EACH
        self.columnar = DuckDBColumnar(folder / "bench.duckdb", TABLES)
        self.root = self.columnar._root
        self.root.execute("SET threads TO 1")
        self.root.execute("SELECT setseed(.5)")
        self.now = NOW
        self.scanned = ColumnarAnalytics(self.columnar, self.clock)
        self.analytics = ColumnarAnalytics(self.columnar, self.clock, kept=Kept(self.columnar, self.clock))
        if not self.root.execute("SELECT 1 FROM information_schema.tables WHERE table_name = 'plain'").fetchall():
            self._generate()

    def _generate(self) -> None:
        year = 365 * DAY
        self.root.execute(GENERATE.format(customers=self.customers, events=self.count, now=NOW, year=year))
        known = [row[0] for row in self.root.execute("SELECT DISTINCT customer FROM plain").fetchall()]
        self.root.register("hashes", pa.table({"customer": known, "hash": [hashed(who) for who in known]}))
        self.root.execute(LOAD.format(tenant=TENANT))
        self.root.unregister("hashes")
        self.root.execute("CHECKPOINT")

    def clock(self) -> datetime:
        return from_micros(self.now)

    async def rebuild(self) -> Iterator[Result]:
        asked = rules()
        loaded = await cpu(lambda: self.analytics.matching(TENANT, asked, asked, NOW), times=1)
        for engine in (self.analytics, self.scanned):
            found = await engine.matching(TENANT, asked, asked, NOW)
            for name, (_, sql) in RULES.items():
                expected = {row[0] for row in self.root.execute(sql).fetchall()}
                assert found[name] == expected, (name, len(found[name]), len(expected))
        ours = await cpu(lambda: self.scanned.matching(TENANT, asked, asked, NOW))
        kept = await cpu(lambda: self.analytics.matching(TENANT, asked, asked, NOW))

        async def by_hand() -> None:
            for _, sql in RULES.values():
                self.root.execute(sql).fetchall()

        peer = await cpu(by_hand)
        by = "SQL by hand, a rule each"
        return iter(
            [
                Result("rebuild of 20 rules by a scan, CPU", ours, "s", peer, by, "<= 1"),
                Result("rebuild of 20 rules from what is kept, CPU", kept, "s", peer, by, "<= 1"),
                Result("the first, which reads what is then kept, CPU", loaded, "s", peer, by),
            ]
        )

    async def preview(self) -> Iterator[Result]:
        known = {"rule": rules()["lapsing"]}
        within = 'events("Order Completed").where(category == "category5").within(duration("90d"))'
        fresh = {"rule": text.parse(f"{within}.count() >= 1 && {within}.sum(total) < 50")}
        return iter(
            [
                Result("preview of two windows, CPU", await self._preview(known), "s", goal="< 1"),
                Result("preview of two facts that are not kept yet, CPU", await self._preview(fresh), "s", goal="< 1"),
            ]
        )

    async def _preview(self, asked: dict[str, Rule]) -> float:
        return await cpu(lambda: self.analytics.sizes(TENANT, asked, {}, NOW, 20), times=1)

    async def increment(self) -> Iterator[Result]:
        """One day's customers among all, as the clock finds them."""
        asked = rules()
        known = timing(asked.values())
        ahead = await cpu(lambda: self.analytics.upcoming(TENANT, known, NOW, NOW + 60_000_000))
        touched = [
            row[0]
            for row in self.root.execute(
                f"SELECT DISTINCT customer FROM plain WHERE time > {NOW - DAY // 24} LIMIT 100"
            ).fetchall()
        ]
        some = await cpu(lambda: self.analytics.matching(TENANT, asked, asked, NOW, touched))
        moments = await cpu(lambda: self.analytics.upcoming(TENANT, known, NOW, NOW + 60_000_000, touched))
        day = [
            row[0]
            for row in self.root.execute(f"SELECT DISTINCT customer FROM plain WHERE time > {NOW - DAY}").fetchall()
        ]
        daily = await cpu(lambda: self.analytics.matching(TENANT, asked, asked, NOW, day))

        async def told() -> None:
            by_customer(await self.analytics.matching(TENANT, asked, asked, NOW, day), day)

        by_each = await cpu(told)
        return iter(
            [
                Result("moments of the next minute, CPU", ahead * 1000, "ms"),
                Result(f"evaluation of {len(touched)} touched, CPU", some * 1000, "ms"),
                Result(f"moments to come of {len(touched)} touched, CPU", moments * 1000, "ms"),
                Result(f"increment of a day ({len(day)} customers), CPU", daily * 1000, "ms", goal="< 50"),
                Result("the same, as the rules of each customer, CPU", by_each * 1000, "ms"),
            ]
        )


@contextmanager
def data_folder() -> Iterator[Path]:
    """The folder that the caller named, or one for this time."""
    named = [each.removeprefix("--in=") for each in sys.argv[1:] if each.startswith("--in=")]
    if named:
        yield Path(named[0])
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


async def main() -> None:
    """Print the results."""
    given = [int(each) for each in sys.argv[1:] if each.isdigit()]
    with data_folder() as folder:
        bench = Bench(folder, given[0] if given else 100_000)
        results: list[Result] = []
        for part in (bench.rebuild, bench.preview, bench.increment):
            results += await part()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        results.append(Result("memory, highest", memory, "GiB", goal="< 6"))
        await bench.columnar.close()
    report(f"segments of {bench.customers:,} customers with {bench.count:,} events", results)


if __name__ == "__main__":
    asyncio.run(main())
