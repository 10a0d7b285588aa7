"""The next click of a session: transitions, vectors and the session's own items, blended as serving blends them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks import recommendation_data as data
from services.recommendation.domain.mixture import Mixture, blend
from services.recommendation.learning.algorithm import Embedding
from services.recommendation.learning.evaluation import best
from services.recommendation.learning.selection import TRAIL_DECAYS, TRANSITION_HALF_LIVES_DAYS
from services.recommendation.learning.spectral import Spectral
from services.recommendation.learning.transitions import follow

AT_ONCE = 256
SESSIONS_TO_CHOOSE_ON = 2000


def next_clicks() -> Mapping[str, float]:
    """Precision and MRR at 20, in percent, with what is best on the newest sessions to learn from."""
    algorithm = Spectral(256, 7200.0)

    purchases, prefixes, targets = data.diginetica()
    earlier, held_prefixes, held_targets = data.newest_sessions(purchases, SESSIONS_TO_CHOOSE_ON)
    learnt = _Sessions(follow(earlier).matrix(), algorithm.fit(earlier, 1))

    def quality(decay: float, mixture: Mixture, days: float = 0.0) -> tuple[float, float, Mixture, float]:
        sessions = faded[days] if days else learnt
        figures = _next_clicks(sessions, held_prefixes, held_targets, decay, mixture)
        return sum(figures.values()), decay, mixture, days

    faded = {days: replace(learnt, onwards=follow(earlier, days).matrix()) for days in TRANSITION_HALF_LIVES_DAYS}
    found = max(
        (quality(decay, Mixture(own, 1 - own)) for decay in TRAIL_DECAYS for own in (0.45, 0.5, 0.55, 0.6)),
        key=lambda tried: tried[0],
    )
    _, decay, first, _ = found
    shares = [Mixture(first.frequency, first.following * (1 - share)) for share in (0.1, 0.2, 0.3)]
    found = max([found, *(quality(decay, each) for each in shares)], key=lambda tried: tried[0])
    faster = (quality(decay, found[2], days) for days in TRANSITION_HALF_LIVES_DAYS)
    _, decay, mixture, days = max([found, *faster], key=lambda tried: tried[0])
    learnt = _Sessions(follow(purchases, days).matrix(), algorithm.fit(purchases, 1))
    return _next_clicks(learnt, prefixes, targets, decay, mixture)


def _walked(prefixes: Sequence[NDArray[np.int64]], decay: float, item_count: int) -> sparse.csr_array:
    """What each item of a session counts: the newest one 1, the one before ``decay``."""
    rows, columns, weights = [], [], []
    for row, prefix in enumerate(prefixes):
        newest = dict(zip(prefix.tolist(), range(len(prefix)), strict=True))
        rows += [row] * len(newest)
        columns += list(newest)
        weights += [decay ** (len(prefix) - 1 - place) for place in newest.values()]
    cells = np.array(weights, dtype=np.float32), (rows, columns)
    return sparse.csr_array(cells, shape=(len(prefixes), item_count))


def _row(matrix: sparse.csr_array, row: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    cells = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[cells], matrix.data[cells]


@dataclass(frozen=True, slots=True)
class _Sessions:
    """What was learnt of sessions."""

    onwards: sparse.csr_array
    embedding: Embedding


def _next_clicks(
    learnt: _Sessions,
    prefixes: Sequence[NDArray[np.int64]],
    targets: NDArray[np.int64],
    decay: float,
    mixture: Mixture,
) -> Mapping[str, float]:
    """In percent."""
    found: list[float] = []
    for first in range(0, len(prefixes), AT_ONCE):
        walked = _walked(prefixes[first : first + AT_ONCE], decay, learnt.onwards.shape[0])
        follows = sparse.csr_array(walked @ learnt.onwards)
        fits = _fits(walked, learnt.embedding) if mixture.vectors > 1e-9 else np.zeros((len(prefixes), 0), np.float32)
        for place, target in enumerate(targets[first : first + AT_ONCE]):
            parts = _row(follows, place), _row(walked, place)
            found.append(_reciprocal_rank(fits[place], *parts, int(target), mixture))
    ranks = np.array(found)
    return {"precision_at_20": float((ranks > 0).mean() * 100), "mrr_at_20": float(ranks.mean() * 100)}


def _fits(walked: sparse.csr_array, embedding: Embedding) -> NDArray[np.float32]:
    return np.asarray((walked @ embedding.context) @ embedding.target.T, dtype=np.float32)


def _reciprocal_rank(
    fits: NDArray[np.float32],
    follows: tuple[NDArray[np.int32], NDArray[np.float32]],
    seen: tuple[NDArray[np.int32], NDArray[np.float32]],
    target: int,
    mixture: Mixture,
) -> float:
    """Of the target among the best 20, 0 if it is not there. No ``fits``: nothing is said by vectors."""
    items = np.union1d(follows[0], seen[0])
    if len(fits):
        items = np.union1d(items, best(fits))
    parts = np.zeros((2, len(items)), dtype=np.float32)
    for part, (rows, values) in zip(parts, (follows, seen), strict=True):
        part[np.searchsorted(items, rows)] = values
    ranked = items[
        best(np.add.reduce(blend(fits[items] if len(fits) else np.zeros_like(parts[0]), parts[0], parts[1], mixture)))
    ]
    places = np.flatnonzero(ranked == target)
    return 1 / (1 + int(places[0])) if len(places) else 0.0
