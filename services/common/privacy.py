"""What becomes of a person's records when the person is erased: the same words in every service."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Removal(IntEnum):
    """What becomes of a record; the numbers are those of ``tessera.common.v1.Removal``."""

    DELETED = 1
    PSEUDONYMISED = 2
    WITH_NEXT_MODEL = 3


@dataclass(frozen=True, slots=True)
class Removed:
    """How many records of one kind, in lower_snake, and what became of them."""

    kind: str
    count: int
    removal: Removal = Removal.DELETED


def largest(removed: Iterable[Removed]) -> tuple[Removed, ...]:
    """Of each kind and removal the largest count, by kind: what a removal that was repeated came to."""
    counts: dict[tuple[str, Removal], int] = {}
    for each in removed:
        key = each.kind, each.removal
        counts[key] = max(counts.get(key, 0), each.count)
    return tuple(Removed(kind, count, removal) for (kind, removal), count in sorted(counts.items()))
