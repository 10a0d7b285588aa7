"""What reports count, kept as entries come: by day, by when points end, by tier, and how often members come back.

Every figure is a sum over entries, so the order in which they come changes nothing; who came back is told by the times
of orders, and one that is told late moves those after it. Days and months are UTC's; a month is the number of months
since 1970.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import Enum

from services.loyalty.domain.days import day_of
from services.loyalty.domain.entry import Account, Entry, EntryKind
from services.loyalty.domain.program import NEVER
from services.loyalty.domain.records import Kind

_EPOCH = date(1970, 1, 1)
NEVER_MONTH = 10**6
"""Stands for the month in which points that never expire end."""
VISITS_MAX = 500
"""Orders of a member of which the day is known, the latest; one from before these counts as the first of them."""
BELOW = ""
"""The tier of those who are in none."""


class Basis(Enum):
    """By which time entries are counted."""

    RECORD = "record"
    EVENT = "event"


class Flow(Enum):
    """What becomes of points that can be spent."""

    IN = "in"
    BURNED = "burned"
    EXPIRED = "expired"
    REFUNDED = "refunded"


def date_of(day: int) -> date:
    """The date of a day."""
    return _EPOCH + timedelta(days=day)


def month_of(day: int) -> int:
    """The month in which a day lies."""
    on = date_of(day)
    return (on.year - 1970) * 12 + on.month - 1


def first_day(month: int) -> int:
    """The first day of a month."""
    return (date(1970 + month // 12, month % 12 + 1, 1) - _EPOCH).days


@dataclass(slots=True, kw_only=True)
class DayFigures:
    """What one day brought to a programme."""

    program_id: str
    basis: str
    day: int
    flows: dict[str, int] = field(default_factory=dict)
    """Points by ``<debit>><credit>``; those that a refund took by ``refund:…``."""
    entries: int = 0
    uncollected: int = 0
    orders: int = 0
    order_amount_minor: int = 0
    refunded_amount_minor: int = 0
    enrolled: int = 0
    moves: dict[str, int] = field(default_factory=dict)
    """Changes of tier, by ``<before>><after>``."""

    def add(self, entry: Entry) -> None:
        """Count an entry."""
        self.entries += 1
        self.uncollected += entry.uncollected
        self.enrolled += entry.sequence == 1
        if entry.points:
            _plus(self.flows, flow_of(entry), entry.points)
        if entry.kind is EntryKind.ORDER:
            self.orders += 1
            self.order_amount_minor += entry.order_amount_minor
        elif entry.kind is EntryKind.REFUND:
            self.refunded_amount_minor += entry.order_amount_minor
        if entry.tier_id != entry.previous_tier_id:
            _plus(self.moves, f"{entry.previous_tier_id}>{entry.tier_id}", 1)

    def moved(self, debit: Account | None, credit: Account | None, *, refund: bool | None = None) -> int:
        """Points from one account (``None``: any) to another, by refunds only, by others only, or by all."""
        found = 0
        for name, points in self.flows.items():
            by, _, accounts = name.rpartition(":")
            from_, to = accounts.split(">")
            if (debit is None or from_ == debit.value) and (credit is None or to == credit.value):
                found += points if refund is None or refund == bool(by) else 0
        return found

    def change_of(self, account: Account) -> int:
        """By how much the account grew."""
        return self.moved(None, account) - self.moved(account, None)


def flow_of(entry: Entry) -> str:
    """The name under which an entry's points are counted."""
    prefix = "refund:" if entry.kind is EntryKind.REFUND else ""
    return f"{prefix}{entry.debit.value}>{entry.credit.value}"


@dataclass(slots=True, kw_only=True)
class Outstanding:
    """What a programme's members can spend now, by the instant at which it expires; what they owe after refunds, what
    is pending, and how many are in which tier."""

    program_id: str
    lots: dict[str, int] = field(default_factory=dict)
    tiers: dict[str, int] = field(default_factory=dict)
    owed: int = 0
    pending: int = 0

    def add(self, entry: Entry) -> None:
        """Count an entry."""
        sign = _sign(entry)
        for lot in entry.gained_lots:
            _plus(self.lots, str(lot.expire_time), lot.points)
        self.owed -= sign * entry.debt
        self.pending += entry.points * ((entry.credit is Account.PENDING) - (entry.debit is Account.PENDING))
        for lot in entry.lots:
            _plus(self.lots, str(lot.expire_time), sign * lot.points)
        restored = entry.kind is EntryKind.UNMERGE and entry.came  # an account that was part of another until now
        if entry.sequence == 1 or restored:
            _plus(self.tiers, entry.tier_id, 1)
        elif entry.tier_id != entry.previous_tier_id:
            _plus(self.tiers, entry.previous_tier_id, -1)
            _plus(self.tiers, entry.tier_id, 1)
        if entry.kind is EntryKind.MERGE and entry.went:
            _plus(self.tiers, entry.tier_id, -1)  # the account is part of another from now on


@dataclass(slots=True, kw_only=True)
class CohortMonth:
    """What became in one month, by RECORD, of points by the month of the last day on which they can be spent."""

    program_id: str
    month: int
    flows: dict[str, dict[str, int]] = field(default_factory=dict)
    """By the month in which they end, then by ``Flow``."""

    def add(self, entry: Entry) -> None:
        """Count an entry. What comes back after it was spent was not burned."""
        sign = _sign(entry)
        flow = _LOT_FLOWS.get((entry.debit, entry.credit), Flow.IN)
        if flow is Flow.BURNED:
            sign = -sign
        elif flow in (Flow.EXPIRED, Flow.REFUNDED):
            sign = 1
        for lot in entry.lots:
            if sign:
                self._plus(flow, lot.expire_time, sign * lot.points)
        for lot in entry.gained_lots:
            self._plus(Flow.IN, lot.expire_time, lot.points)

    def _plus(self, flow: Flow, expire_time: int, points: int) -> None:
        _plus(self.flows.setdefault(str(end_month(expire_time)), {}), flow.value, points)


_LOT_FLOWS = {
    (Account.MEMBER, Account.SPENT): Flow.BURNED,
    (Account.SPENT, Account.MEMBER): Flow.BURNED,
    (Account.MEMBER, Account.EXPIRED): Flow.EXPIRED,
    (Account.MEMBER, Account.ISSUANCE): Flow.REFUNDED,
}


def end_month(expire_time: int) -> int:
    """The month of the last day on which points with this expiry can be spent."""
    return NEVER_MONTH if expire_time == NEVER else month_of(day_of(expire_time - 1))


@dataclass(slots=True, kw_only=True)
class ReturnsDay:
    """The orders of a day, by their own time, by the days on which their members had ordered before."""

    program_id: str
    day: int
    orders: int = 0
    before: dict[str, int] = field(default_factory=dict)
    """Orders whose member's order before was on that day."""
    second: dict[str, int] = field(default_factory=dict)
    """Orders whose member's last order but one was on that day."""


@dataclass(slots=True, kw_only=True)
class Visits:
    """The days of a member's orders, in order: as many of the latest as are told late at most."""

    program_id: str
    member_id: str
    days: list[int] = field(default_factory=list)

    def following(self, day: int) -> list[int]:
        """The days of the two orders after that day, which an order on it comes before."""
        return self.days[bisect_right(self.days, day) :][:2]

    def add(self, day: int, returns: Callable[[int], ReturnsDay]) -> None:
        """Count an order of that day, whenever it is told: the two after it have another one before them."""
        at = bisect_right(self.days, day)
        self._follow(at, returns, -1)
        self.days.insert(at, day)
        returns(day).orders += 1
        self._tell(at, returns, 1)
        self._follow(at + 1, returns, 1)
        del self.days[:-VISITS_MAX]

    def _follow(self, at: int, returns: Callable[[int], ReturnsDay], step: int) -> None:
        for each in range(at, min(at + 2, len(self.days))):
            self._tell(each, returns, step)

    def _tell(self, at: int, returns: Callable[[int], ReturnsDay], step: int) -> None:
        orders = returns(self.days[at])
        if at >= 1:
            _plus(orders.before, str(self.days[at - 1]), step)
        if at >= 2:
            _plus(orders.second, str(self.days[at - 2]), step)


REPORT_DAYS = Kind("report_days", DayFigures)
REPORT_OUTSTANDING = Kind("report_outstanding", Outstanding)
REPORT_COHORTS = Kind("report_cohorts", CohortMonth)
REPORT_RETURNS = Kind("report_returns", ReturnsDay)
REPORT_VISITS = Kind("report_visits", Visits)


def figures_day(entry: Entry, basis: Basis) -> int:
    """The day on which an entry counts."""
    return day_of(entry.record_time if basis is Basis.RECORD else entry.event_time)


@dataclass(slots=True)
class Figures:
    """What is kept of one programme, as far as some entries concern it; what is missing begins at nothing."""

    program_id: str
    outstanding: Outstanding | None = None
    days: dict[tuple[Basis, int], DayFigures] = field(default_factory=dict)
    cohorts: dict[int, CohortMonth] = field(default_factory=dict)
    returns: dict[int, ReturnsDay] = field(default_factory=dict)
    visits: dict[str, Visits] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Count an entry, once."""
        program_id = self.program_id
        for basis in Basis:
            day = figures_day(entry, basis)
            if (basis, day) not in self.days:
                self.days[basis, day] = DayFigures(program_id=program_id, basis=basis.value, day=day)
            self.days[basis, day].add(entry)
        if self.outstanding is None:
            self.outstanding = Outstanding(program_id=program_id)
        self.outstanding.add(entry)
        day = figures_day(entry, Basis.RECORD)
        if entry.lots:
            month = month_of(day)
            if month not in self.cohorts:
                self.cohorts[month] = CohortMonth(program_id=program_id, month=month)
            self.cohorts[month].add(entry)
        if entry.kind is EntryKind.ORDER:
            if entry.member_id not in self.visits:
                self.visits[entry.member_id] = Visits(program_id=program_id, member_id=entry.member_id)
            self.visits[entry.member_id].add(figures_day(entry, Basis.EVENT), self._returns_of)

    def _returns_of(self, day: int) -> ReturnsDay:
        if day not in self.returns:
            self.returns[day] = ReturnsDay(program_id=self.program_id, day=day)
        return self.returns[day]


def _sign(entry: Entry) -> int:
    if entry.debit is entry.credit:
        return -1 if entry.gained_lots else 0  # lots that expire at another time are others
    return 1 if entry.credit is Account.MEMBER else -1


def _plus(counts: dict[str, int], key: str, more: int) -> None:
    """Add, and keep no zeros: they would pile up."""
    total = counts.get(key, 0) + more
    if total:
        counts[key] = total
    else:
        counts.pop(key, None)
