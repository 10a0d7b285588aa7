"""The rpcs of rules as text, and reading a rule in either form."""

from dataclasses import dataclass
from typing import Protocol

from tessera.common.v1 import rule_pb2
from tessera.segmentation.v1 import rule_text_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common.auth import principal
from services.common.errors import InvalidArgument
from services.common.rules import Rule, text, wire
from services.segmentation.handlers.check_rule import check_rule
from services.segmentation.ports import Analytics, Segments
from services.segmentation.servicer.context import Context


class RuleMissing(InvalidArgument):
    """A rule is needed in one of its forms, and not in both."""


class _InEitherForm(Protocol):
    @property
    def rule(self) -> rule_pb2.Rule: ...

    @property
    def rule_text(self) -> str: ...


def rule_of(request: _InEitherForm) -> Rule:
    """The rule of a request; ``RuleMissing``, ``RuleTextInvalid``, ``RuleInvalid``."""
    has_node = request.rule.WhichOneof("node") is not None
    if has_node == bool(request.rule_text):
        raise RuleMissing("give either a rule or its text: rule, or rule_text", field="rule")
    return wire.read(request.rule) if has_node else text.parse(request.rule_text)


@dataclass(frozen=True, kw_only=True)
class RuleTextRpcs(SegmentationServiceServicer):
    """From one form of a rule to the other."""

    segments: Segments
    analytics: Analytics

    async def ParseRule(self, request: pb.ParseRuleRequest, context: Context) -> pb.ParseRuleResponse:
        rule = await check_rule(self.segments, self.analytics, principal().tenant, text.parse(request.text))
        return pb.ParseRuleResponse(rule=wire.write(rule), text=text.write(rule))

    async def FormatRule(self, request: pb.FormatRuleRequest, context: Context) -> pb.FormatRuleResponse:
        rule = await check_rule(self.segments, self.analytics, principal().tenant, wire.read(request.rule))
        return pb.FormatRuleResponse(text=text.write(rule))
