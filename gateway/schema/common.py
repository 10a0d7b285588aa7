"""What several services share: money, jobs, and the rule language as an input."""

from decimal import Decimal as Number

from tessera.common.v1 import job_pb2, money_pb2, rule_pb2

from gateway.schema.registry import computed, from_proto, input_from_proto
from gateway.schema.scalars import Decimal
from services.common.money import decimals


@from_proto(money_pb2.Money, "currency", "amount_minor")
class Money: ...


@computed(Money, Decimal)
def amount(money: money_pb2.Money) -> Number:
    """In units of the currency, exact, with all of its decimals: `12.30`."""
    return Number(money.amount_minor).scaleb(-decimals(money.currency))


@input_from_proto(money_pb2.Money, "currency", "amount_minor")
class MoneyInput: ...


@from_proto(job_pb2.Job, "job_id", "kind", "state", "progress", "message", "create_time", "end_time", "results")
class Job: ...


@input_from_proto(
    rule_pb2.Rule,
    "all_of",
    "any_of",
    "not",
    "field",
    "event",
    "sequence",
    "segment",
    "consent",
    "score",
    "bucket",
    "list",
    "members",
    "group",
)
class RuleInput: ...


@input_from_proto(rule_pb2.AllOf, "rules")
class AllOfInput: ...


@input_from_proto(rule_pb2.AnyOf, "rules")
class AnyOfInput: ...


@input_from_proto(
    rule_pb2.Value, "string_value", "number_value", "bool_value", "time_value", "duration_value", "step_field"
)
class ValueInput: ...


@input_from_proto(rule_pb2.StepField, "step", "field")
class StepFieldInput: ...


@input_from_proto(rule_pb2.Comparison, "field", "operator", "values")
class ComparisonInput: ...


@input_from_proto(rule_pb2.TimeWindow, "within", "before", "start_time", "end_time")
class TimeWindowInput: ...


@input_from_proto(rule_pb2.EventCondition, "event", "where", "window", "aggregate", "property", "operator", "values")
class EventConditionInput: ...


@input_from_proto(rule_pb2.SequenceCondition, "steps", "window")
class SequenceConditionInput: ...


@input_from_proto(rule_pb2.SequenceStep, "event", "where", "within", "negated")
class SequenceStepInput: ...


@input_from_proto(rule_pb2.SegmentCondition, "segment_id")
class SegmentConditionInput: ...


@input_from_proto(rule_pb2.ConsentCondition, "purpose", "channel", "granted")
class ConsentConditionInput: ...


@input_from_proto(rule_pb2.ScoreCondition, "score", "operator", "values")
class ScoreConditionInput: ...


@input_from_proto(rule_pb2.BucketCondition, "salt", "from", "to")
class BucketConditionInput: ...


@input_from_proto(rule_pb2.ListCondition, "list_id")
class ListConditionInput: ...


@input_from_proto(rule_pb2.MembersCondition, "kind", "quantifier", "rule", "others_only", "operator", "values")
class MembersConditionInput: ...


@input_from_proto(rule_pb2.GroupTraitCondition, "kind", "trait")
class GroupTraitConditionInput: ...
