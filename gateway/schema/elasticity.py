"""How demand answers to price and promotion, in the schema."""

from tessera.forecasting.v1 import elasticity_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.registry import from_proto, input_from_proto, query


@from_proto(
    pb.GetElasticitiesResponse,
    "elasticities",
    "overall",
    "start_time",
    "end_time",
    "product_count",
    "informative_count",
)
class Elasticities: ...


@from_proto(pb.Elasticity, "value", "price", "promotion_lift", "period_count", "units", "price_variation", "warnings")
class Elasticity: ...


@from_proto(pb.ElasticityFigure, "value", "low", "high", "own")
class ElasticityFigure: ...


@input_from_proto(
    pb.GetElasticitiesRequest,
    "dimension",
    "values",
    "granularity",
    "currency",
    "time_zone",
    "start_time",
    "end_time",
    "price_driver",
    "promotion_driver",
)
class ElasticityInput: ...


@query(by_rpc("forecasting.GetElasticities"))
async def elasticity(info: Info, input: pb.GetElasticitiesRequest) -> pb.GetElasticitiesResponse:
    """How much more is sold when a price falls or a promotion runs, by product or category."""
    return await info.context.backends.forecasting.GetElasticities(input, metadata=info.context.metadata)
