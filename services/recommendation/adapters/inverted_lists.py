"""Searches an inverted file under a filter: the nearest lists until they hold enough of what is allowed."""

from typing import Any
from weakref import WeakKeyDictionary

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.model import Vectors
from services.recommendation.domain.selection import Rows, Selection

faiss: Any = _faiss

WIDER = 8
"""How many times as many lists as without a filter are looked into at most."""


class InvertedLists:
    """The lists of an index. A filter such as a category empties most lists, and those nearest to somebody whose taste
    is another first: a fixed number of lists would then find next to nothing."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self._centroids: Vectors = index.quantizer.reconstruct_n(0, index.nlist)
        self._list_of = np.empty(index.ntotal, dtype=np.int32)
        for number in range(index.nlist):
            size = index.invlists.list_size(number)
            if size:
                ids = index.invlists.get_ids(number)
                self._list_of[faiss.rev_swig_ptr(ids, size)] = number
                index.invlists.release_ids(number, ids)
        self._held: WeakKeyDictionary[Selection, NDArray[np.int64]] = WeakKeyDictionary()

    def search(self, queries: Vectors, length: int, allowed: Selection, breadth: int) -> Rows:
        """For each query ``length`` rows by what the index holds of them, best first; -1 where it found fewer. As much
        of what is allowed is looked at as ``breadth`` lists would hold if it were spread evenly."""
        lists, fits = self._nearest(queries, allowed, breadth)
        count = len(queries)
        scores, rows = np.empty((count, length), np.float32), np.empty((count, length), np.int64)
        parameters = faiss.SearchParametersIVF(nprobe=lists.shape[1], sel=faiss.IDSelectorBitmap(allowed.bits))
        # The wrapper of ``search_preassigned`` in Python takes no parameters; what it wraps does.
        self._index.search_preassigned_c(
            count, faiss.swig_ptr(queries), length, *map(faiss.swig_ptr, (lists, fits, scores, rows)), False,
            parameters,
        )  # fmt: skip
        return rows

    def _nearest(self, queries: Vectors, allowed: Selection, breadth: int) -> tuple[Rows, Vectors]:
        """The lists for each query, nearest first, and how near; -1 behind its last."""
        held = self._held_by(allowed)
        fits = queries @ self._centroids.T
        fits[:, held == 0] = -np.inf
        most = min(breadth * WIDER, int(np.count_nonzero(held)))
        if most < fits.shape[1]:
            lists = np.argpartition(-fits, most - 1, axis=1)[:, :most]
        else:
            lists = np.tile(np.arange(fits.shape[1]), (len(queries), 1))
        near = np.take_along_axis(fits, lists, axis=1)
        order = np.argsort(-near, axis=1)
        lists, near = np.take_along_axis(lists, order, axis=1), np.take_along_axis(near, order, axis=1)
        counts = held[lists]
        before = np.cumsum(counts, axis=1) - counts
        enough = before >= breadth * allowed.count / len(held)
        beyond = enough | ~np.isfinite(near)
        lists[beyond] = -1
        near[beyond] = 0  # codes of fast scan are scaled by all of them, the unused ones too
        last = int((lists >= 0).sum(axis=1).max(initial=1))
        return np.ascontiguousarray(lists[:, :last], dtype=np.int64), np.ascontiguousarray(near[:, :last])

    def _held_by(self, allowed: Selection) -> NDArray[np.int64]:
        """How many of the allowed rows each list holds."""
        held = self._held.get(allowed)
        if held is None:
            held = np.bincount(self._list_of[allowed.mask], minlength=len(self._centroids))
            self._held[allowed] = held
        return held
