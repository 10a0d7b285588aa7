"""Write checked events: drop those recorded before, resolve identities, commit once for all batches that wait."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.common.errors import AlreadyExists, Conflict
from services.profiles.domain.event import Observation
from services.profiles.domain.identity import Directory
from services.profiles.handlers.consents import overhear
from services.profiles.ports import ConsentBook, Profiles, Recording

ATTEMPTS_MAX = 20
RETRY_SECONDS = 0.01
COMMIT_EVENTS_MAX = 5000


@dataclass(frozen=True, slots=True)
class Written:
    """What was recorded, and which aliases among it left two customers two, by message id."""

    recorded: set[str]
    unjoined: set[str]


NOTHING = Written(set(), set())


@dataclass(slots=True)
class _Waiting:
    observations: Sequence[Observation]
    now: int
    written: asyncio.Future[Written]


class Recorder:
    """Records the batches of one process, one commit a tenant at a time.

    Batches that arrive while a commit is on its way wait and share the next one: they read each customer once, do not
    conflict with each other, and pay for one sync to disk together.
    """

    def __init__(self, profiles: Profiles, book: ConsentBook, new_id: Callable[[], str]) -> None:
        self._profiles, self._book, self._new_id = profiles, book, new_id
        self._waiting: dict[str, list[_Waiting]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    async def record(self, tenant: str, observations: Sequence[Observation], now: int) -> Written:
        """Those of ``observations`` that were new; they are durable when this returns."""
        waiting = _Waiting(observations, now, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(tenant, []).append(waiting)
        if tenant not in self._workers:
            self._workers[tenant] = asyncio.create_task(self._work(tenant), name=f"ingest {tenant}")
        return await waiting.written

    async def _work(self, tenant: str) -> None:
        try:
            while group := self._next_group(tenant):
                try:
                    self._answer(group, await self._commit(tenant, group))
                except Exception as error:
                    for waiting in group:
                        if not waiting.written.done():
                            waiting.written.set_exception(error)
        finally:
            del self._workers[tenant]
            self._waiting.pop(tenant, None)

    def _next_group(self, tenant: str) -> list[_Waiting]:
        queue, size = self._waiting[tenant], 0
        group: list[_Waiting] = []
        while queue and (not group or size + len(queue[0].observations) <= COMMIT_EVENTS_MAX):
            group.append(queue.pop(0))
            size += len(group[-1].observations)
        return group

    async def _commit(self, tenant: str, group: Sequence[_Waiting]) -> Written:
        observations = [observation for waiting in group for observation in waiting.observations]
        for attempt in range(ATTEMPTS_MAX):
            try:
                return await _record(self._profiles, self._book, self._new_id, tenant, observations, group[-1].now)
            except (Conflict, AlreadyExists):
                if attempt == ATTEMPTS_MAX - 1:
                    raise
                await asyncio.sleep(RETRY_SECONDS * attempt * random.random())
        raise AssertionError("unreachable")

    @staticmethod
    def _answer(group: Sequence[_Waiting], written: Written) -> None:
        left = set(written.recorded)
        for waiting in group:
            own = {observation.message_id for observation in waiting.observations} & left
            left -= own  # of equal messages in one group, the first counts
            if not waiting.written.done():
                waiting.written.set_result(Written(own, own & written.unjoined))


async def _record(
    profiles: Profiles,
    book: ConsentBook,
    new_id: Callable[[], str],
    tenant: str,
    observations: Sequence[Observation],
    now: int,
) -> Written:
    fresh: dict[str, Observation] = {}
    for observation in observations:
        fresh.setdefault(observation.message_id, observation)
    for known in await profiles.known_messages(tenant, list(fresh)):
        del fresh[known]
    if not fresh:
        return NOTHING
    wanted = {identity for each in fresh.values() for identity in each.identities}
    wanted.update(identity for each in fresh.values() if each.previous_id for identity in each.previous)
    owners = await profiles.owners(tenant, list(wanted))
    found = await profiles.customers(tenant, list(set(owners.values())))
    customers = {customer_id: customer for customer_id, (customer, _) in found.items()}
    directory = Directory(owners, customers, new_id)
    recorded, touched = [], {}
    for observation in fresh.values():
        customer = directory.resolve(observation)
        customer.observe(observation)
        recorded.append((observation, customer.customer_id))
        touched[customer.customer_id] = customer
    versions = {customer_id: version for customer_id, (_, version) in found.items()}
    consents = await overhear(book, tenant, recorded, now)
    recording = Recording(recorded, now, touched, versions, directory.learnt, directory.unjoined, consents)
    await profiles.record(tenant, recording)
    return Written(set(fresh), directory.unjoined)
