"""Define computed traits: create, change, delete, compute over history again; and what customers have of them."""

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.common.clock import to_micros
from services.common.errors import AlreadyExists, Conflict, FailedPrecondition, NotFound, RequestIdReused
from services.common.jobs import Job, JobNotFound, Jobs, Progress, State, Work
from services.profiles.domain.computed_trait import TRAITS_MAX, ComputedTrait, Status, Value, check, values_of
from services.profiles.domain.customer import Customer
from services.profiles.handlers.computing import Computing, backfill, sweep
from services.profiles.handlers.retrying import retrying
from services.profiles.ports import Request

KIND_BACKFILL, KIND_RETRACT = "backfill_computed_trait", "retract_computed_trait"


class ComputedTraitNotFound(NotFound):
    """No computed trait has this name."""


class ComputedTraitExists(AlreadyExists):
    """A computed trait has this name already."""


class TooManyComputedTraits(FailedPrecondition):
    """The tenant has as many computed traits as it may. Metadata ``maximum``."""


@dataclass(frozen=True, slots=True)
class Defining:
    """What definitions need: what computing works on, and jobs."""

    computing: Computing
    jobs: Jobs

    def now(self) -> int:
        """Microseconds."""
        return to_micros(self.computing.clock())


async def create_computed_trait(defining: Defining, request: Request, wanted: ComputedTrait) -> ComputedTrait:
    """The trait, whose history begins to be read; ``ComputedTraitExists``, ``TooManyComputedTraits`` and its faults."""
    check(wanted)
    computed, tenant = defining.computing.computed, request.tenant
    if before := await computed.answered_trait(request):
        return before
    if await computed.get(tenant, wanted.name):
        raise ComputedTraitExists(f"there is a computed trait {wanted.name}; update it", name=wanted.name)
    if len((await computed.definitions(tenant, fresh=True)).traits) >= TRAITS_MAX:
        raise TooManyComputedTraits(f"{TRAITS_MAX} traits are computed; delete one", maximum=TRAITS_MAX)
    now = defining.now()
    made = replace(wanted, version=1, create_time=now, update_time=now, job_id=_job_id())
    return await _define(defining, request, made, None)


async def update_computed_trait(defining: Defining, request: Request, wanted: ComputedTrait) -> ComputedTrait:
    """The new version, whose history begins to be read; ``ComputedTraitNotFound`` and the faults of a definition."""
    check(wanted)
    computed, tenant = defining.computing.computed, request.tenant
    if before := await computed.answered_trait(request):
        return before
    current, document_version = await _found(defining, tenant, wanted.name)
    made = replace(
        wanted,
        version=current.version + 1,
        create_time=current.create_time,
        update_time=defining.now(),
        job_id=_job_id(),
    )
    return await _define(defining, request, made, document_version)


async def _define(
    defining: Defining, request: Request, made: ComputedTrait, document_version: int | None
) -> ComputedTrait:
    computed = defining.computing.computed
    try:
        await computed.define(request, request.tenant, made, document_version)
    except RequestIdReused:
        raise
    except (AlreadyExists, Conflict):
        if before := await computed.answered_trait(request):  # the same request at the same time was faster
            return before
        raise
    await _begin(defining, request.tenant, made)
    return made


async def get_computed_trait(defining: Defining, tenant: str, name: str) -> ComputedTrait:
    """The definition; ``ComputedTraitNotFound``."""
    return (await _found(defining, tenant, name))[0]


async def backfill_computed_trait(defining: Defining, request: Request, name: str) -> Job:
    """A job that computes the trait over history again; ``ComputedTraitNotFound``."""
    if before := await defining.computing.computed.answered(request):
        return await defining.jobs.get(request.tenant, before["job_id"])

    async def attempt() -> ComputedTrait:
        current, document_version = await _found(defining, request.tenant, name)
        begun = replace(current, status=Status.BACKFILLING, job_id=_job_id())
        await defining.computing.computed.define(None, request.tenant, begun, document_version)
        return begun

    begun = await retrying(attempt)
    job = await _begin(defining, request.tenant, begun)
    await defining.computing.computed.remember(request, {"job_id": job.job_id})
    return job


async def delete_computed_trait(defining: Defining, request: Request, name: str) -> Job:
    """The job that takes the trait from everybody who has it; ``ComputedTraitNotFound``."""
    computed, tenant = defining.computing.computed, request.tenant
    if before := await computed.answered(request):
        return await defining.jobs.get(tenant, before["job_id"])
    _, document_version = await _found(defining, tenant, name)
    job_id = _job_id()
    await computed.forget(request, name, document_version, {"job_id": job_id})
    return await defining.jobs.start(tenant, KIND_RETRACT, _retracting(defining.computing, tenant), job_id)


def resume_computing(defining: Defining) -> None:
    """Let jobs over history go on that another process left behind."""
    computing = defining.computing
    defining.jobs.resumable(KIND_RETRACT, lambda tenant, _: _retracting(computing, tenant))
    defining.jobs.resumable(
        KIND_BACKFILL,
        lambda tenant, arguments: _backfilling(computing, tenant, arguments["name"], int(arguments["version"])),
    )


async def resume_backfills(defining: Defining) -> None:
    """Begin anew what failed, or was never begun because its process died before."""
    computed = defining.computing.computed
    for tenant in await computed.tenants():
        for name, trait in (await computed.definitions(tenant)).traits.items():
            if trait.status is Status.BACKFILLING and await _is_left(defining, tenant, trait.job_id):
                found = await computed.get(tenant, name)
                if found is None or found[0] != trait:
                    continue
                begun = replace(trait, job_id=_job_id())
                with contextlib.suppress(Conflict):  # another process begins it
                    await computed.define(None, tenant, begun, found[1])
                    await _begin(defining, tenant, begun)


async def _is_left(defining: Defining, tenant: str, job_id: str) -> bool:
    try:
        return (await defining.jobs.get(tenant, job_id)).state is State.FAILED
    except JobNotFound:
        return True


async def computed_values(
    computing: Computing, tenant: str, customers: Sequence[Customer]
) -> dict[str, list[tuple[ComputedTrait, Value]]]:
    """What computed traits of customers come to at this moment, by customer id; nothing where none is defined."""
    traits = (await computing.computed.definitions(tenant)).traits
    if not traits or not customers:
        return {}
    families = {each.customer_id: [each.customer_id, *each.origins] for each in customers}
    known = await computing.computed.read(tenant, [origin for family in families.values() for origin in family])
    now, found = to_micros(computing.clock()), {}
    for top_id, family in families.items():
        values = values_of(traits, [known[origin][0] for origin in family if origin in known], now)
        told = known[top_id][0].values if top_id in known else {}
        found[top_id] = [
            (traits[name], told[name] if name in told and told[name].value == value else Value(value, now))
            for name, value in sorted(values.items())
        ]
    return found


def _retracting(computing: Computing, tenant: str) -> Work:
    async def retract(progress: Progress) -> dict[str, str]:
        return {"customers": str(await sweep(computing, tenant, progress))}

    return retract


def _backfilling(computing: Computing, tenant: str, name: str, version: int) -> Work:
    return lambda progress: backfill(computing, tenant, name, version, progress)


async def _found(defining: Defining, tenant: str, name: str) -> tuple[ComputedTrait, int]:
    found = await defining.computing.computed.get(tenant, name)
    if found is None:
        raise ComputedTraitNotFound(f"there is no computed trait {name}", name=name)
    return found


async def _begin(defining: Defining, tenant: str, trait: ComputedTrait) -> Job:
    work = _backfilling(defining.computing, tenant, trait.name, trait.version)
    arguments = {"name": trait.name, "version": str(trait.version)}
    return await defining.jobs.start(tenant, KIND_BACKFILL, work, trait.job_id, arguments)


def _job_id() -> str:
    return f"job_{uuid.uuid4().hex}"
