"""The rolling-origin backtest: every method, from several earlier moments, without what came after them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.forecasting.learning.histories import FloatArray, IntArray, side_by_side
from services.forecasting.learning.known_ahead import LEARNERS, Learners, Learnt, learn, run_known
from services.forecasting.learning.lagged import Known
from services.forecasting.learning.methods import Task, run_all

ORIGINS_MAX = 12
# With fewer full windows than this, windows that reach past the end of the data are used as far as they go.
_FULL_WINDOWS_MIN = 3
_HISTORY_MIN = 6
_AFTER_YEAR_MIN = 4
# How many origins the shorter tenth of the series should have, before some are moved nearer to the end for them.
_SHORT_SHARE, _ENOUGH_ORIGINS = 0.1, 4


@dataclass(frozen=True, slots=True)
class Ahead:
    """Forecasts from the end of the data by method, series and step; and those of smoothing methods without season."""

    forecasts: FloatArray
    levels: FloatArray


@dataclass(frozen=True, slots=True)
class Backtest:
    """Forecasts by method, series, origin and step, and what came; NaN where there is no such thing."""

    forecasts: FloatArray
    actuals: FloatArray
    origins: IntArray
    """How many periods each origin holds out, the latest first."""

    @property
    def origin_counts(self) -> FloatArray:
        """How many origins each series has."""
        counts: FloatArray = np.isfinite(self.actuals).any(axis=2).sum(axis=1).astype(np.float64)
        return counts


def origins(length: int, period: int, horizon: int, year: int = 0) -> list[int]:
    """How many of the last periods are held out, for each origin, the latest origin first. Where a ``year`` matters and
    there is enough, every origin has one behind it."""
    history_min = max(_HISTORY_MIN, 2 * period, min(2 * horizon, length // 3))
    if year and year + _AFTER_YEAR_MIN + horizon + _FULL_WINDOWS_MIN <= length:
        history_min = max(history_min if history_min + horizon < length else 0, year + _AFTER_YEAR_MIN)
    room = length - history_min
    full = room - horizon
    step = max(1, -(-full // ORIGINS_MAX))
    # Origins must not all fall on the same position in the season.
    step += int(period > 1 and step % period == 0)
    held_out = list(range(horizon, room + 1, step))
    if len(held_out) >= _FULL_WINDOWS_MIN:
        return held_out[:ORIGINS_MAX]
    return list(range(1, max(room, 0) + 1))[:ORIGINS_MAX]


def origins_for(lengths: Sequence[int], period: int, horizon: int, year: int = 0) -> list[int]:
    """The origins of a panel whose series have these ``lengths``: those of the longest series, or, where these leave
    the short ones with few, half of theirs and half of what the short ones would have by themselves."""
    of_long = origins(max(lengths), period, horizon, year)
    short = int(np.quantile(lengths, _SHORT_SHARE))
    of_short = origins(short, period if short > 2 * period + horizon else 1, horizon, year)
    reached = [cut for cut in of_long if short - cut >= _HISTORY_MIN]
    if len(reached) >= min(_ENOUGH_ORIGINS, len(of_short)):
        return of_long
    return sorted({*_thinned(of_short), *_thinned(of_long)})


def _thinned(cuts: list[int]) -> list[int]:
    """At most half as many as there may be, evenly, the first of them always."""
    return cuts[:: -(-len(cuts) // (ORIGINS_MAX // 2)) or 1]


def backtest(
    series: list[FloatArray],
    period: int,
    horizon: int,
    calendar: FloatArray,
    known: Known | None = None,
    learners: Learners = LEARNERS,
    held_out: Sequence[int] | None = None,
) -> tuple[Ahead, Backtest, Learnt | None]:
    """The forecasts from the end of the data; those from earlier origins; and, where more
    than the calendar is ``known``, what was learnt of all series.

    ``held_out``: how many periods each origin holds out, the latest origin first; without it they are chosen. The end
    and the origins are run as one batch, so each method passes over time once.
    """
    longest = max(len(one) for one in series)
    if held_out is None:
        held_out = origins_for([len(one) for one in series], period, horizon, known.rhythm.year if known else 0)
    cuts = [0, *held_out]
    rows = [(s, k) for k, cut in enumerate(cuts) for s, one in enumerate(series) if len(one) - cut >= _least(k)]
    of, unknown = np.array([s for s, _ in rows]), np.array([cuts[k] for _, k in rows])
    histories, places = side_by_side([series[s][: len(series[s]) - cuts[k]] for s, k in rows], of, unknown)
    task = Task(histories, period, horizon, calendar, longest - histories.held_out)
    (found, levels), learnt = run_all(task, learners.spread), None
    if known is not None:
        learnt = learn(series, known, cuts, horizon, learners)
        found = np.concatenate([found, run_known(task, known, learnt, histories.series)])
    everything = np.full((len(found), len(series), len(cuts), horizon), np.nan)
    everything[:, of, [k for _, k in rows]] = found[:, places]
    ahead = Ahead(everything[:, :, 0], levels[:, places[: len(series)]])
    past = Backtest(everything[:, :, 1:], _actuals(series, cuts[1:], horizon), np.array(cuts[1:], dtype=np.int64))
    return ahead, past, learnt


def _least(origin: int) -> int:
    return _HISTORY_MIN if origin else 1


def _actuals(series: list[FloatArray], cuts: list[int], horizon: int) -> FloatArray:
    actuals = np.full((len(series), len(cuts), horizon), np.nan)
    for s, one in enumerate(series):
        for k, cut in enumerate(cuts):
            if len(one) - cut >= _HISTORY_MIN:
                came = one[len(one) - cut :][:horizon]
                actuals[s, k, : len(came)] = came
    return actuals
