"""Whom it pays to treat, through the gateway: one rpc for a page, arguments as the contract has them."""

from google.protobuf.json_format import MessageToDict
from tessera.common.v1 import job_pb2
from tessera.forecasting.v1 import uplift_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from tests.gateway.platform import Backend, Client


def _uplift(customer_id: str) -> pb.Uplift:
    said = pb.UpliftFigure(value=0.2, low=0.1, high=0.3)
    return pb.Uplift(model_id="mailed", customer_id=customer_id, uplift=said, group=pb.UPLIFT_GROUP_PERSUADABLE)


async def test_uplifts_of_a_page_of_customers_are_one_rpc(client: Client, backend: Backend) -> None:
    everyone = [profiles.Customer(customer_id=f"c{number}") for number in range(20)]
    backend.on("profiles.ListCustomers", lambda _: profiles.ListCustomersResponse(customers=everyone))
    backend.on(
        "forecasting.BatchGetUplifts",
        lambda asked: pb.BatchGetUpliftsResponse(uplifts=[_uplift(it) for it in asked.customer_ids if it != "c7"]),
    )
    query = "{ customers(first: 20) { nodes { uplifts { modelId group uplift { value low high } } } } }"
    nodes = (await client.data(query))["customers"]["nodes"]
    assert nodes[0]["uplifts"] == [
        {"modelId": "mailed", "group": "PERSUADABLE", "uplift": {"value": 0.2, "low": 0.1, "high": 0.3}}
    ]
    assert nodes[7]["uplifts"] == []
    assert len(backend.requests("forecasting.BatchGetUplifts")) == 1


async def test_an_experiment_and_a_fit_are_told_in_the_contracts_words(client: Client, backend: Backend) -> None:
    job = job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_RUNNING)
    backend.on("forecasting.RecordTreatments", lambda _: pb.RecordTreatmentsResponse(recorded=1))
    backend.on("forecasting.FitUpliftModel", lambda _: pb.FitUpliftModelResponse(job=job))
    data = await client.data(
        """mutation { recordTreatments(input: {requestId: "r", experimentId: "mail", treatments: [
             {customerId: "c1", treated: false, treatmentTime: "2026-03-02T09:00:00Z"}]}) { recorded }
           fitUpliftModel(input: {requestId: "f", modelId: "mailed", experimentId: "mail", goal: {horizonDays: 14},
             goalValue: {currency: "USD", amountMinor: 900}, contactCost: {currency: "USD", amountMinor: 50}})
           { job { jobId } } }"""
    )
    assert data == {"recordTreatments": {"recorded": 1}, "fitUpliftModel": {"job": {"jobId": "j1"}}}
    asked = MessageToDict(backend.requests("forecasting.FitUpliftModel")[-1], preserving_proto_field_name=True)
    assert asked["contact_cost"] == {"currency": "USD", "amount_minor": "50"}


async def test_models_experiments_and_customers_are_read_and_deleted(client: Client, backend: Backend) -> None:
    quality = pb.UpliftQuality(qini=pb.UpliftFigure(value=0.01, low=-0.01, high=0.03))
    model = pb.UpliftModel(model_id="mailed", version=2, quality=quality)
    backend.on("forecasting.GetUpliftModel", lambda _: pb.GetUpliftModelResponse(uplift_model=model))
    backend.on("forecasting.ListUpliftModels", lambda _: pb.ListUpliftModelsResponse(uplift_models=[model]))
    experiment = pb.UpliftExperiment(experiment_id="mail", treated_count=3)
    backend.on(
        "forecasting.ListUpliftExperiments", lambda _: pb.ListUpliftExperimentsResponse(experiments=[experiment])
    )
    page = pb.ListUpliftsResponse(uplifts=[_uplift("c1")], next_page_token="more")
    backend.on("forecasting.ListUplifts", lambda _: page)
    backend.on("forecasting.DeleteUpliftModel", lambda _: pb.DeleteUpliftModelResponse())
    backend.on("forecasting.DeleteUpliftExperiment", lambda _: pb.DeleteUpliftExperimentResponse())
    data = await client.data(
        """{ upliftModel(modelId: "mailed") { version recommendation { customerCount } quality { qini { low } } }
             upliftModels { modelId } upliftExperiments { experimentId treatedCount }
             customerUplifts(modelId: "mailed", first: 1) { nodes { customerId } pageInfo { hasNextPage } } }"""
    )
    assert data == {
        "upliftModel": {"version": 2, "recommendation": None, "quality": {"qini": {"low": -0.01}}},
        "upliftModels": [{"modelId": "mailed"}],
        "upliftExperiments": [{"experimentId": "mail", "treatedCount": 3}],
        "customerUplifts": {"nodes": [{"customerId": "c1"}], "pageInfo": {"hasNextPage": True}},
    }
    gone = await client.data(
        """mutation { deleteUpliftModel(modelId: "mailed") deleteUpliftExperiment(experimentId: "mail") }"""
    )
    assert gone == {"deleteUpliftModel": "mailed", "deleteUpliftExperiment": "mail"}
