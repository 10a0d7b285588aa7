"""Keep memberships what the rules say: for all customers, for those touched by events, and as time passes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Set
from contextlib import asynccontextmanager, suppress

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists, Conflict
from services.common.rules import Rule
from services.segmentation.domain.history import Calculation, failed
from services.segmentation.domain.matched import by_customer
from services.segmentation.domain.membership import transitions
from services.segmentation.domain.segment import grouped, scored
from services.segmentation.domain.timing import Schedule, timing
from services.segmentation.handlers.reading import member_ids
from services.segmentation.ports import Analytics, Memberships, Segments

log = logging.getLogger(__name__)

CUSTOMERS_A_COMMIT = 250
ATTEMPTS_MAX = 5
RETRY_SECONDS = 1.0
GATHER_SECONDS = 0.2
AHEAD_MICROS_MIN = 60_000_000
"""How far ahead of the clock the moments are known at which something changes."""
FELLOWS_MAX = 20_000
"""If those who were touched have more fellows in their groups, segments about members are evaluated for all instead."""
SCORES_MICROS = 60_000_000
"""How often segments that depend on scores are evaluated for all: others' orders and the time change a score."""


class Evaluation:
    """One evaluation at a time, whatever asks for it: so the transitions of a customer are in order."""

    def __init__(
        self,
        segments: Segments,
        memberships: Memberships,
        analytics: Analytics,
        clock: Clock,
        fellows_max: int = FELLOWS_MAX,
    ) -> None:
        self._fellows_max = fellows_max
        self._segments, self._memberships, self._analytics, self._clock = segments, memberships, analytics, clock
        self._turn = asyncio.Lock()
        self._touched: dict[str, set[str]] = {}
        self._renewed: dict[str, set[str]] = {}
        self._at_work: set[str] = set()
        self._woken = asyncio.Event()
        self._schedule, self._sooner = Schedule(), asyncio.Event()
        self._known_until: int | None = None
        self._scored = 0

    def touch(self, tenant: str, customer_ids: Iterable[str]) -> None:
        """Evaluate these customers soon."""
        self._touched.setdefault(tenant, set()).update(customer_ids)
        self._woken.set()

    def renew(self, tenant: str, segment_ids: Iterable[str]) -> None:
        """Evaluate these segments for all customers soon."""
        self._renewed.setdefault(tenant, set()).update(segment_ids)
        self._woken.set()

    def current(self, tenant: str) -> bool:
        """Whether memberships take into account everything that was touched or renewed, and the start."""
        return self._known_until is not None and not any(
            tenant in waiting for waiting in (self._touched, self._renewed, self._at_work)
        )

    async def refresh(self, tenant: str, segment_ids: Collection[str] | None = None) -> None:
        """Evaluate segments (all, if none are given) for all customers."""
        async with self._turn:
            catalogue = await self._segments.catalogue(tenant)
            wanted = catalogue.segments if segment_ids is None else catalogue.segments.keys() & set(segment_ids)
            rules = {segment_id: catalogue.segments[segment_id].rule for segment_id in wanted}
            if rules:
                async with self._measured("refresh"):
                    await self._refresh(tenant, rules, catalogue.rules)

    async def _refresh(self, tenant: str, rules: Mapping[str, Rule], known: Mapping[str, Rule]) -> None:
        began, at = time.perf_counter(), self._now()

        def lasted() -> int:
            return round((time.perf_counter() - began) * 1_000_000)

        try:
            matched = await self._analytics.matching(tenant, rules, known, at)
            before = {each: await member_ids(self._memberships, tenant, each) for each in rules}
            moved = {who for each, fulfilling in matched.items() for who in fulfilling ^ before[each]}
            await self._record(tenant, moved, matched, at)
            await self._look_ahead(tenant, rules, at)
        except Exception as error:
            failure = failed(at, lasted(), error)
            await self._memberships.calculated(tenant, dict.fromkeys(rules, failure))
            raise
        made = {
            each: Calculation(at, len(found), len(found - before[each]), len(before[each] - found), lasted())
            for each, found in matched.items()
        }
        await self._memberships.calculated(tenant, made)

    @asynccontextmanager
    async def emptied(self, tenant: str, segment_id: str) -> AsyncIterator[None]:
        """With every member having left the segment, and nothing evaluated until the block is left."""
        async with self._turn:
            members = await member_ids(self._memberships, tenant, segment_id)
            await self._record(tenant, members, {segment_id: set()}, self._now())
            yield

    @asynccontextmanager
    async def standstill(self) -> AsyncIterator[None]:
        """With nobody evaluated until the block is left."""
        async with self._turn:
            yield

    async def tick(self) -> None:
        """Learn the moments to come, and evaluate whose has come; at first, evaluate everything."""
        now, since = self._now(), self._known_until
        # What is recorded from here on is looked at up to the new horizon by whoever evaluates it.
        self._known_until = now + AHEAD_MICROS_MIN if since is None else max(since, now + AHEAD_MICROS_MIN)
        try:
            for tenant in await self._segments.tenants():
                if since is None:
                    await self.refresh(tenant)
                elif rules := (await self._segments.catalogue(tenant)).rules:
                    await self._learn(tenant, rules, since, self._known_until)
                    if now - self._scored >= SCORES_MICROS and (dependent := scored(rules)):
                        self.renew(tenant, dependent)
        except BaseException:
            self._known_until = since  # the next tick looks at the same time again
            raise
        if since is None or now - self._scored >= SCORES_MICROS:
            self._scored = now
        self._touch_due()

    async def keep_time(self) -> None:
        """Touch those whose moment has come, at that moment, for ever."""
        while True:
            self._sooner.clear()
            self._touch_due()
            moment = self._schedule.earliest
            seconds = None if moment is None else (moment - self._now()) / 1_000_000
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._sooner.wait()

    def _touch_due(self) -> None:
        for tenant, customer_ids in self._schedule.due(self._now()).items():
            self.touch(tenant, customer_ids)

    async def _look_ahead(
        self, tenant: str, rules: Mapping[str, Rule], at: int, customer_ids: Collection[str] | None = None
    ) -> None:
        """Learn when what was evaluated at ``at`` may change, as far ahead as is known of all others."""
        if self._known_until is not None and self._known_until > at:
            await self._learn(tenant, rules, at, self._known_until, customer_ids)

    async def _learn(
        self,
        tenant: str,
        rules: Mapping[str, Rule],
        since: int,
        until: int,
        customer_ids: Collection[str] | None = None,
    ) -> None:
        moments = await self._analytics.upcoming(tenant, timing(rules.values()), since, until, customer_ids)
        self._schedule.add(tenant, moments)
        self._sooner.set()

    def _now(self) -> int:
        return to_micros(self._clock())

    async def run(self, caught_up: Callable[[], bool]) -> None:
        """Work for ever. While the feed has more to come customers are gathered for a while: one evaluation of many
        costs little more than one of few."""
        while True:
            await self._woken.wait()
            if not self._renewed and not caught_up():
                await asyncio.sleep(GATHER_SECONDS)
            if not await self.work():
                await asyncio.sleep(RETRY_SECONDS)

    async def work(self) -> bool:
        """Evaluate what was renewed and who was touched; false if some of it failed and waits for the next time."""
        self._woken.clear()
        renewed, self._renewed = self._renewed, {}
        touched, self._touched = self._touched, {}
        self._at_work = renewed.keys() | touched.keys()
        try:
            await self._work(renewed, self.refresh)
            await self._work(touched, self._evaluate)
            return True
        except Exception:
            log.exception("memberships could not be evaluated and will be again")
            for tenant, segment_ids in renewed.items():
                self.renew(tenant, segment_ids)
            for tenant, customer_ids in touched.items():
                self.touch(tenant, customer_ids)
            return False
        finally:
            self._at_work = set()

    async def _work(self, waiting: dict[str, set[str]], work: Callable[[str, set[str]], Awaitable[None]]) -> None:
        while waiting:
            tenant = next(iter(waiting))
            await work(tenant, waiting[tenant])
            del waiting[tenant]

    async def _evaluate(self, tenant: str, customer_ids: Set[str]) -> None:
        async with self._turn:
            rules: Mapping[str, Rule] = (await self._segments.catalogue(tenant)).rules
            if not rules:
                return
            async with self._measured("touched"):
                customer_ids = await self._with_fellows(tenant, customer_ids, rules)
                at = self._now()
                matched = await self._analytics.matching(tenant, rules, rules, at, customer_ids)
                await self._record(tenant, customer_ids, matched, at)
                await self._look_ahead(tenant, rules, at, customer_ids)

    async def _with_fellows(self, tenant: str, customer_ids: Set[str], rules: Mapping[str, Rule]) -> Set[str]:
        """With all in their groups, if some rule asks about members: what one does may move the others."""
        if not (asking := grouped(rules)):
            return customer_ids
        fellows = await self._analytics.fellows(tenant, customer_ids)
        if len(fellows) > max(self._fellows_max, len(customer_ids)):
            self.renew(tenant, asking)
            return customer_ids
        return fellows

    async def _record(self, tenant: str, customer_ids: Iterable[str], matched: Mapping[str, Set[str]], at: int) -> None:
        ordered = sorted(customer_ids)
        fulfilled = by_customer(matched, ordered)
        for start in range(0, len(ordered), CUSTOMERS_A_COMMIT):
            part = ordered[start : start + CUSTOMERS_A_COMMIT]
            for attempt in range(ATTEMPTS_MAX):
                try:
                    await self._record_part(tenant, part, matched.keys(), fulfilled, at)
                    break
                except (Conflict, AlreadyExists):  # another replica was faster: its standings are read again
                    if attempt == ATTEMPTS_MAX - 1:
                        raise

    async def _record_part(
        self, tenant: str, part: list[str], evaluated: Set[str], fulfilled: Mapping[str, Set[str]], at: int
    ) -> None:
        standings = await self._memberships.standings(tenant, part)
        changes = {}
        for customer_id in part:
            if made := transitions(standings[customer_id], evaluated, fulfilled[customer_id]):
                changes[customer_id] = made
        if changes:
            await self._memberships.record(tenant, changes, standings, at)
            telemetry.counter("segmentation.memberships.changed").add(sum(map(len, changes.values())))

    @asynccontextmanager
    async def _measured(self, kind: str) -> AsyncIterator[None]:
        began = time.perf_counter()
        with telemetry.span("segmentation.evaluation"):
            yield
        telemetry.histogram("segmentation.evaluation.duration").record(
            (time.perf_counter() - began) * 1000, {"kind": kind}
        )
