"""From a rule to its text: one line, or one for each part where that would be long."""

import json
import re
from collections.abc import Sequence

from services.common.rules import model
from services.common.rules.model import Operator, Rule, TimeWindow, Value
from services.common.rules.text.vocabulary import (
    AGGREGATES,
    INFIX,
    METHODS,
    QUANTIFIERS,
    RESERVED,
    written_instant,
    written_span,
)

LINE_MAX = 100
_INFIX = {operator: sign for sign, operator in INFIX.items()}
_METHODS = {operator: name for name, operator in METHODS.items()}
_QUANTIFIERS = {quantifier: name for name, quantifier in QUANTIFIERS.items()}
_AGGREGATES = {aggregate: name for name, aggregate in AGGREGATES.items()}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def write(rule: Rule) -> str:
    """The text of a valid rule; ``parse(write(rule)) == rule``."""
    text = _written(rule)
    if isinstance(rule, model.AllOf | model.AnyOf) and len(text) > LINE_MAX:
        return _junction(rule, "\n  ")
    return text


def _written(rule: Rule) -> str:
    match rule:
        case model.AllOf() | model.AnyOf():
            return _junction(rule, " ")
        case model.Not(part):
            text = _written(part)
            return f"!{text}" if _is_call(part) else f"!({text})"
        case model.Comparison(field, operator, values):
            return _compared(_path(field), operator, values)
        case model.ScoreCondition(score, operator, values):
            return _compared(f"score({_quoted(score)})", operator, values)
        case model.EventCondition():
            return _compared(_figure(rule), rule.operator, rule.values)
        case model.SequenceCondition(steps, window):
            return f"sequence({', '.join(map(_step, steps))}){_window(window)}"
        case model.SegmentCondition(segment_id):
            return f"segment({_quoted(segment_id)})"
        case model.ListCondition(list_id):
            return f"list({_quoted(list_id)})"
        case model.ConsentCondition(purpose, channel, granted):
            named = f"{_quoted(purpose)}, {_quoted(channel)}" if channel else _quoted(purpose)
            return f"{'consent' if granted else 'noConsent'}({named})"
        case model.BucketCondition(salt, start, end):
            return f"bucket({_quoted(salt)}, {start}, {end})"
        case model.MembersCondition():
            return _members(rule)
        case model.GroupTraitCondition(kind, trait):
            plain = _path(trait.field)
            subject = f"group({_quoted(kind) if kind else ''}).{plain}"
            return _compared(subject, trait.operator, trait.values)


def _members(condition: model.MembersCondition) -> str:
    function = "others" if condition.others_only else "members"
    subject = f"{function}({_quoted(condition.kind) if condition.kind else ''})"
    asked = _written(condition.rule) if condition.rule else ""
    if condition.operator is None:
        return f"{subject}.{_QUANTIFIERS[condition.quantifier]}({asked})"
    return _compared(f"{subject}.count({asked})", condition.operator, condition.values)


def _is_call(rule: Rule) -> bool:
    kinds = model.SegmentCondition | model.ListCondition | model.ConsentCondition | model.BucketCondition
    quantified = isinstance(rule, model.MembersCondition) and rule.operator is None
    return quantified or isinstance(rule, kinds | model.SequenceCondition | model.Not)


def _junction(rule: model.AllOf | model.AnyOf, space: str) -> str:
    sign, function = ("&&", "all") if isinstance(rule, model.AllOf) else ("||", "any")
    parts = [_part(part) for part in rule.rules]
    return f"{function}({_written(rule.rules[0])})" if len(parts) == 1 else f"{space}{sign} ".join(parts)


def _part(rule: Rule) -> str:
    grouped = isinstance(rule, model.AllOf | model.AnyOf) and len(rule.rules) > 1
    return f"({_written(rule)})" if grouped else _written(rule)


def _compared(subject: str, operator: Operator, values: Sequence[Value]) -> str:
    listed = ", ".join(map(_value, values))
    match operator:
        case Operator.EXISTS:
            return f"has({subject})"
        case Operator.NOT_EXISTS:
            return f"missing({subject})"
        case Operator.ANY_OF:
            return f"{subject} in [{listed}]"
        case Operator.NOT_ANY_OF:
            return f"{subject}.notIn([{listed}])"
        case _ if operator in _INFIX:
            return f"{subject} {_INFIX[operator]} {listed}"
        case _:
            return f"{subject}.{_METHODS[operator]}({listed})"


def _figure(condition: model.EventCondition) -> str:
    read = _path(condition.property) if condition.property else ""
    chain = f"events({_quoted(condition.event)}){_where(condition.where)}{_window(condition.window)}"
    return f"{chain}.{_AGGREGATES[condition.aggregate]}({read})"


def _step(step: model.SequenceStep) -> str:
    window = _window(TimeWindow(within=step.within))
    return f"{'never' if step.negated else 'step'}({_quoted(step.event)}){_where(step.where)}{window}"


def _where(where: Sequence[model.Comparison]) -> str:
    return f".where({' && '.join(map(_written, where))})" if where else ""


def _window(window: TimeWindow) -> str:
    ends: list[tuple[str, model.Span | model.Instant]] = []
    ends += [("within", model.Span(window.within))] if window.within is not None else []
    ends += [("before", model.Span(window.before))] if window.before is not None else []
    ends += [("since", model.Instant(window.start))] if window.start is not None else []
    ends += [("until", model.Instant(window.end))] if window.end is not None else []
    return "".join(f".{name}({_value(value)})" for name, value in ends)


def _path(field: str) -> str:
    plain = all(_NAME.fullmatch(part) and part not in RESERVED for part in field.split("."))
    return field if plain else f"field({_quoted(field)})"


def _value(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case model.Instant(micros):
            return f"timestamp({_quoted(written_instant(micros))})"
        case model.Span(micros):
            return f"duration({_quoted(written_span(micros))})"
        case model.StepField(step, field):
            return f"earlier({step}, {_path(field)})"
        case _:
            return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
