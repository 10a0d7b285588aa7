"""How good lists are: figures over what was bought after the lists were made."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

LENGTH = 20

Rows = NDArray[np.int64]


def figures(lists: Sequence[Rows], truths: Sequence[Rows]) -> Mapping[str, float]:
    """Recall, precision, NDCG and hit rate at 20 of lists of items, best first; each a mean over the customers.

    A list that is shorter than 20 misses on the places that it leaves empty. Customers who bought nothing afterwards
    are not judged.
    """
    judged = [(found[:LENGTH], truth) for found, truth in zip(lists, truths, strict=True) if len(truth)]
    if not judged:
        return {}
    hits = np.zeros((len(judged), LENGTH), dtype=bool)
    for place, (found, truth) in enumerate(judged):
        hits[place, : len(found)] = np.isin(found, truth)
    sizes = np.array([len(truth) for _, truth in judged])
    discounts = 1 / np.log2(np.arange(2, LENGTH + 2))
    ideal = np.cumsum(discounts)[np.minimum(sizes, LENGTH) - 1]
    return {
        "recall_at_20": float((hits.sum(axis=1) / sizes).mean()),
        "precision_at_20": float(hits.mean()),
        "ndcg_at_20": float((hits @ discounts / ideal).mean()),
        "hit_rate_at_20": float(hits.any(axis=1).mean()),
    }


def best(scores: NDArray[np.float32], length: int = LENGTH) -> Rows:
    """The places of the highest scores, best first; equal scores by place. Those of minus infinity are left out."""
    length = min(length, len(scores))
    top = np.sort(np.argpartition(-scores, length - 1)[:length]) if length else np.empty(0, np.int64)
    ordered = top[np.argsort(-scores[top], kind="stable")]
    return ordered[scores[ordered] > -np.inf].astype(np.int64)
