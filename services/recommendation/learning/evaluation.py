"""How good lists are: figures over what was bought after the lists were made, every item ranked, none sampled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LENGTH = 20

Rows = NDArray[np.int64]
Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Figures of each judged customer's list, each from 0 to 1."""

    recall: Floats
    precision: Floats
    f1: Floats
    ndcg: Floats
    reciprocal_rank: Floats
    average_precision: Floats
    hit: Floats


def judge(lists: Sequence[Rows], truths: Sequence[Rows], length: int = LENGTH) -> Judgement | None:
    """Figures at ``length`` of lists of items, best first, against what was bought afterwards; ``None`` for nobody.

    A list that is shorter than ``length`` misses on the places that it leaves empty. Customers who bought nothing
    afterwards are not judged. Average precision is over the places that could be hit, ``min(bought, length)``.
    """
    judged = [(found[:length], truth) for found, truth in zip(lists, truths, strict=True) if len(truth)]
    if not judged:
        return None
    hits = np.zeros((len(judged), length), dtype=bool)
    for place, (found, truth) in enumerate(judged):
        hits[place, : len(found)] = np.isin(found, truth)
    sizes = np.array([len(truth) for _, truth in judged])
    places = np.arange(1, length + 1)
    discounts = 1 / np.log2(places + 1)
    found_count = hits.sum(axis=1)
    recall, precision = found_count / sizes, found_count / length
    precisions = np.cumsum(hits, axis=1) / places
    return Judgement(
        recall=recall,
        precision=precision,
        f1=2 * found_count / (sizes + length),
        ndcg=hits @ discounts / np.cumsum(discounts)[np.minimum(sizes, length) - 1],
        reciprocal_rank=(hits / places).max(axis=1),
        average_precision=(precisions * hits).sum(axis=1) / np.minimum(sizes, length),
        hit=np.asarray(hits.any(axis=1), dtype=np.float64),
    )


def figures(lists: Sequence[Rows], truths: Sequence[Rows], length: int = LENGTH) -> Mapping[str, float]:
    """The means over the customers, by ``<figure>_at_<length>``; none where nobody is judged."""
    judged = judge(lists, truths, length)
    if judged is None:
        return {}
    named = {
        "recall": judged.recall,
        "precision": judged.precision,
        "f1": judged.f1,
        "ndcg": judged.ndcg,
        "mrr": judged.reciprocal_rank,
        "map": judged.average_precision,
        "hit_rate": judged.hit,
    }
    return {f"{name}_at_{length}": float(values.mean()) for name, values in named.items()}


def breadth(
    lists: Sequence[Rows], buyers: NDArray[np.int64], customer_count: int, likeness: NDArray[np.float32]
) -> Mapping[str, float]:
    """What lists are like, whether right or not, at 20.

    ``coverage``: the share of the items that were ever bought which are in at least one list. ``novelty``: the mean
    of ``-log2`` of the share of customers who bought the item (an item that nobody bought counts as bought by one).
    ``diversity``: the mean over the lists of one minus the cosine of two of its items (intra-list distance).
    """
    shown = [found[:LENGTH] for found in lists if len(found)]
    if not shown:
        return {}
    every = np.concatenate(shown)
    share = np.maximum(buyers[every], 1) / max(customer_count, 1)
    distances = [1 - _mean_cosine(likeness[found]) for found in shown if len(found) > 1]
    return {
        "coverage_at_20": len(np.unique(every)) / max(int(np.count_nonzero(buyers)), 1),
        "novelty_at_20": float(-np.log2(np.minimum(share, 1)).mean()),
        "diversity_at_20": float(np.mean(distances)) if distances else 0.0,
    }


def _mean_cosine(vectors: NDArray[np.float32]) -> float:
    """Of two different rows, which have length 1 or 0."""
    count = len(vectors)
    total = vectors.sum(axis=0)
    own = float((vectors * vectors).sum())
    return (float(total @ total) - own) / (count * (count - 1))


def best(scores: NDArray[np.float32], length: int = LENGTH) -> Rows:
    """The places of the highest scores, best first; equal scores by place. Those of minus infinity are left out."""
    length = min(length, len(scores))
    top = np.sort(np.argpartition(-scores, length - 1)[:length]) if length else np.empty(0, np.int64)
    ordered = top[np.argsort(-scores[top], kind="stable")]
    return ordered[scores[ordered] > -np.inf].astype(np.int64)
