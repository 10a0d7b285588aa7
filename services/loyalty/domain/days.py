"""Days and months in UTC: a day is the number of days since 1970, an instant is microseconds since then."""

from calendar import monthrange
from datetime import date, timedelta
from functools import lru_cache

SECOND_MICROS = 1_000_000
DAY_MICROS = 24 * 3600 * SECOND_MICROS
HOUR_MICROS = 3600 * SECOND_MICROS
_EPOCH = date(1970, 1, 1)


def day_of(instant: int) -> int:
    """The day in which an instant lies."""
    return instant // DAY_MICROS


def start_of(day: int) -> int:
    """The first instant of a day."""
    return day * DAY_MICROS


@lru_cache(maxsize=4096)
def add_months(day: int, months: int) -> int:
    """The same day of the month, so many months later; the month's last day where it has no such day."""
    origin = _EPOCH + timedelta(days=day)
    year, month = divmod(origin.year * 12 + origin.month - 1 + months, 12)
    last = monthrange(year, month + 1)[1]
    return (date(year, month + 1, min(origin.day, last)) - _EPOCH).days


def year_before(day: int) -> int:
    """The same day a year earlier: the last one that a rolling year no longer counts."""
    return add_months(day, -12)
