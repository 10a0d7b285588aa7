"""Measures vectors, own frequencies and their blend against what is popular, and chooses the blend."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from services.recommendation.domain.taste import blend
from services.recommendation.learning.algorithm import Algorithm, Embedding
from services.recommendation.learning.evaluation import LENGTH, Rows, best, figures
from services.recommendation.learning.purchases import Purchases

HOLDOUT_DAYS = 28.0
CUSTOMERS_MIN = 20
CUSTOMERS_MAX = 1000
"""More are not measured: the figures' error is then some percent of them, and it keeps the training short."""
CUSTOMERS_AT_ONCE = 64
SHARES = (0.0, 0.25, 0.5, 0.75, 0.85, 0.9, 0.95)
SHARE_UNMEASURED = 0.75
"""The share of own frequencies where there is too little to measure it on."""


@dataclass(frozen=True, slots=True)
class Validation:
    """The share of own frequencies that gave the best lists, and what was measured, by ``<list>.<task>.<figure>``."""

    frequency_share: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Judged:
    """A customer: what they had bought, what they bought afterwards, and what vectors make of them."""

    bought: Rows
    frequencies: NDArray[np.float32]
    following: Rows
    fits: NDArray[np.float32]
    """Of ``bought``."""
    unseen: Rows
    """The best fits among what they had not bought, best first."""
    unseen_fits: NDArray[np.float32]

    @property
    def new(self) -> Rows:
        """What they bought for the first time."""
        return np.setdiff1d(self.following, self.bought)


def validate(purchases: Purchases, algorithm: Algorithm, half_life_days: float, seed: int) -> Validation:
    """Learn from all but the last four weeks, and measure on them. The blend is chosen by the NDCG of ``next`` on one
    half of the customers; all figures are of the other half."""
    before = purchases.before(HOLDOUT_DAYS)
    after = _known_items(purchases.within(HOLDOUT_DAYS), before)
    habits = before.by_customer(before.weights(half_life_days))
    customers = np.flatnonzero((np.diff(after.indptr) > 0) & (np.diff(habits.indptr) > 0))
    if len(customers) < 2 * CUSTOMERS_MIN:
        return Validation(SHARE_UNMEASURED, {})
    customers = customers[:: -(-len(customers) // CUSTOMERS_MAX)]
    judged = list(_judge(algorithm.fit(before, seed), habits, after, customers))
    share = _choose(judged[::2])
    return Validation(share, _measure(judged[1::2], before, share))


def _known_items(after: Purchases, before: Purchases) -> sparse.csr_array:
    """What was bought afterwards of items that were sold before: nothing learnt from purchases can find the others."""
    matrix = after.by_customer(np.ones(len(after), dtype=np.float32))
    sold = np.bincount(before.items, minlength=before.item_count) > 0
    matrix.data = matrix.data * sold[matrix.indices]
    matrix.eliminate_zeros()
    return matrix


def _judge(
    embedding: Embedding, habits: sparse.csr_array, after: sparse.csr_array, customers: NDArray[np.int64]
) -> Iterator[_Judged]:
    damped = habits.copy()
    damped.data = np.log1p(damped.data)
    for first in range(0, len(customers), CUSTOMERS_AT_ONCE):
        some = customers[first : first + CUSTOMERS_AT_ONCE]
        scores = (damped[some] @ embedding.context) @ embedding.target.T
        for customer, fits in zip(some, scores, strict=True):
            bought = _cells(habits, customer)
            own = fits[bought]
            fits[bought] = -np.inf
            unseen = best(fits)
            frequencies = habits.data[habits.indptr[customer] : habits.indptr[customer + 1]]
            yield _Judged(bought, frequencies, _cells(after, customer), own, unseen, fits[unseen])


def _cells(matrix: sparse.csr_array, row: int) -> Rows:
    cells: Rows = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].astype(np.int64)
    return cells


def _blended(customer: _Judged, share: float) -> Rows:
    """The list that serving makes: only what was bought, or fits best of the rest, can be in it."""
    candidates = np.concatenate([customer.bought, customer.unseen])
    fits = np.concatenate([customer.fits, customer.unseen_fits])
    frequencies = np.concatenate([customer.frequencies, np.zeros(len(customer.unseen), np.float32)])
    return candidates[best(np.add(*blend(fits, frequencies, share)))]


def _choose(judged: Sequence[_Judged]) -> float:
    truths = [customer.following for customer in judged]

    def quality(share: float) -> float:
        return figures([_blended(customer, share) for customer in judged], truths)["ndcg_at_20"]

    return max(SHARES, key=quality)


def _measure(judged: Sequence[_Judged], before: Purchases, share: float) -> dict[str, float]:
    popular = np.argsort(-before.within(HOLDOUT_DAYS).buyers(), kind="stable")
    following: dict[str, Callable[[_Judged], Rows]] = {
        "model": lambda customer: _blended(customer, share),
        "vectors": lambda customer: _blended(customer, 0.0),
        "frequency": lambda customer: customer.bought[best(customer.frequencies)],
        "popular": lambda customer: popular,
    }
    new: dict[str, Callable[[_Judged], Rows]] = {
        "model": lambda customer: customer.unseen,
        "popular": lambda customer: _without(popular, customer.bought),
    }
    tasks = (
        ("next", following, [customer.following for customer in judged]),
        ("new", new, [customer.new for customer in judged]),
    )
    return {
        f"{name}.{task}.{figure}": value
        for task, rankings, truths in tasks
        for name, ranking in rankings.items()
        for figure, value in figures([ranking(customer) for customer in judged], truths).items()
    }


def _without(ranking: Rows, bought: Rows) -> Rows:
    head = ranking[: LENGTH + len(bought)]
    return head[~np.isin(head, bought)]
