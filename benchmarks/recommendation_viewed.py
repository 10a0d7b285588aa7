"""Items that were looked at and not bought: a tenth of Complete Journey's products is kept out of the training.

What one half of the households did with any product counts as a view: the data have none, so that purchases stand in
for them. The products are ranked for those of the other half who bought some of them.
"""

import time

import numpy as np

from benchmarks.harness import Result
from benchmarks.recommendation_cold import BUYERS_MIN, SEED, SHARE, _measured, _part, _truths
from benchmarks.recommendation_data import complete_journey_described
from services.recommendation.domain.signals import SignalKind
from services.recommendation.learning.content import HashedText, content_vectors
from services.recommendation.learning.signals import Signals
from services.recommendation.learning.spectral import Spectral
from services.recommendation.learning.viewers import INTEREST, joined, tastes_of_viewers, viewed_vectors


def viewed() -> list[Result]:
    """Recall and NDCG at 20 by text and viewers, beside text alone."""
    purchases, described = complete_journey_described()
    random = np.random.default_rng(SEED)
    out = random.random(purchases.item_count) < SHARE
    looking = random.random(purchases.customer_count) < 0.5
    known, looked = ~out[purchases.items], looking[purchases.customers]
    buyers = np.asarray(_part(purchases, ~looked).buyers())
    ranked = np.flatnonzero(out & (buyers >= BUYERS_MIN))
    train, signs = _part(purchases, known), _part(purchases, looked)
    embedding = Spectral(64).fit(train, 1)
    habits = train.by_customer(train.weights(180.0))
    began = time.process_time()
    features = HashedText().encode(described)
    own = np.flatnonzero(~out)
    texts = features[own], features[ranked]
    bought = np.asarray(train.buyers(), dtype=np.int64)[own]
    known_items = type(embedding)(embedding.context[own], embedding.target[own], embedding.likeness[own])
    by_text = content_vectors(texts[0], known_items, bought, texts[1])
    kinds = np.full(len(signs), SignalKind.VIEW, dtype=np.int8)
    shape = purchases.customer_count, purchases.item_count
    interest = Signals(signs.customers, signs.items, kinds, signs.ages_days).weighed(INTEREST, shape)
    liked = tastes_of_viewers(interest, habits, embedding.context)
    by_viewers = viewed_vectors(texts, (liked[own], liked[ranked]), known_items, bought)
    _, found = joined(by_text, len(ranked), by_viewers)
    seconds = time.process_time() - began
    customers, truths = _truths(_part(purchases, ~known & ~looked), ranked)
    loved = habits.copy()
    loved.data = np.log1p(loved.data)
    people = loved[customers] @ embedding.context
    ours = _measured((people @ found.target.T).astype(np.float64), truths)
    text = _measured((people @ by_text.embedding.target.T).astype(np.float64), truths)
    name = f"Complete Journey, {len(ranked):,} products that nobody had bought and a half looked at"
    results = [
        Result(f"{name}, {figure}", ours[figure], "", text[figure], "text alone", "> 1")
        for figure in ("recall_at_20", "ndcg_at_20")
    ]
    explained = by_viewers.content.explained if by_viewers else 0.0
    results.append(Result("... of held-out vectors explained", explained, "", by_text.explained, "text alone"))
    return [*results, Result("... features, choosing and learning", seconds, "CPU s")]
