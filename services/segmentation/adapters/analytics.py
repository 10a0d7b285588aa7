"""The port ``Analytics`` over the analytical engine, and the appending of what is followed."""

import asyncio
from collections.abc import Collection, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from itertools import compress
from operator import or_

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from services.common.clock import Clock, to_micros
from services.common.columnar import Amendment, Columnar, Table, of_tenant, unbound
from services.common.columnar.patterns import pattern_fault
from services.common.rules import MembersCondition, Rule
from services.segmentation.adapters import rfm_query
from services.segmentation.adapters.explanations import explanation, finding, looked_at
from services.segmentation.adapters.expressions import History, Leaves, evaluation
from services.segmentation.adapters.fellows import Fellows
from services.segmentation.adapters.kept import Kept
from services.segmentation.adapters.kept_rules import Undecided, happened, streams_of
from services.segmentation.adapters.kept_streams import Wanted
from services.segmentation.adapters.moments import upcoming
from services.segmentation.adapters.ranking import Ranking, ranking
from services.segmentation.adapters.tables import (
    EVENTS,
    LIST_ENTRIES,
    TRAITS,
    Observed,
    owners_of,
    rows,
)
from services.segmentation.adapters.tenant_history import TOUCHED, given_to, hashes_of, of_touched, tenant_history
from services.segmentation.domain.explanation import Finding
from services.segmentation.domain.rfm import Cuts, Rfm, RfmTable
from services.segmentation.domain.timing import Timing, timing
from services.segmentation.ports import Sizes, Status

FOLLOWER = "profiles"
RFM_AGE_MICROS_MAX = 60_000_000
RFM_TABLES_MAX = 32
RANKED_FROM = 1000
"""From so many customers with orders on, those who are touched are scored against a ranking that is kept."""
QUERIES_MAX = 64
"""Composing a query takes longer than most queries over few customers: so many are kept."""
_AT, _SINCE, _UNTIL = (ibis.param("int64") for _ in range(3))
_KEY = ["tenant", "message_id", "time"]
_SOUGHT = ibis.table({"tenant": "string", "message_id": "string", "time": "int64"}, name="sought")


def _known(table: Table) -> ir.Table:
    """The keys that are sought and there."""
    rows = unbound(table)
    return rows.filter(rows.time >= _SINCE, rows.time <= _UNTIL).semi_join(_SOUGHT, _KEY).select(_KEY).distinct()


_KNOWN = {table: _known(table) for table in (EVENTS, TRAITS)}


@dataclass(frozen=True, slots=True)
class _Kept:
    """An RFM table up to now, and how many batches had been applied when it was made."""

    table: RfmTable
    batches: int


class ColumnarAnalytics:
    """Every question is one query. ``append`` is for the follower of profiles, which is the only writer."""

    def __init__(
        self, columnar: Columnar, clock: Clock, ranked_from: int = RANKED_FROM, kept: Kept | None = None
    ) -> None:
        self._columnar, self._clock = columnar, clock
        self._batches = 0
        self._rfm: dict[tuple[str, str, Cuts | None], _Kept] = {}
        self._writing = asyncio.Lock()
        self._kept = kept
        self._streams = lru_cache(QUERIES_MAX)(_streams_of)
        self._ranked_from, self._rankings = ranked_from, dict[str, Ranking]()
        self._ranks = lru_cache(QUERIES_MAX)(lambda asked, known: Leaves(asked, dict(known)).ranks)
        self._asks_members = lru_cache(QUERIES_MAX)(lambda asked, known: bool(Leaves(asked, dict(known)).members))
        self._matching = lru_cache(QUERIES_MAX)(self._matching_query)
        self._upcoming = lru_cache(QUERIES_MAX)(self._upcoming_query)
        self._fellows = Fellows(columnar)

    async def applied_cursor(self) -> str:
        """The cursor up to which profiles' feed is applied."""
        return await self._columnar.cursor(FOLLOWER)

    async def append(self, observed: Sequence[Observed], cursor: str) -> None:
        """Apply a batch; the same batch again changes nothing."""
        await self.apply(rows(observed), (), FOLLOWER, cursor)

    async def apply(
        self, rows: Mapping[Table, pa.Table], amendments: Sequence[Amendment], follower: str, cursor: str
    ) -> None:
        """Append rows and amend what is there, with the cursor of ``follower``; the same again changes nothing."""
        async with self._writing:
            fresh = await self._fresh(rows)
            stored = await self._columnar.append(rows, follower, cursor, amendments)
            if stored and self._kept:
                self._kept.tell(fresh, owners_of(amendments))
        self._batches += bool(rows or amendments)

    async def _fresh(self, rows: Mapping[Table, pa.Table]) -> dict[Table, pa.Table]:
        """The rows of tenants of whom something is kept, without those that are there already."""
        fresh: dict[Table, pa.Table] = {}
        for table, added in rows.items():
            tenants = [each for each in pc.unique(added["tenant"]).to_pylist() if self._kept and self._kept.holds(each)]
            if not tenants:
                continue
            fresh[table] = added
            if table in _KNOWN:
                keys = fresh[table].select(_KEY)
                times = pc.min_max(keys["time"]).as_py()
                bound = {_SINCE: times["min"], _UNTIL: times["max"]}
                known = await self._columnar.execute(_KNOWN[table], {"sought": keys}, bound)
                if len(known):
                    there = {tuple(row.values()) for row in known.to_pylist()}
                    new = [tuple(row.values()) not in there for row in keys.to_pylist()]
                    fresh[table] = fresh[table].filter(pa.array(new))
        return fresh

    async def apply_listed(self, entries: pa.Table, follower: str, cursor: str, table: Table = LIST_ENTRIES) -> None:
        """Append entries of lists, or rows of another table, as those of whoever the customers they name belong to."""
        async with self._writing:  # no merge comes between
            place = entries.schema.get_field_index("customer_id")
            owned = entries.slice(0, 0)
            for tenant in set(entries["tenant"].to_pylist()):
                part = entries.filter(pc.equal(entries["tenant"], tenant))
                owners = await self.owners(tenant, part["customer_id"].to_pylist())
                known = pa.array([owners[who] for who in part["customer_id"].to_pylist()], pa.string())
                owned = pa.concat_tables([owned, part.set_column(place, "customer_id", known)])
            await self._columnar.append({table: owned} if len(owned) else {}, follower, cursor)
            if self._kept and table is LIST_ENTRIES:
                self._kept.tell({LIST_ENTRIES: owned}, {})

    def forget(self, tenant: str, customer_ids: Collection[str]) -> None:
        """The rows of these customers were removed."""
        if self._kept:
            self._kept.forget(tenant, customer_ids)

    async def owners(self, tenant: str, customer_ids: Collection[str]) -> dict[str, str]:
        """To whom the history of each customer belongs: somebody else, if it was merged."""
        events = of_tenant(self._columnar.table(EVENTS), tenant)
        wanted = events.filter(events.origin_id.isin(TOUCHED.customer_id)).select("origin_id", "customer_id").distinct()
        given = {"touched": pa.table({"customer_id": pa.array(customer_ids, pa.string())})}
        found = (await self._columnar.execute(wanted, given)).to_pylist()
        return {who: who for who in customer_ids} | {row["origin_id"]: row["customer_id"] for row in found}

    async def cursor(self, follower: str) -> str:
        """The cursor up to which a feed is applied."""
        return await self._columnar.cursor(follower)

    async def matching(
        self,
        tenant: str,
        rules: Mapping[str, Rule],
        segments: Mapping[str, Rule],
        at: int,
        customer_ids: Collection[str] | None = None,
    ) -> dict[str, Set[str]]:
        found = await self._matching_kept(self._kept, tenant, rules, segments, at, customer_ids) if self._kept else {}
        if rest := {key: rule for key, rule in rules.items() if key not in found}:
            found |= await self._matching_scanned(tenant, rest, segments, at, customer_ids)
        return found

    async def _matching_kept(
        self,
        kept: Kept,
        tenant: str,
        rules: Mapping[str, Rule],
        segments: Mapping[str, Rule],
        at: int,
        customer_ids: Collection[str] | None,
    ) -> dict[str, Set[str]]:
        """Without the rules that need more than what is kept."""
        asked = self._streams(tuple(rules.values()), tuple(segments.items()))
        able = {key: rule for (key, rule), streams in zip(rules.items(), asked, strict=True) if streams is not None}
        if not able:
            return {}
        wanted = frozenset[Wanted]().union(*(streams for streams in asked if streams is not None))
        if customer_ids is not None:
            wanted |= _aging(timing(rules.values()))
        async with kept.asked(tenant, wanted, self._writing, whole=customer_ids is not None) as held:
            return await asyncio.to_thread(held.matching, able, segments, at, customer_ids) if held else {}

    async def _matching_scanned(
        self,
        tenant: str,
        rules: Mapping[str, Rule],
        segments: Mapping[str, Rule],
        at: int,
        customer_ids: Collection[str] | None,
    ) -> dict[str, Set[str]]:
        asked, known = tuple(rules.values()), tuple(segments.items())
        read = await self._read_for(tenant, asked, known, customer_ids)
        given = given_to(read)
        ranked = await self._ranking(tenant, at) if given and self._ranks(asked, known) else None
        if given and ranked:
            given["ranking"] = ranked
        query = await asyncio.to_thread(
            self._matching, tenant, asked, known, customer_ids is not None, ranked is not None
        )
        answer = await self._columnar.execute(query, given, {_AT: at, **hashes_of(read)})
        found = await asyncio.to_thread(_members, answer, list(rules))
        return found if read is customer_ids else {key: who & set(customer_ids or ()) for key, who in found.items()}

    async def _read_for(
        self,
        tenant: str,
        rules: tuple[Rule, ...],
        segments: tuple[tuple[str, Rule], ...],
        customer_ids: Collection[str] | None,
    ) -> Collection[str] | None:
        """Whose history tells of these customers: with rules about members, that of all in their groups too."""
        if customer_ids is None or not self._asks_members(rules, segments):
            return customer_ids
        return await self._fellows.of(tenant, customer_ids)

    async def fellows(self, tenant: str, customer_ids: Collection[str]) -> set[str]:
        return await self._fellows.of(tenant, customer_ids)

    async def members_of(self, tenant: str, group_ids: Collection[str]) -> set[str]:
        """Whoever is or was a member of one of the groups."""
        return await self._fellows.members(tenant, group_ids)

    async def sizes(
        self, tenant: str, rules: Mapping[str, Rule], segments: Mapping[str, Rule], at: int, sample: int
    ) -> Sizes:
        asked = self._streams(tuple(rules.values()), tuple(segments.items()))
        known = [streams for streams in asked if streams is not None]
        if self._kept and len(known) == len(rules):
            async with self._kept.asked(tenant, frozenset[Wanted]().union(*known), self._writing) as held:
                with suppress(Undecided):
                    if held:
                        return await asyncio.to_thread(held.sizes, rules, segments, at, sample)
        return await self._sizes_scanned(tenant, rules, segments, at, sample)

    async def _sizes_scanned(
        self, tenant: str, rules: Mapping[str, Rule], segments: Mapping[str, Rule], at: int, sample: int
    ) -> Sizes:
        history = self._history(tenant)
        numbered = {f"r{number}": rule for number, rule in enumerate(rules.values())}
        query = evaluation(history, numbered, segments, at)
        counts = query.aggregate(customer_count=query.count(), **{name: query[name].sum() for name in numbered})
        (counted,) = (await self._columnar.execute(counts)).to_pylist()
        shown: list[str] = []
        if sample:
            first = query.filter(query.r0).select("customer_id").order_by("customer_id").limit(sample)
            shown = (await self._columnar.execute(first))["customer_id"].to_pylist()
        sizes = {key: counted[name] or 0 for key, name in zip(rules, numbered, strict=True)}
        return Sizes(counted["customer_count"], sizes, shown)

    async def explained(
        self, tenant: str, customer_id: str, rules: Mapping[str, Rule], segments: Mapping[str, Rule], at: int
    ) -> dict[str, Finding] | None:
        read = await self._read_for(tenant, tuple(rules.values()), tuple(segments.items()), [customer_id])
        numbered = {f"r{number}": rule for number, rule in enumerate(rules.values())}
        query = explanation(self._part(tenant, True), numbered, segments, at)
        query = query.filter(query.customer_id == customer_id)
        found = (await self._columnar.execute(query, given_to(read), hashes_of(read))).to_pylist()
        if not found:
            return None
        return {path: finding(found[0], name) for path, name in zip(rules, numbered, strict=True)}

    async def looked_at(
        self, tenant: str, customer_id: str, condition: MembersCondition, segments: Mapping[str, Rule], at: int
    ) -> dict[str, bool]:
        read = await self._fellows.of(tenant, [customer_id])
        query = looked_at(self._part(tenant, True), condition, segments, customer_id, at)
        found = (await self._columnar.execute(query, given_to(read), hashes_of(read))).to_pylist()
        return {row["customer_id"]: row["fulfilled"] for row in found}

    async def upcoming(
        self, tenant: str, timing: Timing, since: int, until: int, customer_ids: Collection[str] | None = None
    ) -> dict[str, int]:
        if self._kept is None or customer_ids is None:
            return await self._upcoming_scanned(tenant, timing, since, until, customer_ids)
        async with self._kept.asked(tenant, _aging(timing), self._writing) as held:
            if held is None:
                return await self._upcoming_scanned(tenant, timing, since, until, customer_ids)
            moments = await asyncio.to_thread(held.upcoming, timing.ages, since, until, customer_ids)
        if timing.traits or timing.properties or timing.groups:
            rest = replace(timing, ages=frozenset())
            for who, moment in (await self._upcoming_scanned(tenant, rest, since, until, customer_ids)).items():
                moments[who] = min(moment, moments.get(who, moment))
        return moments

    async def _upcoming_scanned(
        self, tenant: str, timing: Timing, since: int, until: int, customer_ids: Collection[str] | None
    ) -> dict[str, int]:
        query = await asyncio.to_thread(self._upcoming, tenant, timing, customer_ids is not None)
        answer = await self._columnar.execute(
            query, given_to(customer_ids), {_SINCE: since, _UNTIL: until, **hashes_of(customer_ids)}
        )
        return dict(zip(answer["customer_id"].to_pylist(), answer["moment"].to_pylist(), strict=True))

    async def rfm(self, tenant: str, currency: str, at: int | None, cuts: Cuts | None = None) -> RfmTable:
        if at is not None:
            return await self._rfm_table(tenant, currency, at, cuts)
        now, batches = to_micros(self._clock()), self._batches
        kept = self._rfm.get((tenant, currency, cuts))
        if kept and kept.batches == batches and now - kept.table.as_of < RFM_AGE_MICROS_MAX:
            return kept.table
        table = await self._rfm_table(tenant, currency, now, cuts)
        self._rfm[tenant, currency, cuts] = _Kept(table, batches)
        while len(self._rfm) > RFM_TABLES_MAX:
            del self._rfm[next(iter(self._rfm))]
        return table

    async def _ranking(self, tenant: str, at: int) -> pa.Table | None:
        """What the scores of a few customers are told by: kept for a while where there are many others, because what
        one customer buys moves few of them. ``None``: the others are few enough to be compared with."""
        kept = self._rankings.get(tenant)
        if kept is None or not 0 <= at - kept.at < RFM_AGE_MICROS_MAX:
            table = await self._rfm_answer(tenant, "", at, None)
            kept = await asyncio.to_thread(ranking, *table, at) if table else Ranking(None, 0, at)
            self._rankings[tenant] = kept
            while len(self._rankings) > RFM_TABLES_MAX:
                del self._rankings[next(iter(self._rankings))]
        return kept.row if kept.customer_count >= self._ranked_from else None

    async def _rfm_table(self, tenant: str, currency: str, at: int, cuts: Cuts | None) -> RfmTable:
        answer = await self._rfm_answer(tenant, currency, at, cuts)
        if answer is None:
            return RfmTable("", at, {})
        currency, rows = answer
        return RfmTable(currency, at, {row["customer_id"]: Rfm(**row) for row in rows.to_pylist()})

    async def _rfm_answer(self, tenant: str, currency: str, at: int, cuts: Cuts | None) -> tuple[str, pa.Table] | None:
        """The currency and a row for each customer; ``None`` without any order."""
        orders = rfm_query.orders_until(self._history(tenant).events, at)
        if not currency:
            found = (await self._columnar.execute(rfm_query.currencies(orders)))["currency"].to_pylist()
            if not found:
                return None
            currency = found[0]
        query = rfm_query.rfm(orders.filter(orders.currency == currency), at, cuts)
        return currency, await self._columnar.execute(query)

    async def status(self, tenant: str) -> Status:
        cursor = await self.applied_cursor()
        events = self._history(tenant).events
        counted = await self._columnar.execute(events.aggregate(count=events.count()))
        return Status(cursor, counted["count"][0].as_py())

    def pattern_fault(self, pattern: str) -> str | None:
        return pattern_fault(pattern)

    def _matching_query(
        self, tenant: str, rules: tuple[Rule, ...], segments: tuple[tuple[str, Rule], ...], some: bool, ranked: bool
    ) -> ir.Table:
        """Whoever fulfils one of ``rules`` at ``_AT``, and which, in columns named by number."""
        numbered = {f"r{number}": rule for number, rule in enumerate(rules)}
        query = evaluation(replace(self._part(tenant, some), ranked=ranked), numbered, dict(segments), _AT)
        return query.filter(reduce(or_, [query[name] for name in numbered]))

    def _upcoming_query(self, tenant: str, timing: Timing, some: bool) -> ir.Table:
        return upcoming(self._part(tenant, some), timing, _SINCE, _UNTIL)

    def _part(self, tenant: str, some: bool) -> History:
        """The history of all customers, or of those that are given when the query is executed."""
        history = self._history(tenant)
        return history.narrowed(of_touched) if some else history

    def _history(self, tenant: str) -> History:
        return tenant_history(self._columnar, tenant)


def _streams_of(
    rules: tuple[Rule, ...], segments: tuple[tuple[str, Rule], ...]
) -> tuple[frozenset[Wanted] | None, ...]:
    known = dict(segments)
    return tuple(streams_of(rule, known) for rule in rules)


def _aging(timing: Timing) -> frozenset[Wanted]:
    """The streams that tell when events reach an age."""
    return frozenset(happened(name) for name, _ in timing.ages)


def _members(answer: pa.Table, keys: Sequence[str]) -> dict[str, Set[str]]:
    """Who fulfils each rule, by the rule's key, from the columns named by number."""
    ids = answer["customer_id"].to_pylist()
    return {
        key: set(compress(ids, answer[f"r{number}"].to_numpy(zero_copy_only=False))) for number, key in enumerate(keys)
    }
