"""Series: figures of consecutive periods, without gaps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidArgument
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.periods import Periods


class CurrencyRequired(InvalidArgument):
    """Sales in several currencies cannot be added up."""


class EventNameInvalid(InvalidArgument):
    """Events without a name, or a name for what are no events."""


class DimensionInvalid(InvalidArgument):
    """The measure is not counted by that."""


class TooManySeries(InvalidArgument):
    """They do not fit in memory, nor on a screen."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which order lines or events are added up, and how."""

    measure: Measure
    dimension: Dimension
    granularity: Granularity
    values: tuple[str, ...] = ()
    """Only these categories; empty for all."""
    currency: str = ""
    time_zone: str = ""
    event_name: str = ""
    """Of which events, for ``Measure.EVENTS``."""

    def __post_init__(self) -> None:
        check_event_name(self.measure, self.event_name)
        check_dimension(self.measure, self.dimension)


def check_dimension(measure: Measure, dimension: Dimension) -> None:
    """``DimensionInvalid`` for sends by anything, of which nothing is kept but when they were."""
    if measure is Measure.SENDS and dimension is not Dimension.TOTAL:
        raise DimensionInvalid(f"sends are counted in total, not by {dimension.name}", field="dimension")


def check_event_name(measure: Measure, event_name: str) -> None:
    """``EventNameInvalid`` for events without a name and for a name of something else."""
    if measure is Measure.EVENTS and not event_name:
        raise EventNameInvalid("say which events are counted, for example `Email Opened`", field="event_name")
    if measure is not Measure.EVENTS and event_name:
        raise EventNameInvalid(f"{measure.name} is not a number of events; leave the name empty", field="event_name")


@dataclass(frozen=True, slots=True)
class Extent:
    """What orders (or events) there are: when the first and the newest were, and in which currencies. Times are
    microseconds."""

    first_time: int
    last_time: int
    currencies: tuple[str, ...]

    def currency(self, selection: Selection) -> str:
        """The currency of the selected lines, ``""`` if there are several; ``CurrencyRequired`` for sales then."""
        if not selection.measure.of_orders:
            return ""
        if selection.currency or len(self.currencies) == 1:
            return selection.currency or self.currencies[0]
        if selection.measure is Measure.SALES:
            known = ", ".join(self.currencies)
            raise CurrencyRequired(f"sales are in {known}; choose one currency", field="currency")
        return ""


@dataclass(frozen=True, slots=True)
class Sums:
    """Figures by category and bucket, in no order; buckets without lines are not there."""

    values: Sequence[str]
    buckets: npt.NDArray[np.int64]
    figures: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Panel:
    """Series that share their periods: one row of ``figures`` for each of ``values``."""

    periods: Periods
    values: tuple[str, ...]
    figures: npt.NDArray[np.float64]
    currency: str
    first_time: int
    """When the tenant's first order was."""
    complete_until: int
    """Periods that end later than this instant are incomplete."""

    def complete_count(self) -> int:
        """How many periods are complete."""
        return sum(end <= self.complete_until for end in self.periods.starts[1:])


def fold(sums: Sums, periods: Periods, values: Sequence[str]) -> npt.NDArray[np.float64]:
    """Figures by value and period, zero where there is no bucket."""
    figures = np.zeros((len(values), len(periods)))
    rows = {value: row for row, value in enumerate(values)}
    row = np.array([rows.get(value, -1) for value in sums.values], dtype=np.int64)
    column = np.searchsorted(np.array(periods.keys, dtype=np.int64), sums.buckets, side="right") - 1
    inside = (row >= 0) & (column >= 0)
    np.add.at(figures, (row[inside], column[inside]), sums.figures[inside])
    return figures
