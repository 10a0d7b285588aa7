"""Of which categories customers are likely to buy, through the gateway: one rpc for a page, the contract's words."""

from google.protobuf.json_format import MessageToDict
from tessera.common.v1 import job_pb2
from tessera.forecasting.v1 import category_preference_pb2 as pb
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting
from tessera.forecasting.v1.propensity_pb2 import PropensityReason
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from tests.gateway.platform import Backend, Client


def _liked(customer_id: str) -> pb.CategoryPreferences:
    why = PropensityReason(feature="category_days", value=4, contribution=0.5)
    return pb.CategoryPreferences(
        customer_id=customer_id,
        categories=[pb.CategoryPreference(category="FOOD", probability=0.5, share=0.25, reasons=[why])],
    )


async def test_preferences_of_a_page_of_customers_are_one_rpc(client: Client, backend: Backend) -> None:
    everyone = [profiles.Customer(customer_id=f"c{number}") for number in range(20)]
    backend.on("profiles.ListCustomers", lambda _: profiles.ListCustomersResponse(customers=everyone))
    backend.on(
        "forecasting.BatchGetCategoryPreferences",
        lambda asked: pb.BatchGetCategoryPreferencesResponse(
            preferences=[_liked(each) for each in asked.customer_ids if each != "c7"]
        ),
    )
    backend.on(
        "forecasting.BatchGetCustomerPredictions",
        lambda asked: forecasting.BatchGetCustomerPredictionsResponse(
            predictions=[forecasting.CustomerPrediction(customer_id=each) for each in asked.customer_ids]
        ),
    )
    query = """{ customers(first: 20) { nodes {
        categoryPreferences { categories { category probability share reasons { feature value contribution } } }
        predictions { categoryPreferences { categories { category } } } } } }"""
    nodes = (await client.data(query))["customers"]["nodes"]
    why = {"feature": "category_days", "value": 4.0, "contribution": 0.5}
    assert nodes[0]["categoryPreferences"] == {
        "categories": [{"category": "FOOD", "probability": 0.5, "share": 0.25, "reasons": [why]}]
    }
    assert nodes[0]["predictions"] == {"categoryPreferences": {"categories": [{"category": "FOOD"}]}}
    assert (nodes[7]["categoryPreferences"], nodes[7]["predictions"]) == (None, {"categoryPreferences": None})
    assert len(backend.requests("forecasting.BatchGetCategoryPreferences")) == 1


async def test_a_model_is_fitted_and_read_and_customers_are_listed_by_category(
    client: Client, backend: Backend
) -> None:
    job = job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_RUNNING)
    backend.on("forecasting.FitCategoryPreferences", lambda _: pb.FitCategoryPreferencesResponse(job=job))
    ranking = pb.CategoryRanking(method=pb.CATEGORY_RANKING_METHOD_POPULARITY, hit_rate=0.5, log_loss=0.3)
    model = pb.CategoryPreferenceModel(version=2, quality=pb.CategoryPreferenceQuality(rankings=[ranking]))
    backend.on(
        "forecasting.GetCategoryPreferenceModel",
        lambda _: pb.GetCategoryPreferenceModelResponse(category_preference_model=model),
    )
    backend.on(
        "forecasting.ListCategoryPreferences",
        lambda _: pb.ListCategoryPreferencesResponse(preferences=[_liked("c1")], next_page_token="more"),
    )
    data = await client.data(
        """mutation { fitCategoryPreferences(input: {requestId: "r", categoriesPerCustomer: 3}) { job { jobId } } }"""
    )
    assert data["fitCategoryPreferences"]["job"] == {"jobId": "j1"}
    data = await client.data(
        """{ categoryPreferenceModel { version quality { rankings { method hitRate logLoss } } }
             customerCategoryPreferences(category: "FOOD", first: 1) {
               nodes { customerId categories { category } } pageInfo { hasNextPage } } }"""
    )
    assert data["categoryPreferenceModel"] == {
        "version": 2,
        "quality": {"rankings": [{"method": "POPULARITY", "hitRate": 0.5, "logLoss": 0.3}]},
    }
    assert data["customerCategoryPreferences"] == {
        "nodes": [{"customerId": "c1", "categories": [{"category": "FOOD"}]}],
        "pageInfo": {"hasNextPage": True},
    }
    asked = MessageToDict(backend.requests("forecasting.ListCategoryPreferences")[-1], preserving_proto_field_name=True)
    assert asked["category"] == "FOOD"


async def test_a_model_is_deleted_once_for_a_request(client: Client, backend: Backend) -> None:
    backend.on("forecasting.DeleteCategoryPreferenceModel", lambda _: pb.DeleteCategoryPreferenceModelResponse())
    data = await client.data("""mutation { deleteCategoryPreferenceModel(input: {requestId: "r"}) }""")
    assert data == {"deleteCategoryPreferenceModel": True}
    assert backend.requests("forecasting.DeleteCategoryPreferenceModel")[-1].request_id == "r"


async def test_versions_are_listed_and_held_against_what_was_bought(client: Client, backend: Backend) -> None:
    decile = pb.CategoryPreferenceDecile(pair_count=4, probability=0.5, bought_share=0.25)
    food = pb.CategoryQuality(category="FOOD", base_rate=0.2, probability=0.3, first_count=3, deciles=[decile])
    quality = pb.CategoryPreferenceQuality(base_log_loss=0.6, deciles=[decile], categories=[food])
    models = [pb.CategoryPreferenceModel(version=version) for version in (3, 2)]
    backend.on(
        "forecasting.ListCategoryPreferenceModels",
        lambda _: pb.ListCategoryPreferenceModelsResponse(category_preference_models=models),
    )
    backend.on(
        "forecasting.MonitorCategoryPreferences",
        lambda asked: pb.MonitorCategoryPreferencesResponse(version=asked.version or 2, quality=quality),
    )
    data = await client.data(
        """{ categoryPreferenceModels { version quality { baseLogLoss categories { category } } }
             categoryPreferenceOutcome { version quality { baseLogLoss deciles { pairCount lift }
               categories { category probability baseRate firstCount firstHitRate deciles { boughtShare } } } }
             older: categoryPreferenceOutcome(version: 1) { version } }"""
    )
    assert [it["version"] for it in data["categoryPreferenceModels"]] == [3, 2]
    assert data["categoryPreferenceOutcome"] == {
        "version": 2,
        "quality": {
            "baseLogLoss": 0.6,
            "deciles": [{"pairCount": 4, "lift": None}],
            "categories": [
                {
                    "category": "FOOD",
                    "probability": 0.3,
                    "baseRate": 0.2,
                    "firstCount": 3,
                    "firstHitRate": None,
                    "deciles": [{"boughtShare": 0.25}],
                }
            ],
        },
    }
    assert data["older"] == {"version": 1}
