"""Days on which Western retail sells differently, computed by their rules for any year."""

from datetime import date, timedelta
from functools import cache

_THURSDAY = 3
_MONDAY = 0


@cache
def holidays(year: int) -> dict[date, str]:
    """The holidays of ``year`` by day."""
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


def is_holiday(day: date) -> bool:
    """Whether ``day`` is one of them."""
    return day in holidays(day.year)


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
