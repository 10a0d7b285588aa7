"""Clusters, personas and lookalikes as GraphQL answers them."""

from tessera.common.v1 import job_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.segmentation.v1 import cluster_pb2 as pb

from tests.gateway.platform import Backend, Client

TEA = pb.Persona(cluster=1, name="Buyers of Tea", categories=[pb.PersonaCategory(category="Tea", lift=2)])
FOUND = pb.Clustering(clustering_id="k1", personas=[pb.Persona(name="Average buyers"), TEA], stability_mean=0.9)


def people(backend: Backend) -> None:
    backend.on(
        "profiles.BatchGetCustomers",
        lambda request: profiles.BatchGetCustomersResponse(
            customers=[profiles.Customer(customer_id=each) for each in request.customer_ids]
        ),
    )


async def test_personas_are_those_of_the_newest_clustering(client: Client, backend: Backend) -> None:
    people(backend)
    backend.on("segmentation.GetClustering", lambda _: pb.GetClusteringResponse(clustering=FOUND))
    backend.on(
        "segmentation.ListClusterMembers",
        lambda request: pb.ListClusterMembersResponse(customer_ids=[f"of {request.cluster}"]),
    )
    found = await client.data("""{ clusters { clusteringId stabilityMean } personas { name categories { category } }
        personaMembers(cluster: 1) { nodes { customerId } } }""")
    assert found["clusters"] == {"clusteringId": "k1", "stabilityMean": 0.9}
    assert found["personas"][1] == {"name": "Buyers of Tea", "categories": [{"category": "Tea"}]}
    assert found["personaMembers"] == {"nodes": [{"customerId": "of 1"}]}


async def test_personas_of_many_customers_are_asked_for_once(client: Client, backend: Backend) -> None:
    people(backend)
    backend.on("segmentation.GetClustering", lambda _: pb.GetClusteringResponse(clustering=FOUND))
    backend.on(
        "segmentation.BatchGetClusters",
        lambda _: pb.BatchGetClustersResponse(
            members=[pb.ClusterMember(customer_id="c1", cluster=1)], clustering_id="k1"
        ),
    )
    backend.on(
        "segmentation.GetLookalike", lambda _: pb.GetLookalikeResponse(lookalike=pb.Lookalike(lookalike_id="l1"))
    )
    backend.on(
        "segmentation.ListLookalikeCustomers", lambda _: pb.ListLookalikeCustomersResponse(customer_ids=["c1", "c2"])
    )
    query = '{ lookalike(id: "l1") { customers(share: 0.02) { nodes { customerId persona { name } } } } }'
    found = await client.data(query)
    assert found["lookalike"]["customers"]["nodes"] == [
        {"customerId": "c1", "persona": {"name": "Buyers of Tea"}},
        {"customerId": "c2", "persona": None},
    ]
    (asked,) = backend.requests("segmentation.BatchGetClusters")
    assert list(asked.customer_ids) == ["c1", "c2"]
    assert len(backend.requests("segmentation.GetClustering")) == 1
    (listed,) = backend.requests("segmentation.ListLookalikeCustomers")
    assert listed.share == 0.02


async def test_clusters_and_lookalikes_are_found_in_the_background(client: Client, backend: Backend) -> None:
    job = job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_PENDING)
    backend.on("segmentation.StartClustering", lambda _: pb.StartClusteringResponse(job=job))
    backend.on("segmentation.StartLookalike", lambda _: pb.StartLookalikeResponse(job=job))
    backend.on("segmentation.GetStudyJob", lambda _: pb.GetStudyJobResponse(job=job))
    found = await client.data("""mutation {
        startClustering(input: {clusterCountMax: 5}) { job { jobId } }
        startLookalike(input: {name: "alike", segmentId: "s1"}) { job { state } } }""")
    assert found == {"startClustering": {"job": {"jobId": "j1"}}, "startLookalike": {"job": {"state": "PENDING"}}}
    assert (await client.data('{ studyJob(id: "j1") { state } }'))["studyJob"] == {"state": "PENDING"}
    (asked,) = backend.requests("segmentation.StartLookalike")
    assert asked.segment_id == "s1"
    assert asked.request_id, "the gateway chooses one"
