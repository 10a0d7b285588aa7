"""Funnels: how far customers get through steps in an order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.common.errors import InvalidArgument
from services.common.rules import (
    Aggregate,
    AllOf,
    EventCondition,
    Not,
    Operator,
    PatternFault,
    Rule,
    RuleInvalid,
    SequenceCondition,
    SequenceStep,
    TimeWindow,
    validate,
)
from services.segmentation.domain.selection import EventFilter, Label, check_filter
from services.segmentation.domain.supported import STEPS_MAX


class FunnelInvalid(InvalidArgument):
    """The funnel makes no sense. Metadata ``field`` says where."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What must not happen between any two neighbours of the steps ``start`` to ``end``, counted from 0."""

    events: EventFilter
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Funnel:
    """Steps in an order; the contract says what a path is. ``window`` is in microseconds."""

    steps: tuple[EventFilter, ...]
    window: int | None = None
    strict: bool = False
    exclusions: tuple[Exclusion, ...] = ()
    entered: TimeWindow = TimeWindow()  # noqa: RUF009  # frozen

    def excluded(self, gap: int) -> list[EventFilter]:
        """What must not happen between the steps ``gap`` and ``gap + 1``."""
        return [it.events for it in self.exclusions if it.start <= gap < it.end]


def check_funnel(funnel: Funnel, pattern_fault: PatternFault) -> None:
    """``FunnelInvalid``, or ``RuleInvalid`` for a filter or a time that breaks the rule language."""
    if len(funnel.steps) < 2:
        raise FunnelInvalid("a funnel has at least two steps", field="funnel.steps")
    if funnel.window is not None and funnel.window <= 0:
        raise FunnelInvalid("the window must be longer than nothing", field="funnel.window")
    for number, step in enumerate(funnel.steps):
        check_filter(step, f"funnel.steps[{number}].filter", pattern_fault)
    for number, exclusion in enumerate(funnel.exclusions):
        place = f"funnel.exclusions[{number}]"
        check_filter(exclusion.events, f"{place}.filter", pattern_fault)
        if not 0 <= exclusion.start < exclusion.end < len(funnel.steps):
            raise FunnelInvalid(f"{place} must lie between two steps of the funnel", field=place)
    check_window(funnel.entered, "funnel.entered", pattern_fault)


def check_window(window: TimeWindow, place: str, pattern_fault: PatternFault) -> None:
    """``RuleInvalid``, with the path from the request on."""
    try:
        validate(_happened(EventFilter("any"), window), pattern_fault)
    except RuleInvalid as fault:
        path = fault.metadata["path"].replace("event.window", place)
        raise RuleInvalid(path, fault.metadata["problem"]) from fault


def drop_off_rule(funnel: Funnel, step: int) -> Rule | None:
    """The rule that is true of exactly those who reach ``step`` (counted from 0) and not the next.

    ``None`` where the rule language cannot say it: strict order, a window over more than two steps, steps of any name.
    """
    reached, passed = _reaches(funnel, step), _reaches(funnel, step + 1)
    return None if reached is None or passed is None else AllOf((reached, Not(passed)))


def _reaches(funnel: Funnel, step: int) -> Rule | None:
    if not all(step.event for step in funnel.steps):
        return None
    if step == 0:
        return _happened(funnel.steps[0], funnel.entered)
    if funnel.strict or (funnel.window is not None and step > 1):
        return None
    steps = tuple(_sequence_steps(funnel, step))
    if len(steps) > STEPS_MAX or not all(each.event for each in steps):
        return None
    return SequenceCondition(steps, funnel.entered)


def _sequence_steps(funnel: Funnel, last: int) -> Iterator[SequenceStep]:
    first = funnel.steps[0]
    yield SequenceStep(first.event, first.where)
    for gap in range(last):
        for excluded in funnel.excluded(gap):
            yield SequenceStep(excluded.event, excluded.where, negated=True)
        following = funnel.steps[gap + 1]
        yield SequenceStep(following.event, following.where, funnel.window)


def _happened(events: EventFilter, window: TimeWindow) -> EventCondition:
    return EventCondition(events.event, Aggregate.COUNT, Operator.AT_LEAST, (1.0,), where=events.where, window=window)


@dataclass(frozen=True, slots=True)
class StepResult:
    """How many reach a step, and the medians of their times in microseconds; ``None`` where there are none."""

    customer_count: int
    median_time: float | None
    median_step_time: float | None


@dataclass(frozen=True, slots=True)
class FunnelResult:
    """The steps of all customers and of each group."""

    steps: Sequence[StepResult]
    groups: Sequence[tuple[Label, Sequence[StepResult]]]


def share(part: int, whole: int) -> float:
    """``part`` of ``whole``; 0 of nothing."""
    return part / whole if whole else 0.0
