"""Retention: of customers that began together, who comes back in the periods after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from services.segmentation.domain.calendar import Calendar
from services.segmentation.domain.selection import Breakdown, EventFilter, Label, Missing, Others

PERIODS_DEFAULT = 12


class CohortBy(IntEnum):
    """By what customers are put together; the numbers are those of the contract."""

    FIRST_EVENT = 1
    FIRST_SEEN = 2
    TRAIT = 3


@dataclass(frozen=True, slots=True)
class Retention:
    """The question."""

    first: EventFilter
    returning: EventFilter
    by: CohortBy
    breakdown: Breakdown | None
    calendar: Calendar
    periods: int
    unbounded: bool
    currency: str


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted for the customers of one label that began in one period; by offset from it."""

    label: Label
    period: int
    customers: int
    returned: Mapping[int, int]
    """How many came back in just that offset; unbounded, how many came back there for the last time."""
    revenue: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cohort did some periods after it began."""

    offset: int
    customers: int
    retained: int
    revenue: int
    revenue_to_date: int
    ongoing: bool


@dataclass(frozen=True, slots=True)
class Cohort:
    """Customers that are looked at together; ``period`` is ``None`` if it is not what they have in common."""

    period: int | None
    label: Label
    customers: int
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """Every cohort."""

    currency: str
    cohorts: Sequence[Cohort]


@dataclass(slots=True)
class _Column:
    """The sums of one offset."""

    customers: int = 0
    retained: int = 0
    revenue: int = 0
    ongoing: bool = False


def cohorts(question: Retention, tallies: Sequence[Tally], last: int) -> list[Cohort]:
    """The matrix up to the period ``last``, which is still going on."""
    if question.by is CohortBy.TRAIT:
        labels = dict.fromkeys(tally.label for tally in tallies)
        grouped = [_cohort(question, None, [it for it in tallies if it.label == label], last) for label in labels]
        return sorted(grouped, key=_largest_first)
    by_period = {tally.period: tally for tally in tallies}
    return [
        _cohort(question, period, [by_period.get(period, Tally(Missing(), period, 0, {}, {}))], last)
        for period in range(last - question.periods + 1, last + 1)
    ]


def _largest_first(cohort: Cohort) -> tuple[bool, bool, int, str]:
    label = cohort.label
    return isinstance(label, Missing | Others), isinstance(label, Others), -cohort.customers, str(label)


def _cohort(question: Retention, period: int | None, tallies: Sequence[Tally], last: int) -> Cohort:
    columns = [_Column() for _ in range(last - min(tally.period for tally in tallies) + 1)]
    for tally in tallies:
        returned = 0
        for offset in range(last - tally.period, -1, -1):
            came = tally.returned.get(offset, 0)
            returned = returned + came if question.unbounded else came
            column = columns[offset]
            column.customers += tally.customers
            column.retained += returned
            column.revenue += tally.revenue.get(offset, 0)
            column.ongoing |= tally.period + offset == last or (question.unbounded and tally.customers > 0)
    cells, to_date = [], 0
    for offset, column in enumerate(columns):
        to_date += column.revenue
        cells.append(Cell(offset, column.customers, column.retained, column.revenue, to_date, column.ongoing))
    return Cohort(period, tallies[0].label, sum(tally.customers for tally in tallies), cells)
