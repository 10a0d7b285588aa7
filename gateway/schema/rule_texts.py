"""Rules as text, and back."""

from typing import Any

from tessera.common.v1 import rule_pb2
from tessera.segmentation.v1 import rule_text_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.forms import input_form
from gateway.schema.registry import computed, from_proto, query
from gateway.schema.scalars import JSON


@from_proto(pb.ParseRuleResponse, "text")
class ParsedRule:
    """What a text means."""


@computed(ParsedRule, JSON)
def rule(parsed: pb.ParseRuleResponse) -> dict[str, Any]:
    """The rule, in the form of `RuleInput`."""
    return input_form(parsed.rule)


@query(by_rpc("segmentation.ParseRule"))
async def parse_rule(info: Info, text: str) -> pb.ParseRuleResponse:
    """The rule that a text means; where it means none, the error's metadata tell `line`, `column`, `problem` and
    `expected`."""
    return await info.context.backends.segmentation.ParseRule(
        pb.ParseRuleRequest(text=text), metadata=info.context.metadata
    )


@query(by_rpc("segmentation.FormatRule"))
async def format_rule(info: Info, rule: rule_pb2.Rule) -> str:
    """The text of a rule."""
    request = pb.FormatRuleRequest(rule=rule)
    return (await info.context.backends.segmentation.FormatRule(request, metadata=info.context.metadata)).text
