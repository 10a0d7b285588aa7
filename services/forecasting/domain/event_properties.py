"""Properties of events: which of them are kept, and what is known of those of an event.

What is kept is bounded, so that a feed of large events does not fill the disk; names that say who somebody is are left
out, as no goal needs them. Names of what was left out are kept beside, so that a goal that asks for it can be told why.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from services.common.flat.properties import Flat

T = TypeVar("T")
PATHS_MAX = 50
PATH_LENGTH_MAX = 100
TEXT_LENGTH_MAX = 256
VALUES_MAX = 20
LEFT_OUT_MAX = 50
_PATHS_REMEMBERED = 10_000
_PERSONAL = frozenset(
    {
        "address",
        "birthday",
        "birthdate",
        "dateofbirth",
        "email",
        "emailaddress",
        "firstname",
        "fullname",
        "iban",
        "ip",
        "ipaddress",
        "lastname",
        "mobile",
        "password",
        "phone",
        "phonenumber",
        "street",
        "username",
    }
)
BOUNDS = (
    f"of an event {PATHS_MAX} properties are kept, with paths of up to {PATH_LENGTH_MAX} characters, texts of up to "
    f"{TEXT_LENGTH_MAX}, lists of up to {VALUES_MAX} values, and none that says who somebody is"
)
"""In words."""


@dataclass(frozen=True, slots=True)
class Described:
    """What is known of the properties of the events of a name."""

    events: int
    unknown_until: int | None
    """When the newest event was of which no properties are known, in microseconds; ``None``: they are known of all."""
    present: Mapping[str, int]
    """Of how many events each property that was asked for is known."""
    left_out: Mapping[str, int]
    """Of how many it was there, and was not kept."""


def bounded(flat: Flat) -> tuple[Flat, list[str]]:
    """What is kept of an event's properties, and the paths of what is not, at most 50 of them."""
    kept = [path for path in flat.present if _small(flat, path)][:PATHS_MAX]
    if len(kept) == len(flat.present):
        return flat, []
    chosen = set(kept)
    left_out = [path[:PATH_LENGTH_MAX] for path in flat.present if path not in chosen]
    found = Flat(
        _of(flat.texts, chosen),
        _of(flat.numbers, chosen),
        _of(flat.flags, chosen),
        _of(flat.instants, chosen),
        _of(flat.elements, chosen),
        dict.fromkeys(kept),
    )
    return found, left_out[:LEFT_OUT_MAX]


def _of(values: dict[str, list[T]], paths: Set[str]) -> dict[str, list[T]]:
    return {path: each for path, each in values.items() if path in paths}


@lru_cache(_PATHS_REMEMBERED)
def personal(path: str) -> bool:
    """Whether a property is one that says who somebody is."""
    parts = path.casefold().replace("_", "").replace("-", "").replace(" ", "").split(".")
    return not _PERSONAL.isdisjoint(parts)


def _small(flat: Flat, path: str) -> bool:
    for values in (flat.numbers, flat.flags):
        if len(values.get(path, ())) > VALUES_MAX:
            return False
    for texts, longest in ((flat.texts, TEXT_LENGTH_MAX), (flat.elements, TEXT_LENGTH_MAX + 1)):
        found = texts.get(path, ())
        if len(found) > VALUES_MAX or any(len(it) > longest for it in found):
            return False
    return len(path) <= PATH_LENGTH_MAX and not personal(path)
