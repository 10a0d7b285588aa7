"""Comparisons compiled to Ibis: over the maps of a row of events or traits."""

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import TypeAlias

import ibis
import ibis.expr.types as ir

from services.common.flat.paths import values_at
from services.common.flat.properties import element
from services.common.rules import POSITIVE, Comparison, Instant, Operator, Span, TimeWindow, Value

Moment: TypeAlias = int | ir.IntegerScalar
"""The moment of an evaluation in microseconds, or the parameter of a query that stands for it."""
FALSE = ibis.literal(False)
_MAPS: dict[type, str] = {str: "texts", float: "numbers", bool: "flags", Instant: "instants"}


def holds(row: ir.Table, comparison: Comparison, at: Moment) -> ir.BooleanValue:
    """Whether ``comparison`` is true of ``row`` at the moment ``at``; never null."""
    positive = positively(row, comparison, at)
    return ~positive if comparison.operator in POSITIVE else positive


def positively(row: ir.Table, comparison: Comparison, at: Moment) -> ir.BooleanValue:
    """As ``holds``, with the positive of a negative operator: false where the field is missing."""
    operator = POSITIVE.get(comparison.operator, comparison.operator)
    return _COMPILED[operator](row, comparison, at).fill_null(False)


def timely(time: ir.IntegerValue, window: TimeWindow, at: Moment) -> ir.BooleanValue:
    """Whether the time of an event is in ``window``, seen from ``at``."""
    timely: ir.BooleanValue = ibis.literal(True)
    if window.within is not None:
        timely &= time > at - window.within
    if window.before is not None:
        timely &= time <= at - window.before
    if window.start is not None:
        timely &= time >= window.start
    if window.end is not None:
        timely &= time < window.end
    return timely


def _values(row: ir.Table, comparison: Comparison, kind: type) -> ir.ArrayValue:
    """The values of the field that are of the type ``kind``; null if there is none."""
    return values_at(row[_MAPS[kind]], comparison.field)


def _equals(row: ir.Table, comparison: Comparison, at: Moment) -> ir.BooleanValue:
    known = _values(row, comparison, type(comparison.values[0]))
    return reduce(or_, [known.contains(_literal(value)) for value in comparison.values])


def _literal(value: Value) -> str | float | bool | int:
    assert isinstance(value, str | float | bool | Instant)
    return value.micros if isinstance(value, Instant) else value


def _ordered(compare: Callable[[ir.Value, ir.Value], ir.BooleanValue]) -> "_Compile":
    def compiled(row: ir.Table, comparison: Comparison, at: Moment) -> ir.BooleanValue:
        bound = ibis.literal(_literal(comparison.values[0]))
        return _some(_values(row, comparison, type(comparison.values[0])), lambda value: compare(value, bound))

    return compiled


def _some(values: ir.ArrayValue, test: Callable[[ir.Value], ir.BooleanValue]) -> ir.BooleanValue:
    return values.filter(test).length() > 0


def _between(row: ir.Table, comparison: Comparison, at: Moment) -> ir.BooleanValue:
    low, high = (ibis.literal(_literal(value)) for value in comparison.values)
    known = _values(row, comparison, type(comparison.values[0]))
    return _some(known, lambda value: (value >= low) & (value <= high))


def _contains(row: ir.Table, comparison: Comparison, at: Moment) -> ir.BooleanValue:
    (sought,) = comparison.values
    assert isinstance(sought, str | float | bool)
    listed = values_at(row.elements, comparison.field).contains(element(sought)).fill_null(False)
    if not isinstance(sought, str):
        return listed
    return listed | _text(lambda value, part: value.contains(part))(row, comparison, at).fill_null(False)


def _text(compare: Callable[[ir.StringValue, str], ir.BooleanValue]) -> "_Compile":
    def compiled(row: ir.Table, comparison: Comparison, at: Moment) -> ir.BooleanValue:
        sought = str(comparison.values[0])
        return _some(_values(row, comparison, str), lambda value: compare(value, sought))

    return compiled


def _exists(row: ir.Table, comparison: Comparison, at: Moment) -> ir.BooleanValue:
    return row.present.contains(comparison.field)


def _is(flag: bool) -> "_Compile":
    return lambda row, comparison, at: _values(row, comparison, bool).contains(flag)


def _instant(compare: Callable[[ir.IntegerValue, Moment, int], ir.BooleanValue]) -> "_Compile":
    """``compare`` gets the instant, the moment of evaluation, and the value as an instant or a span."""

    def compiled(row: ir.Table, comparison: Comparison, at: Moment) -> ir.BooleanValue:
        (bound,) = comparison.values
        assert isinstance(bound, Instant | Span)
        return _some(_values(row, comparison, Instant), lambda time: compare(time, at, bound.micros))

    return compiled


_Compile = Callable[[ir.Table, Comparison, Moment], ir.BooleanValue]
_COMPILED: dict[Operator, _Compile] = {
    Operator.EQUALS: _equals,
    Operator.ANY_OF: _equals,
    Operator.LESS_THAN: _ordered(lambda value, bound: value < bound),
    Operator.AT_MOST: _ordered(lambda value, bound: value <= bound),
    Operator.GREATER_THAN: _ordered(lambda value, bound: value > bound),
    Operator.AT_LEAST: _ordered(lambda value, bound: value >= bound),
    Operator.BETWEEN: _between,
    Operator.CONTAINS: _contains,
    Operator.STARTS_WITH: _text(lambda value, part: value.startswith(part)),
    Operator.ENDS_WITH: _text(lambda value, part: value.endswith(part)),
    Operator.MATCHES: _text(lambda value, pattern: value.re_search(pattern)),
    Operator.EXISTS: _exists,
    Operator.IS_TRUE: _is(True),
    Operator.IS_FALSE: _is(False),
    Operator.BEFORE: _instant(lambda time, at, bound: time < bound),
    Operator.AFTER: _instant(lambda time, at, bound: time > bound),
    Operator.WITHIN_LAST: _instant(lambda time, at, span: (time > at - span) & (time <= at)),
    Operator.WITHIN_NEXT: _instant(lambda time, at, span: (time > at) & (time <= at + span)),
    Operator.BEFORE_LAST: _instant(lambda time, at, span: time <= at - span),
    Operator.AFTER_NEXT: _instant(lambda time, at, span: time > at + span),
}
