"""The names that texts use for operators and aggregates, and how spans and instants are written."""

import re
from datetime import datetime
from decimal import Decimal

from services.common.clock import from_micros, to_micros
from services.common.rules.model import Aggregate, Operator, Quantifier

INFIX = {
    "==": Operator.EQUALS,
    "!=": Operator.NOT_EQUALS,
    "<": Operator.LESS_THAN,
    "<=": Operator.AT_MOST,
    ">": Operator.GREATER_THAN,
    ">=": Operator.AT_LEAST,
}
METHODS = {
    "between": Operator.BETWEEN,
    "contains": Operator.CONTAINS,
    "notContains": Operator.NOT_CONTAINS,
    "startsWith": Operator.STARTS_WITH,
    "endsWith": Operator.ENDS_WITH,
    "matches": Operator.MATCHES,
    "isTrue": Operator.IS_TRUE,
    "isFalse": Operator.IS_FALSE,
    "before": Operator.BEFORE,
    "after": Operator.AFTER,
    "withinLast": Operator.WITHIN_LAST,
    "withinNext": Operator.WITHIN_NEXT,
    "beforeLast": Operator.BEFORE_LAST,
    "afterNext": Operator.AFTER_NEXT,
}
"""Operators that are called on a subject. ``notIn`` takes a list, ``has`` and ``missing`` take the subject."""
AGGREGATES = {
    "count": Aggregate.COUNT,
    "sum": Aggregate.SUM,
    "average": Aggregate.AVERAGE,
    "min": Aggregate.MINIMUM,
    "max": Aggregate.MAXIMUM,
    "first": Aggregate.FIRST,
    "last": Aggregate.LAST,
    "distinctCount": Aggregate.DISTINCT_COUNT,
}
QUANTIFIERS = {"any": Quantifier.ANY, "all": Quantifier.ALL, "none": Quantifier.NONE}
"""What is called on members. ``count`` is a figure, compared like those of events."""
RESERVED = frozenset({"true", "false", "in"})
_UNITS = {
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(d|h|ms|us|m|s)")


def span(text: str) -> int | None:
    """The microseconds of ``1d12h``, as CEL writes durations, and with days; ``None`` for what is none."""
    negative, rest = text.startswith("-"), text.removeprefix("-")
    total, at = Decimal(0), 0
    while match := _PART.match(rest, at):
        total += Decimal(match[1]) * _UNITS[match[2]]
        at = match.end()
    if not rest or at != len(rest) or total != int(total):
        return None
    return -int(total) if negative else int(total)


def written_span(micros: int) -> str:
    """``span`` reads it."""
    parts, rest = [], abs(micros)
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return ("-" if micros < 0 else "") + ("".join(parts) or "0s")


def instant(text: str) -> int | None:
    """The microseconds of an RFC 3339 time with its zone; ``None`` for what is none."""
    try:
        time = datetime.fromisoformat(text)
        return to_micros(time) if time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def written_instant(micros: int) -> str:
    """``instant`` reads it."""
    return from_micros(micros).isoformat().replace("+00:00", "Z")
