"""Clusters of customers, their personas, and lookalikes in the schema."""

from collections.abc import Sequence

import strawberry
from strawberry import Parent
from tessera.common.v1 import job_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.segmentation.v1 import cluster_pb2 as pb
from tessera.segmentation.v1 import segmentation_service_pb2 as service_pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query


@from_proto(pb.ClusterTrial, "cluster_count", "silhouette")
class ClusterTrial: ...


@from_proto(pb.PersonaDifference, "figure", "mean", "overall_mean", "standardised")
class PersonaDifference: ...


@from_proto(pb.PersonaCategory, "category", "order_share", "lift")
class PersonaCategory: ...


@from_proto(
    pb.Persona,
    "cluster",
    "name",
    "description",
    "customer_count",
    "customer_share",
    "revenue",
    "revenue_share",
    "order_value",
    "frequency_mean",
    "recency_days_median",
    "differences",
    "categories",
    "daypart",
    "weekend_share",
)
class Persona: ...


@from_proto(
    pb.Clustering,
    "clustering_id",
    "as_of_time",
    "customer_count",
    "trials",
    "stability_mean",
    "stability_min",
    "personas",
    "space",
)
class Clustering: ...


@input_from_proto(
    pb.StartClusteringRequest, "request_id", "cluster_count_min", "cluster_count_max", "currency", "time_zone", "space"
)
class StartClusteringInput: ...


@from_proto(pb.StartClusteringResponse, "job")
class StartClusteringPayload: ...


@from_proto(pb.LookalikeReach, "share", "recall", "lift")
class LookalikeReach: ...


@from_proto(
    pb.Lookalike,
    "lookalike_id",
    "name",
    "segment_id",
    "as_of_time",
    "seed_count",
    "candidate_count",
    "reach",
)
class Lookalike: ...


@input_from_proto(pb.StartLookalikeRequest, "request_id", "name", "segment_id", "currency", "time_zone")
class StartLookalikeInput: ...


@from_proto(pb.StartLookalikeResponse, "job")
class StartLookalikePayload: ...


@query(by_rpc("segmentation.GetClustering"))
async def clusters(info: Info, id: strawberry.ID | None = None) -> pb.Clustering | None:
    """The clusters of customers who behave alike, by the newest clustering or another one; null if there is none."""
    request = pb.GetClusteringRequest(clustering_id=id or "")
    call = info.context.backends.segmentation.GetClustering(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.clustering if answer else None


@query(by_rpc("segmentation.GetClustering"))
async def personas(info: Info) -> list[pb.Persona]:
    """The personas of the newest clustering, the largest first; empty if there is none."""
    found = await clusters(info)
    return list(found.personas) if found else []


@query(by_rpc("segmentation.ListClusterMembers"))
async def persona_members(info: Info, cluster: int, first: First = 20, after: After = None) -> Page[service_pb.Member]:
    """The customers of a cluster of the newest clustering."""

    async def fetch(size: int, token: str) -> tuple[Sequence[service_pb.Member], str]:
        request = pb.ListClusterMembersRequest(cluster=cluster, page_size=size, page_token=token)
        answer = await info.context.backends.segmentation.ListClusterMembers(request, metadata=info.context.metadata)
        return [service_pb.Member(customer_id=each) for each in answer.customer_ids], answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("segmentation.GetLookalike"))
async def lookalike(info: Info, id: strawberry.ID) -> pb.Lookalike | None:
    """Customers who resemble an audience, and what the model is worth by size; null if there are none of this id."""
    request = pb.GetLookalikeRequest(lookalike_id=id)
    call = info.context.backends.segmentation.GetLookalike(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.lookalike if answer else None


@query(by_rpc("segmentation.GetStudyJob"))
async def study_job(info: Info, id: strawberry.ID) -> job_pb2.Job | None:
    """The job of a clustering or of a search for lookalikes; null if there is none."""
    request = pb.GetStudyJobRequest(job_id=id)
    answer = await none_if_not_found(
        info.context.backends.segmentation.GetStudyJob(request, metadata=info.context.metadata)
    )
    return answer.job if answer else None


@edge(Lookalike, by_rpc("profiles.BatchGetCustomers"), name="customers")
async def customers_of_lookalike(
    lookalike: Parent[pb.Lookalike], info: Info, share: float = 0.05, first: First = 20, after: After = None
) -> Page[profiles_pb.Customer]:
    """The most alike first, as many as `share` (above 0, at most 0.1) of the candidates."""

    async def fetch(size: int, token: str) -> tuple[Sequence[profiles_pb.Customer], str]:
        request = pb.ListLookalikeCustomersRequest(
            lookalike_id=lookalike.lookalike_id, share=share, page_size=size, page_token=token
        )
        answer = await info.context.backends.segmentation.ListLookalikeCustomers(
            request, metadata=info.context.metadata
        )
        found = await loaders.all_of(loaders.customer(info.context, each) for each in answer.customer_ids)
        return found, answer.next_page_token

    return await page(fetch, first, after)


@edge(Customer, by_rpc("segmentation.BatchGetClusters"), name="persona")
async def persona_of_customer(customer: Parent[profiles_pb.Customer], info: Info) -> pb.Persona | None:
    """The persona of the cluster that the newest clustering put the customer into; null if it did not."""
    context = info.context

    async def fetch(ids: list[str]) -> dict[str, pb.Persona]:
        request = pb.BatchGetClustersRequest(customer_ids=ids)
        answer = await context.backends.segmentation.BatchGetClusters(request, metadata=context.metadata)
        if not answer.members:
            return {}
        whole = pb.GetClusteringRequest(clustering_id=answer.clustering_id)
        found = await context.backends.segmentation.GetClustering(whole, metadata=context.metadata)
        described = {persona.cluster: persona for persona in found.clustering.personas}
        return {member.customer_id: described[member.cluster] for member in answer.members}

    return await context.load("personas", customer.customer_id, fetch, loaders.BATCH_GET_MAX)


@mutation(by_rpc("segmentation.StartClustering"))
async def start_clustering(info: Info, input: pb.StartClusteringRequest) -> pb.StartClusteringResponse:
    return await info.context.backends.segmentation.StartClustering(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.StartLookalike"))
async def start_lookalike(info: Info, input: pb.StartLookalikeRequest) -> pb.StartLookalikeResponse:
    return await info.context.backends.segmentation.StartLookalike(input, metadata=info.context.metadata)
