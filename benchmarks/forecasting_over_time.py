"""Whether forecasts of days, weeks and months get better by being made to agree, on the Complete Journey's departments.

``python -m benchmarks.forecasting_over_time`` prints, for each length of periods, the mean absolute error of all
departments' backtests over that of their figures (WAPE), alone and agreeing, with and without the total above them.
"""

from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from benchmarks.forecasting import daily_sales
from services.common.clock import to_micros
from services.forecasting.domain.measures import Granularity, TimeHierarchy
from services.forecasting.domain.periods import periods_between
from services.forecasting.domain.series import Panel
from services.forecasting.handlers.over_time import agreeing, side_by_side
from services.forecasting.learning.histories import FloatArray
from services.forecasting.learning.panel import Weighed

_ZONE = ZoneInfo("UTC")
_TOTAL = "TOTAL"
TASKS = ((TimeHierarchy.DAY_WEEK, 4), (TimeHierarchy.DAY_MONTH, 1), (TimeHierarchy.DAY_WEEK_MONTH, 1))


def _panel(daily: pd.DataFrame, length: Granularity) -> Panel:
    """The departments' sales, and before them their total."""
    first, last = (to_micros(daily.index[place].to_pydatetime().replace(tzinfo=_ZONE)) for place in (0, -1))
    periods = periods_between(length, _ZONE, first, last)
    starts = [to_micros(day.to_pydatetime().replace(tzinfo=_ZONE)) for day in daily.index]
    owners = np.searchsorted(periods.starts, starts, side="right") - 1
    names = [_TOTAL, *(name for name in daily if name != _TOTAL)]
    figures = np.zeros((len(names), len(periods)))
    np.add.at(figures.T, owners, daily[names].to_numpy())
    return Panel(periods, tuple(names), figures, "USD", first, last + timedelta(days=1) // timedelta(microseconds=1))


def _wape(it: Weighed, forecasts: FloatArray, rows: slice) -> float:
    known = (np.isfinite(it.residuals) & np.isfinite(forecasts))[rows]
    actual, found = it.past.actuals[rows][known], forecasts[rows][known]
    return float(np.abs(found - actual).sum() / np.abs(actual).sum())


def main() -> None:
    """Measure and print."""
    daily = daily_sales()
    kinds = f"{'total alone':>12} {'agreeing':>9} {'parts alone':>12} {'agreeing':>9}"
    print(f"{'lengths':16} {'adding up':10} {'of':6} {kinds}")
    for lengths, horizon in TASKS:
        beside = side_by_side([_panel(daily, it) for it in lengths.levels], horizon)
        for whole in (False, True):
            weighed = []
            for it in beside:
                parents = {name: _TOTAL for name in it.past.series if name != _TOTAL} if whole else None
                weighed.append(it.past.weighed(parents, held_out=it.span.held_out[1:]))
            agreed = agreeing(beside, [it.adding_up() for it in weighed])
            for length, before, after in zip(lengths.levels, weighed, agreed, strict=True):
                both = (before.held_out, after.held_out)
                kept = [_wape(after, it, rows) for rows in (slice(0, 1), slice(1, None)) for it in both]
                figures = "{:12.4f} {:9.4f} {:12.4f} {:9.4f}".format(*kept)
                print(f"{lengths.name:16} {'yes' if whole else 'no':10} {length.name:6} {figures}", flush=True)


if __name__ == "__main__":
    main()
