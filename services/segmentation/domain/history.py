"""What a segment was before: the versions of its definition, what differs between two, and how it was calculated."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.common.errors import NotFound, Refusal
from services.common.rules import AllOf, AnyOf, Not, Rule, nodes
from services.segmentation.domain.segment import Segment

CALCULATIONS_MAX = 50
SLOW_MICROS = 30_000_000


class SegmentVersionNotFound(NotFound):
    """The segment has no such version. Metadata ``segment_id`` and ``version``."""

    def __init__(self, segment_id: str, version: int) -> None:
        message = f"segment {segment_id} has no version {version}"
        super().__init__(message, segment_id=segment_id, version=version)


@dataclass(frozen=True, slots=True)
class SegmentVersion:
    """A segment as ``author`` made it."""

    segment: Segment
    author: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A node that is not the same in two rules; ``None`` where there is no such node."""

    path: str
    before: Rule | None
    after: Rule | None


@dataclass(frozen=True, slots=True)
class Calculation:
    """One evaluation of a segment for all customers; times are microseconds. ``error`` says why it failed."""

    time: int
    size: int
    entered: int
    left: int
    duration: int
    error: str = ""

    @property
    def slow(self) -> bool:
        """Whether it took so long that people should know."""
        return self.duration > SLOW_MICROS


def failed(time: int, duration: int, error: Exception) -> Calculation:
    """A calculation that came to nothing. What is not meant for callers is told by its kind alone."""
    reason = error.message if isinstance(error, Refusal) else type(error).__name__
    return Calculation(time, 0, 0, 0, duration, reason)


def differences(before: Rule, after: Rule) -> list[Difference]:
    """The nodes that differ by path, those of ``before`` first. A node that came or went stands for its parts."""
    old = {node.path: node.rule for node in nodes(before)}
    new = {node.path: node.rule for node in nodes(after)}
    found = [
        Difference(path, rule, new.get(path))
        for path, rule in old.items()
        if not _same(rule, new.get(path)) and not _within(path, old, new)
    ]
    found += [
        Difference(path, None, rule) for path, rule in new.items() if path not in old and not _within(path, new, old)
    ]
    return found


def _same(rule: Rule, other: Rule | None) -> bool:
    """Groups at the same path are of the same kind: what differs is in their parts."""
    return rule == other or (isinstance(rule, AllOf | AnyOf | Not) and other is not None)


def _within(path: str, own: Mapping[str, Rule], other: Mapping[str, Rule]) -> bool:
    """Whether a node above ``path`` is in ``own`` alone, which then stands for all of its parts."""
    parts = path.split(".")
    above = (".".join(parts[:length]) for length in range(1, len(parts)))
    return any(each in own and each not in other for each in above)
