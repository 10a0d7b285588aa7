"""One training: from purchases to everything that a model answers with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.recommendation.learning.algorithm import Algorithm, Embedding
from services.recommendation.learning.association import Associations, associate
from services.recommendation.learning.purchases import Codes, Counts, Floats, Purchases
from services.recommendation.learning.validation import Validation, validate

RECENT_DAYS = 28.0
SEED = 20170101
"""Fixed: the same purchases give the same model."""

Report = Callable[[float, str], None]
"""Told the share that is done and the step that begins."""


@dataclass(frozen=True, slots=True)
class Histories:
    """The items of customer ``c`` are ``items[starts[c]:starts[c + 1]]``, with their faded weights and in how many of
    the customer's baskets each was."""

    starts: Counts
    items: Codes
    weights: Floats
    baskets: Codes


@dataclass(frozen=True, slots=True)
class Learnt:
    """What one training gives."""

    embedding: Embedding
    validation: Validation
    associations: Associations
    histories: Histories
    recent_buyers: Counts


def train(
    purchases: Purchases, algorithm: Algorithm, half_life_days: float, min_basket_count: int, report: Report
) -> Learnt:
    """Measure on the last four weeks, then learn from everything."""
    distinct = purchases.distinct()
    report(0.1, "measuring on the last four weeks")
    validation = validate(distinct, algorithm, half_life_days, SEED)
    report(0.5, "learning vectors")
    embedding = algorithm.fit(distinct, SEED)
    report(0.7, "counting what is bought together")
    associations = associate(distinct, min_basket_count)
    report(0.9, "writing the model")
    return Learnt(
        embedding,
        validation,
        associations,
        _histories(distinct, half_life_days),
        distinct.within(RECENT_DAYS).buyers(),
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
