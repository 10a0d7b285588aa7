"""Comparisons of an event's properties, as ``tessera.common.v1.Comparison`` says, evaluated on one event."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.common.rules import POSITIVE, Comparison, Operator, RuleUnsupported

DEPTH_MAX = 32
_COMPARES: dict[Operator, Callable[[Any, Sequence[Any]], bool]] = {
    Operator.EQUALS: lambda value, bounds: value == bounds[0],
    Operator.ANY_OF: lambda value, bounds: value in bounds,
    Operator.LESS_THAN: lambda value, bounds: bool(value < bounds[0]),
    Operator.AT_MOST: lambda value, bounds: bool(value <= bounds[0]),
    Operator.GREATER_THAN: lambda value, bounds: bool(value > bounds[0]),
    Operator.AT_LEAST: lambda value, bounds: bool(value >= bounds[0]),
    Operator.BETWEEN: lambda value, bounds: bool(bounds[0] <= value <= bounds[1]),
    Operator.CONTAINS: lambda value, bounds: isinstance(value, str) and bounds[0] in value,
    Operator.STARTS_WITH: lambda value, bounds: bool(value.startswith(bounds[0])),
    Operator.ENDS_WITH: lambda value, bounds: bool(value.endswith(bounds[0])),
}
_WITHOUT_BOUNDS = frozenset({Operator.EXISTS, Operator.IS_TRUE, Operator.IS_FALSE})


def check_supported(where: Sequence[Comparison]) -> None:
    """``RuleUnsupported`` for an operator, or a type of value, that is not evaluated here: patterns and times."""
    for index, comparison in enumerate(where):
        operator = POSITIVE.get(comparison.operator, comparison.operator)
        if operator not in _COMPARES and operator not in _WITHOUT_BOUNDS:
            raise RuleUnsupported(f"where[{index}].operator", f"{comparison.operator.name} is not evaluated here")
        if not all(isinstance(value, (str, float, bool)) for value in comparison.values):
            raise RuleUnsupported(f"where[{index}].values", "only texts, numbers and truth values are compared here")


def look_up(content: Any, path: Sequence[str]) -> list[Any]:
    """The values at a path, nulls left out; a list on the way means each of its elements."""
    if not path:
        return [] if content is None else [content]
    if isinstance(content, list):
        return [found for element in content if isinstance(element, dict) for found in look_up(element, path)]
    return look_up(content.get(path[0]), path[1:]) if isinstance(content, dict) else []


def all_hold(where: Sequence[Comparison], properties: Mapping[str, Any]) -> bool:
    """Whether every comparison holds of an event's properties."""
    return all(_holds(comparison, properties) for comparison in where)


def _holds(comparison: Comparison, properties: Mapping[str, Any]) -> bool:
    operator = POSITIVE.get(comparison.operator, comparison.operator)
    values = look_up(properties, comparison.field.split("."))
    found = any(_is(value, operator, comparison.values) for value in values)
    return found == (operator is comparison.operator)


def _is(value: Any, operator: Operator, bounds: Sequence[Any]) -> bool:
    if operator in _WITHOUT_BOUNDS:
        return operator is Operator.EXISTS or value is (operator is Operator.IS_TRUE)
    if operator is Operator.CONTAINS and isinstance(value, list):
        return any(_same_type(element, bounds[0]) and element == bounds[0] for element in value)
    return _same_type(value, bounds[0]) and _COMPARES[operator](value, bounds)


def _same_type(value: Any, bound: Any) -> bool:
    if isinstance(value, bool) or isinstance(bound, bool):
        return isinstance(value, bool) and isinstance(bound, bool)
    if isinstance(bound, float):
        return isinstance(value, (int, float))
    return isinstance(value, str) and isinstance(bound, str)
