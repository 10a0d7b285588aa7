"""Who resembles a seed audience: a regularised logistic regression on positive and unlabelled customers.

Customers outside the seeds are unlabelled: some of them are like the seeds, which makes the probabilities too low, but
not their order (C. Elkan and K. Noto, "Learning classifiers from only positive and unlabeled data", 2008).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

SEEDS_MAX = 20_000
OTHERS_MAX = 60_000
FOLDS = 5
PENALTY = 1e-3


@dataclass(frozen=True, slots=True)
class Reach:
    """Of the seeds that the model did not see, the part ``recall`` that is among the ``share`` of customers that
    resemble the other seeds most; ``lift`` is recall by share, 1 for a choice by chance."""

    share: float
    recall: float
    lift: float


def resemblance(
    points: Floats, seeds: npt.NDArray[np.bool_], seed: int, aside: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float64]:
    """How much each of ``points`` ``(n, features)`` resembles those that are ``seeds`` ``(n,)``: higher is more. The
    model does not see those ``aside``."""
    random = np.random.default_rng(seed)
    positive = _some(random, np.flatnonzero(seeds), SEEDS_MAX)
    others = ~seeds if aside is None else ~(seeds | aside)
    unlabelled = _some(random, np.flatnonzero(others), OTHERS_MAX)
    rows = np.concatenate([positive, unlabelled])
    labels = np.concatenate([np.ones(len(positive)), np.zeros(len(unlabelled))])
    weights = _fit(_curved(points[rows]), labels)
    scores = np.empty(len(points))
    for start in range(0, len(points), 100_000):
        part = slice(start, start + 100_000)
        scores[part] = _curved(points[part]) @ weights
    return scores


def reach(points: Floats, seeds: npt.NDArray[np.bool_], shares: Sequence[float], seed: int) -> list[Reach]:
    """What the model is worth, by cross-validation: each seed is held out once, among all customers but the seeds that
    the model saw. Equal resemblance counts half."""
    random = np.random.default_rng(seed)
    order = random.permutation(np.flatnonzero(seeds))
    places = []
    for fold in range(FOLDS):
        held_out = order[fold::FOLDS]
        if not len(held_out):
            continue
        aside = np.zeros(len(seeds), np.bool_)
        aside[held_out] = True
        seen = seeds & ~aside
        scores = resemblance(points, seen, seed, aside)
        ranked = np.sort(scores[~seen])
        above = len(ranked) - np.searchsorted(ranked, scores[held_out], side="right")
        at_least = len(ranked) - np.searchsorted(ranked, scores[held_out], side="left")
        places.append((above + at_least - 1) / 2 / len(ranked))
    found = np.concatenate(places) if places else np.ones(1)
    recalls = [float((found < share).mean()) for share in shares]
    return [Reach(share, recall, recall / share) for share, recall in zip(shares, recalls, strict=True)]


def _curved(points: Floats) -> npt.NDArray[np.float64]:
    """The coordinates, their squares, and a constant: who resembles may lie in the middle of a figure."""
    plain = points.astype(np.float64)
    return np.hstack([plain, plain**2, np.ones((len(points), 1))])


def _fit(rows: npt.NDArray[np.float64], labels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Both classes weigh the same, however many there are of each.
    weights = np.where(labels == 1, 0.5 / max(labels.sum(), 1), 0.5 / max((1 - labels).sum(), 1))
    penalised = np.append(np.full(rows.shape[1] - 1, PENALTY), 0.0)

    def loss(beta: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        margin = rows @ beta
        errors = weights * (expit(margin) - labels)
        value = float(weights @ (np.logaddexp(0, margin) - labels * margin) + penalised @ beta**2 / 2)
        return value, rows.T @ errors + penalised * beta

    fitted = minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(fitted.x)


def _some(random: np.random.Generator, rows: Numbers, limit: int) -> Numbers:
    return rows if len(rows) <= limit else random.choice(rows, limit, replace=False)
