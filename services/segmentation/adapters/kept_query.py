"""What streams keep of rows: Ibis expressions of the parts that rules compile to, and their answers as arrays."""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import and_
from typing import Any, TypeAlias

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.common.flat.comparisons import holds, positively
from services.common.flat.paths import values_at
from services.common.rules import Comparison
from services.segmentation.adapters.kept_streams import Fact, Part, Wanted

_KINDS = ("texts", "numbers", "flags")
_NEVER = 0
"""The moment that comparisons which do not depend on it are compiled with."""
MILLIONTHS_MAX = 2**43
"""Numbers beyond it are not summed here: a million of them are exact."""

Numbering: TypeAlias = dict[tuple[str, Any], int]
"""A number for each value, by its kind."""
Codes: TypeAlias = Callable[[pa.Table], npt.NDArray[np.int32]]
"""The number of each row's customer."""


class TooWide(ArithmeticError):
    """A number is too large to be summed by arrays."""


def of_events(rows: ir.Table, wanted: Sequence[Wanted]) -> ir.Table:
    """The events of which some stream keeps something, with what that is in columns by number."""
    names = sorted({each.name for each in wanted})
    chosen = rows.filter(rows.name.isin(names))
    alike = len({(each.name, each.where) for each in wanted}) == 1
    if alike and wanted[0].where:
        chosen = chosen.filter([holds(chosen, comparison, _NEVER) for comparison in wanted[0].where])
    columns: dict[str, ir.Value] = {}
    for number, each in enumerate(wanted):
        tests = [] if alike else _tests(chosen, each, alone=len(names) == 1)
        columns.update(_facts(chosen, each, f"v{number}", tests))
    kept = ["origin_id", "customer_id", "time", "message_id"]
    picking = any(each.fact is Fact.PICKED for each in wanted)
    return chosen.select(*(kept if picking else kept[:3]), **columns)


def of_traits(rows: ir.Table, wanted: Sequence[Wanted]) -> ir.Table:
    """The rows of the traits that streams name, with what they keep in columns by number; null in the others."""
    names = sorted({each.name for each in wanted})
    chosen = rows.filter(rows.name.isin(names))
    columns: dict[str, ir.Value] = {
        f"v{number}": ibis.ifelse(
            chosen.name == each.name, positively(chosen, _compared(each), _NEVER), ibis.null("boolean")
        )
        for number, each in enumerate(wanted)
    }
    return chosen.select("origin_id", "customer_id", "time", "tie", **columns)


def _compared(wanted: Wanted) -> Comparison:
    assert wanted.compared is not None
    return wanted.compared


def _tests(events: ir.Table, wanted: Wanted, alone: bool) -> list[ir.BooleanValue]:
    """What is to be true of an event. ``alone``: all of them have the name that is wanted."""
    named = [] if alone else [events.name == wanted.name]
    return [*named, *(holds(events, comparison, _NEVER) for comparison in wanted.where)]


def _facts(
    events: ir.Table, wanted: Wanted, name: str, tests: Sequence[ir.BooleanValue]
) -> Iterator[tuple[str, ir.Value]]:
    matched = reduce(and_, tests, ibis.literal(True))

    def where(value: ir.Value) -> ir.Value:
        return ibis.ifelse(matched, value, ibis.null(value.type())) if tests else value

    numbers = values_at(events.numbers, wanted.property)
    match wanted.fact:
        case Fact.HAPPENED:
            yield name, matched
        case Fact.TOTAL:
            yield name, where(numbers.sums().cast("decimal(38, 6)"))
            yield f"{name}_count", where(numbers.length())
        case Fact.LEAST:
            yield name, where(numbers.mins())
        case Fact.MOST:
            yield name, where(numbers.maxs())
        case Fact.DISTINCT:
            for kind in _KINDS:
                yield f"{name}_{kind}", where(values_at(events[kind], wanted.property))
        case Fact.PICKED:
            known = matched & events.present.contains(wanted.property)
            yield name, ibis.ifelse(known, positively(events, _compared(wanted), _NEVER), ibis.null("boolean"))
        case Fact.TOLD:
            raise AssertionError("traits are not events")


def part(answer: pa.Table, wanted: Wanted, number: int, codes: npt.NDArray[np.int32], values: Numbering) -> Part:
    """The rows of a stream out of the answer; ``TooWide``. ``values`` grows with new ones."""
    name, times = f"v{number}", answer["time"].to_numpy()
    if wanted.fact is Fact.DISTINCT:
        return _exploded(answer, name, codes, times, values)
    column = answer[name].combine_chunks()
    if wanted.fact is Fact.HAPPENED:
        rows = np.flatnonzero(column.to_numpy(zero_copy_only=False))
        return Part(codes[rows], times[rows])
    rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    found = column if len(rows) == len(column) else column.drop_null()
    return Part(codes[rows], times[rows], _columns(answer, wanted, name, found, rows))


def _columns(
    answer: pa.Table, wanted: Wanted, name: str, found: pa.Array, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[Any], ...]:
    if wanted.fact is Fact.TOTAL:
        counts = answer[f"{name}_count"].combine_chunks().take(pa.array(rows)).cast(pa.int64())
        return _millionths(found), counts.to_numpy()
    if wanted.fact in (Fact.LEAST, Fact.MOST):
        return (found.to_numpy(zero_copy_only=False),)
    ties = answer["tie" if wanted.fact is Fact.TOLD else "message_id"].combine_chunks().take(pa.array(rows))
    return _orders(ties), found.to_numpy(zero_copy_only=False).astype(bool)


def _millionths(amounts: pa.Array) -> npt.NDArray[np.int64]:
    """Decimals with six places as whole numbers: the lower of the two words that each is stored in."""
    if not len(amounts):
        return np.zeros(0, np.int64)
    words = np.frombuffer(amounts.buffers()[1], np.int64).reshape(-1, 2)
    low, high = words[amounts.offset : amounts.offset + len(amounts)].T
    if (high != (low >> 63)).any() or (np.abs(low) > MILLIONTHS_MAX).any():
        raise TooWide
    millionths: npt.NDArray[np.int64] = low.copy()
    return millionths


def _orders(texts: pa.Array) -> npt.NDArray[np.uint64]:
    """Numbers that are in order as the texts are, as far as their first eight bytes tell."""
    starts = pc.binary_slice(texts.cast(pa.binary()), 0, 8).to_pylist()
    orders: npt.NDArray[np.uint64] = np.array(starts, "S8").view(">u8").astype(np.uint64)
    return orders


def _exploded(
    answer: pa.Table, name: str, codes: npt.NDArray[np.int32], times: npt.NDArray[np.int64], values: Numbering
) -> Part:
    rows, numbers = [], []
    for kind in _KINDS:
        lists = answer[f"{name}_{kind}"].combine_chunks()
        rows.append(pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64))
        encoded = pc.list_flatten(lists).dictionary_encode()
        known = [values.setdefault((kind, value), len(values)) for value in encoded.dictionary.to_pylist()]
        numbers.append(np.array(known, np.int64)[encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)])
    row = np.concatenate(rows)
    return Part(codes[row], times[row], (np.concatenate(numbers),))
