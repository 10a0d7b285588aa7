"""What customers are expected to do, through the gateway: one rpc for a page, arguments as the contract has them."""

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import job_pb2
from tessera.common.v1.money_pb2 import Money
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.profiles.v1 import predictive_trait_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from tests.gateway.platform import Backend, Client


def _asked(backend: Backend, rpc: str) -> dict[str, Any]:
    return MessageToDict(backend.requests(rpc)[-1], preserving_proto_field_name=True)


def _prediction(customer_id: str) -> pb.CustomerPrediction:
    return pb.CustomerPrediction(
        customer_id=customer_id,
        churn_probability=0.25,
        churn_band=pb.CHURN_BAND_LOW,
        expected_revenue=Money(currency="USD", amount_minor=1250),
    )


async def test_predictions_of_a_page_of_customers_are_one_rpc(client: Client, backend: Backend) -> None:
    everyone = [profiles.Customer(customer_id=f"c{number}") for number in range(20)]
    backend.on("profiles.ListCustomers", lambda _: profiles.ListCustomersResponse(customers=everyone))
    backend.on(
        "forecasting.BatchGetCustomerPredictions",
        lambda asked: pb.BatchGetCustomerPredictionsResponse(
            predictions=[_prediction(each) for each in asked.customer_ids if each != "c7"]
        ),
    )
    query = """{ customers(first: 20) { nodes { customerId predictions {
        churnBand churnProbability expectedRevenue { amount } expectedNextOrderTime } } } }"""
    nodes = (await client.data(query))["customers"]["nodes"]
    assert nodes[0]["predictions"] == {
        "churnBand": "LOW",
        "churnProbability": 0.25,
        "expectedRevenue": {"amount": "12.50"},
        "expectedNextOrderTime": None,
    }
    assert nodes[7]["predictions"] is None
    assert len(backend.requests("forecasting.BatchGetCustomerPredictions")) == 1


async def test_a_profile_shows_its_predictive_traits_and_how_good_their_model_is(
    client: Client, backend: Backend
) -> None:
    expected = predictive_trait_pb2.PredictiveTraits(
        source="forecasting",
        model="bg_nbd",
        model_version=3,
        currency="USD",
        traits=[predictive_trait_pb2.PredictiveTrait(name="churn_band", value_json='"high"')],
        quality=predictive_trait_pb2.PredictionQuality(churn_brier=0.125, churn_auc=0.75),
    )
    found = {"c1": profiles.Customer(customer_id="c1", predictive_traits=expected)}
    backend.on(
        "profiles.BatchGetCustomers",
        lambda asked: profiles.BatchGetCustomersResponse(
            customers=[found.get(each, profiles.Customer(customer_id=each)) for each in asked.customer_ids]
        ),
    )
    query = """query($id: ID!) { customer(id: $id) { predictiveTraits { source model modelVersion traits { name value }
        quality { churnAuc churnBrier orderBias } } } }"""
    shown = await client.data(query, {"id": "c1"})
    assert shown["customer"]["predictiveTraits"] == {
        "source": "forecasting",
        "model": "bg_nbd",
        "modelVersion": 3,
        "traits": [{"name": "churn_band", "value": "high"}],
        "quality": {"churnAuc": 0.75, "churnBrier": 0.125, "orderBias": None},
    }
    assert (await client.data(query, {"id": "c2"}))["customer"]["predictiveTraits"] is None


async def test_a_profile_shows_what_each_named_model_says(client: Client, backend: Backend) -> None:
    trait = predictive_trait_pb2.PredictiveTrait
    shoes = predictive_trait_pb2.PredictiveTraits(
        kind=predictive_trait_pb2.PREDICTIVE_MODEL_KIND_PROPENSITY,
        model="buys_shoes",
        model_version=2,
        as_of_time=Timestamp(seconds=86_400),
        traits=[trait(name="decile", value_json="9"), trait(name="probability", value_json="0.375")],
    )
    tastes = predictive_trait_pb2.PredictiveTraits(
        kind=predictive_trait_pb2.PREDICTIVE_MODEL_KIND_CATEGORY_PREFERENCE,
        model="categories",
        traits=[trait(name="categories", value_json='[{"category":"TOYS","probability":0.5,"share":0.25}]')],
    )
    found = profiles.Customer(customer_id="c1", model_traits=[shoes, tastes])
    backend.on("profiles.BatchGetCustomers", lambda _: profiles.BatchGetCustomersResponse(customers=[found]))
    query = """query($id: ID!) { customer(id: $id) { predictiveTraits { model }
        modelTraits { kind model modelVersion asOfTime fitTime traits { name value } quality { churnAuc } } } }"""
    shown = (await client.data(query, {"id": "c1"}))["customer"]
    assert shown["predictiveTraits"] is None
    assert shown["modelTraits"] == [
        {
            "kind": "PROPENSITY",
            "model": "buys_shoes",
            "modelVersion": 2,
            "asOfTime": "1970-01-02T00:00:00Z",
            "fitTime": None,
            "traits": [{"name": "decile", "value": 9}, {"name": "probability", "value": 0.375}],
            "quality": None,
        },
        {
            "kind": "CATEGORY_PREFERENCE",
            "model": "categories",
            "modelVersion": 0,
            "asOfTime": None,
            "fitTime": None,
            "traits": [
                {"name": "categories", "value": [{"category": "TOYS", "probability": 0.5, "share": 0.25}]},
            ],
            "quality": None,
        },
    ]


async def test_a_list_names_its_order_and_its_customers(client: Client, backend: Backend) -> None:
    backend.on(
        "forecasting.ListCustomerPredictions",
        lambda _: pb.ListCustomerPredictionsResponse(predictions=[_prediction("c1"), _prediction("c2")]),
    )
    backend.on(
        "profiles.BatchGetCustomers",
        lambda asked: profiles.BatchGetCustomersResponse(
            customers=[profiles.Customer(customer_id=each) for each in asked.customer_ids]
        ),
    )
    query = """{ customerPredictions(first: 2, order: CHURN_PROBABILITY) { nodes { customer { customerId } } } }"""
    nodes = (await client.data(query))["customerPredictions"]["nodes"]
    assert [node["customer"]["customerId"] for node in nodes] == ["c1", "c2"]
    asked = {"order": "CUSTOMER_PREDICTION_ORDER_CHURN_PROBABILITY", "page_size": 2}
    assert _asked(backend, "forecasting.ListCustomerPredictions") == asked


async def test_a_fit_is_asked_for_in_the_contracts_words_and_a_model_is_read(client: Client, backend: Backend) -> None:
    job = job_pb2.Job(job_id="j1", state=job_pb2.JOB_STATE_RUNNING)
    backend.on("forecasting.FitCustomerModel", lambda _: pb.FitCustomerModelResponse(job=job))
    data = await client.data(
        """mutation { fitCustomerModel(input: {requestId: "r", horizonDays: 30, discountRate: 0.0,
           purchaseModel: PARETO_NBD, asOfTime: "2026-05-01T00:00:00Z"}) { job { jobId state } } }"""
    )
    assert data["fitCustomerModel"]["job"] == {"jobId": "j1", "state": "RUNNING"}
    assert _asked(backend, "forecasting.FitCustomerModel") == {
        "request_id": "r",
        "horizon_days": 30,
        "discount_rate": 0.0,
        "as_of_time": "2026-05-01T00:00:00Z",
        "purchase_model": "PURCHASE_MODEL_PARETO_NBD",
    }
    model = pb.CustomerModel(
        purchase_model=pb.PURCHASE_MODEL_BG_NBD,
        purchase_parameters={"r": 0.25, "alpha": 4.5},
        holdout=pb.CustomerHoldout(order_bias=-0.1, deciles=[pb.CustomerDecile(customer_count=9)]),
    )
    backend.on("forecasting.GetCustomerModel", lambda _: pb.GetCustomerModelResponse(customer_model=model))
    query = """{ customerModel { purchaseModel purchaseParameters { key value }
        holdout { orderBias churnAuc deciles { customerCount } } } }"""
    assert (await client.data(query))["customerModel"] == {
        "purchaseModel": "BG_NBD",
        "purchaseParameters": [{"key": "alpha", "value": 4.5}, {"key": "r", "value": 0.25}],
        "holdout": {"orderBias": -0.1, "churnAuc": None, "deciles": [{"customerCount": 9}]},
    }
    came = pb.MonitorCustomerModelResponse(version=3, outcome=pb.CustomerHoldout(order_bias=0.5, brier=0.25))
    backend.on("forecasting.MonitorCustomerModel", lambda _: came)
    query = "{ customerModelOutcome(version: 3) { version outcome { orderBias churnAuc brier } } }"
    outcome = {"orderBias": 0.5, "churnAuc": None, "brier": 0.25}
    assert (await client.data(query))["customerModelOutcome"] == {"version": 3, "outcome": outcome}
    assert _asked(backend, "forecasting.MonitorCustomerModel") == {"version": "3"}
