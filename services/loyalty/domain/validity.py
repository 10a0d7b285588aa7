"""How long points are valid: a time by the calendar of a zone, to the end of the period in which it ends."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from services.common.clock import to_micros
from services.loyalty.domain.days import add_months
from services.loyalty.domain.errors import ValidityInvalid
from services.loyalty.domain.zones import local, midnight

_EPOCH = date(1970, 1, 1)


class ValidityUnit(Enum):
    """A unit of time."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


COUNT_MAX = {ValidityUnit.DAY: 36_600, ValidityUnit.WEEK: 5_200, ValidityUnit.MONTH: 1_200, ValidityUnit.YEAR: 100}
"""A hundred years: every calendar ends somewhere."""


class ExpiryRounding(Enum):
    """To the end of which period a validity goes."""

    NONE = "none"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Validity:
    """``count`` units, then to the end of the period; ``extended_by_activity``: anew with what the member does."""

    count: int
    unit: ValidityUnit
    rounding: ExpiryRounding = ExpiryRounding.NONE
    extended_by_activity: bool = False

    def expire_time(self, start: int, zone: str) -> int:
        """When points expire that are valid from ``start``: the first instant at which they cannot be spent."""
        begun = local(start, zone)
        last = self._later(begun.date())
        if self.rounding is ExpiryRounding.NONE:
            return to_micros(datetime.combine(last, begun.time(), begun.tzinfo).astimezone(UTC))
        return midnight(_after(self.rounding, last), zone)

    def _later(self, day: date) -> date:
        match self.unit:
            case ValidityUnit.DAY:
                return day + timedelta(days=self.count)
            case ValidityUnit.WEEK:
                return day + timedelta(weeks=self.count)
            case ValidityUnit.MONTH:
                return _months_later(day, self.count)
            case ValidityUnit.YEAR:
                return _months_later(day, 12 * self.count)


def check_validity(validity: Validity | None, validity_months: int) -> None:
    """``ValidityInvalid`` unless it can be reckoned, and is the only one."""
    if validity is None:
        return
    if validity_months:
        raise ValidityInvalid("give validity or validity_months, not both", field="validity_months")
    if not 1 <= validity.count <= COUNT_MAX[validity.unit]:
        raise ValidityInvalid(
            f"from 1 to {COUNT_MAX[validity.unit]} of the unit {validity.unit.value}", field="validity.count"
        )
    if validity.extended_by_activity and validity.rounding is ExpiryRounding.NONE:
        raise ValidityInvalid("what activity extends needs a rounding, DAY for example", field="validity.rounding")


def days_later(instant: int, days: int, zone: str) -> int:
    """The same time of day, so many days later in the zone."""
    begun = local(instant, zone)
    later = datetime.combine(begun.date() + timedelta(days=days), begun.time(), begun.tzinfo)
    return to_micros(later.astimezone(UTC))


def _months_later(day: date, months: int) -> date:
    return _EPOCH + timedelta(days=add_months((day - _EPOCH).days, months))


def _after(rounding: ExpiryRounding, day: date) -> date:
    """The day after the last of the period in which ``day`` lies."""
    match rounding:
        case ExpiryRounding.WEEK:
            return day + timedelta(days=7 - day.weekday())
        case ExpiryRounding.MONTH:
            return _month_start(day.year, day.month + 1)
        case ExpiryRounding.QUARTER:
            return _month_start(day.year, (day.month - 1) // 3 * 3 + 4)
        case ExpiryRounding.YEAR:
            return date(day.year + 1, 1, 1)
    return day + timedelta(days=1)


def _month_start(year: int, month: int) -> date:
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)
