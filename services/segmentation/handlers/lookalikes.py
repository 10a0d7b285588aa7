"""Find customers who resemble the members of a segment."""

import asyncio
import uuid
from dataclasses import dataclass

import numpy as np

from services.common.clock import to_micros
from services.common.jobs import Job, Progress
from services.segmentation.domain.calendar import Unit, calendar
from services.segmentation.domain.lookalike import (
    SEEDS_MIN,
    SHARES,
    Lookalike,
    LookalikeNotFound,
    Reach,
    SeedsTooFew,
)
from services.segmentation.domain.persona import Behaviour
from services.segmentation.handlers.get_segment import get_segment
from services.segmentation.handlers.reading import member_ids
from services.segmentation.handlers.studies import SEED, Desk, space
from services.segmentation.learning import lookalikes
from services.segmentation.ports import Insights, Lookalikes, Memberships, Request, Segments

KIND = "find_lookalikes"


@dataclass(frozen=True)
class LookalikeWork:
    """What the use cases need."""

    insights: Insights
    segments: Segments
    memberships: Memberships
    lookalikes: Lookalikes
    desk: Desk

    async def start(
        self, tenant: str, request: Request, name: str, segment_id: str, currency: str, time_zone: str
    ) -> Job:
        """The job; ``SegmentNotFound``, ``TimeZoneUnknown``."""
        await get_segment(self.segments, tenant, segment_id)
        at = to_micros(self.desk.clock())
        local = calendar(Unit.DAY, time_zone, at)

        async def work(progress: Progress) -> dict[str, str]:
            await progress(0.05, "reading the behaviour of customers")
            behaviour = await self.insights.behaviour(tenant, currency, local, at)
            members = await member_ids(self.memberships, tenant, segment_id)
            await progress(0.3, "learning what the audience has in common")
            found, ranked = await asyncio.to_thread(_find, behaviour, members, name, segment_id, at)
            await progress(0.9, "keeping the lookalikes")
            await self.lookalikes.keep(tenant, found, ranked)
            return {"lookalike_id": found.lookalike_id, "lift_at_5_percent": f"{found.reach[4].lift:.3f}"}

        return await self.desk.start(tenant, KIND, request, work)

    async def get(self, tenant: str, lookalike_id: str) -> Lookalike:
        """The lookalikes; ``LookalikeNotFound``."""
        found = await self.lookalikes.get(tenant, lookalike_id)
        if found is None:
            raise LookalikeNotFound(lookalike_id)
        return found

    async def customers(
        self, tenant: str, lookalike_id: str, share: float, start: int, limit: int
    ) -> tuple[list[str], int]:
        """Those from place ``start`` on, the most alike first, and how many the share comes to;
        ``LookalikeNotFound``, ``ShareInvalid``."""
        size = (await self.get(tenant, lookalike_id)).size(share)
        return await self.lookalikes.ranked(tenant, lookalike_id, start, min(limit, max(size - start, 0))), size


def _find(behaviour: Behaviour, members: set[str], name: str, segment_id: str, at: int) -> tuple[Lookalike, list[str]]:
    seeds = np.array([who in members for who in behaviour.customer_ids], np.bool_)
    if seeds.sum() < SEEDS_MIN or seeds.all():
        raise SeedsTooFew(
            f"{int(seeds.sum())} of {len(seeds)} customers with orders are in the audience; "
            f"{SEEDS_MIN} are needed to learn from, and some others to choose from",
            minimum=SEEDS_MIN,
        )
    places = space(behaviour).places
    reach = [Reach(it.share, it.recall, it.lift) for it in lookalikes.reach(places, seeds, SHARES, SEED)]
    scores = lookalikes.resemblance(places, seeds, SEED)
    others = np.flatnonzero(~seeds)
    count = len(others)
    lookalike = Lookalike(f"lookalike_{uuid.uuid4().hex}", name, segment_id, at, int(seeds.sum()), count, reach)
    best = others[np.argsort(-scores[others], kind="stable")][: lookalike.size(SHARES[-1])]
    return lookalike, [behaviour.customer_ids[place] for place in best.tolist()]
