"""Elasticities through the gateway."""

from google.protobuf.json_format import MessageToDict
from tessera.forecasting.v1 import elasticity_pb2 as pb

from tests.gateway.platform import Backend, Client


async def test_elasticities_are_asked_for_and_told_in_the_contracts_words(client: Client, backend: Backend) -> None:
    price = pb.ElasticityFigure(value=-2, low=-2.5, high=-1.5, own=-2.1)
    found = pb.Elasticity(value="DAIRY", price=price, period_count=52, warnings=["one"])
    answer = pb.GetElasticitiesResponse(elasticities=[found], overall=found, product_count=7)
    backend.on("forecasting.GetElasticities", lambda _: answer)
    data = await client.data(
        """{ elasticity(input: {dimension: CATEGORY, values: ["DAIRY"], promotionDriver: "leaflet"}) {
             productCount overall { price { value } } elasticities {
               value periodCount warnings priceVariation promotionLift { value } price { value low high own } } } }"""
    )
    assert data["elasticity"]["elasticities"] == [
        {
            "value": "DAIRY",
            "periodCount": 52,
            "warnings": ["one"],
            "priceVariation": None,
            "promotionLift": None,
            "price": {"value": -2.0, "low": -2.5, "high": -1.5, "own": -2.1},
        }
    ]
    asked = MessageToDict(backend.requests("forecasting.GetElasticities")[-1], preserving_proto_field_name=True)
    assert asked == {"dimension": "DIMENSION_CATEGORY", "values": ["DAIRY"], "promotion_driver": "leaflet"}
