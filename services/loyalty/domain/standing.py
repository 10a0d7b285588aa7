"""A member's standing: what the ledger says about a member at one moment."""

from dataclasses import dataclass

from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.domain.entry import Lot
from services.loyalty.domain.member import Member
from services.loyalty.domain.program import Program, Tier

EXPIRING_DAYS = 30
"""Points that expire within so many days are expiring soon."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A member now."""

    member: Member
    available: int
    tier: Tier | None
    next_tier: Tier | None
    qualifying: int
    next_tier_amount: int
    expiring: tuple[Lot, ...]

    @property
    def expiring_points(self) -> int:
        """How many points expire soon."""
        return sum(lot.points for lot in self.expiring)


def standing(member: Member, program: Program, now: int) -> Standing:
    """The standing of ``member`` at ``now``."""
    qualifying = member.qualifying(program, now)
    next_tier = program.tier_after(qualifying)
    horizon = now + EXPIRING_DAYS * DAY_MICROS
    return Standing(
        member=member,
        available=member.available(now),
        tier=program.tier_at(qualifying),
        next_tier=next_tier,
        qualifying=qualifying,
        next_tier_amount=next_tier.threshold - qualifying if next_tier else 0,
        expiring=tuple(lot for lot in member.lots if now < lot.expire_time <= horizon),
    )
