"""Earning rules and limits, and earning by them."""

from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.loyalty.v1 import earning_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common import json
from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.common.rules import wire
from services.common.rules.condition import Condition
from services.common.validation import FieldInvalid
from services.loyalty.domain.earning import Miss, Missed, Outcome, offer_of
from services.loyalty.domain.earning_operations import Limits
from services.loyalty.domain.earning_rule import (
    Caps,
    Definition,
    EarningRule,
    Effect,
    EffectKind,
    PeriodLimit,
    Rounding,
    Schedule,
    Trigger,
)
from services.loyalty.domain.order_lines import lines_of
from services.loyalty.domain.orders import Event, Order
from services.loyalty.domain.zones import Period
from services.loyalty.handlers.earning import (
    create_earning_rule,
    earn_by_rules,
    get_earning_limits,
    list_earning_rule_versions,
    list_earning_rules,
    set_earning_limits,
    simulate_earning,
    update_earning_rule,
)
from services.loyalty.ports import EarningRules, Ledger, Programs
from services.loyalty.servicer.calls import Context, micros, named, page_size, timestamp
from services.loyalty.servicer.entries import share_message

PROPERTIES_BYTES_MAX = 262_144
# The contract names its values as the domain does, behind the name of their enum.
_TRIGGERS = {each: pb.EarningTrigger.Value(f"EARNING_TRIGGER_{each.name}") for each in Trigger}
_TRIGGERS_ASKED = {number: each for each, number in _TRIGGERS.items()}
_ROUNDINGS = {each: pb.EarningRounding.Value(f"EARNING_ROUNDING_{each.name}") for each in Rounding}
_ROUNDINGS_ASKED = {
    pb.EARNING_ROUNDING_UNSPECIFIED: Rounding.DOWN,
    **{number: each for each, number in _ROUNDINGS.items()},
}
_PERIODS = {each: pb.LimitPeriod.Value(f"LIMIT_PERIOD_{each.name}") for each in Period}
_PERIODS_ASKED = {number: each for each, number in _PERIODS.items()}
_MISSES = {each: pb.EarningMissReason.Value(f"EARNING_MISS_REASON_{each.name}") for each in Miss}


@dataclass(frozen=True, kw_only=True)
class EarningRpcs(LoyaltyServiceServicer):
    """The rpcs of earning rules."""

    ledger: Ledger
    programs: Programs
    earning_rules: EarningRules
    clock: Clock

    async def CreateEarningRule(
        self, request: pb.CreateEarningRuleRequest, context: Context
    ) -> pb.CreateEarningRuleResponse:
        rule = await create_earning_rule(
            self.ledger,
            named(request),
            program_id=request.program_id,
            rule_id=request.rule_id,
            definition=_definition(request.definition),
        )
        return pb.CreateEarningRuleResponse(rule=_rule(rule))

    async def UpdateEarningRule(
        self, request: pb.UpdateEarningRuleRequest, context: Context
    ) -> pb.UpdateEarningRuleResponse:
        rule = await update_earning_rule(
            self.ledger,
            named(request),
            program_id=request.program_id,
            rule_id=request.rule_id,
            definition=_definition(request.definition),
            version=request.version,
        )
        return pb.UpdateEarningRuleResponse(rule=_rule(rule))

    async def ListEarningRules(
        self, request: pb.ListEarningRulesRequest, context: Context
    ) -> pb.ListEarningRulesResponse:
        tenant, size = principal().tenant, page_size(request)
        found, usage, token = await list_earning_rules(
            self.programs, self.earning_rules, tenant, request.program_id, size, request.page_token
        )
        rules = [_rule(rule, *usage.rules.get(rule.rule_id, (0, 0))) for rule in found]
        return pb.ListEarningRulesResponse(rules=rules, next_page_token=token)

    async def ListEarningRuleVersions(
        self, request: pb.ListEarningRuleVersionsRequest, context: Context
    ) -> pb.ListEarningRuleVersionsResponse:
        tenant, size = principal().tenant, page_size(request)
        found, token = await list_earning_rule_versions(
            self.programs, self.earning_rules, tenant, request.program_id, request.rule_id, size, request.page_token
        )
        return pb.ListEarningRuleVersionsResponse(versions=map(_rule, found), next_page_token=token)

    async def SetEarningLimits(
        self, request: pb.SetEarningLimitsRequest, context: Context
    ) -> pb.SetEarningLimitsResponse:
        limits = await set_earning_limits(
            self.ledger,
            named(request),
            program_id=request.program_id,
            per_member=tuple(map(read_limit, request.per_member)),
        )
        return pb.SetEarningLimitsResponse(limits=_limits(limits))

    async def GetEarningLimits(
        self, request: pb.GetEarningLimitsRequest, context: Context
    ) -> pb.GetEarningLimitsResponse:
        limits = await get_earning_limits(self.programs, self.earning_rules, principal().tenant, request.program_id)
        return pb.GetEarningLimitsResponse(limits=_limits(limits))

    async def EarnByRules(self, request: pb.EarnByRulesRequest, context: Context) -> pb.EarnByRulesResponse:
        told = _told(request, to_micros(self.clock()))
        earned = await earn_by_rules(self.ledger, named(request), program_id=request.program_id, told=told)
        return pb.EarnByRulesResponse(
            entry_id=earned.entry_id,
            outcome=_outcome(earned.outcome),
            balance_points=earned.balance,
            pending_points=earned.pending,
        )

    async def SimulateEarning(self, request: pb.SimulateEarningRequest, context: Context) -> pb.SimulateEarningResponse:
        told = _told(request, to_micros(self.clock()))
        earned = await simulate_earning(self.ledger, principal().tenant, program_id=request.program_id, told=told)
        return pb.SimulateEarningResponse(
            outcome=_outcome(earned.outcome), balance_points=earned.balance, tier_id=earned.tier_id
        )


def _told(request: pb.EarnByRulesRequest | pb.SimulateEarningRequest, now: int) -> Order | Event:
    event_time = micros(request.event_time) if request.HasField("event_time") else now
    if request.HasField("event"):
        event = request.event
        properties = _properties(event.properties_json, "event.properties_json")
        return Event(event.event_id, event.name, request.member_id, event_time, properties)
    if not request.HasField("order"):
        raise FieldInvalid("order or event must say what happened", field="activity")
    order = request.order
    properties = _properties(order.properties_json, "order.properties_json")
    try:
        lines = lines_of(properties.get("products", []), order.currency)
    except (ValueError, OverflowError) as fault:
        raise FieldInvalid(f"order.properties_json: {fault}", field="order.properties_json") from fault
    return Order(order.order_id, request.member_id, order.currency, order.total_minor, event_time, properties, lines)


def _properties(text: str, field: str) -> dict[str, object]:
    try:
        return json.read_object(text, PROPERTIES_BYTES_MAX)
    except json.JsonInvalid as fault:
        raise FieldInvalid(f"{field} {fault}", field=field) from fault


def _definition(told: pb.EarningRuleDefinition) -> Definition:
    return Definition(
        name=told.name,
        active=told.active,
        trigger=_TRIGGERS_ASKED[told.trigger],
        event_name=told.event_name,
        condition=Condition(wire.read(told.condition)) if told.HasField("condition") else None,
        items=Condition(wire.read(told.items)) if told.HasField("items") else None,
        effect=_effect(told.effect),
        schedule=_schedule(told.schedule),
        priority=told.priority,
        exclusive=told.exclusive,
        stacking_group=told.stacking_group,
        caps=Caps(told.caps.points_per_activity, tuple(map(read_limit, told.caps.per_member)), told.caps.budget_points),
    )


def _effect(told: pb.EarningEffect) -> Effect:
    rounding = _ROUNDINGS_ASKED[told.rounding]
    match told.WhichOneof("effect"):
        case "fixed_points":
            return Effect(EffectKind.FIXED, told.fixed_points, rounding)
        case "rate":
            if not told.rate.points_per_100_minor:
                raise FieldInvalid("a rate needs points_per_100_minor", field="definition.effect.rate")
            return Effect(EffectKind.RATE, told.rate.points_per_100_minor, rounding)
        case "multiplier_percent":
            return Effect(EffectKind.MULTIPLIER, told.multiplier_percent, rounding)
        case "points_per_unit":
            return Effect(EffectKind.PER_UNIT, told.points_per_unit, rounding)
    raise FieldInvalid("effect must say what the rule gives", field="definition.effect")


def _effect_message(effect: Effect) -> pb.EarningEffect:
    rounding = _ROUNDINGS[effect.rounding]
    match effect.kind:
        case EffectKind.FIXED:
            return pb.EarningEffect(fixed_points=effect.amount, rounding=rounding)
        case EffectKind.RATE:
            return pb.EarningEffect(rate=pb.EarningRate(points_per_100_minor=effect.amount), rounding=rounding)
        case EffectKind.MULTIPLIER:
            return pb.EarningEffect(multiplier_percent=effect.amount, rounding=rounding)
        case EffectKind.PER_UNIT:
            return pb.EarningEffect(points_per_unit=effect.amount, rounding=rounding)


def _schedule(told: pb.EarningSchedule) -> Schedule:
    return Schedule(
        start_time=micros(told.start_time) if told.HasField("start_time") else 0,
        end_time=micros(told.end_time) if told.HasField("end_time") else None,
        weekdays=tuple(told.weekdays),
        start_hour=told.start_hour,
        end_hour=told.end_hour,
    )


def _schedule_message(schedule: Schedule) -> pb.EarningSchedule:
    return pb.EarningSchedule(
        start_time=_instant(schedule.start_time or None),
        end_time=_instant(schedule.end_time),
        weekdays=schedule.weekdays,
        start_hour=schedule.start_hour,
        end_hour=schedule.end_hour,
    )


def _instant(time: int | None) -> Timestamp | None:
    return None if time is None else timestamp(time)


def read_limit(told: pb.PeriodLimit) -> PeriodLimit:
    """A limit by period."""
    return PeriodLimit(_PERIODS_ASKED[told.period], told.points, told.count)


def limit_message(limit: PeriodLimit) -> pb.PeriodLimit:
    """A limit by period."""
    return pb.PeriodLimit(period=_PERIODS[limit.period], points=limit.points, count=limit.count)


def _limits(limits: Limits) -> pb.EarningLimits:
    return pb.EarningLimits(
        program_id=limits.program_id, per_member=map(limit_message, limits.per_member), version=limits.version
    )


def _rule(rule: EarningRule, given_points: int = 0, given_count: int = 0) -> pb.EarningRule:
    told = rule.definition
    return pb.EarningRule(
        rule_id=rule.rule_id,
        program_id=rule.program_id,
        version=rule.version,
        create_time=timestamp(rule.create_time),
        given_points=given_points,
        given_count=given_count,
        definition=pb.EarningRuleDefinition(
            name=told.name,
            active=told.active,
            trigger=_TRIGGERS[told.trigger],
            event_name=told.event_name,
            condition=wire.write(told.condition.rule) if told.condition else None,
            items=wire.write(told.items.rule) if told.items else None,
            effect=_effect_message(told.effect),
            schedule=_schedule_message(told.schedule),
            priority=told.priority,
            exclusive=told.exclusive,
            stacking_group=told.stacking_group,
            caps=pb.EarningCaps(
                points_per_activity=told.caps.per_activity,
                per_member=map(limit_message, told.caps.per_member),
                budget_points=told.caps.budget,
            ),
        ),
    )


def _outcome(outcome: Outcome) -> pb.EarningOutcome:
    return pb.EarningOutcome(
        points=outcome.points,
        shares=map(share_message, outcome.shares),
        misses=map(_miss, outcome.misses),
    )


def _miss(miss: Missed) -> pb.EarningMiss:
    offer_id = offer_of(miss.rule_id)
    rule_id = "" if offer_id else miss.rule_id
    return pb.EarningMiss(rule_id=rule_id, reason=_MISSES[miss.reason], points=miss.points, offer_id=offer_id)
