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


class Granularity(IntEnum):
    """The length of a period."""

    HOUR = 1
    DAY = 2
    WEEK = 3
    MONTH = 4
