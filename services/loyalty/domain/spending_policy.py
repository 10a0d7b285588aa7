"""How fast the members of a programme may spend and transfer: limits by period, counted where they are used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.earning_rule import PeriodLimit
from services.loyalty.domain.errors import SpendingLimitReached, SpendingPolicyInvalid
from services.loyalty.domain.people import names_needs, names_of
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.zones import period_at


class Movement(Enum):
    """What is limited."""

    SPENT = "spent"
    SENT = "sent"
    RECEIVED = "received"


@dataclass(frozen=True, slots=True)
class PointsPayment:
    """``points`` pay for ``amount_minor`` of a cart; of the cart at most a share, in ten-thousandths (0: all of it)."""

    points: int
    amount_minor: int
    points_min: int = 0
    cart_share_max: int = 0


@dataclass(frozen=True, slots=True)
class SpendingPolicy:
    """What members may do in a programme, and how much of it; ``version`` 0 is where nobody said anything."""

    program_id: str
    spent: tuple[PeriodLimit, ...] = ()
    sent: tuple[PeriodLimit, ...] = ()
    received: tuple[PeriodLimit, ...] = ()
    transfers_allowed: bool = False
    transfer_min: int = 1
    version: int = 0
    payment: PointsPayment | None = None
    """What points are worth when carts are paid with them."""

    def limits(self, movement: Movement) -> tuple[PeriodLimit, ...]:
        """The limits of such a movement."""
        return {Movement.SPENT: self.spent, Movement.SENT: self.sent, Movement.RECEIVED: self.received}[movement]


@dataclass(frozen=True, slots=True)
class SpendingUsage:
    """What a member did in periods that have a limit: points and times, by movement and period."""

    program_id: str
    member_id: str
    periods: dict[str, tuple[int, int]] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    """When each of these periods ends."""


SPENDING_POLICIES = Kind("spending_policies", SpendingPolicy)
SPENDING_USAGE = Kind("spending_usage", SpendingUsage)


def policy_ref(program_id: str) -> Ref[SpendingPolicy]:
    """Where a programme's policy is kept."""
    return Ref(SPENDING_POLICIES, program_id)


def usage_ref(program_id: str, member_id: str) -> Ref[SpendingUsage]:
    """Where it is kept what a member did of what is limited."""
    return Ref(SPENDING_USAGE, f"{program_id}/{member_id}")


def policy_of(books: Books, program_id: str) -> SpendingPolicy:
    """The programme's policy."""
    return books.record(policy_ref(program_id)) or SpendingPolicy(program_id)


def spending_needs(program_id: str, member_id: str) -> Needs:
    """What must be loaded before a member spends: what they did only where there are limits."""

    def usage(books: Books) -> Needs:
        return usage_needs(program_id, (member_id,)) if policy_of(books, program_id).spent else Needs()

    return Needs(records=(policy_ref(program_id),), then=usage)


def usage_needs(program_id: str, member_ids: Sequence[str]) -> Needs:
    """What these people did of what is limited, under all of their names."""
    return names_needs(member_ids, lambda books, names: [usage_ref(program_id, each) for each in {*member_ids, *names}])


def _used(books: Books, program_id: str, member_id: str, key: str) -> tuple[int, int]:
    """What a person did in a period, under all of their names: points, and times."""
    names = dict.fromkeys((member_id, *names_of(books, member_id)))
    found = [usage.periods.get(key, (0, 0)) for name in names if (usage := books.record(usage_ref(program_id, name)))]
    return sum(points for points, _ in found), sum(count for _, count in found)


def check_movement(books: Books, program: Program, member_id: str, movement: Movement, points: int, now: int) -> None:
    """``SpendingLimitReached`` if the member would do more of it than the policy allows."""
    for limit in policy_of(books, program.id).limits(movement):
        key = f"{movement.value}/{period_at(limit.period, now, program.time_zone).key}"
        used, count = _used(books, program.id, member_id, key)
        too_much = (limit.points and used + points > limit.points) or (limit.count and count >= limit.count)
        if too_much:
            raise SpendingLimitReached(
                f"{member_id} may have {limit.points or 'any number of'} points {movement.value} in a "
                f"{limit.period.value}, {limit.count or 'any number of'} times; {used} are, {count} times",
                member_id=member_id,
                movement=movement.value,
                period=limit.period.value,
                used_points=used,
                used_count=count,
            )


def spending_left(books: Books, program: Program, member_id: str, movement: Movement, now: int) -> int | None:
    """How many points of it the policy leaves a member now; ``None`` without limit."""
    lefts: list[int] = []
    for limit in policy_of(books, program.id).limits(movement):
        key = f"{movement.value}/{period_at(limit.period, now, program.time_zone).key}"
        used, count = _used(books, program.id, member_id, key)
        if limit.count and count >= limit.count:
            return 0
        if limit.points:
            lefts.append(max(0, limit.points - used))
    return min(lefts, default=None)


def count_movement(books: Books, program: Program, member_id: str, movement: Movement, points: int, now: int) -> None:
    """Count it, where it is limited; periods that are over are forgotten."""
    limits = policy_of(books, program.id).limits(movement)
    if not limits:
        return
    ref = usage_ref(program.id, member_id)
    before = books.record(ref) or SpendingUsage(program.id, member_id)
    periods, ends = dict(before.periods), dict(before.ends)
    for limit in limits:
        period = period_at(limit.period, now, program.time_zone)
        key = f"{movement.value}/{period.key}"
        used, count = periods.get(key, (0, 0))
        periods[key], ends[key] = (used + points, count + 1), period.end
    kept = {key: end for key, end in ends.items() if end > now}
    books.put_record(ref, replace(before, periods={key: periods[key] for key in kept}, ends=kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSpendingPolicy:
    """Sets a programme's policy; ``version`` is given here."""

    policy: SpendingPolicy

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(policy_ref(self.policy.program_id),))

    def apply(self, books: Books, now: int) -> SpendingPolicy:
        for movement in Movement:
            _check_limits(self.policy.limits(movement), movement.value)
        _check_payment(self.policy.payment)
        program = books.program(self.policy.program_id)
        policy = replace(self.policy, version=policy_of(books, program.id).version + 1)
        books.put_record(policy_ref(program.id), policy)
        return policy


def _check_payment(payment: PointsPayment | None) -> None:
    if payment and (payment.points < 1 or payment.amount_minor < 1):
        raise SpendingPolicyInvalid("payment: points and what they pay for are above zero", field="payment")


def _check_limits(limits: tuple[PeriodLimit, ...], place: str) -> None:
    if any(not limit.points and not limit.count for limit in limits):
        raise SpendingPolicyInvalid(f"{place}: a limit needs points or a count", field=place)
    if len({limit.period for limit in limits}) < len(limits):
        raise SpendingPolicyInvalid(f"{place}: a period is named twice", field=place)
