"""What points will come to: how they are burned by age, what of them will expire, and what a programme will owe.

The method is that of ``report.proto``: development by age, pooled over cohorts (chain ladder), where the cohort of a
point is the month of the last day on which it can be spent and its age is how many months that is away.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.loyalty.domain.figures import NEVER_MONTH, CohortMonth, Flow, end_month

HISTORY_MONTHS_MIN = 3
"""Complete months without which nothing is estimated."""
NEW_POINTS_MONTHS = 3
"""Complete months whose mean new points are."""
LEAVING = (Flow.BURNED, Flow.EXPIRED, Flow.REFUNDED)

Held = Mapping[int, float]
"""Points that can be spent, by the month in which they end."""


class Shares(NamedTuple):
    """What of the points of an age is burned, expires and is refunded in a month, each from 0 to 1."""

    burned: float
    expired: float
    refunded: float


@dataclass(slots=True)
class Development:
    """What became of points of each age in complete months: how many were there, and how many went which way."""

    exposed: Counter[int] = field(default_factory=Counter)
    gone: dict[Flow, Counter[int]] = field(default_factory=lambda: {flow: Counter() for flow in LEAVING})
    new: Counter[int] = field(default_factory=Counter)
    """By age, of the last months."""
    months: int = 0

    @property
    def known(self) -> bool:
        """Whether there is enough to estimate by."""
        return self.months >= HISTORY_MONTHS_MIN

    def shares(self, age: int) -> Shares:
        """Those of an age, or of all ages together where it was never seen; points whose time is over all expire."""
        if age < 0:
            return Shares(0.0, 1.0, 0.0)
        ages = [age] if self.exposed[age] > 0 else [each for each in self.exposed if 0 <= each < NEVER_MONTH]
        exposed = sum(self.exposed[each] for each in ages)
        if exposed <= 0:
            return Shares(0.0, 0.0, 0.0)
        burned, expired, refunded = (
            min(1.0, max(0.0, sum(self.gone[flow][each] for each in ages) / exposed)) for flow in LEAVING
        )
        together = max(1.0, burned + expired + refunded)
        return Shares(burned / together, expired / together, refunded / together)

    def new_points(self) -> dict[int, float]:
        """What becomes spendable in a month, by age."""
        months = min(self.months, NEW_POINTS_MONTHS)
        return {age: points / months for age, points in self.new.items() if points > 0} if months else {}


def develop(cohorts: Sequence[CohortMonth], current_month: int) -> Development:
    """Pool the months before the current one, from the first in which anything happened."""
    found = Development()
    held: Counter[int] = Counter()
    by_month = {each.month: each for each in cohorts if each.month < current_month}
    for month in range(min(by_month, default=current_month), current_month):
        found.months += 1
        flows = by_month[month].flows if month in by_month else {}
        for ends in {*held, *map(int, flows)}:
            went = flows.get(str(ends), {})
            age = _age(ends, month)
            came = went.get(Flow.IN.value, 0)
            found.exposed[age] += held[ends] + max(0, came)
            held[ends] += came
            for flow in LEAVING:
                points = went.get(flow.value, 0)
                found.gone[flow][age] += points
                held[ends] -= points
            if month >= current_month - NEW_POINTS_MONTHS:
                found.new[age] += max(0, came)
        held = Counter({ends: points for ends, points in held.items() if points > 0})
    return found


class Month(NamedTuple):
    """What a programme owes at the end of a month from now, and what happened in it."""

    spendable: int
    present: int
    burned: int
    expired: int
    new: int


def forecast(development: Development, held: Held, current_month: int, months: int) -> list[Month]:
    """Month by month from now; empty where too little is known."""
    if not development.known:
        return []
    present, newer = dict(held), dict[int, float]()
    found: list[Month] = []
    for month in range(current_month + 1, current_month + months + 1):
        came: dict[int, float] = {}
        for age, points in development.new_points().items():
            ends = NEVER_MONTH if age == NEVER_MONTH else month + age
            came[ends] = came.get(ends, 0.0) + points
            newer[ends] = newer.get(ends, 0.0) + points
        present, first = _step(development, present, month)
        newer, second = _step(development, newer, month)
        left = sum(present.values())
        found.append(
            Month(
                round(left + sum(newer.values())),
                round(left),
                round(first.burned + second.burned),
                round(first.expired + second.expired),
                round(sum(came.values())),
            )
        )
    return found


def expected_breakage(development: Development, held: Held, current_month: int) -> int | None:
    """How many of the points that are held will expire, without new ones; ``None`` where too little is known."""
    if not development.known:
        return None
    left = {ends: points for ends, points in held.items() if ends != NEVER_MONTH}
    expired, month = 0.0, current_month
    while left:
        month += 1
        left, gone = _step(development, left, month)
        expired += gone.expired
    return round(expired)


def _step(development: Development, held: Held, month: int) -> tuple[dict[int, float], Shares]:
    """What is left after a month, and what went which way in it, in points."""
    left: dict[int, float] = {}
    gone = [0.0, 0.0, 0.0]
    for ends, points in held.items():
        shares = development.shares(_age(ends, month))
        for at, share in enumerate(shares):
            gone[at] += points * share
        rest = points * (1.0 - sum(shares))
        if rest > 1e-9 * points and rest > 0.0:
            left[ends] = rest
    return left, Shares(*gone)


def _age(ends: int, month: int) -> int:
    """Months until points end; those that end the month before expire at the first midnight of this one."""
    return NEVER_MONTH if ends == NEVER_MONTH else ends - month


def held_points(lots: Mapping[str, int]) -> dict[int, float]:
    """Points by the month in which they end, of points by the instant at which they expire."""
    found: dict[int, float] = {}
    for expire_time, points in lots.items():
        ends = end_month(int(expire_time))
        found[ends] = found.get(ends, 0.0) + points
    return found
