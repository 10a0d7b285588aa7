"""Builds the vector index of a model and measures how widely it must be searched. In the process that trains.

How widely an index must be searched depends on the vectors, so that it is measured: on queries of the tenant's own,
with and without filters, of rows drawn by chance and of rows that lie together, as the items of a category do. Where
several kinds suit the size, the cheapest that finds ``RECALL`` of the best is kept.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss as _faiss
import msgspec
import numpy as np

from services.recommendation.adapters.index import EXACT_MAX, FaissIndex
from services.recommendation.adapters.index_kinds import BREADTHS, KINDS, TUNED_LENGTH, Breadth, Tuning
from services.recommendation.domain.history import history_of
from services.recommendation.domain.model import Model, Vectors
from services.recommendation.domain.selection import Selection
from services.recommendation.domain.taste import taste_of
from services.recommendation.ports import Rows

faiss: Any = _faiss

RECALL, RECALL_OF_ALL = 0.98, 0.96
"""Of the true best that a search must find on the sample, under filters and without one; what is promised is .95.
Filters that people think of may be harder than those that are measured; without one what is measured is searched."""
SHARES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02)
CELLS = 64
"""Points about which rows are said to lie together."""
MARGIN = 1.1
"""The smallest share is measured with so many times ``EXACT_MAX`` rows: with fewer the index would not be searched."""
QUERIES = 200
CHOICES = ("ivf_sq8", "ivf_pqr")
"""The kinds that are built and measured."""
ITERATIONS = 8
POINTS_A_LIST, POINTS_A_DEPARTMENT = 40, 200
SAMPLE = 50_000
"""Vectors from which codes are learnt."""
LISTS_MIN, LISTS_MAX = 64, 4096


@dataclass(frozen=True, slots=True)
class _Trial:
    """A filter that allows a share of the rows, the true best under it, and what finding them without an index took."""

    share: float
    allowed: Selection
    truth: Rows
    seconds: float


def build(vectors: Vectors, queries: Vectors, path: Path) -> bool:
    """Write the index of ``vectors`` and what was measured of it, where there are so many that one is used; whether it
    did. Without one that finds enough there is none either: then every search looks at every vector."""
    if len(vectors) <= EXACT_MAX:
        return False
    vectors = np.ascontiguousarray(vectors)
    trials = [_Trial(share, chosen, *_truth(vectors, queries, chosen)) for share, chosen in _filters(vectors)]
    best: Tuning | None = None
    centroids = _centroids(vectors)
    for kind in CHOICES:
        built = path.with_suffix(f".{kind}")
        faiss.write_index(_built(kind, vectors, centroids), str(built))
        tuning = _tuned(kind, vectors, queries, built, trials)
        if tuning.breadths[0].breadth and (best is None or tuning.seconds < best.seconds):
            best = tuning
            built.replace(path)
        built.unlink(missing_ok=True)
    if best is None:
        return False
    tuning_path(path).write_bytes(msgspec.json.encode(best))
    return True


def tuning_path(path: Path) -> Path:
    """Where what was measured of an index is."""
    return path.with_suffix(".tuning.json")


def sample_queries(model: Model) -> Vectors:
    """Vectors of customers, as lists ask for them; of items where there are no customers."""
    stride = max(len(model.customer_ids) // QUERIES, 1)
    tastes = (taste_of(history_of(model, each, ()), ()) for each in model.customer_ids[::stride][:QUERIES])
    found = [taste.vector(model.context) for taste in tastes if taste is not None]
    return np.stack(found) if found else sample_rows(model.target)


def sample_rows(vectors: Vectors) -> Vectors:
    """Some of the vectors, as lists of similar items ask for them."""
    return np.ascontiguousarray(vectors[:: max(len(vectors) // QUERIES, 1)][:QUERIES])


def _centroids(vectors: Vectors) -> Vectors:
    """Where the lists of an inverted file lie; all kinds share them."""
    count = int(np.clip(2 ** round(np.log2(4 * np.sqrt(len(vectors)))), LISTS_MIN, LISTS_MAX))
    sample = vectors[:: max(len(vectors) // (count * POINTS_A_LIST), 1)]
    means = faiss.Kmeans(
        vectors.shape[1], count, niter=ITERATIONS, seed=1, max_points_per_centroid=2 * POINTS_A_LIST,
        min_points_per_centroid=1,
    )  # fmt: skip
    means.train(sample)
    return np.asarray(means.centroids, dtype=np.float32)


def _built(kind: str, vectors: Vectors, centroids: Vectors) -> Any:
    dimensions = vectors.shape[1]
    factory = KINDS[kind].factory.format(lists=len(centroids), dimensions=dimensions)
    index = faiss.index_factory(dimensions, factory, faiss.METRIC_INNER_PRODUCT)
    index.quantizer.add(centroids)
    index.train(vectors[:: max(len(vectors) // SAMPLE, 1)])
    index.add(vectors)
    return index


def _filters(vectors: Vectors) -> Iterable[tuple[float, Selection]]:
    """Filters to measure with: shares of all rows, drawn by chance, lying together in many places, and in one."""
    random = np.random.default_rng(1)
    yield 1.0, Selection(np.ones(len(vectors), dtype=np.bool_))
    least = EXACT_MAX / len(vectors)
    for share in [*(share for share in SHARES[1:] if share > MARGIN * least), least]:
        drawn = min(max(share, MARGIN * least), 1.0)
        yield share, Selection(random.random(len(vectors)) < drawn)
        yield share, _together(vectors, drawn, random)
        yield share, _department(vectors, drawn)


def _together(vectors: Vectors, share: float, random: np.random.Generator) -> Selection:
    """About a share of the rows: all those that lie nearest to some of the points, as the items of categories do."""
    points = vectors[random.integers(0, len(vectors), CELLS)]
    nearest = faiss.knn(vectors, np.ascontiguousarray(points), 1, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 0]
    sizes = np.bincount(nearest, minlength=CELLS)
    order = random.permutation(CELLS)
    kept = order[: int(np.searchsorted(np.cumsum(sizes[order]), share * len(vectors))) + 1]
    return Selection(np.isin(nearest, kept))


def _department(vectors: Vectors, share: float) -> Selection:
    """About a share of the rows: those of one of so many clusters, as the items of a large department are. Most queries
    come from elsewhere, and what is best for them lies at its edge."""
    count = max(round(1 / share), 2)
    means = faiss.Kmeans(vectors.shape[1], count, niter=ITERATIONS, seed=2, min_points_per_centroid=1)
    means.train(vectors[:: max(len(vectors) // (count * POINTS_A_DEPARTMENT), 1)])
    nearest = means.index.search(vectors, 1)[1][:, 0]
    sizes = np.bincount(nearest, minlength=count)
    return Selection(nearest == int(np.argmin(np.abs(sizes - share * len(vectors)))))


def wanted(share: float) -> float:
    """What must be found where such a share of the rows is allowed."""
    return RECALL if share < 1 else RECALL_OF_ALL


def _truth(vectors: Vectors, queries: Vectors, allowed: Selection) -> tuple[Rows, float]:
    """The true best, and the seconds of processor time that a query took to find them by looking at all."""
    began = time.process_time()
    rows = FaissIndex(vectors).find(queries, TUNED_LENGTH, allowed)[0]
    return rows, (time.process_time() - began) / len(queries)


def _tuned(kind: str, vectors: Vectors, queries: Vectors, path: Path, trials: Iterable[_Trial]) -> Tuning:
    """The narrowest breadth for each share that finds enough with each of its filters, and with wider ones; 0 from the
    share on where looking at all that is allowed costs less over its filters."""
    index = FaissIndex(vectors, path, Tuning(kind, [], 0.0))
    chosen: dict[float, Breadth] = {}
    gained: dict[float, float] = {}
    least, spent, seconds = 0, 0.0, 0.0
    for trial in trials:
        share, allowed, truth = trial.share, trial.allowed, trial.truth
        found = Breadth(share, 0, 0.0)
        for breadth in (each for each in BREADTHS if each >= least):
            began = time.process_time()
            rows = index.probe(queries, TUNED_LENGTH, allowed, breadth)[0]
            spent = (time.process_time() - began) / len(queries)
            recall = float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(rows, truth, strict=True)]))
            if recall >= wanted(share):
                found = Breadth(share, breadth, recall)
                break
        seconds = seconds or spent
        chosen[share] = found
        gained[share] = gained.get(share, 0.0) + trial.seconds - spent
        if not found.breadth:
            break
        least = found.breadth
    for share in chosen:
        if share < 1 and gained[share] < 0:
            kept = [each for each in chosen.values() if each.share > share]
            return Tuning(kind, [*kept, Breadth(share, 0, 1.0)], seconds)
    return Tuning(kind, list(chosen.values()), seconds)
