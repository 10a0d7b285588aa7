"""What is added up, by what; the numbers are those of the contract."""

from enum import IntEnum


class Measure(IntEnum):
    """A figure over order lines."""

    SALES = 1
    ORDERS = 2
    UNITS = 3


class Dimension(IntEnum):
    """How order lines are divided among series."""

    TOTAL = 1
    CATEGORY = 2
    PRODUCT = 3
    STORE = 4


class Hierarchy(IntEnum):
    """What adds up: the total, and the dimensions below it."""

    NONE = 0
    CATEGORY = 1
    STORE = 2
    CATEGORY_PRODUCT = 3

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


_LEVELS = {
    Hierarchy.NONE: (),
    Hierarchy.CATEGORY: (Dimension.TOTAL, Dimension.CATEGORY),
    Hierarchy.STORE: (Dimension.TOTAL, Dimension.STORE),
    Hierarchy.CATEGORY_PRODUCT: (Dimension.TOTAL, Dimension.CATEGORY, Dimension.PRODUCT),
}
