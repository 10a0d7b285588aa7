"""What clustering and lookalikes do alike: read the behaviour of all customers, and start each job once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from services.common.clock import Clock
from services.common.jobs import Job, JobNotFound, Jobs, Work
from services.segmentation.domain.persona import Behaviour
from services.segmentation.learning.features import Figures, Floats, comparable, scaled
from services.segmentation.ports import Request

SEED = 20_260_301
"""The same history gives the same clusters and lookalikes."""


class Requests(Protocol):
    """Which job a request started."""

    async def once(self, tenant: str, request: Request, job_id: str) -> str:
        """``job_id``, or that of the first time that the request came; ``RequestIdReused``."""
        ...


@dataclass(frozen=True)
class Desk:
    """What starts jobs."""

    jobs: Jobs
    requests: Requests
    clock: Clock

    async def start(self, tenant: str, kind: str, request: Request, work: Work) -> Job:
        """The job of the request: a new one, or the one that it started before."""
        named = f"{tenant}\n{kind}\n{request.request_id}".encode()
        own = f"job_{hashlib.blake2b(named, digest_size=16).hexdigest()}" if request.request_id else ""
        if not own:
            return await self.jobs.start(tenant, kind, work)
        job_id = await self.requests.once(tenant, request, own)
        try:
            return await self.jobs.get(tenant, job_id)
        except JobNotFound:
            return await self.jobs.start(tenant, kind, work, job_id)


@dataclass(frozen=True, slots=True)
class Space:
    """Customers as points: ``points`` as they are compared, their ``means`` and ``spreads``, ``places`` their
    coordinates."""

    points: Figures
    means: Figures
    spreads: Figures
    places: Floats


def taste_space(behaviour: Behaviour, customer_ids: Sequence[str], vectors: Floats) -> tuple[Behaviour, Space]:
    """The customers of ``behaviour`` who have a vector, at the places of their vectors ``(customers, dimensions)`` with
    length 1, so that distances are those of angles."""
    row_of = {who: row for row, who in enumerate(customer_ids)}
    rows = [row for row, who in enumerate(behaviour.customer_ids) if who in row_of]
    known = behaviour.part(rows)
    chosen = vectors[[row_of[who] for who in known.customer_ids]]
    lengths = np.linalg.norm(chosen, axis=1, keepdims=True)
    places = np.asarray(chosen / np.where(lengths > 0, lengths, 1), np.float32)
    return known, replace(space(known), places=places)


def space(behaviour: Behaviour) -> Space:
    """The customers of ``behaviour`` as points."""
    points = comparable(behaviour.figures, behaviour.names)
    means, spreads = np.asarray(points.mean(axis=0)), np.asarray(points.std(axis=0))
    return Space(points, means, spreads, scaled(points, behaviour.names, means, spreads))
