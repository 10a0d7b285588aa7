"""Paying carts with points: what points are worth there, and how much of a cart a member can pay with theirs."""

from dataclasses import dataclass
from typing import NamedTuple

from services.common.errors import FailedPrecondition
from services.loyalty.domain.books import Books
from services.loyalty.domain.program import Program
from services.loyalty.domain.spending_policy import Movement, PointsPayment, policy_of, spending_left

WHOLE = 10_000


class PointsNotPayable(FailedPrecondition):
    """So many points pay for more, or for less, than may be paid with points. Metadata says what may."""


class Payable(NamedTuple):
    """The most that may be paid with points: how many, and what they pay for."""

    points: int
    amount_minor: int


NOTHING = Payable(0, 0)


@dataclass(frozen=True, slots=True)
class _Terms:
    payment: PointsPayment
    total_minor: int

    @property
    def most_minor(self) -> int:
        """What of the total may be paid with points."""
        return self.total_minor * (self.payment.cart_share_max or WHOLE) // WHOLE

    def worth(self, points: int) -> int:
        """What points pay for, in whole minor units."""
        return points * self.payment.amount_minor // self.payment.points

    def cost(self, amount_minor: int) -> int:
        """The fewest points that pay for so much."""
        return -(-amount_minor * self.payment.points // self.payment.amount_minor)


def payable(books: Books, program: Program, member_id: str, available: int, total_minor: int, now: int) -> Payable:
    """What a member who can spend ``available`` points may pay of a cart now, no point more than that takes; nothing
    where points have no price.
    """
    payment = policy_of(books, program.id).payment
    if payment is None:
        return NOTHING
    terms, left = _Terms(payment, total_minor), spending_left(books, program, member_id, Movement.SPENT, now)
    amount_minor = min(terms.most_minor, terms.worth(available if left is None else min(available, left)))
    points = terms.cost(amount_minor)
    return Payable(points, amount_minor) if points >= max(1, payment.points_min) else NOTHING


def paid_with(books: Books, program: Program, points: int, total_minor: int) -> int:
    """What ``points`` pay of a cart; 0 where points have no price. ``PointsNotPayable`` if they may not."""
    payment = policy_of(books, program.id).payment
    if payment is None:
        return 0
    terms = _Terms(payment, total_minor)
    most, least = terms.cost(terms.most_minor), max(1, payment.points_min)
    if not least <= points <= most:
        raise PointsNotPayable(
            f"from {least} to {most} points may pay for a cart of {total_minor}, not {points}",
            points_min=least,
            points_max=most,
            points=points,
        )
    return min(terms.worth(points), terms.most_minor)
