"""The calendar of a programme: days, weeks, months and years of its time zone, as instants."""

from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.common.clock import from_micros, to_micros
from services.loyalty.domain.errors import TimeZoneInvalid

UTC_ZONE = "UTC"
NEVER_ENDS = 2**63 - 1


class Period(Enum):
    """A period of the calendar."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    LIFETIME = "lifetime"


class Span(NamedTuple):
    """One period: the name that tells it from others, and its end, which it does not include."""

    key: str
    end: int


def check_zone(name: str) -> None:
    """``TimeZoneInvalid`` unless ``name`` is in the IANA database."""
    try:
        _zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimeZoneInvalid(
            f"{name} is no time zone of the IANA database, for example Europe/Berlin", field="time_zone"
        ) from None


@lru_cache(maxsize=600)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def local(instant: int, zone: str) -> datetime:
    """The instant as clocks of the zone show it."""
    return from_micros(instant).astimezone(_zone(zone))


def local_date(instant: int, zone: str) -> date:
    """The date of the instant in the zone."""
    return local(instant, zone).date()


def midnight(day: date, zone: str) -> int:
    """The first instant of a day in the zone."""
    return to_micros(datetime(day.year, day.month, day.day, tzinfo=_zone(zone)).astimezone(UTC))


@lru_cache(maxsize=4096)
def _span_of(period: Period, day: date, zone: str) -> Span:
    match period:
        case Period.DAY:
            start, after = day, day + timedelta(days=1)
        case Period.WEEK:
            start = day - timedelta(days=day.weekday())
            after = start + timedelta(days=7)
        case Period.MONTH:
            start = day.replace(day=1)
            after = (start + timedelta(days=32)).replace(day=1)
        case Period.YEAR:
            start = date(day.year, 1, 1)
            after = date(day.year + 1, 1, 1)
        case Period.LIFETIME:
            return Span("lifetime", NEVER_ENDS)
    return Span(f"{period.value}-{start.isoformat()}", midnight(after, zone))


def period_at(period: Period, instant: int, zone: str) -> Span:
    """The period in which the instant lies."""
    return _span_of(period, local_date(instant, zone), zone)
