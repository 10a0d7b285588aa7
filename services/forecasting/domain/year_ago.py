"""Which weeks say what a year ago was: years are no whole number of weeks, and holidays move among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.holidays import WESTERN, HolidayCalendar

_WEEK = 7
_YEAR = 52
_YEAR_DAYS = _YEAR * _WEEK
# A fixed date is 365 or 366 days after that of a year before; what lies further from that moves by weeks.
_DATE_MOVES_MAX = 7


@dataclass(frozen=True, slots=True)
class YearAgo:
    """For each week two weeks that together are a year before it: how many weeks back, and their shares, which sum to
    one."""

    lags: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float64]


def year_ago(starts: Sequence[datetime], holidays: HolidayCalendar = WESTERN) -> YearAgo:
    """Of the weeks that begin at ``starts``.

    The dates of a week lay in two weeks, one or two days more than 52 weeks before it. Holidays that keep their
    weekday (Thanksgiving) or move by weeks (Easter) have the one week that had them a year before, and no other week
    has that: it would see a feast that it does not have.
    """
    known = _Known(holidays)
    lags = np.tile(np.array([_YEAR, _YEAR + 1], dtype=np.int64), (len(starts), 1))
    shares = np.zeros((len(starts), 2))
    for place, start in enumerate(starts):
        day = start.date()
        own = known.own_week(day)
        if own:
            lags[place, 0], shares[place, 0] = own, 1.0
            continue
        late = (day - _year_before(day)).days / _WEEK - _YEAR
        free = [not known.leaves(day - timedelta(days=_WEEK * back)) for back in (_YEAR, _YEAR + 1)]
        shares[place] = (1.0 - late, late) if free[0] == free[1] else (float(free[0]), float(free[1]))
    return YearAgo(lags, shares)


class _Known:
    """The days of holidays by name and year."""

    def __init__(self, holidays: HolidayCalendar) -> None:
        self._holidays = holidays
        self._years: dict[int, Mapping[str, date]] = {}

    def own_week(self, day: date) -> int:
        """How many weeks before the one from ``day`` on its holiday was a year ago; 0 without such a holiday."""
        for name, this in self._inside(day):
            before = self._of(this.year - 1).get(name)
            if before and _by_weeks((this - before).days):
                return -(-(day - before).days // _WEEK)
        return 0

    def leaves(self, day: date) -> bool:
        """Whether the week from ``day`` on has a holiday that is in another week, a year later."""
        after = ((this, self._of(this.year + 1).get(name)) for name, this in self._inside(day))
        return any(later and _by_weeks((later - this).days) for this, later in after)

    def _inside(self, day: date) -> list[tuple[str, date]]:
        end = day + timedelta(days=_WEEK)
        years = sorted({day.year, end.year})
        return [(name, it) for year in years for name, it in self._of(year).items() if day <= it < end]

    def _of(self, year: int) -> Mapping[str, date]:
        """The first day of each name."""
        if year not in self._years:
            self._years[year] = {name: day for day, name in sorted(self._holidays.of(year).items(), reverse=True)}
        return self._years[year]


def _by_weeks(days: int) -> bool:
    """Whether a holiday that comes again after so many days keeps its weekday, or moves by more than its date does."""
    return days % _WEEK == 0 or abs(days - _YEAR_DAYS) > _DATE_MOVES_MAX


def _year_before(day: date) -> date:
    return day.replace(year=day.year - 1, day=28) if (day.month, day.day) == (2, 29) else day.replace(year=day.year - 1)
