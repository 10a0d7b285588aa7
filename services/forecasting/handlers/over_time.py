"""Histories of several lengths of periods beside each other, whose forecasts are made to agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.series import Panel
from services.forecasting.domain.spans import Span, spans
from services.forecasting.handlers.histories import Histories, histories
from services.forecasting.learning.panel import Weighed
from services.forecasting.learning.rolling_origin import origins
from services.forecasting.learning.temporal import Longer, agree


@dataclass(frozen=True, slots=True)
class Beside:
    """Histories of one length of periods, and where these lie beside the shortest ones."""

    past: Histories
    span: Span


def side_by_side(panels: Sequence[Panel], horizon: int) -> list[Beside]:
    """Of the same series by several lengths of periods, the shortest first; ``horizon`` in the longest. None without a
    complete period of each. Series that have a complete period of the shortest length only are of that length only."""
    pasts = [histories(panel, 1) for panel in panels]
    complete = [it for it in pasts if it and it.series]
    if len(complete) < len(panels):
        return []
    back = origins(len(complete[-1].past), 1, horizon)
    found = []
    for panel, span in zip(panels, spans([it.past for it in complete], horizon, back), strict=True):
        past = histories(panel, span.steps)
        if past:
            found.append(Beside(past.only(complete[0].series), span))
    return found


def agreeing(lengths: Sequence[Beside], weighed: Sequence[Weighed]) -> list[Weighed]:
    """The forecasts of all ``lengths``, made to agree."""
    shortest = lengths[0].past
    places = {name: place for place, name in enumerate(shortest.series)}
    figures = _figures(shortest)
    longer = []
    for it, theirs in zip(lengths[1:], weighed[1:], strict=True):
        own = np.array([places[name] for name in it.past.series], dtype=np.int64)
        begun = [figures[own, max(first, 0) : end].sum(axis=1) for first, end in it.span.begun]
        longer.append(Longer(theirs, own, it.span.owners, np.stack(begun, axis=1)))
    short, others = agree(weighed[0], longer)
    return [short, *others]


def _figures(past: Histories) -> npt.NDArray[np.float64]:
    """By series and period of the past, zero before a series begins."""
    figures = np.zeros((len(past.series), len(past.past)))
    for row, one in zip(figures, past.series.values(), strict=True):
        row[len(row) - len(one) :] = one
    return figures
