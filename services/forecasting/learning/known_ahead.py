"""The methods that use what is known of all series: a regression on drivers for each, one model of trees for all, and
what was a year ago."""

from dataclasses import dataclass

import numpy as np

from services.forecasting.learning import boosting
from services.forecasting.learning.boosting import Boosted
from services.forecasting.learning.histories import FloatArray, IntArray
from services.forecasting.learning.lagged import Known, Panel
from services.forecasting.learning.methods import Task
from services.forecasting.learning.regression import Drivers, regression

# A model of the data up to its end serves all later origins, so that a backtest of many origins takes few models.
_PAST_MODELS_MAX = 3
# Trees of one series alone seldom do better than what is fitted to it; with drivers they may.
_SERIES_MIN = 8


@dataclass(frozen=True, slots=True)
class Learnt:
    """The panel, and models of trees by the period that they end before, the last first; none for too few rows."""

    panel: Panel
    models: dict[int, Boosted]

    def of(self, end: int) -> Boosted | None:
        """The newest model that knows nothing of ``end`` and later."""
        return next((model for until, model in self.models.items() if until <= end), None)


def learn(series: list[FloatArray], known: Known, cuts: list[int], horizon: int) -> Learnt:
    """Fit models for the end of the data and for some of the earlier origins ``cuts`` (periods that are held out)."""
    panel = Panel(series, known)
    if len(series) < _SERIES_MIN and not known.driver_names:
        return Learnt(panel, {})
    past = cuts[1:]
    every = -(-len(past) // _PAST_MODELS_MAX) or 1
    # From the back, so that the earliest origin has a model too.
    chosen = sorted({0, *past[::-1][::every]})
    found = {panel.length - cut: boosting.fit(panel, panel.length - cut, horizon) for cut in chosen}
    return Learnt(panel, {end: model for end, model in found.items() if model is not None})


def run_known(task: Task, known: Known, learnt: Learnt, of: IntArray) -> FloatArray:
    """Forecasts by the four methods, history and step; NaN where one does not apply. ``of``: each history's series."""
    nothing = np.full((task.histories.count, task.horizon), np.nan)
    regressed = nothing
    if known.driver_names:
        drivers = Drivers(known.drivers, of)
        regressed = regression(task.histories, task.period, task.horizon, task.calendar, task.ends, drivers)
    boosted = nothing.copy()
    for end in np.unique(task.ends):
        model = learnt.of(int(end))
        if model is not None:
            columns = np.flatnonzero((task.ends == end) & (task.histories.sizes >= boosting.HISTORY_MIN))
            boosted[columns] = boosting.forecast(model, learnt.panel, task.ends[columns], of[columns], task.horizon)
    rows = boosting.ahead(of, task.ends, task.horizon)
    last_year = learnt.panel.year_ago(rows)
    grown = last_year * learnt.panel.growth(rows)
    return np.stack([regressed, boosted, *(it.reshape(nothing.shape) for it in (last_year, grown))])
