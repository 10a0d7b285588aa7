"""Earning rules in the schema: what they say, what they gave, and what an order would earn."""

from collections.abc import Sequence
from typing import Any

from strawberry import Parent
from tessera.loyalty.v1 import earning_pb2 as pb
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty_pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.forms import input_form
from gateway.schema.loyalty import Program
from gateway.schema.registry import computed, edge, from_proto, input_from_proto, mutation, query
from gateway.schema.scalars import JSON


@from_proto(pb.EarningRate, "points_per_100_minor")
class EarningRate: ...


@from_proto(pb.EarningEffect, "fixed_points", "rate", "multiplier_percent", "points_per_unit", "rounding")
class EarningEffect: ...


@from_proto(pb.EarningSchedule, "start_time", "end_time", "weekdays", "start_hour", "end_hour")
class EarningSchedule: ...


@from_proto(pb.PeriodLimit, "period", "points", "count")
class PeriodLimit: ...


@from_proto(pb.EarningCaps, "points_per_activity", "per_member", "budget_points")
class EarningCaps: ...


@from_proto(
    pb.EarningRuleDefinition,
    "name",
    "active",
    "trigger",
    "event_name",
    "effect",
    "schedule",
    "priority",
    "exclusive",
    "stacking_group",
    "caps",
)
class EarningRuleDefinition: ...


@from_proto(
    pb.EarningRule, "rule_id", "program_id", "version", "definition", "create_time", "given_points", "given_count"
)
class EarningRule: ...


@from_proto(pb.EarningLimits, "program_id", "per_member", "version")
class EarningLimits: ...


@from_proto(pb.EarningMiss, "rule_id", "reason", "points", "offer_id")
class EarningMiss: ...


@from_proto(pb.EarningOutcome, "points", "shares", "misses")
class EarningOutcome: ...


@from_proto(pb.SimulateEarningResponse, "outcome", "balance_points", "tier_id")
class SimulatedEarning: ...


@input_from_proto(pb.EarningRate, "points_per_100_minor")
class EarningRateInput: ...


@input_from_proto(pb.EarningEffect, "fixed_points", "rate", "multiplier_percent", "points_per_unit", "rounding")
class EarningEffectInput: ...


@input_from_proto(pb.EarningSchedule, "start_time", "end_time", "weekdays", "start_hour", "end_hour")
class EarningScheduleInput: ...


@input_from_proto(pb.PeriodLimit, "period", "points", "count")
class PeriodLimitInput: ...


@input_from_proto(pb.EarningCaps, "points_per_activity", "per_member", "budget_points")
class EarningCapsInput: ...


@input_from_proto(
    pb.EarningRuleDefinition,
    "name",
    "active",
    "trigger",
    "event_name",
    "condition",
    "items",
    "effect",
    "schedule",
    "priority",
    "exclusive",
    "stacking_group",
    "caps",
)
class EarningRuleDefinitionInput: ...


@input_from_proto(pb.CreateEarningRuleRequest, "request_id", "program_id", "rule_id", "definition")
class CreateEarningRuleInput: ...


@from_proto(pb.CreateEarningRuleResponse, "rule")
class CreateEarningRulePayload: ...


@input_from_proto(pb.UpdateEarningRuleRequest, "request_id", "program_id", "rule_id", "definition", "version")
class UpdateEarningRuleInput: ...


@from_proto(pb.UpdateEarningRuleResponse, "rule")
class UpdateEarningRulePayload: ...


@input_from_proto(pb.SetEarningLimitsRequest, "request_id", "program_id", "per_member")
class SetEarningLimitsInput: ...


@from_proto(pb.SetEarningLimitsResponse, "limits")
class SetEarningLimitsPayload: ...


@input_from_proto(pb.EarningOrder, "order_id", "currency", "total_minor", "properties_json")
class EarningOrderInput: ...


@input_from_proto(pb.EarningEvent, "event_id", "name", "properties_json")
class EarningEventInput: ...


@input_from_proto(pb.EarnByRulesRequest, "request_id", "program_id", "member_id", "order", "event", "event_time")
class EarnByRulesInput: ...


@from_proto(pb.EarnByRulesResponse, "entry_id", "outcome", "balance_points", "pending_points")
class EarnByRulesPayload: ...


@input_from_proto(pb.SimulateEarningRequest, "program_id", "member_id", "order", "event", "event_time")
class SimulateEarningInput: ...


@computed(EarningRuleDefinition, JSON | None)
def condition(definition: pb.EarningRuleDefinition) -> dict[str, Any] | None:
    """What must hold, in the form of `RuleInput`; null: always."""
    return input_form(definition.condition) if definition.HasField("condition") else None


@computed(EarningRuleDefinition, JSON | None)
def items(definition: pb.EarningRuleDefinition) -> dict[str, Any] | None:
    """Which lines count, in the form of `RuleInput`; null: the whole order."""
    return input_form(definition.items) if definition.HasField("items") else None


@edge(Program, by_rpc("loyalty.ListEarningRules"))
async def earning_rules(
    program: Parent[loyalty_pb.Program], info: Info, first: First = 20, after: After = None
) -> Page[pb.EarningRule]:
    """What members earn beyond the programme's rate, by id, and what each rule has given."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.EarningRule], str]:
        request = pb.ListEarningRulesRequest(program_id=program.program_id, page_size=size, page_token=token)
        answer = await info.context.backends.loyalty.ListEarningRules(request, metadata=info.context.metadata)
        return answer.rules, answer.next_page_token

    return await page(fetch, first, after)


@edge(EarningRule, by_rpc("loyalty.ListEarningRuleVersions"))
async def versions(
    rule: Parent[pb.EarningRule], info: Info, first: First = 20, after: After = None
) -> Page[pb.EarningRule]:
    """What it said before, newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.EarningRule], str]:
        request = pb.ListEarningRuleVersionsRequest(
            program_id=rule.program_id, rule_id=rule.rule_id, page_size=size, page_token=token
        )
        answer = await info.context.backends.loyalty.ListEarningRuleVersions(request, metadata=info.context.metadata)
        return answer.versions, answer.next_page_token

    return await page(fetch, first, after)


@edge(Program, by_rpc("loyalty.GetEarningLimits"))
async def earning_limits(program: Parent[loyalty_pb.Program], info: Info) -> pb.EarningLimits:
    """What all orders and events together may earn a member."""
    request = pb.GetEarningLimitsRequest(program_id=program.program_id)
    return (await info.context.backends.loyalty.GetEarningLimits(request, metadata=info.context.metadata)).limits


@query(by_rpc("loyalty.SimulateEarning"))
async def simulate_earning(info: Info, input: pb.SimulateEarningRequest) -> pb.SimulateEarningResponse:
    """What an order or event would earn, and why not more; nothing is changed."""
    return await info.context.backends.loyalty.SimulateEarning(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.CreateEarningRule"))
async def create_earning_rule(info: Info, input: pb.CreateEarningRuleRequest) -> pb.CreateEarningRuleResponse:
    return await info.context.backends.loyalty.CreateEarningRule(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.UpdateEarningRule"))
async def update_earning_rule(info: Info, input: pb.UpdateEarningRuleRequest) -> pb.UpdateEarningRuleResponse:
    return await info.context.backends.loyalty.UpdateEarningRule(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.SetEarningLimits"))
async def set_earning_limits(info: Info, input: pb.SetEarningLimitsRequest) -> pb.SetEarningLimitsResponse:
    return await info.context.backends.loyalty.SetEarningLimits(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.EarnByRules"))
async def earn_by_rules(info: Info, input: pb.EarnByRulesRequest) -> pb.EarnByRulesResponse:
    return await info.context.backends.loyalty.EarnByRules(input, metadata=info.context.metadata)
