"""When the passing of time alone can change who fulfils a rule."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.common.rules import Comparison, EventCondition, Operator, Rule, SequenceCondition, nodes

RELATIVE = frozenset({Operator.WITHIN_LAST, Operator.WITHIN_NEXT, Operator.BEFORE_LAST, Operator.AFTER_NEXT})


@dataclass(frozen=True, slots=True)
class Timing:
    """What to look at when time has passed."""

    ages: frozenset[int]
    """An event that reaches one of these ages (microseconds) may change something. Age 0: an event whose time was
    still to come when it was recorded."""
    traits: frozenset[str]
    """Traits whose values are compared with the moment of evaluation, by the first part of the name."""
    events: frozenset[str]
    """Events whose properties are compared with the moment of evaluation."""


def timing(rules: Iterable[Rule]) -> Timing:
    """What matters for any of ``rules``."""
    ages, traits, events = {0}, set(), set()
    for rule in rules:
        for node in nodes(rule):
            if isinstance(node.rule, Comparison) and node.rule.operator in RELATIVE:
                traits.update(trait_names(node.rule.field))
            if isinstance(node.rule, EventCondition):
                ages.update(age for age in (node.rule.window.within, node.rule.window.before) if age is not None)
                if any(operator in RELATIVE for operator in _operators(node.rule)):
                    events.add(node.rule.event)
            if isinstance(node.rule, SequenceCondition):
                ages.update(_sequence_ages(node.rule))
                for step in node.rule.steps:
                    if any(comparison.operator in RELATIVE for comparison in step.where):
                        events.add(step.event)
    return Timing(frozenset(ages), frozenset(traits), frozenset(events))


def trait_names(field: str) -> list[str]:
    """The traits that may hold a field: ``a.b`` is the trait ``a.b``, or ``b`` inside the trait ``a``."""
    parts = field.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _sequence_ages(sequence: SequenceCondition) -> Iterator[int]:
    """The ages at which the first step leaves or enters its window, and at which a last step has not happened."""
    yield from (age for age in (sequence.window.within, sequence.window.before) if age is not None)
    for step in reversed(sequence.steps):
        if not step.negated:
            break
        if step.within is not None:
            yield step.within


def _operators(condition: EventCondition) -> Iterator[Operator]:
    yield condition.operator
    for comparison in condition.where:
        yield comparison.operator
