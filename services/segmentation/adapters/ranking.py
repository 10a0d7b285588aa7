"""Where the scores of all customers begin at some moment, kept to score a few customers without all the others.

A score is 1 + (customers before * 5) // customers, so k of its steps are passed exactly by those with more than the
figure of the customer at place ceil(k * customers / 5) has: against the customers of that moment the kept figures tell
the same score as the ranks do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.segmentation.domain.rfm import SCORES

_FIGURES = {"recency_days": "recency_score", "frequency": "frequency_score", "monetary_minor": "monetary_score"}
FIGURES = tuple(_FIGURES)
_STEPS = range(1, SCORES)
RANKING = ibis.table(
    {"currency": "string", **{f"{figure}_{step}": "int64" for figure in _FIGURES for step in _STEPS}}, name="ranking"
)
"""One row: the currency, and for each figure the four that have to be passed."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The row of ``RANKING``, of how many customers it was made, and when."""

    row: pa.Table | None
    customer_count: int
    at: int


def ranking(currency: str, figures: pa.Table, at: int) -> Ranking:
    """Of the columns ``recency_days``, ``frequency`` and ``monetary_minor`` of all customers."""
    count = figures.num_rows
    if not count:
        return Ranking(None, 0, at)
    row: dict[str, object] = {"currency": [currency]}
    for figure in _FIGURES:
        row.update(_passed(figure, figures[figure].to_numpy()))
    return Ranking(pa.table(row), count, at)


def _passed(figure: str, values: npt.NDArray[np.int64]) -> Iterator[tuple[str, list[int]]]:
    count = len(values)
    ordered = np.sort(values)
    if figure == "recency_days":  # the more days, the lower the score
        ordered = ordered[::-1]
    for step in _STEPS:
        yield f"{figure}_{step}", [int(ordered[-(-step * count // SCORES) - 1])]


def scored(figures: ir.Table) -> dict[str, ir.IntegerValue]:
    """The scores of customers, from their figures beside the columns of ``RANKING``."""
    return {
        score: 1 + reduce(add, [_beyond(figures, figure, step).cast("int64") for step in _STEPS])
        for figure, score in _FIGURES.items()
    }


def _beyond(figures: ir.Table, figure: str, step: int) -> ir.BooleanValue:
    own, least = figures[figure], figures[f"{figure}_{step}"]
    return own < least if figure == "recency_days" else own > least
