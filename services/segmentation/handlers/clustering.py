"""Find clusters of customers who behave alike, and describe them."""

import asyncio
import uuid
from dataclasses import dataclass

import numpy as np

from services.common.clock import to_micros
from services.common.jobs import Job, Progress
from services.segmentation.domain.calendar import Calendar, Unit, calendar
from services.segmentation.domain.persona import (
    CUSTOMERS_MIN,
    Behaviour,
    Clustering,
    ClusteringNotFound,
    ClusterModel,
    ClustersNotKept,
    CustomersTooFew,
    Numbers,
    Space,
    Trial,
    cluster_counts,
    personas,
)
from services.segmentation.domain.scores import CLUSTER, score_names
from services.segmentation.handlers.studies import SEED, Desk, space, taste_space
from services.segmentation.handlers.studies import Space as Places
from services.segmentation.learning import clusters
from services.segmentation.learning.features import comparable, scaled
from services.segmentation.ports import Clusterings, Insights, Request, Segments
from services.segmentation.ports.tastes import Tastes

KIND, REASSIGN = "find_clusters", "reassign_clusters"


@dataclass(frozen=True)
class ClusteringWork:
    """What the use cases need."""

    insights: Insights
    segments: Segments
    tastes: Tastes
    clusterings: Clusterings
    desk: Desk

    async def start(
        self,
        tenant: str,
        request: Request,
        least: int,
        most: int,
        currency: str,
        time_zone: str,
        compared: Space = Space.BEHAVIOUR,
    ) -> Job:
        """The job; ``ClusteringInvalid``, ``TimeZoneUnknown``."""
        counts = cluster_counts(least, most)
        at = to_micros(self.desk.clock())
        local = calendar(Unit.DAY, time_zone, at)

        async def work(progress: Progress) -> dict[str, str]:
            return await self._find(tenant, counts, currency, local, time_zone, at, compared, progress)

        return await self.desk.start(tenant, KIND, request, work)

    async def get(self, tenant: str, clustering_id: str) -> Clustering:
        """The clustering, or the newest; ``ClusteringNotFound``."""
        found = await self.clusterings.get(tenant, clustering_id)
        if found is None:
            raise ClusteringNotFound(
                f"there is no clustering {clustering_id}" if clustering_id else "no clusters were found yet: start it"
            )
        return found

    async def reassign(self, tenant: str, request: Request, clustering_id: str) -> Job:
        """The job; ``ClusteringNotFound``, ``ClustersNotKept``."""
        found = await self.get(tenant, clustering_id)
        model = found.model
        if model is None:
            why = "is by taste" if found.space is Space.TASTE else "was found before its model was kept"
            raise ClustersNotKept(f"the clustering {why}; find clusters anew")
        at = to_micros(self.desk.clock())
        local = calendar(Unit.DAY, model.time_zone, at)

        async def work(progress: Progress) -> dict[str, str]:
            await progress(0.05, "reading the behaviour of customers")
            behaviour = await self.insights.behaviour(tenant, found.currency, local, at, model.figures)
            await progress(0.7, "assigning customers to clusters")
            labels = await asyncio.to_thread(_assigned, behaviour, model)
            await self.clusterings.assign(tenant, found.clustering_id, behaviour.customer_ids, labels)
            return {"clustering_id": found.clustering_id, "customer_count": str(len(labels))}

        return await self.desk.start(tenant, REASSIGN, request, work)

    async def _find(
        self,
        tenant: str,
        counts: tuple[int, int],
        currency: str,
        local: Calendar,
        time_zone: str,
        at: int,
        compared: Space,
        progress: Progress,
    ) -> dict[str, str]:
        await progress(0.05, "reading the behaviour of customers")
        behaviour = await self.insights.behaviour(tenant, currency, local, at)
        _enough(behaviour, "have orders")
        if compared is Space.TASTE:
            await progress(0.1, "reading what customers like")
            liked = await self.tastes.vectors(tenant)
            behaviour, where = await asyncio.to_thread(taste_space, behaviour, *liked)
            _enough(behaviour, "have orders and are known to recommendation")
        else:
            where = await asyncio.to_thread(space, behaviour)
        await progress(0.2, "finding clusters")
        clustering_id = f"clustering_{uuid.uuid4().hex}"
        found, labels = await asyncio.to_thread(
            _describe, behaviour, where, counts, clustering_id, time_zone, at, compared
        )
        await progress(0.9, "keeping the clusters")
        named = score_names((await self.segments.catalogue(tenant)).rules.values())
        spared = {name.removeprefix(CLUSTER) for name in named}
        await self.clusterings.keep(tenant, found, behaviour.customer_ids, labels, spared)
        return {
            "clustering_id": clustering_id,
            "cluster_count": str(len(found.personas)),
            "stability": f"{np.mean(found.stability):.3f}",
        }


def _assigned(behaviour: Behaviour, model: ClusterModel) -> Numbers:
    """The cluster of each customer by a model that was found before."""
    if not behaviour.customer_ids:
        return np.empty(0, np.int64)
    points = comparable(behaviour.figures, behaviour.names)
    places = scaled(points, behaviour.names, np.array(model.means), np.array(model.spreads))
    return clusters.assign(places, np.array(model.centroids, np.float32))


def _enough(behaviour: Behaviour, what: str) -> None:
    count = len(behaviour.customer_ids)
    if count < CUSTOMERS_MIN:
        raise CustomersTooFew(f"{count} customers {what}; clusters need {CUSTOMERS_MIN}", minimum=CUSTOMERS_MIN)


def _describe(
    behaviour: Behaviour,
    where: Places,
    counts: tuple[int, int],
    clustering_id: str,
    time_zone: str,
    at: int,
    compared: Space,
) -> tuple[Clustering, Numbers]:
    fitted = clusters.fit(where.places, *counts, SEED)
    labels = clusters.assign(where.places, fitted.centroids)
    # Numbered anew by size over all customers; a cluster of the sample that nobody is nearest to is none.
    sizes = np.bincount(labels, minlength=len(fitted.centroids))
    order = np.argsort(-sizes, kind="stable")
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    labels = ranks[labels]
    described = personas(behaviour, where.points, labels, where.spreads)
    trials = [Trial(trial.k, trial.silhouette) for trial in fitted.trials]
    count = len(behaviour.customer_ids)
    model = ClusterModel(
        list(behaviour.names),
        where.means.tolist(),
        where.spreads.tolist(),
        fitted.centroids[order].tolist(),
        time_zone,
    )
    kept = model if compared is Space.BEHAVIOUR else None
    found = Clustering(
        clustering_id, at, behaviour.currency, count, trials, list(fitted.stability), described, kept, compared
    )
    return found, labels
