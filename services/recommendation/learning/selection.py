"""Chooses how a tenant's model is made, by measuring on a window of the tenant's own data."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.signals import PURCHASES_ALONE, FeedbackWeights
from services.recommendation.domain.trail import LENGTH as TRAIL_LENGTH
from services.recommendation.learning import autoencoder
from services.recommendation.learning.algorithm import Algorithm, Embedding
from services.recommendation.learning.autoencoder import LinearAutoencoder
from services.recommendation.learning.contrastive import Contrastive
from services.recommendation.learning.purchases import Purchases
from services.recommendation.learning.spectral import Spectral
from services.recommendation.learning.validation import (
    HOLDOUT_DAYS,
    UNMEASURED,
    Blending,
    Holdout,
    Judged,
    choose,
    holdout,
    judged,
    measure,
    ndcg_each,
    new_ndcg_each,
)

DIMENSIONS = (40, 64, 128, 256)
HALF_LIVES_DAYS = (180.0, 60.0, 720.0)
"""The first one is for where nothing is measured."""
HISTORY_HALF_LIVES_DAYS = (30.0, 60.0, 90.0)
"""What somebody bought lately says more of what they buy next than of what items are like: their own history may fade
faster than the purchases that vectors are learnt from."""
TRANSITION_HALF_LIVES_DAYS = (180.0, 60.0)
"""What others went on to lately may say more than what they went on to long ago."""
TRAIL_DECAYS = (0.6, 0.8, 0.95)
TRAIL_DECAY_UNMEASURED = 0.8
DIMENSIONS_UNMEASURED = 128
STANDARD_ERRORS = 2.0
"""By how many of them the mean over customers must be lower to call a model worse: less is chance."""
UNSEEN_CUSTOMERS_MIN = 200
"""So many must have bought since the live model was made, for it to be measured on what came since alone."""

FEEDBACK_WEIGHTS = (FeedbackWeights(0.05, 0.2), FeedbackWeights(0.2, 0.5), FeedbackWeights(0.5, 1.0))
"""What is tried for views and carts, beside purchases alone."""
CONTRASTIVE_SHARE = 0.6
"""Of the budget, at most, for the one candidate that is slow to learn."""

Learner = Spectral | LinearAutoencoder | Contrastive
Report = Callable[[float, str], None]
"""Told the share that is done and the step that begins."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is fixed by the caller; 0 is to be chosen. ``cpu_seconds`` bounds the choosing: no further candidate is
    tried once they are spent, and none that would take longer than what is left."""

    dimensions: int = 0
    half_life_days: float = 0.0
    cpu_seconds: float = 300.0
    feedback: FeedbackWeights | None = None
    """What views and carts count; ``None`` is to be chosen."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is made."""

    algorithm: Algorithm
    blending: Blending = UNMEASURED
    trail_decay: float = TRAIL_DECAY_UNMEASURED
    feedback: FeedbackWeights = PURCHASES_ALONE
    history_days: float = 0.0
    """0 for as the algorithm's."""
    transition_days: float = 0.0
    """After how many days what others went on to counts half; 0: however old, it counts the same."""

    @property
    def history_half_life_days(self) -> float:
        """After how many days a purchase counts half in the history of who made it."""
        return self.history_days or self.algorithm.half_life_days


@dataclass(frozen=True)
class Incumbent:
    """The model that is live, to be measured beside the new one: how it was made, its vectors for the items of the
    same purchases, and how many days before the newest purchase it learnt last."""

    recipe: Recipe
    embedding: Embedding
    age_days: float


@dataclass(frozen=True, slots=True)
class Selection:
    """The best recipe with what was measured of it; whether it is worse than what is live."""

    recipe: Recipe
    metrics: Mapping[str, float]
    worse_than_live: bool = False


@dataclass(frozen=True, slots=True)
class _Tried:
    recipe: Recipe
    embedding: Embedding
    qualities: NDArray[np.floating]
    """Of every customer, the NDCG of both kinds of list together."""

    @property
    def quality(self) -> float:
        """The mean."""
        return float(self.qualities.mean())

    def clearly_better_than(self, other: "_Tried") -> bool:
        """By more than chance explains, on the same customers: what needs more data than another one has to earn it."""
        differences = self.qualities - other.qualities
        return bool(differences.mean() > STANDARD_ERRORS * differences.std() / np.sqrt(len(differences)))

    @property
    def learner(self) -> Learner:
        """How its vectors are learnt."""
        assert isinstance(self.recipe.algorithm, Learner)
        return self.recipe.algorithm


def select(purchases: Purchases, wanted: Wanted, incumbent: Incumbent | None, seed: int, report: Report) -> Selection:
    """Choose on one half of the window's customers, measure on the other half. Distinct purchases."""
    began = time.process_time()
    fixed = wanted.feedback or PURCHASES_ALONE
    window = holdout(purchases, _window_days(purchases, incumbent), TRAIL_LENGTH).weighing(fixed)
    candidates = _first_candidates(window, wanted)
    if not window.measurable:
        usual = replace(candidates[0], dimensions=wanted.dimensions or DIMENSIONS_UNMEASURED)
        return Selection(Recipe(usual, feedback=fixed), {})
    best = _try(window, candidates[0], wanted, None, seed, report)
    for further in (False, True):
        others = _other_half_lives(best.recipe.algorithm, window, wanted) if further else candidates[1:]
        for candidate in others:
            left = wanted.cpu_seconds - (time.process_time() - began)
            if left > 0 and _seconds(candidate, window) <= left:
                found = _try(window, candidate, wanted, best.recipe.trail_decay, seed, report)
                best = found if found.quality > best.quality else best
    for weights in _other_weights(window, wanted):
        left = wanted.cpu_seconds - (time.process_time() - began)
        if left > 0 and _seconds(best.learner, window) <= left:
            heavier = window.weighing(weights)
            found = _try(heavier, best.learner, wanted, best.recipe.trail_decay, seed, report)
            best = found if found.clearly_better_than(best) else best
    best = _faster_fading(window, best, wanted, began + wanted.cpu_seconds, report)
    return _compared(window, best, incumbent, seed)


def recipe_of(
    algorithm: str,
    dimensions: int,
    half_life_days: float,
    blending: Blending,
    trail_decay: float,
    feedback: FeedbackWeights = PURCHASES_ALONE,
    history_days: float = 0.0,
    transition_days: float = 0.0,
) -> Recipe | None:
    """The recipe of a model that was made before; ``None`` for an algorithm that is no longer here."""
    usual: tuple[Learner, ...] = (Spectral(), Spectral(sharp=True), LinearAutoencoder(), Contrastive())
    made = {each.name: each for each in usual}.get(algorithm)
    if made is None:
        return None
    learner = replace(made, dimensions=dimensions, half_life_days=half_life_days)
    return Recipe(learner, blending, trail_decay, feedback, history_days, transition_days)


def _first_candidates(window: Holdout, wanted: Wanted) -> list[Learner]:
    """Every algorithm that is able to learn from so many items, at the usual half-life; the cheapest first."""
    half_life = wanted.half_life_days or HALF_LIVES_DAYS[0]
    dimensions = wanted.dimensions or max(DIMENSIONS)
    found: list[Learner] = [Spectral(dimensions, half_life), Spectral(dimensions, half_life, sharp=True)]
    if window.before.item_count <= autoencoder.ITEMS_MAX:
        found.append(LinearAutoencoder(dimensions, half_life))
    affordable = [
        size
        for size in ([wanted.dimensions] if wanted.dimensions else DIMENSIONS)
        if _seconds(Contrastive(size), window) <= wanted.cpu_seconds * CONTRASTIVE_SHARE
    ]
    return [*found, *(Contrastive(size, half_life) for size in affordable[-1:])]


def _other_half_lives(best: Algorithm, window: Holdout, wanted: Wanted) -> list[Learner]:
    """A half-life far beyond the oldest purchase changes nothing that another one does not."""
    assert isinstance(best, Learner)
    if wanted.half_life_days:
        return []
    oldest = _oldest_days(window)
    # Contrastive vectors are learnt for as many dimensions as they have, the others for all sizes at once.
    dimensions = best.dimensions if isinstance(best, Contrastive) else wanted.dimensions or max(DIMENSIONS)
    return [
        replace(best, dimensions=dimensions, half_life_days=half_life)
        for half_life in HALF_LIVES_DAYS[1:]
        if half_life < 4 * oldest
    ]


def _oldest_days(window: Holdout) -> float:
    return float(window.before.ages_days.max(initial=0.0))


def _other_weights(window: Holdout, wanted: Wanted) -> tuple[FeedbackWeights, ...]:
    """What views and carts could count, where there are any and it is to be chosen."""
    return () if wanted.feedback or not len(window.before.signals) else FEEDBACK_WEIGHTS


def _seconds(algorithm: Learner, window: Holdout) -> float:
    """About how long learning takes, where it takes long."""
    return algorithm.cpu_seconds(window.before) if isinstance(algorithm, Contrastive) else 0.0


def _try(
    window: Holdout, algorithm: Learner, wanted: Wanted, trail_decay: float | None, seed: int, report: Report
) -> _Tried:
    """Learn once, and measure in so many dimensions; the decay of trails is chosen with the first candidate."""
    report(0.2, f"measuring {algorithm.name}, half-life {algorithm.half_life_days:g} days")
    embedding = algorithm.fit(window.before, seed)
    sizes = [each for each in DIMENSIONS if each <= embedding.dimensions]
    if wanted.dimensions or isinstance(algorithm, Contrastive) or not sizes:
        sizes = [algorithm.dimensions]
    options = [
        _measured(
            window,
            embedding.first(size),
            Recipe(replace(algorithm, dimensions=size), UNMEASURED, decay, window.before.weighing),
        )
        for size in sizes
        for decay in ((trail_decay,) if trail_decay else TRAIL_DECAYS)
    ]
    return max(options, key=lambda option: option.quality)


def _measured(window: Holdout, embedding: Embedding, recipe: Recipe) -> _Tried:
    """The recipe with the blending that is best for it. The window's transitions are those of the recipe."""
    customers = _chooser(_everybody(window, embedding, recipe))
    blending = choose(customers)
    # Both kinds of list are asked for, and lists of all are little else than own frequencies where people buy the same
    # again.
    qualities = ndcg_each(customers, blending) + new_ndcg_each(customers, blending)
    return _Tried(replace(recipe, blending=blending), embedding, qualities)


def _faster_fading(window: Holdout, best: _Tried, wanted: Wanted, until: float, report: Report) -> _Tried:
    """The same vectors with histories, and then transitions, that fade faster, where that is better and no half-life is
    asked for; tried until so much processor time is spent."""
    if wanted.half_life_days:
        return best
    recipe, window = best.recipe, window.weighing(best.recipe.feedback)
    for days in HISTORY_HALF_LIVES_DAYS:
        if days < recipe.algorithm.half_life_days and time.process_time() < until:
            report(0.5, f"measuring histories, half-life {days:g} days")
            found = _measured(window, best.embedding, replace(recipe, history_days=days))
            best = found if found.quality > best.quality else best
    recipe, oldest = best.recipe, _oldest_days(window)
    for days in TRANSITION_HALF_LIVES_DAYS:
        if days < 4 * oldest and time.process_time() < until:
            report(0.5, f"measuring transitions, half-life {days:g} days")
            found = _measured(window.following(days), best.embedding, replace(recipe, transition_days=days))
            best = found if found.quality > best.quality else best
    return best


def _everybody(window: Holdout, embedding: Embedding, recipe: Recipe) -> list[Judged]:
    return judged(window, embedding, recipe.history_half_life_days, recipe.trail_decay)


def _compared(window: Holdout, best: _Tried, incumbent: Incumbent | None, seed: int) -> Selection:
    recipe = best.recipe
    window = window.weighing(recipe.feedback).following(recipe.transition_days)
    everybody = _everybody(window, best.embedding, recipe)
    metrics = dict(measure(_witness(everybody), window, recipe.blending, best.embedding))
    if incumbent is None:
        return Selection(recipe, metrics)
    old = incumbent.recipe
    window = window.weighing(old.feedback).following(old.transition_days)
    # A live model that has learnt from the window is measured as what its recipe makes of what came before.
    seen = incumbent.age_days < window.days
    embedding = old.algorithm.fit(window.before, seed) if seen else incumbent.embedding
    live = _witness(_everybody(window, embedding, old))
    figures = measure(live, window, old.blending, embedding)
    metrics |= {
        f"live.{name.removeprefix('model.')}": value for name, value in figures.items() if name.startswith("model.")
    }
    return Selection(recipe, metrics, worse(_witness(everybody), recipe, live, old))


def worse(new: Sequence[Judged], recipe: Recipe, live: Sequence[Judged], old: Recipe) -> bool:
    """Whether the mean NDCG of the same customers is lower by more than chance explains."""
    differences = ndcg_each(new, recipe.blending) - ndcg_each(live, old.blending)
    error = differences.std() / np.sqrt(max(len(differences), 1))
    return bool(differences.mean() < -STANDARD_ERRORS * error)


def _window_days(purchases: Purchases, incumbent: Incumbent | None) -> float:
    """The last four weeks; only what the live model has not seen, if that is enough to measure on."""
    if incumbent is None or not 1.0 <= incumbent.age_days < HOLDOUT_DAYS:
        return HOLDOUT_DAYS
    unseen, before = purchases.within(incumbent.age_days), purchases.before(incumbent.age_days)
    customers = np.intersect1d(unseen.customers, before.customers)
    return incumbent.age_days if len(customers) >= UNSEEN_CUSTOMERS_MIN else HOLDOUT_DAYS


def _chooser(everybody: Sequence[Judged]) -> Sequence[Judged]:
    return everybody[::2]


def _witness(everybody: Sequence[Judged]) -> Sequence[Judged]:
    return everybody[1::2]
