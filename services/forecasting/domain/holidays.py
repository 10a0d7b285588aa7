"""Days on which retail sells differently: those of countries, those of the retailer, or those of most of the West."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, lru_cache

import holidays as public

from services.common.errors import InvalidArgument

_THURSDAY = 3
_MONDAY = 0
_CALENDARS_KEPT = 256


class HolidaysInvalid(InvalidArgument):
    """There is no such country, part of it, or day."""


@dataclass(frozen=True, slots=True)
class HolidayCalendar:
    """The public holidays of regions (country and part of it), and days of the retailer's own, with their names."""

    regions: tuple[tuple[str, str], ...] = ()
    days: tuple[tuple[str, tuple[date, ...]], ...] = ()

    def check(self) -> None:
        """``HolidaysInvalid``."""
        supported = public.list_supported_countries(include_aliases=True)
        for country, part in self.regions:
            if country not in supported:
                raise HolidaysInvalid(f"the holidays of the country {country} are not known", field="regions")
            if part and part not in supported[country]:
                known = ", ".join(supported[country]) or "none"
                raise HolidaysInvalid(f"{country} has no part {part}; it has {known}", field="regions")

    def of(self, year: int) -> Mapping[date, str]:
        """The holidays of a year by day."""
        return _of(self, year)

    def is_holiday(self, day: date) -> bool:
        """Whether ``day`` is one."""
        return day in _of(self, day.year)


WESTERN = HolidayCalendar()
"""Of a tenant without a calendar."""


@lru_cache(_CALENDARS_KEPT)
def _of(calendar: HolidayCalendar, year: int) -> Mapping[date, str]:
    if calendar == WESTERN:
        return western(year)
    found: dict[date, list[str]] = {}
    for country, part in calendar.regions:
        for day, name in public.country_holidays(country, subdiv=part or None, years=year).items():
            found.setdefault(day, []).append(name)
    for name, days in calendar.days:
        for day in days:
            if day.year == year:
                found.setdefault(day, []).append(name)
    return {day: "; ".join(dict.fromkeys(names)) for day, names in sorted(found.items())}


@cache
def western(year: int) -> Mapping[date, str]:
    """The days of ``year`` that sell differently in most of the West."""
    easter = _easter(year)
    return {
        date(year, 1, 1): "new_year",
        easter - timedelta(days=2): "good_friday",
        easter: "easter",
        _last_monday(year, 5): "memorial_day",
        date(year, 7, 4): "independence_day",
        _nth(year, 9, _MONDAY, 1): "labor_day",
        _nth(year, 11, _THURSDAY, 4): "thanksgiving",
        _nth(year, 11, _THURSDAY, 4) + timedelta(days=1): "black_friday",
        date(year, 12, 24): "christmas_eve",
        date(year, 12, 25): "christmas",
        date(year, 12, 31): "new_years_eve",
    }


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _last_monday(year: int, month: int) -> date:
    last = date(year, month, 28) + timedelta(days=3)
    return last - timedelta(days=last.weekday())


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    moon = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * moon) // 433
    month = (h + moon - 7 * m + 90) // 25
    return date(year, month, (h + moon - 7 * m + 33 * month + 19) % 32)
