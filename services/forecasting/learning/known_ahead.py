"""The methods that use what is known of all series: a regression on drivers for each, one model of trees and one
network for all, and what was a year ago."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np

from services.forecasting.learning import boosting
from services.forecasting.learning.boosting import Boosted
from services.forecasting.learning.histories import FloatArray, IntArray
from services.forecasting.learning.lagged import Known, Panel, ahead
from services.forecasting.learning.methods import Spread, Task
from services.forecasting.learning.regression import Drivers, regression

# A model of the data up to its end serves all later origins, so that a backtest of many origins takes few models.
_PAST_MODELS_MAX = 3
# Trees of one series alone seldom do better than what is fitted to it; with drivers they may.
_SERIES_MIN = 8
_Model = TypeVar("_Model")


class Network(Protocol):
    """A fitted network."""

    def forecast(self, panel: Panel, ends: IntArray, series: IntArray) -> FloatArray:
        """Forecasts of ``series`` from before the periods ``ends``, one row each, one column a step; NaN for a history
        that is too short."""
        ...


class FitNetwork(Protocol):
    """Fits networks."""

    def __call__(self, panel: Panel, end: int, horizon: int, before: Network | None) -> Network | None:
        """The network of what came before the period ``end``, which may go on from one of ``before``; ``None`` if that
        is too little."""
        ...


@dataclass(frozen=True, slots=True)
class Learners:
    """Which models of all series are fitted, and where methods of single series run."""

    boosting: bool = True
    network: FitNetwork | None = None
    """``None``: no network. It is given from outside, as not every process should load what networks need."""
    spread: Spread = map
    """Where methods of single series run; as it stands, here and one part after the other."""


LEARNERS, NO_LEARNERS = Learners(), Learners(boosting=False)


@dataclass(frozen=True, slots=True)
class Learnt:
    """The panel, and models of trees by the period that they end before, the last first; none for too few rows."""

    panel: Panel
    models: dict[int, Boosted]
    networks: dict[int, Network] = field(default_factory=dict)

    def of(self, end: int) -> Boosted | None:
        """The newest model of trees that knows nothing of ``end`` and later."""
        return _before(self.models, end)

    def network(self, end: int) -> Network | None:
        """The newest network that knows nothing of ``end`` and later."""
        return _before(self.networks, end)


def _before(models: Mapping[int, _Model], end: int) -> _Model | None:
    return next((model for until, model in models.items() if until <= end), None)


def learn(
    series: list[FloatArray], known: Known, cuts: list[int], horizon: int, learners: Learners = LEARNERS
) -> Learnt:
    """Fit models for the end of the data and for some of the earlier origins ``cuts`` (periods that are held out)."""
    panel = Panel(series, known)
    past = cuts[1:]
    every = -(-len(past) // _PAST_MODELS_MAX) or 1
    panel.smooth(past[::-1][::every], horizon)
    # From the back, so that the earliest origin has a model too.
    ends = [panel.length - cut for cut in sorted({0, *past[::-1][::every]})]
    trees: dict[int, Boosted | None] = {}
    if learners.boosting and (len(series) >= _SERIES_MIN or known.driver_names):
        trees = {end: boosting.fit(panel, end, horizon) for end in ends}
    networks = _networks(panel, ends, horizon, learners.network) if learners.network else {}
    return Learnt(panel, {end: model for end, model in trees.items() if model is not None}, networks)


def _networks(panel: Panel, ends: list[int], horizon: int, fit: FitNetwork) -> dict[int, Network]:
    """The networks by their ends, the last first; each goes on from the one before it in time."""
    found: dict[int, Network] = {}
    fitted: Network | None = None
    for end in reversed(ends):
        if (fitted := fit(panel, end, horizon, fitted)) is not None:
            found = {end: fitted} | found
    return found


def run_known(task: Task, known: Known, learnt: Learnt, of: IntArray) -> FloatArray:
    """Forecasts by the five methods, history and step; NaN where one does not apply. ``of``: each history's series."""
    nothing = np.full((task.histories.count, task.horizon), np.nan)
    regressed = nothing
    if known.driver_names:
        drivers = Drivers(known.drivers, of)
        regressed = regression(task.histories, task.period, task.horizon, task.calendar, task.ends, drivers)
    boosted, networked = nothing.copy(), nothing.copy()
    for end in np.unique(task.ends):
        if (stack := learnt.network(int(end))) is not None:
            columns = np.flatnonzero(task.ends == end)
            networked[columns] = stack.forecast(learnt.panel, task.ends[columns], of[columns])
        model = learnt.of(int(end))
        if model is not None:
            columns = np.flatnonzero((task.ends == end) & (task.histories.sizes >= boosting.HISTORY_MIN))
            boosted[columns] = boosting.forecast(model, learnt.panel, task.ends[columns], of[columns], task.horizon)
    rows = ahead(of, task.ends, task.horizon)
    last_year = learnt.panel.year_ago(rows)
    grown = last_year * learnt.panel.growth(rows)
    return np.stack([regressed, boosted, *(it.reshape(nothing.shape) for it in (last_year, grown)), networked])
