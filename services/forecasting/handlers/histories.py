"""The histories of a panel: complete periods only, each series from its first order on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.drivers import Resolved
from services.forecasting.domain.holidays import WESTERN, HolidayCalendar
from services.forecasting.domain.measures import Granularity
from services.forecasting.domain.periods import DAY, Periods, periods_from
from services.forecasting.domain.seasons import (
    RHYTHMS,
    calendar_features,
    date_features,
    history_length_max,
    season_length,
)
from services.forecasting.domain.series import Panel
from services.forecasting.domain.spikes import TIMES, Spikes, find_spikes
from services.forecasting.domain.year_ago import year_ago
from services.forecasting.learning.known_ahead import LEARNERS, NO_LEARNERS, Learners
from services.forecasting.learning.lagged import Known
from services.forecasting.learning.panel import PanelForecast, SeriesForecast, Weighed, conclude, weigh
from services.forecasting.learning.reconciliation import ROOT

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Histories:
    """The complete periods of a panel, the periods ahead, and each series from its first order on."""

    past: Periods
    ahead: Periods
    series: dict[str, FloatArray]
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By series, what was done to its figures, in sentences."""

    def forecasts(
        self,
        parents: Mapping[str, str] | None = None,
        holidays: HolidayCalendar = WESTERN,
        drivers: Resolved | None = None,
        groups: Sequence[int] = (),
        learners: Learners = LEARNERS,
    ) -> PanelForecast:
        """Each series' forecast of the periods ahead. With ``parents``, of which each is a part, they add up; a whole
        comes before its parts. With ``drivers``, none or some, methods that learn from all series compete too;
        ``groups`` are numbers of series that go together, ``learners`` the models of all series that are fitted."""
        return conclude(self.weighed(parents, holidays, drivers, groups, learners).adding_up())

    def weighed(
        self,
        parents: Mapping[str, str] | None = None,
        holidays: HolidayCalendar = WESTERN,
        drivers: Resolved | None = None,
        groups: Sequence[int] = (),
        learners: Learners = LEARNERS,
        held_out: Sequence[int] | None = None,
    ) -> Weighed:
        """The same without intervals, nothing adding up yet. ``held_out``: how many periods each origin of the backtest
        holds out; without it they are chosen."""
        granularity, series = self.past.granularity, list(self.series.values())
        longest = max(len(one) for one in series)
        dates = self._dates(longest)
        calendar = calendar_features(granularity, dates, holidays)
        above = None if parents is None else self._places(parents)
        known = None
        if drivers is not None:
            known = Known(
                RHYTHMS[granularity],
                date_features(granularity, dates, holidays),
                drivers.numbers[:, -len(dates) :],
                drivers.names,
                np.array(groups, dtype=np.int64).reshape(len(series), -1),
                year_ago(dates, holidays) if granularity is Granularity.WEEK else None,
            )
        period = season_length(granularity, longest)
        return weigh(series, period, len(self.ahead), calendar, above, known, learners, held_out)

    def by_name(
        self, holidays: HolidayCalendar = WESTERN, drivers: Resolved | None = None
    ) -> dict[str, SeriesForecast]:
        """Each series' forecast, from its own history and its own drivers alone."""
        own = drivers if drivers and drivers.names else None
        found = self.forecasts(holidays=holidays, drivers=own, learners=NO_LEARNERS)
        return dict(zip(self.series, found.series, strict=True))

    def only(self, names: Collection[str]) -> "Histories":
        """Those of these series."""
        return replace(self, series={name: one for name, one in self.series.items() if name in names})

    def _places(self, parents: Mapping[str, str]) -> npt.NDArray[np.int64]:
        places = {name: place for place, name in enumerate(self.series)}

        def above(name: str) -> int:
            while name in parents:
                name = parents[name]
                if name in places:  # a whole whose parts cancel each other out everywhere is no series
                    return places[name]
            return ROOT

        return np.array([above(name) for name in self.series], dtype=np.int64)

    def _dates(self, longest: int) -> list[datetime]:
        return [*self.past.dates()[-longest:], *self.ahead.dates()]


def histories(panel: Panel, horizon: int, held_out: int = 0) -> Histories | None:
    """The histories up to the last complete period, without the ``held_out`` last ones; ``None`` if there are none."""
    periods, granularity = panel.periods, panel.periods.granularity
    last = panel.complete_count() - held_out
    first = max(int(_begins_in_midst(panel)), last - history_length_max(granularity))
    if last <= first:
        return None
    past = Periods(
        granularity, periods.zone, periods.starts[first : last + 1], periods.keys[first:last], periods.buckets
    )
    series, notes = {}, {}
    for value, figures in zip(panel.values, panel.figures[:, :last], strict=True):
        if figures.any():
            begin = max(first, int(np.flatnonzero(figures)[0]))
            series[value] = figures[min(begin, last - 1) :]
            if spikes := find_spikes(series[value]):
                series[value] = _without(series[value], spikes)
                notes[value] = _told(spikes, past.dates()[-len(series[value]) :], granularity)
    return Histories(past, periods_from(granularity, periods.zone, past.end, horizon), series, notes)


def _without(one: FloatArray, spikes: Spikes) -> FloatArray:
    found = one.copy()
    found[spikes.places] = spikes.instead
    return found


def _told(spikes: Spikes, dates: Sequence[datetime], granularity: Granularity) -> tuple[str, ...]:
    form = "%Y-%m-%d %H:%M" if granularity is Granularity.HOUR else "%Y-%m-%d"
    found = [
        f"The figure of {dates[place]:{form}} is more than {TIMES} times every ordinary one: it is taken for an error, "
        f"and {round(instead, 2):,} stands in for it, the median of those around it."
        for place, instead in zip(spikes.places.tolist(), spikes.instead.tolist(), strict=True)
    ]
    if spikes.newest:
        found.append(
            f"The newest figure, of {dates[-1]:{form}}, is more than {TIMES} times every ordinary one: it is left as "
            "it is, as the next ones may be like it."
        )
    return tuple(found)


def _begins_in_midst(panel: Panel) -> bool:
    """Whether the orders begin later than on the first day of the first week or month: its figure is then too low."""
    first_day = panel.first_time - panel.periods.starts[0]
    long = panel.periods.granularity in (Granularity.WEEK, Granularity.MONTH)
    return long and first_day >= DAY and len(panel.periods) > 1
