"""When the passing of time alone changes who fulfils a rule: exactly, from the moments that its history holds."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.common.rules import (
    Comparison,
    EventCondition,
    GroupTraitCondition,
    MembersCondition,
    Operator,
    Rule,
    SequenceCondition,
    TimeWindow,
    nodes,
)

_OFFSETS = {Operator.WITHIN_LAST: (0, 1), Operator.WITHIN_NEXT: (-1, 0), Operator.BEFORE_LAST: (1,)}
"""An instant t changes such a comparison with a span s at t + 0·s, t + 1·s or t - 1·s."""
RELATIVE = frozenset({*_OFFSETS, Operator.AFTER_NEXT})


@dataclass(frozen=True, slots=True)
class Timing:
    """What to look at when time has passed. Beside these every event matters at its own time, which may be to come."""

    ages: frozenset[tuple[str, int]]
    """Names of events, each with an age (microseconds) at which such an event may change something."""
    traits: frozenset[tuple[str, int]]
    """Paths of traits, each with an offset: the value plus the offset is a moment at which something may change."""
    properties: frozenset[tuple[str, str, int]]
    """The same for properties of events: event, path and offset."""
    group_traits: frozenset[tuple[str, int]] = frozenset()
    """The same for traits of groups."""
    groups: bool = False
    """Whether it matters who is in which group, and what is said of groups, which may be told ahead of its time."""


def timing(rules: Iterable[Rule]) -> Timing:
    """What matters for any of ``rules``."""
    ages: set[tuple[str, int]] = set()
    traits: set[tuple[str, int]] = set()
    properties: set[tuple[str, str, int]] = set()
    group_traits: set[tuple[str, int]] = set()
    groups = False
    for node in (node.rule for rule in rules for node in nodes(rule)):
        if isinstance(node, Comparison):
            traits.update((node.field, offset) for offset in _offsets(node))
        elif isinstance(node, GroupTraitCondition):
            groups = True
            group_traits.update((node.trait.field, offset) for offset in _offsets(node.trait))
        elif isinstance(node, MembersCondition):
            groups = True
        elif isinstance(node, EventCondition):
            ages.update((node.event, age) for age in _edges(node.window))
            figure = Comparison(node.property, node.operator, node.values)
            properties.update(_of_properties(node.event, (figure, *node.where)))
        elif isinstance(node, SequenceCondition):
            ages.update(_sequence_ages(node))
            for step in node.steps:
                properties.update(_of_properties(step.event, step.where))
    return Timing(frozenset(ages), frozenset(traits), frozenset(properties), frozenset(group_traits), groups)


def trait_names(field: str) -> list[str]:
    """The traits that may hold a field: ``a.b`` is the trait ``a.b``, or ``b`` inside the trait ``a``."""
    parts = field.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _offsets(comparison: Comparison) -> Iterator[int]:
    if comparison.operator in RELATIVE:
        span = getattr(comparison.values[0], "micros")  # noqa: B009  # validation has made sure that it is a Span
        yield from (factor * span for factor in _OFFSETS.get(comparison.operator, (-1,)))


def _of_properties(event: str, comparisons: Iterable[Comparison]) -> Iterator[tuple[str, str, int]]:
    for comparison in comparisons:
        yield from ((event, comparison.field, offset) for offset in _offsets(comparison))


def _edges(window: TimeWindow) -> Iterator[int]:
    yield from (age for age in (window.within, window.before) if age is not None)


def _sequence_ages(sequence: SequenceCondition) -> Iterator[tuple[str, int]]:
    """The ages at which the first step leaves or enters its window, and at which a last step has not happened."""
    yield from ((sequence.steps[0].event, age) for age in _edges(sequence.window))
    last = max(number for number, step in enumerate(sequence.steps) if not step.negated)
    for step in sequence.steps[last + 1 :]:
        if step.within is not None:
            yield sequence.steps[last].event, step.within


class Schedule:
    """The next moment of each customer at which something may change, up to a horizon; a heap in memory.

    It holds nothing that the history does not: after a crash it is made again from there.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, str, str]] = []
        self._earliest: dict[tuple[str, str], int] = {}

    @property
    def earliest(self) -> int | None:
        """The next moment of anybody."""
        while self._heap and self._earliest.get(self._heap[0][1:]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # an earlier moment of the same customer took its place
        return self._heap[0][0] if self._heap else None

    def add(self, tenant: str, moments: Mapping[str, int]) -> None:
        """Remember the moments of customers; of two of one customer the earlier."""
        for customer_id, moment in moments.items():
            key = tenant, customer_id
            if key not in self._earliest or moment < self._earliest[key]:
                self._earliest[key] = moment
                heapq.heappush(self._heap, (moment, *key))

    def due(self, now: int) -> dict[str, set[str]]:
        """Take out those whose moment has come, by tenant."""
        found: dict[str, set[str]] = {}
        while (moment := self.earliest) is not None and moment <= now:
            _, tenant, customer_id = heapq.heappop(self._heap)
            del self._earliest[tenant, customer_id]
            found.setdefault(tenant, set()).add(customer_id)
        return found
