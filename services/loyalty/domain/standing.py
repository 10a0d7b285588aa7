"""A member's standing: what the ledger says about a member at one moment."""

from dataclasses import dataclass

from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.domain.entry import Lot
from services.loyalty.domain.member import Member
from services.loyalty.domain.pending import settle
from services.loyalty.domain.program import Program, Tier

EXPIRING_DAYS = 30
"""Points that expire within so many days are expiring soon."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A member now. What the clock will enter counts already in everything but ``member``."""

    member: Member
    program: Program
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
    settled, _ = settle(member, program, now, now)
    qualifying = settled.qualifying(program, now)
    next_tier = program.tier_after(qualifying)
    horizon = now + EXPIRING_DAYS * DAY_MICROS
    return Standing(
        member=member,
        program=program,
        available=settled.available(now),
        tier=program.tier_at(qualifying),
        next_tier=next_tier,
        qualifying=qualifying,
        next_tier_amount=next_tier.threshold - qualifying if next_tier else 0,
        expiring=tuple(lot for lot in settled.lots if now < lot.expire_time <= horizon),
    )
