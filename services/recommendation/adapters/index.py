"""Vector search with faiss: exact for catalogues of ordinary size, a graph for large ones."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np

from services.recommendation.domain.model import Vectors
from services.recommendation.ports import Mask, Rows

faiss: Any = _faiss  # its stubs describe the C++ side, which Python wraps

FLAT_VECTORS_MAX = 100_000
"""Up to here every search looks at every vector (exact, some milliseconds at most); beyond it a graph is searched."""
GATHERED_MAX = 20_000
"""A filter that allows no more than this is searched by multiplying just the allowed vectors: exact, and with few
allowed a graph would wander past most of them."""
GRAPH_NEIGHBOURS = 32
BUILD_BREADTH = 100
SEARCH_BREADTH = 256
SEARCHES_AT_ONCE = 2


def _single_threaded() -> None:
    faiss.omp_set_num_threads(1)


_searchers = ThreadPoolExecutor(SEARCHES_AT_ONCE, thread_name_prefix="vector-search", initializer=_single_threaded)


class FaissIndex:
    """The port ``VectorIndex`` over the rows of ``vectors``. Rows are searched with a graph if one is given."""

    def __init__(self, vectors: Vectors, graph: Path | None = None) -> None:
        self._vectors = vectors
        if graph is None:
            self._index = faiss.IndexFlatIP(vectors.shape[1])
            self._index.add(np.ascontiguousarray(vectors))
        else:
            self._index = faiss.read_index(str(graph), faiss.IO_FLAG_MMAP_IFC)

    async def search(self, queries: Vectors, count: int, allowed: Mask) -> tuple[Rows, Vectors]:
        return await asyncio.get_running_loop().run_in_executor(_searchers, self.find, queries, count, allowed)

    def find(self, queries: Vectors, count: int, allowed: Mask) -> tuple[Rows, Vectors]:
        """The same as ``search``, here and now."""
        allowed_count = int(np.count_nonzero(allowed))
        if allowed_count <= min(GATHERED_MAX, len(allowed) // 2):
            return self._gathered(queries, count, np.flatnonzero(allowed))
        length = min(count, allowed_count)
        selector = None if allowed_count == len(allowed) else _selector(allowed)
        if isinstance(self._index, faiss.IndexFlat):
            parameters = faiss.SearchParameters(sel=selector)
        else:
            parameters = faiss.SearchParametersHNSW(sel=selector, efSearch=max(SEARCH_BREADTH, 2 * length))
        scores, rows = self._index.search(queries, length, params=parameters)
        return _padded(rows, scores, count)

    def _gathered(self, queries: Vectors, count: int, rows: Rows) -> tuple[Rows, Vectors]:
        if not len(rows):
            return _padded(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32), count)
        scores = queries @ self._vectors[rows].T
        length = min(count, len(rows))
        best = np.argpartition(-scores, length - 1, axis=1)[:, :length]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        return _padded(rows[best], np.take_along_axis(scores, best, axis=1), count)


def write_graph(vectors: Vectors, path: Path) -> bool:
    """Write the graph of ``vectors`` where there are so many that one is used; whether it did.

    The graph is built on inner products themselves. Measured on 68,000 real vectors: 98 % of the true best 25, where
    the textbook reduction to distances (one more coordinate that makes all lengths equal) finds 93 %.
    """
    if len(vectors) <= FLAT_VECTORS_MAX:
        return False
    graph = faiss.IndexHNSWFlat(vectors.shape[1], GRAPH_NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = BUILD_BREADTH
    graph.add(np.ascontiguousarray(vectors))
    faiss.write_index(graph, str(path))
    return True


def _selector(allowed: Mask) -> Any:
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def _padded(rows: Rows, scores: Vectors, count: int) -> tuple[Rows, Vectors]:
    missing = ((0, 0), (0, count - rows.shape[1]))
    return (
        np.pad(rows, missing, constant_values=-1).astype(np.int64),
        np.pad(scores, missing, constant_values=-np.inf).astype(np.float32),
    )
