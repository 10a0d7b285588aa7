"""Field rules of the contracts are enforced, with the path of the field that breaks one."""

from typing import Any

import pytest
from google.protobuf.message import Message
from tessera.common.v1 import rule_pb2
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation

from services.common.validation import FieldInvalid, validate

TIER = loyalty.Tier(tier_id="gold", name="Gold", threshold=1)
PROGRAM: dict[str, Any] = {
    "program_id": "p",
    "name": "P",
    "currency": "EUR",
    "points_per_100_minor": 1,
    "request_id": "r",
}

REWARD: dict[str, Any] = {"program_id": "p", "reward_id": "mug", "name": "Mug", "cost_points": 1, "request_id": "r"}
REFUND: dict[str, Any] = {"program_id": "p", "order_id": "o", "request_id": "r"}


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (profiles.IngestEventsRequest(), "events"),
        (profiles.IngestEventsRequest(events=[profiles.Event()] * 2501), "events"),
        (profiles.ListCustomersRequest(page_size=-1), "page_size"),
        (profiles.ListCustomersRequest(page_size=1001), "page_size"),
        (profiles.GetCustomerRequest(identifier=profiles.Identifier(type="email")), "identifier.value"),
        (profiles.GetCustomerRequest(identifier=profiles.Identifier(type="t" * 65, value="v")), "identifier.type"),
        (loyalty.CreateProgramRequest(**{**PROGRAM, "currency": "eur"}), "currency"),
        (loyalty.CreateProgramRequest(**PROGRAM, tiers=[TIER, loyalty.Tier(tier_id="No")]), "tiers[1].tier_id"),
        (segmentation.CreateSegmentRequest(), "name"),
        (loyalty.CreateRewardRequest(**REWARD, stock_count=-1), "stock_count"),
        (loyalty.RefundOrderRequest(**REFUND, amount_minor=0), "amount_minor"),
    ],
)
def test_the_field_that_breaks_a_rule_is_named(message: Message, field: str) -> None:
    with pytest.raises(FieldInvalid) as refused:
        validate(message)
    assert refused.value.metadata["field"] == field
    assert field in str(refused.value)


@pytest.mark.parametrize(
    "message",
    [
        profiles.ListCustomersRequest(page_size=1000),
        profiles.GetCustomerRequest(customer_id="c"),
        loyalty.RefundOrderRequest(**REFUND),
        loyalty.CreateProgramRequest(**PROGRAM, tiers=[TIER]),
        segmentation.CreateSegmentRequest(name="n", rule=rule_pb2.Rule(segment=rule_pb2.SegmentCondition())),
    ],
)
def test_what_keeps_the_rules_passes(message: Message) -> None:
    validate(message)
