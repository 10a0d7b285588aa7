"""Suppressions: identifiers that are refused, of which only a hash is known, and who wanted that."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Occasion:
    """Who asked for something, when (microseconds) and why; the erasure, if it was one."""

    time: int
    actor: str
    reason: str
    erasure_id: str = ""


@dataclass(frozen=True, slots=True)
class Suppression:
    """An identifier that is refused, or was."""

    suppression_id: str
    type: str
    suppressed: Occasion
    lifted: Occasion | None = None
