"""A member's standing: what the ledger says about a member at one moment."""

from dataclasses import dataclass, replace

from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.domain.entry import Lot
from services.loyalty.domain.member import Member, tier_now, track
from services.loyalty.domain.pending import settle
from services.loyalty.domain.program import Program, Tier
from services.loyalty.domain.tier_policy import EVER, lapse_time, missing_to_keep
from services.loyalty.domain.tier_policy import Standing as TierStanding

EXPIRING_DAYS = 30
"""Points that expire within so many days are expiring soon."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Since when a tier is held, until when it holds, when it is taken then, and what is missing for it to be kept.

    Times of 0: never.
    """

    since: int
    until: int
    lapse_time: int
    missing_to_keep: int


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
    holding: "Holding | None" = None
    """With a tier policy."""

    @property
    def expiring_points(self) -> int:
        """How many points expire soon."""
        return sum(lot.points for lot in self.expiring)


def standing(member: Member, program: Program, now: int) -> Standing:
    """The standing of ``member`` at ``now``."""
    settled, _ = settle(member, program, now, now)
    kept = tier_now(settled, program, now)
    settled = replace(settled, tier_id=program.tiers[kept.at].id if kept.at >= 0 else "", tier_since=kept.since)
    settled = replace(settled, tier_until=0 if kept.until == EVER else kept.until)
    qualifying = settled.qualifying(program, now)
    tier = program.tiers[kept.at] if kept.at >= 0 else None
    next_tier = program.tiers[kept.at + 1] if kept.at + 1 < len(program.tiers) else None
    horizon = now + EXPIRING_DAYS * DAY_MICROS
    return Standing(
        member=member,
        program=program,
        available=settled.available(now),
        tier=tier,
        next_tier=next_tier,
        qualifying=qualifying,
        next_tier_amount=max(0, next_tier.threshold - qualifying) if next_tier else 0,
        holding=_holding(settled, program, kept) if program.tier_policy else None,
        expiring=tuple(lot for lot in settled.lots if now < lot.expire_time <= horizon),
    )


def _holding(member: Member, program: Program, kept: TierStanding) -> Holding:
    known = track(member, program)
    lapses = lapse_time(known, kept)
    until = 0 if kept.until == EVER else kept.until
    return Holding(kept.since, until, 0 if lapses == EVER else lapses, missing_to_keep(known, kept))
