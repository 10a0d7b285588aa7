"""Ways that customers take from an event on, or to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.errors import InvalidArgument
from services.common.rules import PatternFault, TimeWindow
from services.segmentation.domain.funnel import check_window
from services.segmentation.domain.selection import EventFilter, check_filter

STEPS_DEFAULT, PATHS_DEFAULT, LINKS_MAX = 5, 20, 1000


class PathsInvalid(InvalidArgument):
    """The question cannot be answered. Metadata ``field``."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Which ways are asked for; the contract says what one is. ``gap`` is in microseconds."""

    start: EventFilter
    entered: TimeWindow = TimeWindow()  # noqa: RUF009  # frozen
    backwards: bool = False
    steps: int = STEPS_DEFAULT
    gap: int | None = None
    events: tuple[str, ...] = ()
    paths: int = PATHS_DEFAULT


def check_paths(question: Paths, pattern_fault: PatternFault) -> None:
    """``PathsInvalid``, or ``RuleInvalid`` for a filter or a time that breaks the rule language."""
    check_filter(question.start, "start", pattern_fault)
    check_window(question.entered, "entered", pattern_fault)
    if question.gap is not None and question.gap <= 0:
        raise PathsInvalid("the gap must be longer than nothing", field="gap")
    if not all(question.events):
        raise PathsInvalid("an event has no name", field="events")


@dataclass(frozen=True, slots=True)
class Path:
    """One way, and how many customers took exactly this one."""

    events: Sequence[str]
    customers: int


@dataclass(frozen=True, slots=True)
class Link:
    """From one event to the next at a place of paths, counted from 0."""

    step: int
    source: str
    target: str
    customers: int


@dataclass(frozen=True, slots=True)
class PathsResult:
    """How many customers have a path, the commonest paths, and the links of all."""

    customers: int
    paths: Sequence[Path]
    links: Sequence[Link]
