"""The figures of computed traits: what entries come to, in any order and put together from any parts.

An entry is an event's time and the values that it has at a property. A summary is what entries come to, in plain JSON;
two are joined into what both their entries would have come to. Numbers are exact to nine decimals.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from enum import IntEnum
from typing import Any

Entry = tuple[int, Sequence[Any]]
"""Microseconds, and the values."""
Summary = dict[str, Any]

DISTINCT_MAX = 500
"""How many different values are told apart; those that come after so many are left out."""
TEXT_LENGTH_MAX = 512
"""Longer texts are no values."""
NUMBER_MAX = 1e15
"""Larger numbers are no values."""
_DECIMALS = 9


class Kind(IntEnum):
    """What a trait tells of events; the numbers are those of the contract."""

    EVENT_COUNTER = 1
    SUM = 2
    AVERAGE = 3
    MINIMUM = 4
    MAXIMUM = 5
    MOST_FREQUENT = 6
    FIRST = 7
    LAST = 8
    UNIQUE_LIST = 9
    UNIQUE_LIST_COUNT = 10


NUMERIC = frozenset({Kind.SUM, Kind.AVERAGE, Kind.MINIMUM, Kind.MAXIMUM})
_COUNTED = frozenset({Kind.MOST_FREQUENT, Kind.UNIQUE_LIST, Kind.UNIQUE_LIST_COUNT})


def readable(kind: Kind, values: Iterable[Any]) -> list[Any]:
    """Those of ``values`` that a figure of this kind is made of, numbers in one form each."""
    found = [_plain(value) for value in values]
    if kind in NUMERIC:
        return [value for value in found if type(value) in (int, float)]
    return [value for value in found if value is not None]


def summarize(kind: Kind, entries: Iterable[Entry]) -> Summary:
    """What ``entries`` come to; nothing for none."""
    if kind in _COUNTED:
        counts: dict[str, int] = {}
        for _, values in entries:
            _add(counts, Counter(map(_text, values)))
        return {"counts": counts} if counts else {}
    summary: Summary = {}
    for time, values in entries:
        summary = joined(kind, summary, _one(kind, time, values))
    return summary


def joined(kind: Kind, one: Summary, other: Summary) -> Summary:
    """What the entries of both come to."""
    if not one or not other:
        return one or other
    if kind is Kind.MINIMUM:
        return min(one, other, key=lambda each: each["value"])
    if kind is Kind.MAXIMUM:
        return max(one, other, key=lambda each: each["value"])
    if kind is Kind.FIRST:
        return min(one, other, key=_instant)
    if kind is Kind.LAST:
        return max(one, other, key=_instant)
    if kind in _COUNTED:
        counts = dict(one["counts"])
        _add(counts, other["counts"])
        return {"counts": counts}
    total = str(int(one["sum"]) + int(other["sum"]))
    return {"count": one["count"] + other["count"], "sum": total}


def answer(kind: Kind, summary: Summary) -> Any:
    """The trait's value: a number, a text, a truth value, or a list; ``None`` of no entries."""
    if not summary:
        return None
    if kind is Kind.EVENT_COUNTER:
        return summary["count"]
    if kind is Kind.SUM:
        return _number(int(summary["sum"]), 1)
    if kind is Kind.AVERAGE:
        return _number(int(summary["sum"]), summary["count"])
    if kind in (Kind.MINIMUM, Kind.MAXIMUM, Kind.FIRST, Kind.LAST):
        return summary["value"]
    counts: Mapping[str, int] = summary["counts"]
    if kind is Kind.UNIQUE_LIST_COUNT:
        return len(counts)
    if kind is Kind.UNIQUE_LIST:
        return [json.loads(text) for text in sorted(counts)]
    return json.loads(min(counts, key=lambda text: (-counts[text], text)))


def _one(kind: Kind, time: int, values: Sequence[Any]) -> Summary:
    if kind is Kind.EVENT_COUNTER:
        return {"count": 1, "sum": "0"}
    if not values:
        return {}
    if kind in (Kind.SUM, Kind.AVERAGE):
        return {"count": len(values), "sum": str(sum(map(_scaled, values)))}
    if kind in (Kind.MINIMUM, Kind.MAXIMUM):
        return {"value": min(values) if kind is Kind.MINIMUM else max(values)}
    return {"time": time, "value": values[0]}


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for text, count in more.items():
        if text in counts or len(counts) < DISTINCT_MAX:
            counts[text] = counts.get(text, 0) + count


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _instant(summary: Summary) -> tuple[int, str]:
    """Of two from one instant the texts decide, so that arrival order does not matter."""
    return summary["time"], json.dumps(summary["value"])


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value if len(value) <= TEXT_LENGTH_MAX else None
    if not isinstance(value, (int, float)) or not -NUMBER_MAX <= value <= NUMBER_MAX:
        return None
    return int(value) if value == int(value) else value


def _scaled(value: float) -> int:
    with localcontext(prec=60):
        return int(Decimal(repr(value)).scaleb(_DECIMALS).to_integral_value(ROUND_HALF_EVEN))


def _number(scaled: int, count: int) -> int | float:
    with localcontext(prec=60):
        value = Decimal(scaled).scaleb(-_DECIMALS) / count
        rounded = round(value, _DECIMALS)
    return int(rounded) if rounded == int(rounded) else float(rounded)
