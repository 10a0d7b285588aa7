"""Vector search with faiss: a plan for each search, by how many vectors there are and how many of them are allowed.

| allowed | plan |
|---|---|
| at most ``EXACT_MAX`` | every allowed vector is looked at: exact, and faster than any index with so few |
| more, of a model without an index (it has at most ``EXACT_MAX`` items) | the same |
| more | the model's index, as wide as was measured to find enough of the best for such a share |
| more, and what was measured finds too little however wide | every allowed vector again |

What an index finds is scored anew with the vectors themselves, so that scores are exact whatever it compresses.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np

from services.recommendation.adapters.index_kinds import KINDS, Tuning
from services.recommendation.adapters.inverted_lists import InvertedLists
from services.recommendation.domain.model import Vectors
from services.recommendation.domain.selection import Selection
from services.recommendation.ports import Rows

faiss: Any = _faiss  # its stubs describe the C++ side, which Python wraps

EXACT_MAX = 20_000
"""Up to here every allowed vector is looked at: 0.2 ms for one query in 64 dimensions, 0.05 ms each for many."""
BLOCK_BYTES = 64 * 2**20
"""For copies of the allowed vectors of filters that were asked for last."""
SCORED_AT_ONCE = 64
"""Queries whose finds are scored anew together."""
SCANNED_AT_ONCE = 65_536
"""Vectors that are copied together where many are looked at."""
SEARCHES_AT_ONCE = 2
QUERIES_AT_ONCE = 64
"""Queries of one asker that go into a search; the others wait for the next one, so that small askers do not wait."""
SMALL = 8
"""Askers with so few queries all go into the next search."""
AT_ONCE = 100_000
"""Vectors times queries that are looked at where they are asked for, without a thread: half a millisecond at most.
Handing a search to a thread and its answer back takes as long as looking at 10,000 vectors."""


def _single_threaded() -> None:
    faiss.omp_set_num_threads(1)


_searchers = ThreadPoolExecutor(SEARCHES_AT_ONCE, thread_name_prefix="vector-search", initializer=_single_threaded)


@dataclass(eq=False, slots=True)
class _Asked:
    """A part of what somebody asked for, with who waits for it."""

    queries: Vectors
    count: int
    allowed: Selection
    answer: "asyncio.Future[tuple[Rows, Vectors]]"


class FaissIndex:
    """The port ``VectorIndex`` over the rows of ``vectors``, with the index of a file where there is one.

    Searches that come while another one runs go together into the next one: none waits for a clock, and the busier it
    is the more of them share a reading of the vectors.
    """

    def __init__(self, vectors: Vectors, path: Path | None = None, tuning: Tuning | None = None) -> None:
        self._vectors = vectors
        self._tuning = tuning
        self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC) if path and tuning else None
        self._lists = InvertedLists(self._index) if self._index else None
        self._blocks: OrderedDict[Selection, Vectors] = OrderedDict()
        self._keeping = threading.Lock()
        self._waiting: list[_Asked] = []
        self._searching = False

    async def search(self, queries: Vectors, count: int, allowed: Selection) -> tuple[Rows, Vectors]:
        if self._quick(len(queries), allowed):
            _single_threaded()
            return self.find(queries, count, allowed)
        loop = asyncio.get_running_loop()
        parts = [
            _Asked(queries[first : first + QUERIES_AT_ONCE], count, allowed, loop.create_future())
            for first in range(0, len(queries), QUERIES_AT_ONCE)
        ]
        self._waiting += parts
        self._next()
        found = [await part.answer for part in parts]
        if len(found) == 1:
            return found[0]
        return np.concatenate([rows for rows, _ in found]), np.concatenate([scores for _, scores in found])

    def find(self, queries: Vectors, count: int, allowed: Selection) -> tuple[Rows, Vectors]:
        """The same as ``search``, here and now."""
        length = min(count, allowed.count)
        if not length or not len(queries):
            return _padded(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32), count)
        breadth = self._breadth(allowed, length)
        if not breadth:
            rows, scores = self._exactly(queries, length, allowed)
        else:
            rows, scores = self.probe(queries, length, allowed, breadth)
            short = np.flatnonzero(rows[:, -1] < 0)
            if len(short):  # fewer than there are: the lists that were looked into held too few allowed ones
                rows[short], scores[short] = self._exactly(queries[short], length, allowed)
        return _padded(rows, scores, count)

    def _quick(self, queries: int, allowed: Selection) -> bool:
        """Whether there is so little to look at, and that at hand, that a search need not leave the loop."""
        if queries * allowed.count > AT_ONCE:
            return False
        return allowed in self._blocks if allowed.count < len(self._vectors) else allowed.count <= EXACT_MAX

    def _breadth(self, allowed: Selection, length: int) -> int:
        """How wide to search the index; 0 for looking at every allowed vector."""
        if self._tuning is None or self._index is None or allowed.count <= EXACT_MAX:
            return 0
        return self._tuning.breadth(allowed.share, length)

    def _exactly(self, queries: Vectors, length: int, allowed: Selection) -> tuple[Rows, Vectors]:
        queries = np.ascontiguousarray(queries)
        if allowed.count == len(self._vectors):
            return _nearest(queries, self._vectors, length)
        if allowed.count <= EXACT_MAX:
            places, scores = _nearest(queries, self._block(allowed), length)
            return allowed.rows[places], scores
        rows, scores = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        for first in range(0, allowed.count, SCANNED_AT_ONCE):
            some = allowed.rows[first : first + SCANNED_AT_ONCE]
            places, more = _nearest(queries, self._vectors[some], min(length, len(some)))
            rows, scores = np.hstack([rows, some[places]]), np.hstack([scores, more])
            best = np.argsort(-scores, axis=1, kind="stable")[:, :length]
            rows, scores = np.take_along_axis(rows, best, axis=1), np.take_along_axis(scores, best, axis=1)
        return rows, scores

    def _block(self, allowed: Selection) -> Vectors:
        """The allowed vectors, one after the other; kept for the filters that were asked for last."""
        block = self._blocks.get(allowed)
        known = block is not None
        if block is None:
            block = self._vectors[allowed.rows]
        with self._keeping:
            self._blocks[allowed] = block
            self._blocks.move_to_end(allowed)
            if not known:
                kept = sum(each.nbytes for each in self._blocks.values())
                while kept > BLOCK_BYTES and len(self._blocks) > 1:
                    kept -= self._blocks.popitem(last=False)[1].nbytes
        return block

    def probe(self, queries: Vectors, length: int, allowed: Selection, breadth: int) -> tuple[Rows, Vectors]:
        """What the index itself finds when it is searched so widely; -1 where that is fewer than ``length``."""
        assert self._tuning
        assert self._index
        assert self._lists
        kind = KINDS[self._tuning.kind]
        fetched = min(kind.fetched(length), allowed.count)
        queries = np.ascontiguousarray(queries)
        if allowed.count == len(allowed):
            rows = self._index.search(queries, fetched, params=faiss.SearchParametersIVF(nprobe=breadth))[1]
        else:
            rows = self._lists.search(queries, fetched, allowed, breadth)
        found = np.empty((len(queries), length), np.int64)
        scores = np.empty((len(queries), length), np.float32)
        for first in range(0, len(queries), SCORED_AT_ONCE):
            some = slice(first, first + SCORED_AT_ONCE)
            found[some], scores[some] = self._scored(queries[some], rows[some], length)
        return found, scores

    def _scored(self, queries: Vectors, rows: Rows, length: int) -> tuple[Rows, Vectors]:
        """The best ``length`` of what was found, by the vectors themselves."""
        scores = np.matmul(self._vectors[rows], queries[:, :, None])[:, :, 0]
        scores[rows < 0] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :length]
        return np.take_along_axis(rows, best, axis=1), np.take_along_axis(scores, best, axis=1)

    def _next(self) -> None:
        """Search for those who wait, unless a search runs: its end calls this again."""
        if self._searching or not self._waiting:
            return
        small = [asked for asked in self._waiting if len(asked.queries) <= SMALL]
        large = [asked for asked in self._waiting if len(asked.queries) > SMALL]
        batch, self._waiting = [*small, *large[:1]], large[1:]
        self._searching = True
        running = asyncio.get_running_loop().run_in_executor(_searchers, self._together, batch)
        running.add_done_callback(lambda done: self._answer(batch, done))

    def _together(self, batch: Sequence[_Asked]) -> list[tuple[Rows, Vectors]]:
        """The answers of a batch: those with the same filter in one search."""
        groups: dict[Selection, list[int]] = {}
        for at, asked in enumerate(batch):
            groups.setdefault(asked.allowed, []).append(at)
        answers: dict[int, tuple[Rows, Vectors]] = {}
        for allowed, places in groups.items():
            queries = [batch[at].queries for at in places]
            rows, scores = self.find(np.concatenate(queries), max(batch[at].count for at in places), allowed)
            ends = np.cumsum([len(some) for some in queries])
            for at, first, end in zip(places, [0, *ends.tolist()], ends.tolist(), strict=False):
                count = batch[at].count
                answers[at] = rows[first:end, :count], scores[first:end, :count]
        return [answers[at] for at in range(len(batch))]

    def _answer(self, batch: Sequence[_Asked], done: "asyncio.Future[list[tuple[Rows, Vectors]]]") -> None:
        self._searching = False
        failure = asyncio.CancelledError() if done.cancelled() else done.exception()
        for at, asked in enumerate(batch):
            if asked.answer.done():
                continue  # who asked has gone
            if failure is not None:
                asked.answer.set_exception(failure)
            else:
                asked.answer.set_result(done.result()[at])
        self._next()


def _nearest(queries: Vectors, vectors: Vectors, length: int) -> tuple[Rows, Vectors]:
    """The places of the vectors with the largest inner products, best first, and these."""
    scores, places = faiss.knn(queries, np.ascontiguousarray(vectors), length, metric=faiss.METRIC_INNER_PRODUCT)
    return places, scores


def _padded(rows: Rows, scores: Vectors, count: int) -> tuple[Rows, Vectors]:
    lines, found = rows.shape
    if found < count:
        rows = np.hstack([rows, np.full((lines, count - found), -1)])
        scores = np.hstack([scores, np.full((lines, count - found), -np.inf)])
    return rows.astype(np.int64, copy=False), scores.astype(np.float32, copy=False)
