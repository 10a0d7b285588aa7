"""What is added up, by what; the numbers are those of the contract."""

from enum import IntEnum


class Measure(IntEnum):
    """A figure over order lines, over events, or over what crm sent."""

    SALES = 1
    ORDERS = 2
    UNITS = 3
    VISITS = 4
    ACTIVE_CUSTOMERS = 5
    EVENTS = 6
    SENDS = 7

    @property
    def of_orders(self) -> bool:
        """Whether it is a figure over order lines."""
        return self in (Measure.SALES, Measure.ORDERS, Measure.UNITS)

    def adds_up(self, hierarchy: "Hierarchy") -> bool:
        """Whether the parts of a hierarchy are always together the whole."""
        if self in (Measure.SALES, Measure.UNITS):
            return True
        # An order and an event have one store and one channel, but may be of several categories.
        return self in (Measure.ORDERS, Measure.EVENTS) and hierarchy in (Hierarchy.STORE, Hierarchy.CHANNEL)


class Dimension(IntEnum):
    """How order lines and events are divided among series."""

    TOTAL = 1
    CATEGORY = 2
    PRODUCT = 3
    STORE = 4
    CHANNEL = 5
    SEGMENT = 6


class Hierarchy(IntEnum):
    """What adds up: the total, and the dimensions below it."""

    NONE = 0
    CATEGORY = 1
    STORE = 2
    CATEGORY_PRODUCT = 3
    CHANNEL = 4

    @property
    def levels(self) -> tuple[Dimension, ...]:
        """From the total down to the leaves; empty for none."""
        return _LEVELS[self]


class Granularity(IntEnum):
    """The length of a period."""

    HOUR = 1
    DAY = 2
    WEEK = 3
    MONTH = 4


class TimeHierarchy(IntEnum):
    """Lengths of periods whose forecasts agree."""

    NONE = 0
    DAY_WEEK = 1
    DAY_MONTH = 2
    DAY_WEEK_MONTH = 3
    HOUR_DAY = 4

    @property
    def levels(self) -> tuple[Granularity, ...]:
        """From the shortest to the longest; empty for none."""
        return _LENGTHS[self]

    @property
    def horizon_max(self) -> int:
        """In the longest periods; of the shortest ones there are then about a year of days, two weeks of hours."""
        return _HORIZONS_MAX[self]


_LENGTHS = {
    TimeHierarchy.NONE: (),
    TimeHierarchy.DAY_WEEK: (Granularity.DAY, Granularity.WEEK),
    TimeHierarchy.DAY_MONTH: (Granularity.DAY, Granularity.MONTH),
    TimeHierarchy.DAY_WEEK_MONTH: (Granularity.DAY, Granularity.WEEK, Granularity.MONTH),
    TimeHierarchy.HOUR_DAY: (Granularity.HOUR, Granularity.DAY),
}
_HORIZONS_MAX = {
    TimeHierarchy.NONE: 366,
    TimeHierarchy.DAY_WEEK: 52,
    TimeHierarchy.DAY_MONTH: 12,
    TimeHierarchy.DAY_WEEK_MONTH: 12,
    TimeHierarchy.HOUR_DAY: 14,
}
_LEVELS = {
    Hierarchy.NONE: (),
    Hierarchy.CATEGORY: (Dimension.TOTAL, Dimension.CATEGORY),
    Hierarchy.STORE: (Dimension.TOTAL, Dimension.STORE),
    Hierarchy.CHANNEL: (Dimension.TOTAL, Dimension.CHANNEL),
    Hierarchy.CATEGORY_PRODUCT: (Dimension.TOTAL, Dimension.CATEGORY, Dimension.PRODUCT),
}
