"""A window of time that learning does not see, and how lists made before it do in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from services.recommendation.domain.mixture import Mixture, blend
from services.recommendation.domain.signals import FeedbackWeights
from services.recommendation.learning.algorithm import Embedding
from services.recommendation.learning.evaluation import LENGTH, Rows, best, breadth, figures, judge
from services.recommendation.learning.purchases import Floats, Purchases
from services.recommendation.learning.transitions import Trails, Transitions, follow, trails

HOLDOUT_DAYS = 28.0
CUSTOMERS_MIN = 20
"""Fewer, on each half, and nothing is measured or chosen."""
CUSTOMERS_MAX = 1000
"""More are not measured: the figures' error is then some percent of them, and it keeps the training short."""
CUSTOMERS_AT_ONCE = 64
FREQUENCY_SHARES = (0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 0.85, 0.9, 0.95)
FOLLOWING_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of what the frequencies leave."""


@dataclass(frozen=True, slots=True)
class Blending:
    """How lists are put together."""

    mixture: Mixture
    """For lists in which what was bought may come again."""
    new: Mixture
    """For lists of what was not bought before."""


UNMEASURED = Blending(Mixture(0.6, 0.2), Mixture(0.0, 0.5))
"""Where there is too little to measure anything on."""


@dataclass(frozen=True, slots=True)
class Holdout:
    """The window: what was bought before it, and by customers who had bought something what they bought in it."""

    before: Purchases
    after: sparse.csr_array
    customers: NDArray[np.int64]
    trails: Trails
    transitions: Transitions
    days: float
    transition_days: float = 0.0
    """The half-life of the transitions; 0: they do not fade."""

    @property
    def measurable(self) -> bool:
        """Whether there are enough customers."""
        return len(self.customers) >= 2 * CUSTOMERS_MIN

    def following(self, half_life_days: float) -> "Holdout":
        """The same window, where transitions before it fade with a half-life; 0: they do not."""
        if half_life_days == self.transition_days:
            return self
        return replace(self, transitions=follow(self.before, half_life_days), transition_days=half_life_days)

    def weighing(self, weights: FeedbackWeights) -> "Holdout":
        """The same window, where views and carts before it count so much."""
        return replace(self, before=replace(self.before, weighing=weights))


@dataclass(frozen=True, slots=True)
class Judged:
    """A customer: what they bought in the window, and the candidates for their list with what each source says."""

    following: Rows
    bought: Rows
    candidates: Rows
    unbought: NDArray[np.bool_]
    """Which of the candidates they had not bought."""
    fits: Floats
    follows: Floats
    frequencies: Floats

    @property
    def new(self) -> Rows:
        """What they bought for the first time."""
        return np.setdiff1d(self.following, self.bought)

    @property
    def repeated(self) -> Rows:
        """What they bought again."""
        return np.intersect1d(self.following, self.bought)

    def list(self, mixture: Mixture) -> Rows:
        """The list that serving makes."""
        return self.candidates[_positive(blend(self.fits, self.follows, self.frequencies, mixture))]

    def new_list(self, mixture: Mixture) -> Rows:
        """The list that serving makes of what was not bought before."""
        kept = self.unbought
        if not kept.any():
            return np.empty(0, np.int64)
        parts = blend(self.fits[kept], self.follows[kept], np.zeros(int(kept.sum()), np.float32), mixture)
        return self.candidates[kept][_positive(parts)]

    def repeat_list(self, mixture: Mixture) -> Rows:
        """What was bought before, in the order in which serving puts it."""
        kept = ~self.unbought
        fits, follows, frequencies = blend(self.fits, self.follows, self.frequencies, mixture)
        return self.candidates[kept][_positive((fits[kept], follows[kept], frequencies[kept]))]


def holdout(purchases: Purchases, days: float, trail_length: int) -> Holdout:
    """The last ``days`` of distinct purchases as the window."""
    before = purchases.before(days)
    after = _known_items(purchases.within(days), before)
    had = np.bincount(before.customers, minlength=before.customer_count) > 0
    customers = np.flatnonzero((np.diff(after.indptr) > 0) & had)
    if len(customers) > CUSTOMERS_MAX:
        customers = customers[:: -(-len(customers) // CUSTOMERS_MAX)]
    return Holdout(before, after, customers.astype(np.int64), trails(before, trail_length), follow(before), days)


def trail_matrix(walked: Trails, decay: float, item_count: int) -> sparse.csr_array:
    """Customers by items: what each item of a trail counts."""
    weights = np.power(np.float32(decay), walked.steps, dtype=np.float32)
    return sparse.csr_array((weights, walked.items, walked.starts), shape=(len(walked.starts) - 1, item_count))


def judged(window: Holdout, embedding: Embedding, half_life_days: float, trail_decay: float) -> list[Judged]:
    """Every customer of the window with candidates from all three sources, as of its beginning."""
    before = window.before
    habits = before.by_customer(before.weights(half_life_days))
    tastes = before.tastes(half_life_days)
    damped = sparse.csr_array((np.log1p(tastes.data), tastes.indices, tastes.indptr), shape=tastes.shape)
    walked = trail_matrix(window.trails, trail_decay, before.item_count)
    onwards = window.transitions.matrix()
    found = []
    for first in range(0, len(window.customers), CUSTOMERS_AT_ONCE):
        some = window.customers[first : first + CUSTOMERS_AT_ONCE]
        fits = np.asarray((damped[some] @ embedding.context) @ embedding.target.T, dtype=np.float32)
        follows = sparse.csr_array(walked[some] @ onwards)
        for place, customer in enumerate(some):
            cells = slice(follows.indptr[place], follows.indptr[place + 1])
            followers = follows.indices[cells].astype(np.int64), follows.data[cells].astype(np.float32)
            found.append(_judged(window, habits, int(customer), fits[place], followers))
    return found


def choose(judged: Sequence[Judged]) -> Blending:
    """The mixtures with the highest NDCG over all that was bought, and over what was bought for the first time."""
    truths = [customer.following for customer in judged]
    new_truths = [customer.new for customer in judged]

    def quality(lists: Callable[[Judged], Rows], truths: Sequence[Rows]) -> float:
        return figures([lists(customer) for customer in judged], truths).get("ndcg_at_20", 0.0)

    mixtures = [Mixture(own, (1 - own) * share) for own in FREQUENCY_SHARES for share in FOLLOWING_SHARES]
    return Blending(
        max(mixtures, key=lambda mixture: quality(lambda customer: customer.list(mixture), truths)),
        max(
            (Mixture(0.0, share) for share in FOLLOWING_SHARES),
            key=lambda mixture: quality(lambda customer: customer.new_list(mixture), new_truths),
        ),
    )


def ndcg_each(judged: Sequence[Judged], blending: Blending) -> NDArray[np.floating]:
    """Of every customer, over all that was bought."""
    measured = judge(
        [customer.list(blending.mixture) for customer in judged], [customer.following for customer in judged]
    )
    return measured.ndcg if measured else np.empty(0)


def new_ndcg_each(judged: Sequence[Judged], blending: Blending) -> NDArray[np.floating]:
    """Of every customer, over what was bought for the first time; 0 where nothing was."""
    bought = np.array([len(customer.new) > 0 for customer in judged], dtype=bool)
    found = np.zeros(len(judged))
    buyers = [customer for customer, new in zip(judged, bought, strict=True) if new]
    measured = judge([customer.new_list(blending.new) for customer in buyers], [customer.new for customer in buyers])
    if measured:
        found[bought] = measured.ndcg
    return found


def measure(judged: Sequence[Judged], window: Holdout, blending: Blending, embedding: Embedding) -> Mapping[str, float]:
    """Figures by ``<list>.<task>.<figure>``, each source alone and what is popular beside the blend."""
    buyers = window.before.buyers()
    popular = np.argsort(-window.before.within(HOLDOUT_DAYS).buyers(), kind="stable")
    alone = {"vectors": Mixture(0, 0), "following": Mixture(0, 1), "frequency": Mixture(1, 0)}
    lists: dict[str, list[Rows]] = {"model": [customer.list(blending.mixture) for customer in judged]}
    lists |= {name: [customer.list(mixture) for customer in judged] for name, mixture in alone.items()}
    lists["popular"] = [popular] * len(judged)
    new = {"model": [customer.new_list(blending.new) for customer in judged]}
    new |= {
        name: [customer.new_list(mixture) for customer in judged]
        for name, mixture in alone.items()
        if name != "frequency"
    }
    new["popular"] = [_without(popular, customer.bought) for customer in judged]
    repeat = {"model": [customer.repeat_list(blending.mixture) for customer in judged]}
    repeat |= {name: [customer.repeat_list(mixture) for customer in judged] for name, mixture in alone.items()}
    ranks = np.argsort(popular)
    repeat["popular"] = [_by_rank(customer.bought, ranks) for customer in judged]
    tasks = (
        ("next", lists, [customer.following for customer in judged]),
        ("new", new, [customer.new for customer in judged]),
        ("repeat", repeat, [customer.repeated for customer in judged]),
    )
    measured = {
        f"{name}.{task}.{figure}": value
        for task, rankings, truths in tasks
        for name, ranking in rankings.items()
        for figure, value in figures(ranking, truths).items()
    }
    spread = breadth(lists["model"], buyers, window.before.buyer_count, embedding.likeness)
    return measured | {f"model.next.{figure}": value for figure, value in spread.items()}


def _judged(
    window: Holdout, habits: sparse.csr_array, customer: int, fits: Floats, follows: tuple[Rows, Floats]
) -> Judged:
    cells = slice(habits.indptr[customer], habits.indptr[customer + 1])
    bought = habits.indices[cells].astype(np.int64)
    order = np.argsort(follows[0])
    followers, strengths = follows[0][order], follows[1][order]
    unbought = fits.copy()
    unbought[bought] = -np.inf
    fresh = ~np.isin(followers, bought, assume_unique=True)
    newest = followers[fresh][best(strengths[fresh])]
    candidates = np.unique(np.concatenate([bought, best(unbought), newest]))
    return Judged(
        following=_cells(window.after, customer),
        bought=bought,
        candidates=candidates,
        unbought=~np.isin(candidates, bought, assume_unique=True),
        fits=fits[candidates],
        follows=_looked_up(followers, strengths, candidates),
        frequencies=_looked_up(bought, habits.data[cells], candidates),
    )


def _positive(parts: tuple[Floats, Floats, Floats]) -> Rows:
    """The places of the best sums, as far as they are above 0."""
    total = np.add.reduce(parts)
    return best(np.where(total > 0, total, np.float32(-np.inf)))


def _looked_up(rows: Rows, values: Floats, wanted: Rows) -> Floats:
    """The value of each wanted row, 0 where it is not among ``rows``, which are in order."""
    answer = np.zeros(len(wanted), dtype=np.float32)
    if len(rows):
        places = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
        hits = rows[places] == wanted
        answer[hits] = values[places[hits]]
    return answer


def _known_items(after: Purchases, before: Purchases) -> sparse.csr_array:
    """What was bought in the window of items that were sold before it: nothing learnt can find the others."""
    matrix = after.by_customer(np.ones(len(after), dtype=np.float32))
    sold = np.bincount(before.items, minlength=before.item_count) > 0
    matrix.data = matrix.data * sold[matrix.indices]
    matrix.eliminate_zeros()
    return matrix


def _cells(matrix: sparse.csr_array, row: int) -> Rows:
    cells: Rows = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].astype(np.int64)
    return cells


def _by_rank(rows: Rows, ranks: Rows) -> Rows:
    """The rows that come first by the rank of each."""
    return rows[np.argsort(ranks[rows], kind="stable")[:LENGTH]]


def _without(ranking: Rows, bought: Rows) -> Rows:
    head = ranking[: LENGTH + len(bought)]
    return head[~np.isin(head, bought)]
