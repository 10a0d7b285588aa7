"""Memberships: which customer is in which segment since when, and what changes when rules are evaluated."""

from collections.abc import Container, Iterable, Mapping, Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """The segments that one customer is in, each with the time of entering; ``version`` 0: nothing stored yet."""

    segments: Mapping[str, int]
    version: int = 0


@dataclass(frozen=True, slots=True)
class Transition:
    """A customer entered or left a segment."""

    segment_id: str
    entered: bool


def transitions(standing: Standing, evaluated: Container[str], fulfilled: Set[str]) -> list[Transition]:
    """What changes for a customer who fulfils ``fulfilled`` of the ``evaluated`` segments; the others stay."""
    return [
        Transition(segment_id, segment_id in fulfilled)
        for segment_id in sorted(fulfilled ^ standing.segments.keys())
        if segment_id in evaluated
    ]


def after(standing: Standing, changes: Iterable[Transition], time: int) -> dict[str, int]:
    """The segments after ``changes``."""
    segments = dict(standing.segments)
    for change in changes:
        if change.entered:
            segments[change.segment_id] = time
        else:
            del segments[change.segment_id]
    return segments
