"""Write checked events: drop those recorded before, resolve identities, commit once for all batches that wait."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from services.profiles.domain.customer import Customer
from services.profiles.domain.event import Observation
from services.profiles.domain.identity import NOT_ONE, Directory, Joining, undecided
from services.profiles.domain.identity_settings import IdentitySettings
from services.profiles.domain.merge import Merge
from services.profiles.handlers.computing import observe
from services.profiles.handlers.consents import overhear
from services.profiles.handlers.families import families
from services.profiles.handlers.groups import hear_of_groups
from services.profiles.handlers.retrying import retrying
from services.profiles.ports import (
    ComputedTraits,
    ConsentBook,
    Groups,
    Identifier,
    IdentityBook,
    Profiles,
    Recording,
    Suppressions,
)

COMMIT_EVENTS_MAX = 5000


Notice = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Written:
    """What was recorded, and what that did not do: message id, reason and sentence."""

    recorded: set[str]
    notices: Sequence[Notice] = ()
    suppressed: frozenset[str] = frozenset()
    """Those that were not recorded because an identifier in them is suppressed, by message id."""


NOTHING = Written(set())


@dataclass(slots=True)
class _Waiting:
    observations: Sequence[Observation]
    now: int
    written: asyncio.Future[Written]


@dataclass(frozen=True, slots=True)
class Books:
    """What events are written into."""

    profiles: Profiles
    consents: ConsentBook
    computed: ComputedTraits
    identity: IdentityBook
    groups: Groups
    suppressions: Suppressions


class Recorder:
    """Records the batches of one process, one commit a tenant at a time.

    Batches that arrive while a commit is on its way wait and share the next one: they read each customer once, do not
    conflict with each other, and pay for one sync to disk together.
    """

    def __init__(self, books: Books, new_id: Callable[[], str]) -> None:
        self._books, self._new_id = books, new_id
        self._waiting: dict[str, list[_Waiting]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    async def settings(self, tenant: str) -> IdentitySettings:
        """What is an identifier of the tenant."""
        return await self._books.identity.settings(tenant)

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
        settings, now = await self.settings(tenant), group[-1].now
        async with self._books.computed.turn(tenant):
            return await retrying(lambda: _record(self._books, settings, self._new_id, tenant, observations, now))

    @staticmethod
    def _answer(group: Sequence[_Waiting], written: Written) -> None:
        left = set(written.recorded)
        for waiting in group:
            own = {observation.message_id for observation in waiting.observations} & left
            left -= own  # of equal messages in one group, the first counts
            if not waiting.written.done():
                notices = [notice for notice in written.notices if notice[0] in own]
                refused = {observation.message_id for observation in waiting.observations} & written.suppressed
                waiting.written.set_result(Written(own, notices, frozenset(refused)))


async def _record(
    books: Books,
    settings: IdentitySettings,
    new_id: Callable[[], str],
    tenant: str,
    observations: Sequence[Observation],
    now: int,
) -> Written:
    fresh: dict[str, Observation] = {}
    for observation in observations:
        fresh.setdefault(observation.message_id, observation)
    for known in await books.profiles.known_messages(tenant, list(fresh)):
        del fresh[known]
    if not fresh:
        return NOTHING
    wanted = {identity for each in fresh.values() for identity in each.identities}
    wanted.update(identity for each in fresh.values() if each.previous_id for identity in each.previous)
    owners, found = await _known(books.profiles, tenant, list(wanted), fresh.values())
    # After the owners: an erasure makes names nobody's and suppresses them in one commit.
    suppressed = await _suppressed(books.suppressions, tenant, fresh, wanted)
    for refused in suppressed:
        del fresh[refused]
    if not fresh:
        return Written(set(), (), suppressed)
    directory = Directory(owners, {key: customer for key, (customer, _) in found.items()}, new_id, settings)
    recorded = []
    for observation in fresh.values():
        customer = directory.resolve(observation)
        customer.observe(observation)
        recorded.append((observation, customer.customer_id))
    versions = {customer_id: version for customer_id, (_, version) in found.items()}
    unjoined = {key for key, reason in directory.notices if reason in NOT_ONE and fresh[key].previous_id}
    merges = [_merge(joining, now) for joining in directory.joinings]
    owned = {origin: directory.touched[origin].surviving_id for _, origin in recorded}
    consents = await overhear(books.consents, tenant, recorded, owned, now)
    customers = {**{key: customer for key, (customer, _) in found.items()}, **directory.touched}
    tops = [merge.customer_id for merge in merges]
    advance = await observe(books.profiles, books.computed, tenant, recorded, customers, tops, now)
    groups, full = await hear_of_groups(books.groups, tenant, recorded, owned)
    recording = Recording(
        recorded, now, directory.touched, versions, directory.learnt, unjoined, consents, merges, advance, groups
    )
    await books.profiles.record(tenant, recording)
    notices = [*((*key, text) for key, text in directory.notices.items()), *full]
    return Written(set(fresh), notices, suppressed)


async def _suppressed(
    suppressions: Suppressions, tenant: str, fresh: Mapping[str, Observation], names: Collection[Identifier]
) -> frozenset[str]:
    """The message ids of events that carry a name which is not taken in."""
    found = await suppressions.among(tenant, list(names))
    if not found:
        return frozenset()
    return frozenset(key for key, each in fresh.items() if found & {*each.identities, *each.previous})


async def _known(
    profiles: Profiles, tenant: str, names: Sequence[Identifier], observations: Collection[Observation]
) -> tuple[dict[Identifier, str], dict[str, tuple[Customer, int]]]:
    """Whose the names are, and these customers; where there is something to decide, with all that they are made of."""
    owners = await profiles.owners(tenant, names)
    found = await profiles.origins(tenant, list(set(owners.values())))
    owners = {name: customer_id for name, customer_id in owners.items() if customer_id in found}
    asked = undecided(observations, owners, {key: customer for key, (customer, _) in found.items()})
    if asked and any(customer.merged_into or customer.origins for customer, _ in found.values()):
        found |= await families(profiles, tenant, asked, found)
    return owners, found


def _merge(joining: Joining, now: int) -> Merge:
    return Merge(
        joining.merge_id,
        joining.customer_id,
        joining.onto_id,
        joining.merged_id,
        joining.origins,
        now,
        joining.rule,
        message_id=joining.message_id,
    )
