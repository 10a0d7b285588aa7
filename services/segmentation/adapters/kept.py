"""What rules count, kept in memory beside the tables of the engine, so that few customers need no scan.

What is kept of each row is worked out by the engine, once, with the parts that rules compile to: for what was there
when a stream is first wanted, and then for every batch. Merges change whose rows are whose, rows do not move. Whatever
cannot be told from here (``None``, or ``Undecided``) is the engine's to answer.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from heapq import nsmallest
from typing import TypeAlias

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.common.clock import Clock, to_micros
from services.common.columnar import Columnar, Table, of_tenant, unbound
from services.common.rules import Comparison, Rule
from services.segmentation.adapters.kept_people import Contradiction, People
from services.segmentation.adapters.kept_query import Numbering, TooWide, of_events, of_traits, part
from services.segmentation.adapters.kept_rules import Undecided, Verdicts, happened
from services.segmentation.adapters.kept_streams import Fact, Stream, Wanted
from services.segmentation.adapters.tables import EVENTS, MOVED, TRAITS
from services.segmentation.domain.matched import Members
from services.segmentation.ports import Sizes

log = logging.getLogger(__name__)

ROWS_MAX = 150_000_000
"""So many rows are kept of all tenants together, of 12 to 28 bytes each; a tenant that needs more is evaluated by the
engine alone."""
OTHERS_MAX = 16
"""So many streams are kept that no segment needs any more, or that only a preview needed."""
QUERIES_MAX = 256
TOGETHER_MAX = 32
"""Of a batch, what so many streams keep is asked in one query."""
SLACK_MICROS = 60_000_000
"""Longer than from the moment of an evaluation to when it finds that nothing is kept yet."""
_GIVEN = {table: ibis.table(unbound(table).schema(), name=f"given_{table.name}") for table in (EVENTS, TRAITS)}
_NOW = ibis.param("int64")

_Ages: TypeAlias = Collection[tuple[str, int]]


@dataclass(slots=True)
class _Heard:
    """What a batch changed, in this order, and when it was heard: whoever it touches is evaluated later."""

    time: int
    rows: Mapping[Table, pa.Table] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    forgotten: Collection[str] = ()


class Tenant:
    """What is kept of one tenant."""

    def __init__(self) -> None:
        self.people, self.streams = People(), dict[Wanted, Stream]()
        self.heard: list[_Heard] = []
        self.values: defaultdict[Wanted, Numbering] = defaultdict(dict)
        self.ahead: list[tuple[int, int]] = []
        """The moments and numbers of what was told ahead of its time."""

    @property
    def row_count(self) -> int:
        return sum(map(len, self.streams.values()))

    def drop_all_but(self, wanted: Collection[Wanted], others_max: int = OTHERS_MAX) -> None:
        """Keep these streams and the newest others."""
        others = [each for each in self.streams if each not in wanted]
        for needless in others[: max(len(others) - others_max, 0)]:
            del self.streams[needless]
            self.values.pop(needless, None)

    def align(self) -> None:
        """Streams of the same events have their places in common, so that a window is looked for once."""
        first: dict[tuple[str, tuple[Comparison, ...]], Stream] = {}
        for wanted, stream in self.streams.items():
            if wanted.fact is not Fact.TOLD:
                stream.align(first.setdefault((wanted.name, wanted.where), stream))

    def sizes(self, rules: Mapping[str, Rule], segments: Mapping[str, Rule], at: int, sample: int) -> Sizes:
        """As the port's; ``Undecided``."""
        crowd, names, codes = self.people.crowd(None, at)
        verdicts = Verdicts(self.streams, segments, crowd, lambda: self.people.hashes(codes), at)
        counts = {key: int(verdicts.of(rule).sum()) for key, rule in rules.items()}
        shown = nsmallest(sample, names[verdicts.of(next(iter(rules.values())))].tolist()) if sample else []
        return Sizes(crowd.count, counts, shown)

    def matching(
        self, rules: Mapping[str, Rule], segments: Mapping[str, Rule], at: int, customer_ids: Iterable[str] | None
    ) -> dict[str, Set[str]]:
        """As the port's; without the rules that are undecided."""
        crowd, names, codes = self.people.crowd(customer_ids, at)
        verdicts = Verdicts(self.streams, segments, crowd, lambda: self.people.hashes(codes), at)
        found: dict[str, Set[str]] = {}
        for key, rule in rules.items():
            try:
                truths = verdicts.of(rule)
                found[key] = set(names[truths].tolist()) if customer_ids is None else Members(names, truths)
            except Undecided:
                continue
        return found

    def upcoming(self, ages: _Ages, since: int, until: int, customer_ids: Iterable[str]) -> dict[str, int]:
        """The first moment of each after ``since`` and not after ``until`` at which an event reaches an age, or at
        which what was told ahead of its time begins to hold."""
        crowd, names, _ = self.people.crowd(customer_ids, 2**62)
        moments = np.full(crowd.count, 2**62)
        for name, age in ages:
            rows = crowd.rows(self.streams[happened(name)], since - age + 1, until - age + 1)
            np.minimum.at(moments, rows.codes, rows.times + age)
        self.ahead = [each for each in self.ahead if each[0] > since]
        asked = dict(zip(crowd.origins.tolist(), crowd.places.tolist(), strict=True)) if self.ahead else {}
        for moment, code in self.ahead:
            if code in asked and moment <= until:
                moments[asked[code]] = min(moments[asked[code]], moment)
        return {names[place]: int(moments[place]) for place in np.flatnonzero(moments <= until).tolist()}


class Kept:
    """What is kept of all tenants. ``tell`` hears of every batch after it was stored."""

    def __init__(self, columnar: Columnar, clock: Clock, rows_max: int = ROWS_MAX) -> None:
        self._columnar, self._clock, self._rows_max = columnar, clock, rows_max
        self._tenants: dict[str, Tenant] = {}
        self._refused: dict[str, frozenset[Wanted]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._events = lru_cache(QUERIES_MAX)(lambda wanted: of_events(_GIVEN[EVENTS], wanted))
        self._traits = lru_cache(QUERIES_MAX)(lambda wanted: of_traits(_GIVEN[TRAITS], wanted))

    def holds(self, tenant: str) -> bool:
        """Whether anything is kept of the tenant, so that ``tell`` has to hear of its rows."""
        return tenant in self._tenants

    def tell(self, rows: Mapping[Table, pa.Table], owners: Mapping[tuple[str, str], str]) -> None:
        """Rows were added that were not there before, and then origins got other owners."""
        for tenant, kept in self._tenants.items():
            own = {table: _of(tenant, added) for table, added in rows.items()}
            heard = _Heard(
                to_micros(self._clock()),
                {table: added for table, added in own.items() if len(added)},
                {origin: owner for (whose, origin), owner in owners.items() if whose == tenant},
            )
            if heard.rows or heard.owners:
                kept.heard.append(heard)

    def forget(self, tenant: str, customer_ids: Collection[str]) -> None:
        """Everything of these customers was removed."""
        if tenant in self._tenants:
            self._tenants[tenant].heard.append(_Heard(to_micros(self._clock()), forgotten=customer_ids))

    @asynccontextmanager
    async def asked(
        self, tenant: str, wanted: frozenset[Wanted], writing: asyncio.Lock, *, whole: bool = False
    ) -> AsyncIterator[Tenant | None]:
        """What is kept, with all these streams, up to what was stored last, for nobody else within the block; ``None``
        if it cannot be. While ``writing`` is held nothing is stored. ``whole``: nothing else is asked regularly."""
        async with self._turns[tenant]:
            yield None if self._refused.get(tenant) == wanted else await self._complete(tenant, wanted, writing, whole)

    async def _complete(
        self, tenant: str, wanted: frozenset[Wanted], writing: asyncio.Lock, whole: bool
    ) -> Tenant | None:
        before = set(self._tenants[tenant].streams) if tenant in self._tenants else set()
        try:
            kept = await self._caught_up(tenant, wanted, writing)
        except Contradiction as fault:
            self._tenants.pop(tenant, None)
            self._refuse(tenant, wanted, f"rows of {fault} belong to several customers")
            return None
        if whole:
            kept.drop_all_but(wanted)
            self._refused.pop(tenant, None)
        rows = sum(each.row_count for each in self._tenants.values())
        if rows <= self._rows_max:
            return kept
        if whole:
            del self._tenants[tenant]
        else:
            kept.drop_all_but(before, others_max=0)
        self._refuse(tenant, wanted, f"{rows} rows are more than {self._rows_max}")
        return None

    def _refuse(self, tenant: str, wanted: frozenset[Wanted], why: str) -> None:
        """Do not try again until something else is asked."""
        log.warning("the engine alone evaluates rules of tenant %s: %s", tenant, why)
        self._refused[tenant] = wanted

    async def _caught_up(self, tenant: str, wanted: frozenset[Wanted], writing: asyncio.Lock) -> Tenant:
        kept = self._tenants.get(tenant)
        if kept is None or wanted - kept.streams.keys():
            async with writing:
                if kept is None:
                    kept = await self._begun(tenant)
                await self._catch_up(kept)
                await self._load(tenant, kept, wanted - kept.streams.keys())
                self._tenants[tenant] = kept
        else:
            await self._catch_up(kept)
        await asyncio.to_thread(kept.align)
        return kept

    async def _begun(self, tenant: str) -> Tenant:
        """The customers, and what was told ahead of its time."""
        kept, now = Tenant(), to_micros(self._clock()) - SLACK_MICROS
        events = of_tenant(self._columnar.table(EVENTS), tenant)
        firsts = events.group_by("origin_id", "customer_id").aggregate(first=events.time.min())
        seen = await self._columnar.execute(firsts)
        await asyncio.to_thread(
            lambda: kept.people.meet(seen["origin_id"], seen["customer_id"], seen["first"].to_numpy())
        )
        for table in MOVED:
            told = of_tenant(self._columnar.table(table), tenant)
            ahead = told.filter(told.time > _NOW).select("origin_id", "customer_id", "time")
            _look_ahead(kept, await self._columnar.execute(ahead, bound={_NOW: now}), now)
        return kept

    async def _load(self, tenant: str, kept: Tenant, wanted: Iterable[Wanted]) -> None:
        events, traits = (of_tenant(self._columnar.table(table), tenant) for table in (EVENTS, TRAITS))
        # At the start one look at the events of a name tells all; later, most events are not of what is wanted.
        for group in _alike(wanted) if kept.streams else _by_name(wanted).values():
            answer = await self._columnar.execute(of_events(events, group))
            await asyncio.to_thread(_take, kept, group, answer, met=True)
        if told := _told(wanted):
            await asyncio.to_thread(_take, kept, told, await self._columnar.execute(of_traits(traits, told)))

    async def _catch_up(self, kept: Tenant) -> None:
        heard, kept.heard = kept.heard, []
        for each in _gathered(heard):
            for table, rows in each.rows.items():
                await asyncio.to_thread(_note, kept, table, rows, each.time)
            if EVENTS in each.rows:
                await self._add_events(kept, each.rows[EVENTS])
            if TRAITS in each.rows and (told := _told(kept.streams)):
                answer = await self._columnar.execute(
                    self._traits(tuple(told)), {"given_traits": each.rows[TRAITS]}, {}
                )
                await asyncio.to_thread(_take, kept, told, answer)
            for origin, owner in each.owners.items():
                kept.people.own([origin], owner)
            kept.people.forget(each.forgotten)

    async def _add_events(self, kept: Tenant, rows: pa.Table) -> None:
        named = set(pc.unique(rows["name"]).to_pylist())
        for group in _together(kept.streams):
            if any(each.name in named for each in group):
                query: ir.Table = self._events(group)
                answer = await self._columnar.execute(query, {"given_events": rows}, {})
                await asyncio.to_thread(_take, kept, group, answer)


def _of(tenant: str, rows: pa.Table) -> pa.Table:
    """The rows of a tenant; few batches are of several."""
    whose = pc.unique(rows["tenant"]).to_pylist()
    return rows if whose == [tenant] else rows.filter(pc.equal(rows["tenant"], tenant))


def _by_name(wanted: Iterable[Wanted]) -> dict[str, list[Wanted]]:
    """The streams of events, by their names."""
    groups: defaultdict[str, list[Wanted]] = defaultdict(list)
    for each in wanted:
        if each.fact is not Fact.TOLD:
            groups[each.name].append(each)
    return groups


def _together(wanted: Iterable[Wanted]) -> list[tuple[Wanted, ...]]:
    """The streams of events, those of several names at once: the plan of a query costs more than what it does to the
    few rows of a batch."""
    groups: list[tuple[Wanted, ...]] = [()]
    for of_name in _by_name(wanted).values():
        if len(groups[-1]) + len(of_name) > TOGETHER_MAX:
            groups.append(())
        groups[-1] += tuple(of_name)
    return [each for each in groups if each]


def _alike(wanted: Iterable[Wanted]) -> list[list[Wanted]]:
    """The streams of the same events: the engine returns no others, and tests each once."""
    groups: defaultdict[tuple[str, tuple[Comparison, ...]], list[Wanted]] = defaultdict(list)
    for each in wanted:
        if each.fact is not Fact.TOLD:
            groups[each.name, each.where].append(each)
    return list(groups.values())


def _told(wanted: Iterable[Wanted]) -> list[Wanted]:
    return [each for each in wanted if each.fact is Fact.TOLD]


def _gathered(heard: Iterable[_Heard]) -> list[_Heard]:
    """Batches that change nothing but rows as one."""
    gathered: list[_Heard] = []
    for each in heard:
        before = gathered[-1] if gathered else None
        if before is None or before.owners or before.forgotten:
            gathered.append(each)
            continue
        rows = dict(before.rows)
        for table, added in each.rows.items():
            rows[table] = pa.concat_tables([rows[table], added]) if table in rows else added
        gathered[-1] = _Heard(before.time, rows, each.owners, each.forgotten)
    return gathered


def _note(kept: Tenant, table: Table, rows: pa.Table, now: int) -> None:
    """Who the rows are of, and which of them are ahead of their time."""
    if table is EVENTS:
        kept.people.meet(rows["origin_id"], rows["customer_id"], rows["time"].to_numpy())
    if table in MOVED:
        _look_ahead(kept, rows, now)


def _look_ahead(kept: Tenant, rows: pa.Table, now: int) -> None:
    later = rows.filter(pc.greater(rows["time"], now))
    if len(later):
        codes = kept.people.number(later["origin_id"], later["customer_id"])
        kept.ahead += zip(later["time"].to_pylist(), codes.tolist(), strict=True)


def _take(kept: Tenant, wanted: Iterable[Wanted], answer: pa.Table, met: bool = False) -> None:
    """Add what the answer has of each stream. ``met``: all its customers are known."""
    found = kept.people.known if met else kept.people.number
    codes = found(answer["origin_id"], answer["customer_id"])
    for number, each in enumerate(wanted):
        try:
            rows = part(answer, each, number, codes, kept.values[each])
        except TooWide:
            kept.streams[each] = Stream(each, None)
            continue
        if each in kept.streams:
            kept.streams[each].add(rows)
        else:
            kept.streams[each] = Stream(each, rows)
