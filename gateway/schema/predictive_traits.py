"""Predictive traits in the schema: what a model expects of a customer, as the profile keeps it."""

from strawberry import Parent
from tessera.profiles.v1 import predictive_trait_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2

from gateway.schema.access import by_rpc
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto


@from_proto(pb.PredictiveTrait, "name", "value_json")
class PredictiveTrait: ...


@from_proto(
    pb.PredictionQuality,
    "holdout_start_time",
    "customer_count",
    "churn_auc",
    "churn_brier",
    "order_bias",
    "revenue_rank_correlation",
    "top_decile_revenue_lift",
)
class PredictionQuality: ...


@from_proto(
    pb.PredictiveTraits,
    "source",
    "model",
    "model_version",
    "fit_time",
    "data_start_time",
    "as_of_time",
    "horizon_days",
    "currency",
    "change_time",
    "traits",
    "quality",
    "kind",
)
class PredictiveTraits: ...


@edge(Customer, by_rpc("profiles.GetCustomer"))
def predictive_traits(customer: Parent[profiles_service_pb2.Customer]) -> pb.PredictiveTraits | None:
    """What the newest model of purchases expects, as the profile keeps it; null where nothing is expected."""
    return customer.predictive_traits if customer.HasField("predictive_traits") else None


@edge(Customer, by_rpc("profiles.GetCustomer"))
def model_traits(customer: Parent[profiles_service_pb2.Customer]) -> list[pb.PredictiveTraits]:
    """What propensity models, the model of category preferences and uplift models say, as the profile keeps it."""
    return list(customer.model_traits)
