"""Write checked events: drop those recorded before, resolve identities, commit once for all batches that wait."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.common.errors import AlreadyExists, Conflict
from services.profiles.domain.customer import Customer
from services.profiles.domain.event import Observation
from services.profiles.ports import Identifier, Profiles, Recording

ATTEMPTS_MAX = 20
RETRY_SECONDS = 0.01
COMMIT_EVENTS_MAX = 5000


@dataclass(slots=True)
class _Waiting:
    observations: Sequence[Observation]
    now: int
    recorded: asyncio.Future[int]


class Recorder:
    """Records the batches of one process, one commit a tenant at a time.

    Batches that arrive while a commit is on its way wait and share the next one: they read each customer once, do not
    conflict with each other, and pay for one sync to disk together.
    """

    def __init__(self, profiles: Profiles, new_id: Callable[[], str]) -> None:
        self._profiles, self._new_id = profiles, new_id
        self._waiting: dict[str, list[_Waiting]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    async def record(self, tenant: str, observations: Sequence[Observation], now: int) -> int:
        """How many of ``observations`` were new; they are durable when this returns."""
        waiting = _Waiting(observations, now, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(tenant, []).append(waiting)
        if tenant not in self._workers:
            self._workers[tenant] = asyncio.create_task(self._work(tenant), name=f"ingest {tenant}")
        return await waiting.recorded

    async def _work(self, tenant: str) -> None:
        try:
            while group := self._next_group(tenant):
                try:
                    self._answer(group, await self._commit(tenant, group))
                except Exception as error:
                    for waiting in group:
                        if not waiting.recorded.done():
                            waiting.recorded.set_exception(error)
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

    async def _commit(self, tenant: str, group: Sequence[_Waiting]) -> set[str]:
        observations = [observation for waiting in group for observation in waiting.observations]
        for attempt in range(ATTEMPTS_MAX):
            try:
                return await _record(self._profiles, self._new_id, tenant, observations, group[-1].now)
            except (Conflict, AlreadyExists):
                if attempt == ATTEMPTS_MAX - 1:
                    raise
                await asyncio.sleep(RETRY_SECONDS * attempt * random.random())
        raise AssertionError("unreachable")

    @staticmethod
    def _answer(group: Sequence[_Waiting], recorded: set[str]) -> None:
        for waiting in group:
            own = {observation.message_id for observation in waiting.observations} & recorded
            recorded -= own  # of equal messages in one group, the first counts
            if not waiting.recorded.done():
                waiting.recorded.set_result(len(own))


async def _record(
    profiles: Profiles, new_id: Callable[[], str], tenant: str, observations: Sequence[Observation], now: int
) -> set[str]:
    fresh: dict[str, Observation] = {}
    for observation in observations:
        fresh.setdefault(observation.message_id, observation)
    for known in await profiles.known_messages(tenant, list(fresh)):
        del fresh[known]
    if not fresh:
        return set()
    wanted = {identity for observation in fresh.values() for identity in observation.identities}
    owners = await profiles.owners(tenant, list(wanted))
    found = await profiles.customers(tenant, list(set(owners.values())))
    customers = {customer_id: customer for customer_id, (customer, _) in found.items()}
    learnt: dict[Identifier, str] = {}
    recorded = []
    for observation in fresh.values():
        customer = _resolve(observation, owners, learnt, customers, new_id)
        customer.observe(observation)
        recorded.append((observation, customer.customer_id))
    versions = {customer_id: version for customer_id, (_, version) in found.items()}
    touched = {customer_id: customers[customer_id] for _, customer_id in recorded}
    await profiles.record(tenant, Recording(recorded, now, touched, versions, learnt))
    return set(fresh)


def _resolve(
    observation: Observation,
    owners: dict[Identifier, str],
    learnt: dict[Identifier, str],
    customers: dict[str, Customer],
    new_id: Callable[[], str],
) -> Customer:
    """Whose event it is. The user id decides; an anonymous id that is known to nobody, or to somebody without a user
    id, is joined to it. Two customers are never merged here: that would lose one silently."""
    identities = observation.identities
    known = [owners[identity] for identity in identities if identity in owners]
    owner = known[0] if known else ""
    if owner and identities[0] not in owners and _has_user_id(customers[owner]):
        owner = ""  # the device is known, the person who signs in on it is not: a shared device
    customer = customers.get(owner)
    if customer is None:
        customer = Customer(new_id())
        customers[customer.customer_id] = customer
    for identity in identities:
        if identity not in owners:
            owners[identity] = learnt[identity] = customer.customer_id
            customer.know_as(identity)
    return customer


def _has_user_id(customer: Customer) -> bool:
    return any(kind == "user_id" for kind, _ in customer.identifiers)
