"""What customers are likely to do, through the gateway: one rpc for a page, arguments as the contract has them."""

from google.protobuf.json_format import MessageToDict
from tessera.common.v1 import job_pb2
from tessera.forecasting.v1 import propensity_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from tests.gateway.platform import Backend, Client


def _propensity(customer_id: str, model_id: str = "food") -> pb.Propensity:
    reasons = [pb.PropensityReason(feature="gap_days", contribution=-0.5)]
    return pb.Propensity(model_id=model_id, customer_id=customer_id, probability=0.25, percentile=80, reasons=reasons)


async def test_propensities_of_a_page_of_customers_are_one_rpc(client: Client, backend: Backend) -> None:
    everyone = [profiles.Customer(customer_id=f"c{number}") for number in range(20)]
    backend.on("profiles.ListCustomers", lambda _: profiles.ListCustomersResponse(customers=everyone))
    backend.on(
        "forecasting.BatchGetPropensities",
        lambda asked: pb.BatchGetPropensitiesResponse(
            propensities=[_propensity(each, name) for each in asked.customer_ids if each != "c7" for name in "ab"]
        ),
    )
    query = """{ customers(first: 20) { nodes { propensities {
        modelId probability percentile reasons { feature value contribution } } } } }"""
    nodes = (await client.data(query))["customers"]["nodes"]
    assert [it["modelId"] for it in nodes[0]["propensities"]] == ["a", "b"]
    assert nodes[0]["propensities"][0]["reasons"] == [{"feature": "gap_days", "value": None, "contribution": -0.5}]
    assert nodes[7]["propensities"] == []
    assert len(backend.requests("forecasting.BatchGetPropensities")) == 1


async def test_a_goal_is_asked_for_in_the_contracts_words(client: Client, backend: Backend) -> None:
    job = job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_RUNNING)
    backend.on("forecasting.FitPropensityModel", lambda _: pb.FitPropensityModelResponse(job=job))
    data = await client.data(
        """mutation { fitPropensityModel(input: {requestId: "r", modelId: "food", goal: {categories: ["FOOD"],
           horizonDays: 30, minAmount: {currency: "USD", amountMinor: 500}, absent: true}}) { job { jobId } } }"""
    )
    assert data["fitPropensityModel"]["job"] == {"jobId": "j1"}
    asked = MessageToDict(backend.requests("forecasting.FitPropensityModel")[-1], preserving_proto_field_name=True)
    assert asked["goal"] == {
        "categories": ["FOOD"],
        "min_amount": {"currency": "USD", "amount_minor": "500"},
        "horizon_days": 30,
        "absent": True,
    }


async def test_conditions_on_properties_are_asked_for_and_answered(client: Client, backend: Backend) -> None:
    job = job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_RUNNING)
    backend.on("forecasting.FitPropensityModel", lambda _: pb.FitPropensityModelResponse(job=job))
    await client.data(
        """mutation { fitPropensityModel(input: {requestId: "r", modelId: "gold", goal: {eventName: "plan_upgraded",
           horizonDays: 30, sumProperty: "seats", minSum: 5,
           where: [{field: "plan", operator: EQUALS, values: [{stringValue: "gold"}]}]}}) { job { jobId } } }"""
    )
    goal = backend.requests("forecasting.FitPropensityModel")[-1].goal
    assert (goal.sum_property, goal.min_sum) == ("seats", 5.0)
    assert [(it.field, it.operator, it.values[0].string_value) for it in goal.where] == [("plan", 1, "gold")]
    model = pb.PropensityModel(model_id="gold", goal=goal)
    backend.on("forecasting.ListPropensityModels", lambda _: pb.ListPropensityModelsResponse(propensity_models=[model]))
    data = await client.data(
        "{ propensityModels { goal { sumProperty where { field operator values { stringValue numberValue } } } } }"
    )
    [found] = data["propensityModels"][0]["goal"]["where"]
    assert found == {"field": "plan", "operator": "EQUALS", "values": [{"stringValue": "gold", "numberValue": None}]}


async def test_a_model_its_outcome_and_its_customers_are_read_and_it_is_deleted(
    client: Client, backend: Backend
) -> None:
    decile = pb.PropensityDecile(customer_count=3, probability=0.5, reached_share=0.4)
    measured = pb.PropensityQuality(brier=0.2, deciles=[decile])
    model = pb.PropensityModel(model_id="food", version=2, quality=measured)
    backend.on("forecasting.GetPropensityModel", lambda _: pb.GetPropensityModelResponse(propensity_model=model))
    backend.on("forecasting.ListPropensityModels", lambda _: pb.ListPropensityModelsResponse(propensity_models=[model]))
    backend.on(
        "forecasting.MonitorPropensityModel", lambda _: pb.MonitorPropensityModelResponse(version=1, quality=measured)
    )
    backend.on(
        "forecasting.ListPropensities",
        lambda _: pb.ListPropensitiesResponse(propensities=[_propensity("c1")], next_page_token="more"),
    )
    backend.on("forecasting.DeletePropensityModel", lambda _: pb.DeletePropensityModelResponse())
    data = await client.data(
        """{ propensityModel(modelId: "food") { version quality { brier auc deciles { reachedShare lift } } }
             propensityModels { modelId } propensityOutcome(modelId: "food") { version quality { brier } }
             customerPropensities(modelId: "food", first: 1) { nodes { probability } pageInfo { hasNextPage } } }"""
    )
    assert data["propensityModel"]["quality"] == {
        "brier": 0.2,
        "auc": None,
        "deciles": [{"reachedShare": 0.4, "lift": None}],
    }
    assert data["propensityModels"] == [{"modelId": "food"}]
    assert data["propensityOutcome"] == {"version": 1, "quality": {"brier": 0.2}}
    assert data["customerPropensities"] == {"nodes": [{"probability": 0.25}], "pageInfo": {"hasNextPage": True}}
    gone = await client.data("""mutation { deletePropensityModel(modelId: "food") }""")
    assert gone == {"deletePropensityModel": "food"}
