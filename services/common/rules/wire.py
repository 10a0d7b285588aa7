"""Rules to and from ``tessera.common.v1.Rule``. What the message leaves out is refused with its path."""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import rule_pb2 as pb

from services.common.rules import model
from services.common.rules.model import Rule, Value
from services.common.rules.validation import DEPTH_MAX, RuleInvalid


def read(message: pb.Rule) -> Rule:
    """The rule in ``message``; ``RuleInvalid`` where a node, an operator, an aggregate or a value is unset."""
    return _read(message, "", 1)


def _read(message: pb.Rule, path: str, depth: int) -> Rule:
    member = message.WhichOneof("node")
    if member is None:
        raise RuleInvalid(path, "a node is needed")
    at = f"{path}.{member}" if path else member
    if depth > DEPTH_MAX:
        raise RuleInvalid(at, f"rules are nested at most {DEPTH_MAX} deep")
    node: Any = getattr(message, member)
    if member in ("all_of", "any_of"):
        parts = tuple(_read(part, f"{at}.rules[{index}]", depth + 1) for index, part in enumerate(node.rules))
        return model.AllOf(parts) if member == "all_of" else model.AnyOf(parts)
    if member == "not":
        return model.Not(_read(node, at, depth + 1))
    if member == "members":
        return _members(node, at, depth)
    return _LEAVES[member](node, at)


def _members(node: pb.MembersCondition, at: str, depth: int) -> model.MembersCondition:
    try:
        quantifier = model.Quantifier(node.quantifier)
    except ValueError:
        raise RuleInvalid(f"{at}.quantifier", "a quantifier is needed") from None
    return model.MembersCondition(
        kind=node.kind,
        quantifier=quantifier,
        rule=_read(node.rule, f"{at}.rule", depth + 1) if node.HasField("rule") else None,
        others_only=node.others_only,
        operator=_operator(node.operator, at) if node.operator or quantifier is model.Quantifier.COUNT else None,
        values=_values(node.values, at),
    )


def _comparison(node: pb.Comparison, at: str) -> model.Comparison:
    return model.Comparison(node.field, _operator(node.operator, at), _values(node.values, at))


def _operator(number: int, at: str) -> model.Operator:
    try:
        return model.Operator(number)
    except ValueError:
        raise RuleInvalid(f"{at}.operator", "an operator is needed") from None


def _values(messages: Iterable[pb.Value], at: str) -> tuple[Value, ...]:
    return tuple(_value(message, f"{at}.values[{index}]") for index, message in enumerate(messages))


def _value(message: pb.Value, at: str) -> Value:
    match message.WhichOneof("kind"):
        case "string_value":
            return message.string_value
        case "number_value":
            return message.number_value
        case "bool_value":
            return message.bool_value
        case "time_value":
            return model.Instant(_micros(message.time_value))
        case "duration_value":
            return model.Span(_micros(message.duration_value))
        case "step_field":
            return model.StepField(message.step_field.step, message.step_field.field)
        case _:
            raise RuleInvalid(at, "a value is needed")


def _micros(time: Timestamp | Duration) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1000


def _event(node: pb.EventCondition, at: str) -> model.EventCondition:
    try:
        aggregate = model.Aggregate(node.aggregate)
    except ValueError:
        raise RuleInvalid(f"{at}.aggregate", "an aggregate is needed") from None
    return model.EventCondition(
        event=node.event,
        aggregate=aggregate,
        operator=_operator(node.operator, at),
        values=_values(node.values, at),
        property=node.property,
        where=_where(node.where, at),
        window=_window(node.window),
    )


def _where(messages: Iterable[pb.Comparison], at: str) -> tuple[model.Comparison, ...]:
    return tuple(_comparison(message, f"{at}.where[{index}]") for index, message in enumerate(messages))


def _window(node: pb.TimeWindow) -> model.TimeWindow:
    def end(name: str) -> int | None:
        return _micros(getattr(node, name)) if node.HasField(name) else None  # type: ignore[arg-type]  # four literals

    return model.TimeWindow(end("within"), end("before"), end("start_time"), end("end_time"))


def _sequence(node: pb.SequenceCondition, at: str) -> model.SequenceCondition:
    steps = tuple(
        model.SequenceStep(
            step.event,
            _where(step.where, f"{at}.steps[{index}]"),
            _micros(step.within) if step.HasField("within") else None,
            step.negated,
        )
        for index, step in enumerate(node.steps)
    )
    return model.SequenceCondition(steps, _window(node.window))


def _score(node: pb.ScoreCondition, at: str) -> model.ScoreCondition:
    return model.ScoreCondition(node.score, _operator(node.operator, at), _values(node.values, at))


def _bucket(node: Any, at: str) -> model.BucketCondition:
    return model.BucketCondition(node.salt, getattr(node, "from"), node.to)


_LEAVES: dict[str, Callable[[Any, str], Rule]] = {
    "field": _comparison,
    "event": _event,
    "sequence": _sequence,
    "segment": lambda node, at: model.SegmentCondition(node.segment_id),
    "consent": lambda node, at: model.ConsentCondition(node.purpose, node.channel, node.granted),
    "score": _score,
    "bucket": _bucket,
    "list": lambda node, at: model.ListCondition(node.list_id),
    "group": lambda node, at: model.GroupTraitCondition(node.kind, _comparison(node.trait, f"{at}.trait")),
}


def read_where(messages: Iterable[pb.Comparison], at: str) -> tuple[model.Comparison, ...]:
    """Comparisons that no rule is around, found ``at`` a path; ``RuleInvalid`` as ``read``."""
    return _where(messages, at)


def write_comparison(comparison: model.Comparison) -> pb.Comparison:
    """A comparison as a message."""
    return _written_comparison(comparison)


def write(rule: Rule) -> pb.Rule:
    """``rule`` as a message; ``read(write(rule)) == rule``."""
    member = model.MEMBERS[type(rule)]
    return pb.Rule(**{member: _node(rule)})


def _node(rule: Rule) -> Any:
    match rule:
        case model.AllOf(rules):
            return pb.AllOf(rules=map(write, rules))
        case model.AnyOf(rules):
            return pb.AnyOf(rules=map(write, rules))
        case model.Not(part):
            return write(part)
        case model.Comparison():
            return _written_comparison(rule)
        case model.EventCondition():
            return _written_event(rule)
        case model.SequenceCondition(steps, window):
            return pb.SequenceCondition(steps=map(_written_step, steps), window=_written_window(window))
        case model.SegmentCondition(segment_id):
            return pb.SegmentCondition(segment_id=segment_id)
        case model.ConsentCondition(purpose, channel, granted):
            return pb.ConsentCondition(purpose=purpose, channel=channel, granted=granted)
        case model.ScoreCondition(score, operator, values):
            number = pb.Operator.ValueType(operator)
            return pb.ScoreCondition(score=score, operator=number, values=map(write_value, values))
        case model.BucketCondition(salt, start, end):
            return pb.BucketCondition(**{"salt": salt, "from": start, "to": end})  # type: ignore[arg-type]  # keyword
        case model.ListCondition(list_id):
            return pb.ListCondition(list_id=list_id)
        case model.MembersCondition():
            return _written_members(rule)
        case model.GroupTraitCondition(kind, trait):
            return pb.GroupTraitCondition(kind=kind, trait=_written_comparison(trait))


def _written_members(condition: model.MembersCondition) -> pb.MembersCondition:
    return pb.MembersCondition(
        kind=condition.kind,
        quantifier=pb.Quantifier.ValueType(condition.quantifier),
        rule=None if condition.rule is None else write(condition.rule),
        others_only=condition.others_only,
        operator=pb.Operator.ValueType(condition.operator or 0),
        values=map(write_value, condition.values),
    )


def _written_comparison(comparison: model.Comparison) -> pb.Comparison:
    return pb.Comparison(
        field=comparison.field,
        operator=pb.Operator.ValueType(comparison.operator),
        values=map(write_value, comparison.values),
    )


def _written_event(condition: model.EventCondition) -> pb.EventCondition:
    return pb.EventCondition(
        event=condition.event,
        where=map(_written_comparison, condition.where),
        window=_written_window(condition.window),
        aggregate=pb.Aggregate.ValueType(condition.aggregate),
        property=condition.property,
        operator=pb.Operator.ValueType(condition.operator),
        values=map(write_value, condition.values),
    )


def _written_step(step: model.SequenceStep) -> pb.SequenceStep:
    return pb.SequenceStep(
        event=step.event,
        where=map(_written_comparison, step.where),
        within=None if step.within is None else _duration(step.within),
        negated=step.negated,
    )


def _written_window(window: model.TimeWindow) -> pb.TimeWindow | None:
    if window == model.ALL_TIME:
        return None
    return pb.TimeWindow(
        within=None if window.within is None else _duration(window.within),
        before=None if window.before is None else _duration(window.before),
        start_time=None if window.start is None else _timestamp(window.start),
        end_time=None if window.end is None else _timestamp(window.end),
    )


def write_value(value: Value) -> pb.Value:
    """One value as a message."""
    match value:
        case bool():
            return pb.Value(bool_value=value)
        case str():
            return pb.Value(string_value=value)
        case model.Instant(micros):
            return pb.Value(time_value=_timestamp(micros))
        case model.Span(micros):
            return pb.Value(duration_value=_duration(micros))
        case model.StepField(step, field):
            return pb.Value(step_field=pb.StepField(step=step, field=field))
        case _:
            return pb.Value(number_value=value)


def _timestamp(micros: int) -> Timestamp:
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def _duration(micros: int) -> Duration:
    sign = -1 if micros < 0 else 1
    seconds, rest = divmod(abs(micros), 1_000_000)
    return Duration(seconds=sign * seconds, nanos=sign * rest * 1000)
