"""Builds the vector index of a model and measures how widely it must be searched. In the process that trains.

Which kind is best depends on the vectors: lengths that differ much, as those of spectral ones, lead a graph astray, and
cosines do not. So several are built and measured on queries of the tenant's own, and the cheapest that finds
``RECALL`` of the best is kept; each with and without filters, of rows drawn by chance and of rows that lie together, as
the items of a category do.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import faiss as _faiss
import msgspec
import numpy as np

from services.recommendation.adapters.index import EXACT_MAX, FaissIndex
from services.recommendation.adapters.index_kinds import KINDS, TUNED_LENGTH, Breadth, Tuning
from services.recommendation.domain.history import history_of
from services.recommendation.domain.model import Model, Vectors
from services.recommendation.domain.selection import Selection
from services.recommendation.domain.taste import taste_of
from services.recommendation.ports import Rows

faiss: Any = _faiss

RECALL = 0.98
"""Of the true best that a search must find on the sample; what is promised is .95."""
SHARES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02)
MARGIN = 1.1
"""The smallest share is measured with so many times ``EXACT_MAX`` rows: with fewer the index would not be searched."""
QUERIES = 200
CHOICES = ((300_000, ("hnsw", "ivf_sq8")), (2**63, ("ivf_sq8", "ivf_pq")))
"""Up to so many vectors these kinds are built and measured. A graph of more takes several times as long to build and as
much memory as an inverted file."""
BUILD_BREADTH = 100
ITERATIONS = 10
POINTS_A_LIST = 64
LISTS_MIN, LISTS_MAX = 64, 4096


def build(vectors: Vectors, queries: Vectors, path: Path) -> bool:
    """Write the index of ``vectors`` and what was measured of it, where there are so many that one is used; whether it
    did. Without one that finds enough there is none either: then every search looks at every vector."""
    if len(vectors) <= EXACT_MAX:
        return False
    vectors = np.ascontiguousarray(vectors)
    trials = [(share, chosen, _truth(vectors, queries, chosen)) for share, chosen in _filters(vectors)]
    best: Tuning | None = None
    for kind in next(kinds for most, kinds in CHOICES if len(vectors) <= most):
        built = path.with_suffix(f".{kind}")
        faiss.write_index(_built(kind, vectors), str(built))
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


def _built(kind: str, vectors: Vectors) -> Any:
    dimensions = vectors.shape[1]
    lists = int(np.clip(2 ** round(np.log2(2 * np.sqrt(len(vectors)))), LISTS_MIN, LISTS_MAX))
    factory = KINDS[kind].factory.format(lists=lists, dimensions=dimensions)
    index = faiss.index_factory(dimensions, factory, faiss.METRIC_INNER_PRODUCT)
    if KINDS[kind].graph:
        index.hnsw.efConstruction = BUILD_BREADTH
    else:
        index.cp.niter, index.cp.max_points_per_centroid = ITERATIONS, POINTS_A_LIST
        index.train(vectors[:: max(len(vectors) // (lists * POINTS_A_LIST), 1)])
    index.add(vectors)
    return index


def _filters(vectors: Vectors) -> Iterable[tuple[float, Selection]]:
    """Filters to measure with: shares of all rows, drawn by chance and lying together."""
    random = np.random.default_rng(1)
    yield 1.0, Selection(np.ones(len(vectors), dtype=np.bool_))
    least = EXACT_MAX / len(vectors)
    for share in [*(share for share in SHARES[1:] if share > MARGIN * least), least]:
        drawn = min(max(share, MARGIN * least), 1.0)
        yield share, Selection(random.random(len(vectors)) < drawn)
        fits = vectors @ vectors[int(random.integers(len(vectors)))]
        yield share, Selection(fits >= np.quantile(fits, 1 - drawn))


def _truth(vectors: Vectors, queries: Vectors, allowed: Selection) -> Rows:
    return FaissIndex(vectors).find(queries, TUNED_LENGTH, allowed)[0]


def _tuned(
    kind: str, vectors: Vectors, queries: Vectors, path: Path, trials: Iterable[tuple[float, Selection, Rows]]
) -> Tuning:
    """The narrowest breadth for each share that finds enough with each of its filters."""
    chosen: dict[float, Breadth] = {}
    seconds = float("inf")
    for share, allowed, truth in trials:
        least = chosen[share].breadth if share in chosen else 1
        found = Breadth(share, 0, 0.0)
        for breadth in KINDS[kind].breadths:
            if breadth < least or not least:
                continue
            index = FaissIndex(vectors, path, Tuning(kind, [Breadth(0.0, breadth, 0.0)], 0.0))
            began = time.process_time()
            rows = index.find(queries, TUNED_LENGTH, allowed)[0]
            spent = (time.process_time() - began) / len(queries)
            recall = float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(rows, truth, strict=True)]))
            found = Breadth(share, breadth if recall >= RECALL else 0, recall)
            if found.breadth:
                break
        seconds = spent if share == 1.0 else seconds
        chosen[share] = found
        if not found.breadth:
            break
    return Tuning(kind, list(chosen.values()), seconds)
