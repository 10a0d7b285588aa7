"""How good recommendations are: ours beside the published figures and peers, every item ranked, none sampled.

``python -m benchmarks.recommendation speed`` measures how fast they are found (``recommendation_speed.py``).
``python -m benchmarks.recommendation [gowalla] [movielens] [amazon] [diginetica] [tafeng] [journey] [cold]
[viewed] [together]``; without
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
from scipy import sparse

from benchmarks import recommendation_data as data
from benchmarks import recommendation_speed
from benchmarks.harness import Result, report
from benchmarks.recommendation_cold import cold
from benchmarks.recommendation_sessions import AT_ONCE, next_clicks
from benchmarks.recommendation_together import together
from benchmarks.recommendation_viewed import viewed
from services.recommendation.domain.mixture import Mixture
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
        (Spectral(512, sharp=True), ".188 / .158"),
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
    """Precision (hit rate) and MRR at 20 of the next click, for every prefix of every session. Decay, mixture and how
    fast transitions fade are chosen on the newest sessions to learn from; what was seen in the session is its own
    frequency."""
    found, seconds = _timed(next_clicks)
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
    "viewed": viewed,
    "together": together,
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
