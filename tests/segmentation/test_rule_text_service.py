"""Rules as text over real gRPC."""

import grpc
import pytest
from tessera.segmentation.v1 import rule_text_pb2 as rule_text
from tessera.segmentation.v1 import segmentation_service_pb2 as pb

from services.common.grpc_errors import error_info
from services.common.rules import Comparison, Operator, wire
from tests.segmentation.platform import Platform

ROMANS = Comparison("city", Operator.EQUALS, ("Rome",))


async def test_a_rule_comes_as_text_and_goes_as_text(platform: Platform) -> None:
    text = 'city == "Rome" && events("Order Completed").within(duration("30d")).count() >= 1'
    stub, metadata = platform.segmentation, platform.metadata
    created = await stub.CreateSegment(pb.CreateSegmentRequest(name="romans", rule_text=text), metadata=metadata)
    assert created.segment.rule_text == text
    assert created.segment.rule.all_of.rules[0].field.field == "city"
    parsed = await stub.ParseRule(rule_text.ParseRuleRequest(text=f"({text})"), metadata=metadata)
    assert (parsed.rule, parsed.text) == (created.segment.rule, text)
    written = await stub.FormatRule(rule_text.FormatRuleRequest(rule=parsed.rule), metadata=metadata)
    assert written.text == text
    preview = await stub.PreviewSegment(pb.PreviewSegmentRequest(rule_text=text), metadata=metadata)
    assert [node.path for node in preview.nodes] == ["all_of", "all_of.rules[0].field", "all_of.rules[1].event"]


@pytest.mark.parametrize(
    ("request_", "reason", "told"),
    [
        (pb.CreateSegmentRequest(name="n"), "RULE_MISSING", {"field": "rule"}),
        (
            pb.CreateSegmentRequest(name="n", rule=wire.write(ROMANS), rule_text='city == "Rome"'),
            "RULE_MISSING",
            {"field": "rule"},
        ),
        (pb.CreateSegmentRequest(name="n", rule_text="city =="), "RULE_TEXT_INVALID", {"line": "1", "column": "8"}),
        (pb.CreateSegmentRequest(name="n", rule_text='city < "x" && city < true'), "RULE_INVALID", {}),
    ],
)
async def test_a_rule_in_no_form_or_in_both_or_misspelt_is_refused(
    platform: Platform, request_: pb.CreateSegmentRequest, reason: str, told: dict[str, str]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await platform.segmentation.CreateSegment(request_, metadata=platform.metadata)
    info = error_info(refused.value)
    assert info is not None
    assert info.reason == reason
    assert told.items() <= dict(info.metadata).items()
