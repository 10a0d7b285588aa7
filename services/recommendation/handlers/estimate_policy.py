"""Say what another choice of new items would have earned, from what was drawn and what came of it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.recommendation.domain.examination import Examination
from services.recommendation.domain.feedback import FeedbackKind, explored_in
from services.recommendation.domain.policy import (
    EFFECTIVE_MIN,
    LINES_MIN,
    Draw,
    NoSupport,
    Policy,
    PolicyKind,
    chances,
    check_policy,
)
from services.recommendation.handlers.feedback import check_period
from services.recommendation.learning.off_policy import Estimate, Log, crossfitted, doubly_robust, ips, snips
from services.recommendation.ports import FeedbackLog, Period

DOUBT = 20.0
"""Impressions by which the click rate of an item is shrunk to that of all."""
COLUMNS = {FeedbackKind.CLICK: "clicks", FeedbackKind.CART: "carts", FeedbackKind.PURCHASE: "purchases"}


@dataclass(frozen=True, slots=True)
class Wish:
    """The candidate, what it is measured by, the most that a line may weigh (infinite for no bound), and whether
    rewards are those of a first place."""

    policy: Policy
    reward: FeedbackKind
    weight_max: float
    correct_positions: bool = False


@dataclass(frozen=True, slots=True)
class PolicyEstimates:
    """What the policy that ran earned for each place that was seen, and what the candidate would have, three ways."""

    logged: Estimate
    ips: Estimate
    snips: Estimate
    doubly_robust: Estimate
    line_count: int
    clipped_share: float
    corrected_share: float = 0.0
    examination: Examination | None = None
    """What rewards were corrected by; ``None`` where that was not asked for."""


async def estimate_policy(log: FeedbackLog, tenant: str, period: Period, wish: Wish) -> PolicyEstimates:
    """``PeriodInvalid``, ``PolicyInvalid``, ``NoSupport``."""
    check_period(period)
    check_policy(wish.policy)
    rows = await log.explored(tenant, period)
    rates: dict[str, float] = {}
    if wish.policy.kind is PolicyKind.BEST_KNOWN:
        rates = rates_of(await log.clicked_before(tenant, period))
    examination = await log.examination(tenant, period.placement_id) if wish.correct_positions else None
    found = await asyncio.to_thread(_estimated, rows, wish, rates, examination)
    return replace(found, examination=examination)


def rates_of(counted: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """Clicks for each look by item, shrunk to the rate of all."""
    shown = {str(row["item_id"]): (float(str(row["examined"])), int(str(row["clicks"]))) for row in counted}
    seen, clicked = (sum(pair[at] for pair in shown.values()) for at in (0, 1))
    overall = clicked / seen if seen else 0.0
    return {item: (clicks + DOUBT * overall) / (times + DOUBT) for item, (times, clicks) in shown.items()}


def _estimated(
    rows: Sequence[Mapping[str, object]], wish: Wish, rates: Mapping[str, float], examination: Examination | None
) -> PolicyEstimates:
    likely = examination.by_position if examination else {}
    draws = _draws(rows, COLUMNS[wish.reward], likely)
    found = estimates(draws, wish, rates)
    return replace(found, corrected_share=sum(draw.corrected for draw in draws) / len(draws))


def _draws(rows: Sequence[Mapping[str, object]], reward: str, likely: Mapping[int, float]) -> list[Draw]:
    """What was drawn and seen, and earned: over how ``likely`` its place is looked at, where that is known. Draws of
    before the pool was told with them say too little."""
    found = []
    for row in rows:
        for each in explored_in(str(row["recommendation_id"])):
            if each.item_id == row["item_id"] and each.members:
                looked_at = likely.get(int(str(row["position"])))
                earned = min(float(str(row[reward])), 1.0) / (looked_at or 1.0)
                found.append(Draw(each.item_id, each.probability, each.members, earned, looked_at is not None))
    return found


def estimates(draws: Sequence[Draw], wish: Wish, rates: Mapping[str, float]) -> PolicyEstimates:
    """What the candidate would have earned; ``NoSupport`` where the draws say too little of it."""
    if len(draws) < LINES_MIN:
        raise _unsupported(f"{len(draws)} drawn items were seen, {LINES_MIN} are needed", len(draws), 0.0)
    found = chances(wish.policy, draws, rates)
    rewards = np.array([draw.reward for draw in draws])
    logged = np.array([min(draw.probability, 1.0) for draw in draws])
    log = Log(rewards, logged, found.of_drawn)
    predicted, expected = crossfitted(found.actions, np.arange(len(draws)), rewards, found.target)
    weighted = ips(log, clip=wish.weight_max)
    if weighted.effective_size < EFFECTIVE_MIN:
        said = f"the log is worth {weighted.effective_size:.1f} choices of the candidate, {EFFECTIVE_MIN:g} are needed"
        raise _unsupported(said, len(draws), weighted.effective_size)
    return PolicyEstimates(
        ips(Log(rewards, logged, logged)),
        weighted,
        snips(log, clip=wish.weight_max),
        doubly_robust(log, predicted, expected, clip=wish.weight_max),
        len(draws),
        float((log.weights() > wish.weight_max).mean()),
    )


def _unsupported(said: str, lines: int, size: float) -> NoSupport:
    return NoSupport(
        f"{said}: let placements explore new items, record their impressions, or ask of a longer period",
        line_count=str(lines),
        effective_size=f"{size:.1f}",
    )
