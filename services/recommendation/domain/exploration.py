"""New items get places in lists until it is known how they are clicked.

Which one is a matter of Thompson sampling (Thompson, 1933; Chapelle and Li, NIPS 2011): every new item's click rate is
a Beta distribution, the rate of all items worth ``DOUBT`` impressions before its own count.
An impression counts as much as its place is looked at, where that is known, so that an item is not taken for a dull one
because it stood far down (position-based bandits: Lagrée, Vernade and Cappé, NIPS 2016). How often each would be the
best is estimated from draws, a tenth is left to chance alone, and the item is drawn from just these probabilities: so
that they are exact, and what another choice would have earned can be estimated from the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

from services.recommendation.domain.policy import members_of
from services.recommendation.domain.recommendation import Applied, AppliedKind, Reason, ReasonKind, Recommendation

SLOTS_MAX = 3
"""What is written of them into the id of a list has to fit there."""
POOL_MAX = 50
"""The newest of the items that may be explored; the others wait until one of these is known."""
DRAWS = 256
CHANCE = 0.1
"""The share of a choice that does not look at clicks: every item of the pool can come."""
DOUBT = 20.0


@dataclass(frozen=True, slots=True)
class Exploration:
    """How much of a placement's lists is given to new items."""

    slots: int = 0
    """In each list, at most; 0 for none."""
    share: float = 0.0
    """How likely each of them is to be given to a new item."""
    impression_goal: int = 0
    """From so many impressions on, in all lists, an item is not new any more."""
    position: int = 0
    """The first of the places, from 1; 0 for the last ones of the list."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Impressions and clicks."""

    impressions: int = 0
    clicks: int = 0
    examined: float | None = None
    """How many looks the impressions were worth, in looks at a first place; ``None`` for as many as there were."""

    @property
    def looks(self) -> float:
        """What clicks are counted against."""
        return float(self.impressions) if self.examined is None else self.examined


@dataclass(frozen=True, slots=True)
class Explored:
    """An item that was chosen, with which probability, and out of how many."""

    item_id: str
    probability: float
    pool: int
    members: bytes = b""
    """The digests of the items out of which it was chosen; empty where nobody wrote them down."""


def seed_of(nonce: str) -> int:
    """What chance comes from: equal for one list."""
    return int.from_bytes(blake2b(nonce.encode(), digest_size=8).digest())


def explore(
    exploration: Exploration, pool: Sequence[str], shown: Mapping[str, Shown], overall: Shown, seed: int
) -> list[Explored]:
    """The new items of a list. Equal figures and an equal seed give equal items."""
    random = np.random.default_rng(seed)
    wanted = int((random.random(min(exploration.slots, SLOTS_MAX)) < exploration.share).sum())
    left = list(pool)
    found: list[Explored] = []
    while left and len(found) < wanted:
        chances = _chances([shown.get(item_id, Shown()) for item_id in left], overall, random)
        at = int(random.choice(len(left), p=chances))
        found.append(Explored(left[at], float(chances[at]), len(left), members_of(left)))
        del left[at]
    return found


def _chances(shown: Sequence[Shown], overall: Shown, random: np.random.Generator) -> np.ndarray:
    """How likely each item is to be chosen."""
    rate = (overall.clicks + 1) / (overall.looks + DOUBT)
    clicks = np.array([each.clicks for each in shown], dtype=np.float64)
    missed = np.array([max(each.looks - each.clicks, 0.0) for each in shown], dtype=np.float64)
    draws = random.beta(DOUBT * rate + clicks, DOUBT * (1 - min(rate, 0.99)) + missed, (DRAWS, len(shown)))
    best = np.bincount(draws.argmax(axis=1), minlength=len(shown)) / DRAWS
    return np.asarray((1 - CHANCE) * best + CHANCE / len(shown))


def placed(
    items: Sequence[Recommendation], explored: Sequence[Explored], position: int, count: int
) -> list[Recommendation]:
    """The list with the new items in it, each in the place of one that no pin put there, or behind a list that is
    short."""
    new = [
        Recommendation(each.item_id, (Reason(ReasonKind.EXPLORING, 0.0),), propensity=each.probability)
        for each in explored
    ]
    answer = list(items)
    free = [at for at, item in enumerate(answer) if all(each.kind is not AppliedKind.PIN for each in item.applied)]
    room = count - len(answer)
    first = position - 1 if position else count - len(new)
    places = [at for at in free if at >= first] + [at for at in reversed(free) if at < first]
    for item in new:
        if room > 0 and (not position or first >= len(answer)):
            answer.append(item)
            room -= 1
        elif places:
            answer[places.pop(0)] = item
    return [replace(item, applied=(*item.applied, Applied(AppliedKind.EXPLORATION, item.propensity)))
            if item.propensity else item for item in answer]  # fmt: skip
