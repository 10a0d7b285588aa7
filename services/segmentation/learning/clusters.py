"""K-means over customers: how many clusters, how stable they are, who is in which. Arrays in, arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import ClusterError, kmeans2, vq

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

FIT_MAX = 20_000
"""Clusters are fitted to a sample of at most so many customers; every customer is then assigned."""
SILHOUETTE_MAX = 2_000
BOOTSTRAPS = 10
ITERATIONS = 30
RESTARTS = 3


@dataclass(frozen=True, slots=True)
class Trial:
    """How well the customers fall into ``k`` clusters: the mean silhouette, -1 to 1."""

    k: int
    silhouette: float


@dataclass(frozen=True, slots=True)
class Clustering:
    """``centroids`` are ``(k, features)``; the largest cluster first. ``stability`` are adjusted Rand indices of refits
    on bootstrap samples against this one, 1 for the same clusters, about 0 for clusters by chance."""

    centroids: Floats
    trials: Sequence[Trial]
    stability: Sequence[float]


def fit(points: Floats, k_min: int, k_max: int, seed: int) -> Clustering:
    """The clustering with the highest silhouette of ``k_min`` to ``k_max`` clusters; ``points`` are ``(n, features)``
    with at least ``k_min`` different rows. The same points and seed give the same clusters."""
    random = np.random.default_rng(seed)
    sample = points[_choice(random, len(points), FIT_MAX)]
    k_max = min(k_max, len(np.unique(sample, axis=0)))
    judged = sample[_choice(random, len(sample), SILHOUETTE_MAX)]
    distances = _distances(judged)
    fitted = {k: _k_means(sample, k, seed) for k in range(k_min, k_max + 1)}
    trials = [Trial(k, silhouette(distances, assign(judged, centroids))) for k, centroids in fitted.items()]
    best = fitted[max(trials, key=lambda trial: (trial.silhouette, -trial.k)).k]
    sizes = np.bincount(assign(sample, best), minlength=len(best))
    best = best[np.argsort(-sizes, kind="stable")]
    return Clustering(best, trials, _stability(sample, best, random, seed))


def assign(points: Floats, centroids: Floats) -> Numbers:
    """The number of the nearest centroid of each point, shape ``(n,)``."""
    nearest, _ = vq(points, centroids, check_finite=False)
    return np.asarray(nearest, np.int64)


def silhouette(distances: Floats, labels: Numbers) -> float:
    """The mean silhouette (P. J. Rousseeuw, 1987) from all pairs' distances ``(n, n)``; points alone in a cluster count
    0, and so does everything if there is one cluster."""
    present = np.unique(labels)
    if len(present) < 2:
        return 0.0
    sums = np.stack([distances[:, labels == label].sum(axis=1, dtype=np.float64) for label in present], axis=1)
    sizes = np.array([(labels == label).sum() for label in present])
    own = np.searchsorted(present, labels)
    rows = np.arange(len(labels))
    alone = sizes[own] == 1
    inside = sums[rows, own] / np.maximum(sizes[own] - 1, 1)
    means = sums / sizes
    means[rows, own] = np.inf
    outside = means.min(axis=1)
    widest = np.maximum(inside, outside)
    scores = np.where(alone | (widest == 0), 0.0, (outside - inside) / np.where(widest == 0, 1.0, widest))
    return float(scores.mean())


def adjusted_rand(one: Numbers, other: Numbers) -> float:
    """How alike two partitions of the same points are (L. Hubert and P. Arabie, 1985): 1 if equal, 0 by chance."""
    table = np.zeros((int(one.max()) + 1, int(other.max()) + 1), np.int64)
    np.add.at(table, (one, other), 1)

    def pairs(counts: Numbers) -> float:
        return float((counts * (counts - 1) // 2).sum())

    both, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    whole = len(one) * (len(one) - 1) / 2
    expected = rows * columns / whole if whole else 0.0
    highest = (rows + columns) / 2
    return 1.0 if highest == expected else (both - expected) / (highest - expected)


def _k_means(points: Floats, k: int, seed: int) -> Floats:
    """The best of some runs of k-means++ by the sum of squared distances."""
    best, least = points[:0], np.inf
    for run in range(RESTARTS):
        random = np.random.default_rng((seed, run))
        try:
            with np.errstate(invalid="raise"):
                centroids, _ = kmeans2(points, k, ITERATIONS, minit="++", missing="raise", rng=random)
        except (ClusterError, FloatingPointError):  # a cluster lost its points, or fewer than k of them differ
            continue
        _, distances = vq(points, centroids, check_finite=False)
        if (loss := float((distances.astype(np.float64) ** 2).sum())) < least:
            best, least = centroids, loss
    if not len(best):  # many equal points: some of the different ones will do
        distinct = np.unique(points, axis=0)
        best = distinct[np.random.default_rng(seed).choice(len(distinct), min(k, len(distinct)), replace=False)]
    return np.asarray(best, np.float32)


def _stability(sample: Floats, centroids: Floats, random: np.random.Generator, seed: int) -> list[float]:
    reference = assign(sample, centroids)
    found = []
    for number in range(BOOTSTRAPS):
        again = sample[random.integers(0, len(sample), len(sample))]
        found.append(adjusted_rand(reference, assign(sample, _k_means(again, len(centroids), seed + number + 1))))
    return found


def _distances(points: Floats) -> Floats:
    squares = (points.astype(np.float64) ** 2).sum(axis=1)
    product = points.astype(np.float64) @ points.T.astype(np.float64)
    return np.asarray(np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * product, 0)), np.float32)


def _choice(random: np.random.Generator, count: int, limit: int) -> Numbers:
    return np.arange(count) if count <= limit else np.sort(random.choice(count, limit, replace=False))
