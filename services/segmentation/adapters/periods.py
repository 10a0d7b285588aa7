"""Numbers of days and periods as Ibis expressions, by integer arithmetic alone: engines differ in their calendars."""

import ibis
import ibis.expr.types as ir

from services.segmentation.domain.calendar import DAY_MICROS, THURSDAY_OFFSET, Calendar, Unit


def local_of(time: ir.IntegerValue, calendar: Calendar) -> ir.IntegerValue:
    """The time that local clocks show, in microseconds since they showed the beginning of 1970."""
    *newer, (_, oldest) = calendar.shifts
    shift: ir.IntegerValue = ibis.literal(oldest, "int64")
    if newer:
        shift = ibis.cases(*((time >= start, ahead) for start, ahead in newer), else_=oldest).cast("int64")
    return time + shift


def day_of(time: ir.IntegerValue, calendar: Calendar) -> ir.IntegerValue:
    """``Calendar.day``."""
    return (local_of(time, calendar) // DAY_MICROS).cast("int64")


def period_of(day: ir.IntegerValue, unit: Unit) -> ir.IntegerValue:
    """``Calendar.period_of_day``."""
    if unit is Unit.DAY:
        return day
    if unit is Unit.WEEK:
        return ((day + THURSDAY_OFFSET) // 7).cast("int64")
    # Each operand is named once or twice: an expression that is named more often is written out as often. The method is
    # that of C. Neri and L. Schneider, "Euclidean affine functions and … calendar algorithms" (2022).
    quarters = 4 * (day + 719_468) + 3
    century = quarters // 146_097
    scaled = 2_939_745 * (4 * (quarters % 146_097 // 4) + 3)
    year = century * 100 + scaled // 2**32
    month = (2141 * (scaled % 2**32 // 2_939_745 // 4) + 197_913) // 2**16  # March is 3, February of the next year 14
    return (year * 12 + month - 1).cast("int64")


def period_at(time: ir.IntegerValue, calendar: Calendar) -> ir.IntegerValue:
    """``Calendar.period``."""
    return period_of(day_of(time, calendar), calendar.unit)
