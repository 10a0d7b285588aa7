"""How good recommendations are: ours beside the published figures and peers, every item ranked, none sampled.

``python -m benchmarks.recommendation speed`` measures how fast they are found (``recommendation_speed.py``).
``python -m benchmarks.recommendation [gowalla] [movielens] [amazon] [diginetica] [tafeng] [journey] [cold]``; without
a name all of them, about half an hour on one core. The lists are made by what serving makes them with: ``learning/``
for vectors and transitions, ``domain/mixture.py`` for the blend. All that is chosen is chosen on a holdout of the
training part.
"""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks import recommendation_data as data
from benchmarks import recommendation_speed
from benchmarks.harness import Result, report
from benchmarks.recommendation_cold import cold
from services.recommendation.domain.mixture import Mixture, blend
from services.recommendation.domain.trail import LENGTH as TRAIL_LENGTH
from services.recommendation.learning.algorithm import Algorithm, Embedding
from services.recommendation.learning.autoencoder import LinearAutoencoder
from services.recommendation.learning.contrastive import Contrastive
from services.recommendation.learning.evaluation import best, figures
from services.recommendation.learning.purchases import Purchases
from services.recommendation.learning.selection import (
    DIMENSIONS,
    HISTORY_HALF_LIVES_DAYS,
    TRAIL_DECAYS,
    Recipe,
    Wanted,
    select,
)
from services.recommendation.learning.spectral import Spectral
from services.recommendation.learning.transitions import follow, trails
from services.recommendation.learning.validation import (
    FOLLOWING_SHARES,
    FREQUENCY_SHARES,
    HOLDOUT_DAYS,
    Blending,
    Holdout,
    Judged,
    holdout,
    judged,
)

T = TypeVar("T")

AT_ONCE = 256
SESSIONS_TO_CHOOSE_ON = 2000
MOVIELENS_SEEDS = range(5)
PUBLISHED_GOWALLA = {"SimpleX": (0.1872, 0.1557), "UltraGCN": (0.1862, 0.1580), "BSPM": (0.1920, 0.1597)}


def gowalla() -> list[Result]:
    """Recall and NDCG at 20 by vectors alone."""
    task = data.gowalla()
    results = []
    for algorithm, goal in (
        (Contrastive(64), ".187 / .156"),
        (Contrastive(256), ".188 / .158"),
        (Spectral(512), ".188 / .158"),
    ):
        found, seconds = _timed(partial(_by_vectors, algorithm, task.train, task.truth, 20))
        name = f"gowalla, {algorithm.name} {algorithm.dimensions}"
        results += _pair(name, found, ("recall_at_20", "ndcg_at_20"), "BSPM", PUBLISHED_GOWALLA["BSPM"], goal)
        results.append(Result(f"{name}, training", seconds, "CPU s"))
    return results


def movielens() -> list[Result]:
    """Recall and NDCG at 20 over five random splits. Of each, the dimensions are chosen on the part to choose on."""
    rows = []
    seconds = 0.0
    for seed in MOVIELENS_SEEDS:
        dimensions = _chosen_dimensions(data.movielens(seed, choosing=True))
        task = data.movielens(seed)
        found, spent = _timed(partial(_by_vectors, LinearAutoencoder(dimensions), task.train, task.truth, 20))
        seconds += spent
        rows.append((found["recall_at_20"], found["ndcg_at_20"]))
    recall, ndcg = np.mean(rows, axis=0)
    found = {"recall_at_20": float(recall), "ndcg_at_20": float(ndcg)}
    results = _pair(
        "MovieLens-100k, linear autoencoder", found, ("recall_at_20", "ndcg_at_20"), "implicit ALS, EASE",
        (0.3638, 0.4374), ".370 / .443",
    )  # fmt: skip
    return [*results, Result("MovieLens-100k, training and ranking, a split", seconds / len(rows), "CPU s")]


def _chosen_dimensions(task: data.Task) -> int:
    """With the highest NDCG."""
    embedding = LinearAutoencoder(max(DIMENSIONS)).fit(task.train, 1)
    qualities = {size: _ranked(embedding.first(size), task.train, task.truth, 20) for size in DIMENSIONS}
    return max(qualities, key=lambda size: qualities[size]["ndcg_at_20"])


def amazon() -> list[Result]:
    """Hit rate and NDCG at 10 of the next item. Decay and share are chosen on the item before the last."""
    results = []
    published = {"beauty": ("Beauty", (0.0750, 0.0462)), "sports": ("Sports", (0.0415, 0.0253))}
    for name, (label, peer) in published.items():
        found, seconds = _timed(partial(_next_item, name))
        goal = f"{1.05 * peer[0]:.4f} / {1.05 * peer[1]:.4f}"
        results += _pair(
            f"Amazon {label}", found, ("hit_rate_at_10", "ndcg_at_10"), "recency-decayed item cosine", peer, goal
        )
        results.append(Result(f"Amazon {label}, choosing and training", seconds, "CPU s"))
    return results


def tafeng() -> list[Result]:
    """Recall and NDCG at 10 of the next basket. Chosen on the basket before the last."""

    def run() -> Mapping[str, float]:
        algorithm = Spectral(64, 720.0)
        recipe = _chosen(data.tafeng(2), algorithm, FREQUENCY_SHARES, HISTORY_HALF_LIVES_DAYS)
        customers = _people(data.tafeng(1), algorithm).judged(recipe)
        mixture = recipe.blending.mixture
        return figures([each.list(mixture) for each in customers], [each.following for each in customers], 10)

    found, seconds = _timed(run)
    results = _pair("Ta-Feng", found, ("recall_at_10", "ndcg_at_10"), "GP-TopFreq", (0.1350, 0.1236), ".1418 / .1298")
    return [*results, Result("Ta-Feng, choosing and training", seconds, "CPU s")]


def diginetica() -> list[Result]:
    """Precision (hit rate) and MRR at 20 of the next click, for every prefix of every session. Decay and mixture are
    chosen on the newest sessions to learn from; what was seen in the session is its own frequency."""
    algorithm = Spectral(256, 7200.0)

    def run() -> Mapping[str, float]:
        purchases, prefixes, targets = data.diginetica()
        earlier, held_prefixes, held_targets = data.newest_sessions(purchases, SESSIONS_TO_CHOOSE_ON)
        learnt = _Sessions(follow(earlier).matrix(), algorithm.fit(earlier, 1))

        def quality(decay: float, mixture: Mixture) -> tuple[float, float, Mixture]:
            return sum(_next_clicks(learnt, held_prefixes, held_targets, decay, mixture).values()), decay, mixture

        found = max(
            (quality(decay, Mixture(own, 1 - own)) for decay in TRAIL_DECAYS for own in (0.45, 0.5, 0.55, 0.6)),
            key=lambda tried: tried[0],
        )
        _, decay, first = found
        shares = [Mixture(first.frequency, first.following * (1 - share)) for share in (0.1, 0.2, 0.3)]
        _, decay, mixture = max([found, *(quality(decay, each) for each in shares)], key=lambda tried: tried[0])
        learnt = _Sessions(follow(purchases).matrix(), algorithm.fit(purchases, 1))
        return _next_clicks(learnt, prefixes, targets, decay, mixture)

    found, seconds = _timed(run)
    results = _pair("Diginetica", found, ("precision_at_20", "mrr_at_20"), "GCE-GNN", (54.22, 19.04), "53 / 18.5")
    return [*results, Result("Diginetica, choosing, training and ranking", seconds, "CPU s")]


def journey() -> list[Result]:
    """NDCG and recall at 20 over the last four weeks, all purchases, new ones and repeated ones apart."""
    purchases = data.complete_journey()
    selection, seconds = _timed(lambda: select(purchases, Wanted(), None, 1, lambda share, message: None))
    results = []
    peers = _journey_peers(purchases)
    for task in ("next", "new", "repeat"):
        for figure in ("recall_at_20", "ndcg_at_20"):
            ours = selection.metrics[f"model.{task}.{figure}"]
            beside = {
                name: value
                for name in ("popular", "frequency")
                if (value := selection.metrics.get(f"{name}.{task}.{figure}")) is not None
            } | {name: values[f"{task}.{figure}"] for name, values in peers.items()}
            results += [
                Result(f"Complete Journey, {task}, {figure}", ours, "", value, name, "> 1")
                for name, value in beside.items()
            ]
    recipe = selection.recipe
    name = f"Complete Journey, choosing ({recipe.algorithm.name}, {recipe.algorithm.dimensions} dimensions)"
    return [*results, Result(name, seconds, "CPU s")]


def _journey_peers(purchases: Purchases) -> dict[str, dict[str, float]]:
    """``implicit``'s ALS, where it is installed, on the same customers of the same window."""
    if not data.has("implicit"):
        print("implicit is not installed: pip install implicit; Complete Journey is compared without it")
        return {}
    from implicit.als import AlternatingLeastSquares  # type: ignore[import-not-found]  # a peer, not a dependency

    window = holdout(purchases, HOLDOUT_DAYS, TRAIL_LENGTH)
    counts = window.before.by_customer(np.ones(len(window.before), dtype=np.float32))
    matrix = sparse.csr_matrix((counts.data, counts.indices, counts.indptr), shape=counts.shape)
    als = AlternatingLeastSquares(factors=128, random_state=1, num_threads=1)
    als.fit(matrix, show_progress=False)
    everybody = judged(window, Spectral(8).fit(window.before, 1), 180.0, 0.8)[1::2]
    customers = window.customers[1::2]
    lists = [
        als.recommend(it, matrix[it], 20, filter_already_liked_items=False)[0].astype(np.int64) for it in customers
    ]
    new = [als.recommend(it, matrix[it], 20)[0].astype(np.int64) for it in customers]
    repeat = [
        each.bought[best(als.item_factors[each.bought] @ als.user_factors[it])]
        for it, each in zip(customers, everybody, strict=True)
    ]
    tasks = (
        ("next", lists, [each.following for each in everybody]),
        ("new", new, [each.new for each in everybody]),
        ("repeat", repeat, [each.repeated for each in everybody]),
    )
    return {
        "implicit ALS": {
            f"{task}.{name}": value for task, made, truths in tasks for name, value in figures(made, truths).items()
        }
    }


def _next_item(name: str) -> Mapping[str, float]:
    algorithm = Spectral(128, 720.0)
    recipe = _chosen(data.amazon(name, 2), algorithm, (0.0,), ())
    customers = _people(data.amazon(name, 1), algorithm).judged(recipe)
    lists = [each.new_list(recipe.blending.mixture) for each in customers]
    return figures(lists, [each.following for each in customers], 10)


def _chosen(task: data.Task, algorithm: Algorithm, frequencies: Sequence[float], half_lives: Sequence[float]) -> Recipe:
    """The decay of trails, then the half-life of histories, and the mixture with the highest NDCG at 10, on every third
    customer."""
    people = _people(task, algorithm, 3)

    def quality(recipe: Recipe) -> tuple[float, Recipe]:
        customers = people.judged(recipe)
        truths = [each.following for each in customers]
        options = []
        for own in frequencies:
            for share in FOLLOWING_SHARES:
                mixture = Mixture(own, (1 - own) * share)
                lists = [each.list(mixture) if own else each.new_list(mixture) for each in customers]
                options.append((figures(lists, truths, 10)["ndcg_at_10"], mixture))
        best, mixture = max(options, key=lambda option: option[0])
        return best, replace(recipe, blending=Blending(mixture, mixture))

    found = max((quality(Recipe(algorithm, trail_decay=decay)) for decay in TRAIL_DECAYS), key=lambda tried: tried[0])
    faster = [quality(replace(found[1], history_days=days)) for days in half_lives]
    return max([found, *faster], key=lambda tried: tried[0])[1]


@dataclass(frozen=True, slots=True)
class _People:
    """Those who are judged, with what was learnt before."""

    window: Holdout
    embedding: Embedding

    def judged(self, recipe: Recipe) -> list[Judged]:
        return judged(self.window, self.embedding, recipe.history_half_life_days, recipe.trail_decay)


def _people(task: data.Task, algorithm: Algorithm, step: int = 1) -> _People:
    """Every ``step``-th customer who is judged."""
    train = task.train
    had = np.bincount(train.customers, minlength=train.customer_count) > 0
    customers = np.flatnonzero((np.diff(task.truth.indptr) > 0) & had)[::step]
    window = Holdout(train, task.truth, customers, trails(train, TRAIL_LENGTH), follow(train), 1.0)
    return _People(window, algorithm.fit(train, 1))


def _by_vectors(
    algorithm: Algorithm,
    train: Purchases,
    truth: sparse.csr_array,
    length: int,
) -> Mapping[str, float]:
    """Lists of new items from the inner products of vectors alone."""
    return _ranked(algorithm.fit(train, 1), train, truth, length)


def _ranked(embedding: Embedding, train: Purchases, truth: sparse.csr_array, length: int) -> Mapping[str, float]:
    habits = train.by_customer(np.ones(len(train), dtype=np.float32))
    lists = []
    for first in range(0, habits.shape[0], AT_ONCE):
        some = slice(first, first + AT_ONCE)
        scores = (habits[some] @ embedding.context) @ embedding.target.T
        for place, items in enumerate(data.rows_of(habits[some])):
            scores[place, items] = -np.inf
            lists.append(best(scores[place], length))
    return figures(lists, list(data.rows_of(truth)), length)


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


def _pair(
    name: str, found: Mapping[str, float], wanted: tuple[str, str], peer: str, peers: tuple[float, float], goal: str
) -> list[Result]:
    goals = [each.strip() for each in goal.split("/")]
    return [
        Result(f"{name}, {figure}", found[figure], "", value, f"{peer}, published", f">= {least}")
        for figure, value, least in zip(wanted, peers, goals, strict=True)
    ]


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.process_time()
    return work(), time.process_time() - began


TASKS: dict[str, Callable[[], list[Result]]] = {
    "gowalla": gowalla,
    "movielens": movielens,
    "amazon": amazon,
    "diginetica": diginetica,
    "tafeng": tafeng,
    "journey": journey,
    "cold": cold,
}
SPEED = "speed"


def main(names: Iterable[str]) -> None:
    """Measure those that are named, all without a name; what has no data is skipped with the reason."""
    for name in list(names) or list(TASKS):
        try:
            report(f"Recommendation: {name}", recommendation_speed.measure() if name == SPEED else TASKS[name]())
        except data.Absent as absent:
            print(f"{name} is skipped: {absent}")


if __name__ == "__main__":
    main(each for each in sys.argv[1:] if not each.startswith("--"))
