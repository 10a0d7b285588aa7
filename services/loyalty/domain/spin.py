"""Spinning a wheel of fortune: cost, prize, stock and limit in one commit, and what is kept to recompute it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from services.common.errors import FailedPrecondition
from services.loyalty.domain.account_activity import note_activity
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.entry import Entry, EntryKind, request_entry_id
from services.loyalty.domain.member import Cause, Member, check_limit, earn
from services.loyalty.domain.people import names_needs, names_of
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.spending import burned, spend
from services.loyalty.domain.spending_policy import Movement, check_movement, policy_ref
from services.loyalty.domain.spending_policy import usage_ref as spending_usage_ref
from services.loyalty.domain.wheel import Wheel, draw, known_wheel, wheel_ref
from services.loyalty.domain.zones import Span, period_at


class WheelInactive(FailedPrecondition):
    """The wheel rests."""


class WheelNotStarted(FailedPrecondition):
    """The wheel cannot be spun yet."""


class WheelEnded(FailedPrecondition):
    """The wheel cannot be spun any more."""


class WheelSpinLimitReached(FailedPrecondition):
    """The member has spun as often as one may in this time."""


class WheelEmpty(FailedPrecondition):
    """Nothing can come: no sector has stock left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spin:
    """One spin. ``weights`` are those of then; ``member_id`` is the name that it was asked for."""

    spin_id: str
    program_id: str
    wheel_id: str
    member_id: str
    number: int
    time: int
    weights: tuple[int, ...]
    drawn: int
    sector: int
    label: str
    prize: int
    cost: int
    cost_entry_id: str = ""
    prize_entry_id: str = ""


@dataclass(frozen=True, slots=True)
class SpinUsage:
    """How often a member spun a wheel in the period of the last time, by that period's name."""

    member_id: str
    periods: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spun:
    """What a spin is answered with. It names the spin alone: answers are kept for replay, and persons are erased."""

    spin_id: str
    balance: int


SPINS = Kind("spins", Spin)
SPIN_USAGES = Kind("spin_usages", SpinUsage)


def spin_id_of(wheel: Wheel, number: int) -> str:
    """A wheel's spins are numbered, so the same one cannot be made twice."""
    return f"{wheel.program_id}/{wheel.wheel_id}/{number}"


def usage_ref(program_id: str, wheel_id: str, member_id: str) -> Ref[SpinUsage]:
    """Where it is kept how often a member spun."""
    return Ref(SPIN_USAGES, f"{program_id}/{wheel_id}/{member_id}")


def period_of(wheel: Wheel, program: Program, now: int) -> Span | None:
    """The period that a wheel's limit is about now; ``None`` without limit."""
    return period_at(wheel.period, now, program.time_zone) if wheel.period else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpinWheel:
    """Spins a wheel for a member."""

    program_id: str
    wheel_id: str
    member_id: str
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        names = names_needs(
            (self.member_id,),
            lambda books, names: [
                ref
                for each in {self.member_id, *names}
                for ref in (
                    usage_ref(self.program_id, self.wheel_id, each),
                    spending_usage_ref(self.program_id, each),
                )
            ],
        )
        records = [*names.records, policy_ref(self.program_id), wheel_ref(self.program_id, self.wheel_id)]
        return Needs(members=((self.program_id, self.member_id),), records=records, then=names.then)

    def apply(self, books: Books, now: int) -> Spun:
        program = books.program(self.program_id)
        wheel = known_wheel(books, program.id, self.wheel_id)
        find = books.spender if wheel.cost else books.earner
        purse = find(program.id, self.member_id)
        self._check(books, program, wheel, now)
        cost = self._cause(EntryKind.BURN, wheel, self.request_id, now)
        prize = self._cause(EntryKind.GRANT, wheel, _prize_request_id(self.request_id), now)
        self._check_points(books, program, wheel, purse, cost, prize)
        number = wheel.spins + 1
        drawn = draw(wheel.seed, number, wheel.weights)
        sector = wheel.sectors[drawn.sector]
        # Everything that could be refused has been looked at: from here on all of it is entered.
        paid = spend(books, program, purse, wheel.cost, cost, self.member_id) if wheel.cost else None
        won = self._win(books, program, sector.points, prize) if sector.points else None
        books.put_record(wheel_ref(program.id, wheel.wheel_id), wheel.spun(drawn.sector))
        self._count(books, wheel, program, now)
        spin = Spin(
            spin_id=spin_id_of(wheel, number),
            program_id=program.id,
            wheel_id=wheel.wheel_id,
            member_id=self.member_id,
            number=number,
            time=now,
            weights=wheel.weights,
            drawn=drawn.number,
            sector=drawn.sector,
            label=sector.label,
            prize=sector.points,
            cost=wheel.cost,
            cost_entry_id=paid.id if paid else "",
            prize_entry_id=won.id if won else "",
        )
        books.put_record(Ref(SPINS, spin.spin_id), spin)
        last = won or paid
        return Spun(spin.spin_id, last.balance if last else purse.balance)

    def _check(self, books: Books, program: Program, wheel: Wheel, now: int) -> None:
        """The first refusal for what the wheel is, in the order that the contract promises."""
        if not wheel.active:
            raise WheelInactive(f"wheel {wheel.wheel_id} rests", wheel_id=wheel.wheel_id)
        if now < wheel.start_time:
            raise WheelNotStarted(f"wheel {wheel.wheel_id} cannot be spun yet", wheel_id=wheel.wheel_id)
        if now >= wheel.end_time:
            raise WheelEnded(f"wheel {wheel.wheel_id} cannot be spun any more", wheel_id=wheel.wheel_id)
        period = period_of(wheel, program, now)
        if period and self._used(books, period) >= wheel.limit:
            raise WheelSpinLimitReached(
                f"{wheel.limit} spins in this time are what a member has; try again in the next",
                limit=wheel.limit,
                period=period.key,
            )
        if not sum(wheel.weights):
            raise WheelEmpty(f"wheel {wheel.wheel_id} has nothing left; add stock", wheel_id=wheel.wheel_id)

    def _check_points(
        self, books: Books, program: Program, wheel: Wheel, purse: Member, cost: Cause, prize: Cause
    ) -> None:
        """``SpendingLimitReached``, ``InsufficientPoints``, or ``BalanceLimitReached`` for the largest prize.

        For the largest, not for the one that comes: a refusal must not tell what would have come.
        """
        if wheel.cost:
            check_movement(books, program, self.member_id, Movement.SPENT, wheel.cost, cost.record_time)
            burned(purse, program, wheel.cost, cost)
        check_limit(purse, wheel.prize_max, prize)

    def _used(self, books: Books, period: Span) -> int:
        names = {self.member_id, *names_of(books, self.member_id)}
        found = [books.record(usage_ref(self.program_id, self.wheel_id, each)) for each in names]
        return sum(usage.periods.get(period.key, 0) for usage in found if usage)

    def _count(self, books: Books, wheel: Wheel, program: Program, now: int) -> None:
        if period := period_of(wheel, program, now):
            ref = usage_ref(program.id, wheel.wheel_id, self.member_id)
            before = books.record(ref) or SpinUsage(self.member_id)
            used = {period.key: before.periods.get(period.key, 0) + 1}
            books.put_record(ref, SpinUsage(self.member_id, used))

    def _cause(self, kind: EntryKind, wheel: Wheel, request_id: str, now: int) -> Cause:
        origin_id = self.member_id if kind is EntryKind.GRANT else ""
        return Cause(
            request_entry_id(request_id),
            kind,
            now,
            now,
            request_id=request_id,
            reason=f"wheel: {wheel.name}",
            origin_id=origin_id,
        )

    def _win(self, books: Books, program: Program, points: int, cause: Cause) -> Entry:
        purse = books.earner(program.id, self.member_id)
        return note_activity(books, books.enter(*earn(purse, program, points, cause)), self.member_id)


def _prize_request_id(request_id: str) -> str:
    """Under what the prize is entered: the request's own id is the cost's. Hashed: it may be as long as ids can be."""
    return f"wheel/{blake2b(request_id.encode(), digest_size=16).hexdigest()}"
