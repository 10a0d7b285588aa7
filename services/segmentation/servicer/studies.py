"""Clusters, personas and lookalikes over the wire."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tessera.segmentation.v1 import cluster_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common.auth import principal
from services.common.idempotency import fingerprint
from services.common.job_messages import to_proto
from services.segmentation.domain.lookalike import SHARE_DEFAULT, Lookalike
from services.segmentation.domain.persona import Clustering, Persona, Space
from services.segmentation.handlers.clustering import ClusteringWork
from services.segmentation.handlers.lookalikes import LookalikeWork
from services.segmentation.ports import Request
from services.segmentation.servicer.context import Context
from services.segmentation.servicer.insights import money, timestamp

PAGE_SIZE_DEFAULT = 100


@dataclass(frozen=True, kw_only=True)
class StudyRpcs(SegmentationServiceServicer):
    """The rpcs of clusters and lookalikes, and of the jobs that find them."""

    clustering: ClusteringWork
    lookalikes: LookalikeWork

    async def StartClustering(self, request: pb.StartClusteringRequest, context: Context) -> pb.StartClusteringResponse:
        job = await self.clustering.start(
            principal().tenant,
            Request(request.request_id, fingerprint(request), principal().subject),
            request.cluster_count_min,
            request.cluster_count_max,
            request.currency,
            request.time_zone,
            Space(request.space or Space.BEHAVIOUR),
        )
        return pb.StartClusteringResponse(job=to_proto(job))

    async def GetClustering(self, request: pb.GetClusteringRequest, context: Context) -> pb.GetClusteringResponse:
        found = await self.clustering.get(principal().tenant, request.clustering_id)
        return pb.GetClusteringResponse(clustering=_clustering(found))

    async def BatchGetClusters(
        self, request: pb.BatchGetClustersRequest, context: Context
    ) -> pb.BatchGetClustersResponse:
        tenant = principal().tenant
        newest = await self.clustering.clusterings.get(tenant, "")
        if newest is None:
            return pb.BatchGetClustersResponse()
        wanted = list(dict.fromkeys(request.customer_ids))
        found = await self.clustering.clusterings.clusters_of(tenant, newest.clustering_id, wanted)
        members = [pb.ClusterMember(customer_id=who, cluster=found[who]) for who in wanted if who in found]
        return pb.BatchGetClustersResponse(members=members, clustering_id=newest.clustering_id)

    async def ListClusterMembers(
        self, request: pb.ListClusterMembersRequest, context: Context
    ) -> pb.ListClusterMembersResponse:
        tenant, size = principal().tenant, request.page_size or PAGE_SIZE_DEFAULT
        newest = await self.clustering.get(tenant, "")
        found = await self.clustering.clusterings.members(
            tenant, newest.clustering_id, request.cluster, size + 1, request.page_token
        )
        page = found[:size]
        return pb.ListClusterMembersResponse(customer_ids=page, next_page_token=page[-1] if len(found) > size else "")

    async def StartLookalike(self, request: pb.StartLookalikeRequest, context: Context) -> pb.StartLookalikeResponse:
        job = await self.lookalikes.start(
            principal().tenant,
            Request(request.request_id, fingerprint(request), principal().subject),
            request.name,
            request.segment_id,
            request.currency,
            request.time_zone,
        )
        return pb.StartLookalikeResponse(job=to_proto(job))

    async def GetLookalike(self, request: pb.GetLookalikeRequest, context: Context) -> pb.GetLookalikeResponse:
        found = await self.lookalikes.get(principal().tenant, request.lookalike_id)
        return pb.GetLookalikeResponse(lookalike=_lookalike(found))

    async def ListLookalikeCustomers(
        self, request: pb.ListLookalikeCustomersRequest, context: Context
    ) -> pb.ListLookalikeCustomersResponse:
        share = request.share if request.HasField("share") else SHARE_DEFAULT
        start, size = int(request.page_token or 0), request.page_size or PAGE_SIZE_DEFAULT
        page, whole = await self.lookalikes.customers(principal().tenant, request.lookalike_id, share, start, size)
        end = start + len(page)
        return pb.ListLookalikeCustomersResponse(
            customer_ids=page, next_page_token=str(end) if page and end < whole else "", customer_count=whole
        )

    async def GetStudyJob(self, request: pb.GetStudyJobRequest, context: Context) -> pb.GetStudyJobResponse:
        job = await self.clustering.desk.jobs.get(principal().tenant, request.job_id)
        return pb.GetStudyJobResponse(job=to_proto(job))

    async def FollowStudyJob(
        self, request: pb.FollowStudyJobRequest, context: Context
    ) -> AsyncIterator[pb.FollowStudyJobResponse]:
        async for job in self.clustering.desk.jobs.follow(principal().tenant, request.job_id):
            yield pb.FollowStudyJobResponse(job=to_proto(job))


def _clustering(found: Clustering) -> pb.Clustering:
    return pb.Clustering(
        clustering_id=found.clustering_id,
        as_of_time=timestamp(found.as_of),
        customer_count=found.customer_count,
        trials=[
            pb.ClusterTrial(cluster_count=trial.cluster_count, silhouette=trial.silhouette) for trial in found.trials
        ],
        stability_mean=sum(found.stability) / len(found.stability),
        stability_min=min(found.stability),
        personas=[_persona(found.currency, persona) for persona in found.personas],
        space=pb.ClusterSpace.ValueType(found.space),
    )


def _persona(currency: str, it: Persona) -> pb.Persona:
    return pb.Persona(
        cluster=it.cluster,
        name=it.name,
        description=it.description,
        customer_count=it.customer_count,
        customer_share=it.customer_share,
        revenue=money(currency, it.revenue_minor),
        revenue_share=it.revenue_share,
        order_value=money(currency, it.order_value_minor),
        frequency_mean=it.frequency_mean,
        recency_days_median=it.recency_days_median,
        differences=[
            pb.PersonaDifference(
                figure=each.figure,
                mean=each.mean,
                overall_mean=each.overall_mean,
                standardised=each.standardised,
            )
            for each in it.differences
        ],
        categories=[
            pb.PersonaCategory(category=each.category, order_share=each.order_share, lift=each.lift)
            for each in it.categories
        ],
        daypart=it.daypart,
        weekend_share=it.weekend_share,
    )


def _lookalike(found: Lookalike) -> pb.Lookalike:
    return pb.Lookalike(
        lookalike_id=found.lookalike_id,
        name=found.name,
        segment_id=found.segment_id,
        as_of_time=timestamp(found.as_of),
        seed_count=found.seed_count,
        candidate_count=found.candidate_count,
        reach=[pb.LookalikeReach(share=it.share, recall=it.recall, lift=it.lift) for it in found.reach],
    )
