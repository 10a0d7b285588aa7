"""Keep computed traits up to date: as events are recorded, as time passes, as customers are merged, over history."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.common.clock import Clock, to_micros
from services.common.errors import Refusal
from services.common.jobs import Progress
from services.profiles.domain.computed_trait import Computed, ComputedTrait, State, Status
from services.profiles.domain.computing import Advance, Families, advanced
from services.profiles.domain.customer import Customer
from services.profiles.domain.event import Observation
from services.profiles.handlers.families import parts_of
from services.profiles.handlers.retrying import retrying
from services.profiles.ports import ComputedTraits, Profiles

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
BATCH = 200


async def observe(
    profiles: Profiles,
    computed: ComputedTraits,
    tenant: str,
    recorded: Iterable[tuple[Observation, str]],
    customers: Mapping[str, Customer],
    merged: Collection[str],
    now: int,
) -> Advance | None:
    """What recorded events, with their origins, and merges change; ``customers`` has the origins as they are now."""
    definitions = await computed.definitions(tenant)
    if not definitions.traits:
        return None
    counted = [(each, origin) for each, origin in recorded if each.name in definitions.by_event]
    tops = {customers[origin].surviving_id for origin in (*(origin for _, origin in counted), *merged)}
    if not tops:
        return None
    missing = [top for top in tops if top not in customers]
    whole = {**customers, **{key: top for key, (top, _) in (await profiles.origins(tenant, missing)).items()}}
    families = Families({top: [top, *whole[top].origins] for top in sorted(tops)})
    known = await computed.read(tenant, families.ids())
    fresh: dict[str, Computed] = {}
    for observation, origin in counted:
        if origin in known:
            state = known[origin][0]
        else:
            state = fresh.setdefault(origin, Computed(origin))
        state.observe(definitions.by_event[observation.name], observation.event_time, observation.content)
    fresh = {origin: state for origin, state in fresh.items() if state.states}
    advance = advanced(tenant, definitions, families, {**known, **{key: (it, 0) for key, it in fresh.items()}}, now)
    for origin in fresh:
        del advance.versions[origin]
    return advance


@dataclass(frozen=True, slots=True)
class Computing:
    """What computing works on."""

    profiles: Profiles
    computed: ComputedTraits
    clock: Clock


async def refresh(computing: Computing, tenant: str, customer_ids: Sequence[str], marks: Mapping[str, int]) -> None:
    """Bring customers up to this moment, and tell what has changed."""

    async def attempt() -> None:
        definitions = await computing.computed.definitions(tenant, fresh=True)
        found = await parts_of(computing.profiles, tenant, list(dict.fromkeys([*customer_ids, *marks])))
        families = Families({parts[0].customer_id: [part.customer_id for part in parts] for parts in found.values()})
        known = await computing.computed.read(tenant, families.ids())
        advance = advanced(tenant, definitions, families, known, to_micros(computing.clock()))
        advance.marks = dict(marks)
        advance.gone = [key for key in customer_ids if key not in found]
        await computing.computed.advance(tenant, advance)

    async with computing.computed.turn(tenant):
        await retrying(attempt)


async def keep_time(computing: Computing) -> None:
    """Let windows slide and merges tell, for ever: every second, what is due."""
    while True:
        try:
            for tenant in await computing.computed.tenants():
                while await tick(computing, tenant):
                    pass
        except Refusal as refusal:
            log.warning("computed traits cannot be brought up to date for the moment: %s", refusal)
        await asyncio.sleep(TICK_SECONDS)


async def tick(computing: Computing, tenant: str) -> bool:
    """Look at what is due, up to a limit; whether there may be more."""
    marks = await computing.computed.marks(tenant, BATCH)
    due = await computing.computed.due(tenant, to_micros(computing.clock()), BATCH)
    if marks or due:
        await refresh(computing, tenant, due, marks)
    return len(marks) == BATCH or len(due) == BATCH


async def rebuild(computing: Computing, tenant: str, origin: str, trait: ComputedTrait) -> None:
    """Compute one trait of one origin anew from the events that are kept, and tell what has changed."""
    since = to_micros(computing.clock()) - trait.window if trait.window else 0

    async def attempt() -> None:
        parts = (await parts_of(computing.profiles, tenant, [origin])).get(origin)
        if parts is None:
            return
        definitions = await computing.computed.definitions(tenant, fresh=True)
        families = Families({parts[0].customer_id: [part.customer_id for part in parts]})
        known = await computing.computed.read(tenant, families.ids())  # before its history: who writes later is noticed
        own, is_new = known[origin][0] if origin in known else Computed(origin), origin not in known
        own.states.pop(trait.key, None)
        async for moment, content in computing.profiles.history(tenant, origin, trait.event_name, since):
            own.observe([trait], moment, content)
        own.states.setdefault(trait.key, State()).whole = True
        advance = advanced(tenant, definitions, families, {origin: (own, 0), **known}, to_micros(computing.clock()))
        if is_new:
            del advance.versions[origin]
        await computing.computed.advance(tenant, advance)

    async for _ in computing.profiles.history(tenant, origin, trait.event_name, since):
        async with computing.computed.turn(tenant):
            await retrying(attempt)
        return


async def sweep(computing: Computing, tenant: str, progress: Progress) -> int:
    """Bring everybody of whom something is known up to this moment; how many that were."""
    after, done = "", 0
    while True:
        ids, after = await computing.computed.ids(tenant, BATCH, after)
        if ids:
            await refresh(computing, tenant, ids, {})
        done += len(ids)
        await progress(0.95, f"{done} customers were told")
        if not after:
            return done


async def backfill(computing: Computing, tenant: str, name: str, version: int, progress: Progress) -> dict[str, str]:
    """Read history for one version of a trait, then let everybody have it. Done again, it changes nothing."""
    await asyncio.sleep(2 * computing.computed.reread_seconds)  # until every server takes new events in for it
    found = await computing.computed.get(tenant, name)
    if found is None or found[0].version != version:
        return {"superseded": "true"}
    trait, total = found[0], max(1, (await computing.profiles.statistics(tenant))[0])
    after, done = "", 0
    while True:
        origins, after = await computing.profiles.origin_ids(tenant, BATCH, after)
        for origin in origins:
            await rebuild(computing, tenant, origin, trait)
        done += len(origins)
        await progress(min(0.9, 0.9 * done / total), f"the history of {done} customers was read")
        if not after:
            break

    async def activate() -> None:
        current = await computing.computed.get(tenant, name)
        if current is not None and current[0].version == version:
            active = replace(current[0], status=Status.ACTIVE)
            await computing.computed.define(None, tenant, active, current[1])

    await retrying(activate)
    told = await sweep(computing, tenant, progress)
    return {"customers": str(done), "with_a_value": str(told)}
