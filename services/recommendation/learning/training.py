"""One training: from purchases to everything that a model answers with."""

from dataclasses import dataclass, replace

import numpy as np

from services.recommendation.domain.trail import LENGTH as TRAIL_LENGTH
from services.recommendation.learning.algorithm import Embedding
from services.recommendation.learning.association import Associations, associate
from services.recommendation.learning.purchases import Codes, Counts, Floats, Purchases
from services.recommendation.learning.selection import Incumbent, Report, Selection, Wanted, select
from services.recommendation.learning.transitions import Trails, Transitions, follow, trails

RECENT_DAYS = 28.0
SEED = 20170101
"""Fixed: the same purchases give the same model."""


@dataclass(frozen=True, slots=True)
class Histories:
    """The items of customer ``c`` are ``items[starts[c]:starts[c + 1]]``, with their faded weights and in how many of
    the customer's baskets each was."""

    starts: Counts
    items: Codes
    weights: Floats
    baskets: Codes


@dataclass(frozen=True, slots=True)
class Interests:
    """What customer ``c`` looked at or put into carts: ``items[starts[c]:starts[c + 1]]``, with what it counts."""

    starts: Counts
    items: Codes
    weights: Floats


@dataclass(frozen=True, slots=True)
class Learnt:
    """What one training gives."""

    selection: Selection
    embedding: Embedding
    associations: Associations
    transitions: Transitions
    histories: Histories
    trails: Trails
    recent_buyers: Counts
    interests: Interests


def train(
    purchases: Purchases, wanted: Wanted, min_basket_count: int, incumbent: Incumbent | None, report: Report
) -> Learnt:
    """Choose how on the last weeks, then learn from everything."""
    distinct = purchases.distinct()
    report(0.1, "measuring on the last weeks")
    selection = select(distinct, wanted, incumbent, SEED, report)
    report(0.6, "learning vectors")
    algorithm = selection.recipe.algorithm
    weighed = replace(distinct, weighing=selection.recipe.feedback)
    embedding = algorithm.fit(weighed, SEED)
    report(0.7, "counting what is bought together")
    associations = associate(distinct, min_basket_count)
    report(0.8, "counting what follows what")
    transitions = follow(distinct, selection.recipe.transition_days)
    report(0.9, "writing the model")
    return Learnt(
        selection,
        embedding,
        associations,
        transitions,
        _histories(distinct, selection.recipe.history_half_life_days),
        trails(distinct, TRAIL_LENGTH),
        distinct.within(RECENT_DAYS).buyers(),
        _interests(weighed),
    )


def _histories(distinct: Purchases, half_life_days: float) -> Histories:
    weights = distinct.by_customer(distinct.weights(half_life_days))
    baskets = distinct.by_customer(np.ones(len(distinct), dtype=np.float32))
    return Histories(
        weights.indptr.astype(np.int64),
        weights.indices.astype(np.int32),
        weights.data.astype(np.float32),
        baskets.data.astype(np.int32),
    )


def _interests(weighed: Purchases) -> Interests:
    found = weighed.interests()
    return Interests(found.indptr.astype(np.int64), found.indices.astype(np.int32), found.data.astype(np.float32))
