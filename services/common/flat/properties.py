"""JSON objects laid flat: every path with its values by type, so that engines compare without parsing.

``{"total": 5, "products": [{"category": "A"}, {"category": "B"}]}`` has the number 5 at ``total`` and the texts A and
B at ``products.category``: a list on the way means each of its elements. A list at the end of a path is not a value
but has elements, which ``CONTAINS`` looks for.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.common.clock import to_micros

NUMBER_MAX = 1e15
"""Numbers beyond it, in either direction, cannot be summed exactly and count as missing."""
DEPTH_MAX = 32
"""Values deeper than this are not seen."""


def _lists() -> dict[str, list[Any]]:
    return defaultdict(list)


@dataclass(slots=True)
class Flat:
    """What an object holds, by path."""

    texts: dict[str, list[str]] = field(default_factory=_lists)
    numbers: dict[str, list[float]] = field(default_factory=_lists)
    flags: dict[str, list[bool]] = field(default_factory=_lists)
    instants: dict[str, list[int]] = field(default_factory=_lists)
    """The texts that are ISO 8601 dates or times, in microseconds; without a zone they are UTC."""
    elements: dict[str, list[str]] = field(default_factory=_lists)
    """The elements of lists, as ``element`` writes them."""
    present: dict[str, None] = field(default_factory=dict)
    """Every path at which something other than null is; in order, each once."""


def element(value: str | float | bool) -> str:
    """A scalar in a list as text that tells types apart."""
    if isinstance(value, str):
        return f"t{value}"
    if isinstance(value, bool):
        return "btrue" if value else "bfalse"
    return f"n{float(value) + 0.0!r}"


def flatten(content: Mapping[str, Any]) -> Flat:
    """``content`` by path."""
    flat = Flat()
    for name, value in content.items():
        _add(flat, name, value, 1)
    return flat


def _add(flat: Flat, path: str, value: Any, depth: int) -> None:
    kind = type(value)
    if value is None or depth > DEPTH_MAX:
        return
    if kind is str:
        flat.texts[path].append(value)
        if len(value) >= 10 and value[4] == "-" and value[7] == "-":
            _add_instant(flat, path, value)
    elif kind is bool:
        flat.flags[path].append(value)
    elif kind is list:
        _add_elements(flat, path, value, depth)
    elif kind is dict:
        for name, part in value.items():
            _add(flat, f"{path}.{name}", part, depth + 1)
    elif -NUMBER_MAX <= value <= NUMBER_MAX:
        flat.numbers[path].append(float(value))
    else:
        return
    flat.present[path] = None


def _add_instant(flat: Flat, path: str, text: str) -> None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return
    flat.instants[path].append(to_micros(time if time.tzinfo else time.replace(tzinfo=UTC)))


def _add_elements(flat: Flat, path: str, values: list[Any], depth: int) -> None:
    if depth > DEPTH_MAX:
        return
    for value in values:
        kind = type(value)
        if kind is dict:
            for name, part in value.items():
                _add(flat, f"{path}.{name}", part, depth + 1)
        elif kind is list:
            _add_elements(flat, path, value, depth + 1)
        elif kind is str or kind is bool or (value is not None and -NUMBER_MAX <= value <= NUMBER_MAX):
            flat.elements[path].append(element(value))
