"""A report about a programme: the figures of a period, what is owed now, and what will become of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum

from services.common.errors import InvalidArgument
from services.loyalty.domain.days import day_of
from services.loyalty.domain.entry import Account
from services.loyalty.domain.figures import (
    NEVER_MONTH,
    Basis,
    CohortMonth,
    DayFigures,
    Flow,
    Outstanding,
    ReturnsDay,
    date_of,
    first_day,
    month_of,
)
from services.loyalty.domain.liability import Month, develop, expected_breakage, forecast, held_points
from services.loyalty.domain.point_cost import PointCost
from services.loyalty.domain.program import NEVER, Program
from services.loyalty.domain.promotion_figures import PromotionDay, PromotionFigures, promotions

DAYS_MAX = 3_660
INTERVALS_MAX = 1_000
WEEKS_AHEAD = 13
MONTHS_AHEAD = 13
FORECAST_MONTHS = 12
_EPOCH = date(1970, 1, 1)


class ReportInvalid(InvalidArgument):
    """A report of days that are none, or too many."""


class Interval(Enum):
    """How fine a series is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Days:
    """Days from the first to the last, both of them too."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """Of which programme and days, how fine, by which time, and how far ahead."""

    program_id: str
    days: Days
    interval: Interval = Interval.DAY
    basis: Basis = Basis.RECORD
    forecast_months: int = FORECAST_MONTHS


def days_between(first_date: str, last_date: str, interval: Interval) -> Days:
    """``ReportInvalid`` unless these are dates, in order, and neither too many days nor too many intervals."""
    days = Days(_day(first_date, "first_date"), _day(last_date, "last_date"))
    if days.last < days.first:
        raise ReportInvalid("last_date must not lie before first_date", field="last_date")
    if days.last - days.first >= DAYS_MAX:
        raise ReportInvalid(f"a report is of at most {DAYS_MAX} days; ask for fewer", field="last_date")
    if interval is Interval.DAY and days.last - days.first >= INTERVALS_MAX:
        raise ReportInvalid(
            f"a series has at most {INTERVALS_MAX} intervals; ask for weeks or months", field="interval"
        )
    return days


def _day(text: str, field_name: str) -> int:
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        raise ReportInvalid(f"{text} is no date; write YYYY-MM-DD", field=field_name) from None


@dataclass(slots=True)
class PeriodFigures:
    """What some days brought to a programme, and what it owed at their end."""

    days: Days
    issued: int = 0
    posted: int = 0
    burned: int = 0
    expired: int = 0
    refunded: int = 0
    voided: int = 0
    restored: int = 0
    uncollected: int = 0
    closing_balance: int = 0
    closing_pending: int = 0
    orders: int = 0
    order_amount_minor: int = 0
    refunded_amount_minor: int = 0
    enrolled: int = 0
    entries: int = 0

    def add(self, day: DayFigures) -> None:
        """Count a day."""
        self.issued += day.moved(Account.ISSUANCE, None)
        self.posted += day.moved(Account.PENDING, Account.MEMBER)
        self.burned += day.moved(Account.MEMBER, Account.SPENT)
        self.expired += day.moved(None, Account.EXPIRED)
        self.refunded += day.moved(None, Account.ISSUANCE, refund=True)
        self.voided += day.moved(None, Account.ISSUANCE, refund=False)
        self.restored += day.moved(Account.SPENT, None)
        self.uncollected += day.uncollected
        self.orders += day.orders
        self.order_amount_minor += day.order_amount_minor
        self.refunded_amount_minor += day.refunded_amount_minor
        self.enrolled += day.enrolled
        self.entries += day.entries


@dataclass(frozen=True, slots=True)
class Breakage:
    """What expires unspent. ``expected`` is ``None`` where too little is known."""

    matured: int
    expired: int
    expected: int | None
    months: int


@dataclass(frozen=True, slots=True)
class TierFigures:
    """Members of a tier, and how many came and went."""

    tier_id: str
    members: int
    joined: int
    left: int


@dataclass(frozen=True, slots=True)
class RepeatPurchases:
    """Members who bought in a period, twice, and before it."""

    buyers: int
    repeat_buyers: int
    returning_buyers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a programme does. Points; what they cost says ``cost``."""

    program: Program
    cost: PointCost | None
    time: int
    month: int
    spendable: int
    owed: int
    pending: int
    forecast: Sequence[Month]
    breakage: Breakage
    expiring_weeks: Sequence[tuple[Days, int]]
    expiring_months: Sequence[tuple[Days, int]]
    series: Sequence[PeriodFigures]
    total: PeriodFigures
    tiers: Sequence[TierFigures]
    moves: Mapping[tuple[str, str], int]
    repeat: RepeatPurchases
    promotions: Sequence[PromotionFigures]


@dataclass(slots=True)
class Kept:
    """What is kept of a programme for a report."""

    days: Sequence[DayFigures] = ()
    """By the basis that is asked for, from the first up to the last of the period, in order."""
    returns: Sequence[ReturnsDay] = ()
    """Of the period."""
    promotions: Sequence[PromotionDay] = ()
    """Of the period, in the programme's currency."""
    outstanding: Outstanding | None = None
    cohorts: Sequence[CohortMonth] = field(default_factory=tuple)


def make_report(request: ReportRequest, program: Program, cost: PointCost | None, kept: Kept, now: int) -> Report:
    """The report, from what is kept."""
    today = day_of(now)
    month = month_of(today)
    outstanding = kept.outstanding or Outstanding(program_id=program.id)
    held, development = held_points(outstanding.lots), develop(kept.cohorts, month)
    within = [day for day in kept.days if request.days.first <= day.day <= request.days.last]
    moves = _moves(within)
    series, total = _series(request, kept.days)
    return Report(
        program=program,
        cost=cost,
        time=now,
        month=month,
        spendable=sum(outstanding.lots.values()),
        owed=outstanding.owed,
        pending=outstanding.pending,
        forecast=forecast(development, held, month, request.forecast_months),
        breakage=_breakage(kept.cohorts, month, expected_breakage(development, held, month), development.months),
        expiring_weeks=_expiring(outstanding, _weeks(today)),
        expiring_months=_expiring(outstanding, _months(month)),
        series=series,
        total=total,
        tiers=_tiers(program, outstanding, moves),
        moves={move: count for move, count in sorted(moves.items()) if count},
        repeat=_repeat(kept.returns, request.days),
        promotions=promotions(kept.promotions),
    )


def _series(request: ReportRequest, days: Sequence[DayFigures]) -> tuple[list[PeriodFigures], PeriodFigures]:
    total = PeriodFigures(request.days)
    series = [PeriodFigures(each) for each in intervals(request.days, request.interval)]
    balance = pending = at = 0
    for day in days:
        while at < len(series) and day.day > series[at].days.last:
            series[at].closing_balance, series[at].closing_pending = balance, pending
            at += 1
        if at == len(series):
            break
        balance += day.change_of(Account.MEMBER)
        pending += day.change_of(Account.PENDING)
        if day.day >= request.days.first:
            series[at].add(day)
            total.add(day)
    for rest in series[at:]:
        rest.closing_balance, rest.closing_pending = balance, pending
    total.closing_balance, total.closing_pending = series[-1].closing_balance, series[-1].closing_pending
    return series, total


def intervals(days: Days, interval: Interval) -> list[Days]:
    """The days in intervals, the first and the last cut short."""
    found: list[Days] = []
    first = days.first
    while first <= days.last:
        last = min(_last_of(first, interval), days.last)
        found.append(Days(first, last))
        first = last + 1
    return found


def _last_of(day: int, interval: Interval) -> int:
    if interval is Interval.DAY:
        return day
    if interval is Interval.WEEK:
        return day + 6 - date_of(day).weekday()
    return first_day(month_of(day) + 1) - 1


def _weeks(today: int) -> Iterable[Days]:
    return (Days(today + 7 * week, today + 7 * week + 6) for week in range(WEEKS_AHEAD))


def _months(month: int) -> Iterable[Days]:
    return (Days(first_day(each), first_day(each + 1) - 1) for each in range(month, month + MONTHS_AHEAD))


def _expiring(outstanding: Outstanding, spans: Iterable[Days]) -> list[tuple[Days, int]]:
    last_days = [
        (day_of(int(expire_time) - 1), points)
        for expire_time, points in outstanding.lots.items()
        if int(expire_time) != NEVER
    ]
    return [(span, sum(points for day, points in last_days if span.first <= day <= span.last)) for span in spans]


def _breakage(cohorts: Sequence[CohortMonth], month: int, expected: int | None, months: int) -> Breakage:
    """Of points whose last month is over: how many there were, and how many of them expired."""
    came = expired = 0
    for cohort in cohorts:
        for ends, flows in cohort.flows.items():
            if int(ends) < month and int(ends) != NEVER_MONTH:
                came += flows.get(Flow.IN.value, 0)
                expired += flows.get(Flow.EXPIRED.value, 0)
    return Breakage(came, expired, expected, months)


def _moves(days: Iterable[DayFigures]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for day in days:
        for move, count in day.moves.items():
            before, _, after = move.partition(">")
            found[before, after] = found.get((before, after), 0) + count
    return found


def _tiers(program: Program, outstanding: Outstanding, moves: Mapping[tuple[str, str], int]) -> list[TierFigures]:
    ids = ["", *(tier.id for tier in program.tiers)]
    ids += sorted(set(outstanding.tiers) - set(ids))
    return [
        TierFigures(
            tier_id,
            outstanding.tiers.get(tier_id, 0),
            sum(count for (_, after), count in moves.items() if after == tier_id),
            sum(count for (before, _), count in moves.items() if before == tier_id),
        )
        for tier_id in ids
    ]


def _repeat(returns: Sequence[ReturnsDay], days: Days) -> RepeatPurchases:
    """Exact without a list of members: of the k orders of a member in the period, k - 1 have the order before in it,
    and k - 2 the last but one."""
    orders = before = second = returning = 0
    for day in returns:
        orders += day.orders
        before += sum(count for other, count in day.before.items() if int(other) >= days.first)
        second += sum(count for other, count in day.second.items() if int(other) >= days.first)
        returning += sum(count for other, count in day.before.items() if int(other) < days.first)
    return RepeatPurchases(orders - before, before - second, returning)
