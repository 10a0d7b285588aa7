"""RFM: how recently, how often and for how much customers bought; scores by quantile, and groups with names."""

from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise, product

from services.common.errors import InvalidArgument, NotFound

DAY_MICROS = 86_400_000_000
SCORES = 5


class RfmNotFound(NotFound):
    """The customer has no order in the currency up to the moment. Metadata ``customer_id``."""

    def __init__(self, customer_id: str) -> None:
        super().__init__(f"customer {customer_id} has no orders to make RFM of", customer_id=customer_id)


class Group(IntEnum):
    """The named groups; the numbers are those of the contract."""

    CHAMPIONS = 1
    LOYAL = 2
    POTENTIAL_LOYALISTS = 3
    NEW = 4
    PROMISING = 5
    NEEDS_ATTENTION = 6
    ABOUT_TO_SLEEP = 7
    CANNOT_LOSE = 8
    AT_RISK = 9
    HIBERNATING = 10
    LOST = 11


_GROUPS: dict[int, tuple[Group, Group, Group, Group, Group]] = {
    # recency score: the groups for the frequency scores 1 to 5
    5: (Group.NEW, Group.POTENTIAL_LOYALISTS, Group.POTENTIAL_LOYALISTS, Group.CHAMPIONS, Group.CHAMPIONS),
    4: (Group.PROMISING, Group.POTENTIAL_LOYALISTS, Group.POTENTIAL_LOYALISTS, Group.LOYAL, Group.LOYAL),
    3: (Group.ABOUT_TO_SLEEP, Group.ABOUT_TO_SLEEP, Group.NEEDS_ATTENTION, Group.LOYAL, Group.LOYAL),
    2: (Group.HIBERNATING, Group.HIBERNATING, Group.AT_RISK, Group.AT_RISK, Group.CANNOT_LOSE),
    1: (Group.LOST, Group.HIBERNATING, Group.AT_RISK, Group.AT_RISK, Group.CANNOT_LOSE),
}


def group_of(recency_score: int, frequency_score: int) -> Group:
    """The named group of two scores."""
    return _GROUPS[recency_score][frequency_score - 1]


@dataclass(frozen=True, slots=True)
class Rfm:
    """The figures of one customer."""

    customer_id: str
    recency_days: int
    frequency: int
    monetary_minor: int
    recency_score: int
    frequency_score: int
    monetary_score: int

    @property
    def cell(self) -> str:
        """The scores as digits, recency first."""
        return f"{self.recency_score}{self.frequency_score}{self.monetary_score}"

    @property
    def group(self) -> Group:
        """The named group of the scores of recency and frequency."""
        return group_of(self.recency_score, self.frequency_score)


class RfmCutsInvalid(InvalidArgument):
    """Cuts that are not 4 numbers in ascending order. Metadata ``field``."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where scores begin: the most days for 5, 4, 3, 2, and the least of frequency and value for 2, 3, 4, 5."""

    recency_days: tuple[int, ...]
    frequency: tuple[int, ...]
    monetary_minor: tuple[int, ...]

    def __post_init__(self) -> None:
        for field in ("recency_days", "frequency", "monetary_minor"):
            numbers = getattr(self, field)
            if len(numbers) != SCORES - 1 or any(one >= other for one, other in pairwise(numbers)):
                raise RfmCutsInvalid(f"cuts.{field} needs 4 numbers in ascending order", field=f"cuts.{field}")


@dataclass(frozen=True)
class RfmTable:
    """The RFM of every customer with orders in ``currency`` up to ``as_of`` (microseconds)."""

    currency: str
    as_of: int
    customers: dict[str, Rfm]


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """One group."""

    group: Group
    customer_count: int
    value_minor: int


def summarise(table: RfmTable) -> list[GroupSummary]:
    """Every group, also those without customers."""
    counts, values = dict.fromkeys(Group, 0), dict.fromkeys(Group, 0)
    for rfm in table.customers.values():
        counts[rfm.group] += 1
        values[rfm.group] += rfm.monetary_minor
    return [GroupSummary(group, counts[group], values[group]) for group in Group]


@dataclass(frozen=True, slots=True)
class Cell:
    """One pair of scores."""

    recency_score: int
    frequency_score: int
    customer_count: int
    value_minor: int
    monetary_score_mean: float

    @property
    def group(self) -> Group:
        """The named group."""
        return group_of(self.recency_score, self.frequency_score)


def grid(table: RfmTable) -> list[Cell]:
    """Every pair of scores of recency and frequency, also those without customers; recency first, ascending."""
    counts: Counter[tuple[int, int]] = Counter()
    values: Counter[tuple[int, int]] = Counter()
    scores: Counter[tuple[int, int]] = Counter()
    for rfm in table.customers.values():
        pair = (rfm.recency_score, rfm.frequency_score)
        counts[pair] += 1
        values[pair] += rfm.monetary_minor
        scores[pair] += rfm.monetary_score
    found = []
    for recency, frequency in product(range(1, SCORES + 1), repeat=2):
        count = counts[recency, frequency]
        mean = scores[recency, frequency] / count if count else 0.0
        found.append(Cell(recency, frequency, count, values[recency, frequency], mean))
    return found
