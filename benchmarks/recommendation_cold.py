"""Items that nobody has bought: a tenth of Complete Journey's products is kept out of the training, and ranked for
those who did buy some of them by what is written of them alone."""

import time

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.harness import Result
from benchmarks.recommendation_data import complete_journey_described
from services.recommendation.learning.content import HashedText, content_vectors
from services.recommendation.learning.evaluation import best, figures
from services.recommendation.learning.purchases import Purchases
from services.recommendation.learning.spectral import Spectral

SEED, SHARE, BUYERS_MIN = 3, 0.1, 3
"""Products with fewer buyers are not ranked: whether anybody bought them is chance."""
LENGTH = 20
Scores = NDArray[np.floating]


def cold() -> list[Result]:
    """Recall and NDCG at 20, all products that were kept out ranked, beside what knows them by their category alone."""
    purchases, described = complete_journey_described()
    random = np.random.default_rng(SEED)
    out = random.random(purchases.item_count) < SHARE
    buyers = np.asarray(purchases.buyers())
    ranked = np.flatnonzero(out & (buyers >= BUYERS_MIN))
    known = ~out[purchases.items]
    train = _part(purchases, known)
    began = time.process_time()
    embedding = Spectral(64).fit(train, 1)
    habits = train.by_customer(train.weights(180.0))
    habits.data = np.log1p(habits.data)
    learnt = time.process_time()
    features = HashedText().encode(described)
    found = content_vectors(features, embedding, np.asarray(train.buyers(), dtype=np.int64), features[ranked])
    seconds = time.process_time() - learnt
    customers, truths = _truths(_part(purchases, ~known), ranked)
    ours = ((habits[customers] @ embedding.context) @ found.embedding.target.T).astype(np.float64)
    kinds = np.unique([" / ".join(each.categories) for each in described], return_inverse=True)[1]
    per_kind = np.bincount(kinds, buyers * ~out) / np.maximum(np.bincount(kinds, ~out), 1)
    own = np.asarray((habits[customers] @ _cells(kinds)).todense())[:, kinds[ranked]]
    peers = {
        "frequencies of own categories": own + 1e-9 * random.random(own.shape),
        "categories that sell most": np.tile(
            per_kind[kinds[ranked]] + 1e-9 * random.random(len(ranked)), (len(own), 1)
        ),
        "chance": random.random(own.shape),
    }
    name = f"Complete Journey, {len(ranked):,} products that nobody had bought"
    measured = _measured(ours, truths)
    results = [
        Result(f"{name}, {figure}", measured[figure], "", _measured(scores, truths)[figure], peer, "> 1")
        for peer, scores in peers.items()
        for figure in ("recall_at_20", "ndcg_at_20")
    ]
    results.append(Result("... of held-out vectors explained", found.explained, ""))
    results.append(Result("... features, choosing and learning", seconds, "CPU s"))
    return [*results, Result("... spectral vectors before", learnt - began, "CPU s")]


def _measured(scores: Scores, truths: list[NDArray[np.int64]]) -> dict[str, float]:
    return dict(figures([best(row.astype(np.float32), LENGTH) for row in scores], truths))


def _part(purchases: Purchases, kept: NDArray[np.bool_]) -> Purchases:
    return Purchases(
        purchases.customers[kept], purchases.baskets[kept], purchases.items[kept], purchases.ages_days[kept],
        purchases.customer_count, purchases.basket_count, purchases.item_count,
    )  # fmt: skip


def _truths(later: Purchases, ranked: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Who bought something of what is ranked, and what, as places in the ranking."""
    bought = later.by_customer(np.ones(len(later), dtype=np.float32))[:, ranked].tocsr()
    customers = np.flatnonzero(np.diff(bought.indptr) > 0)
    rows = (bought.indices[bought.indptr[each] : bought.indptr[each + 1]] for each in customers)
    return customers, [np.sort(row).astype(np.int64) for row in rows]


def _cells(codes: NDArray[np.int64]) -> sparse.csr_array:
    ones = np.ones(len(codes), dtype=np.float32)
    return sparse.csr_array((ones, (np.arange(len(codes)), codes)))
