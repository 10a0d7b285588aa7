"""How likely customers are to reach a goal: gradient boosting over moments of the past, calibrated.

Trees are grown on the logarithmic loss (Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", 2001;
LightGBM). How many is found by cross-validation in which all moments of a customer are in the same part, and what that
says of customers whom it did not see calibrates the probabilities (Platt, "Probabilistic Outputs for Support Vector
Machines", 1999). What moved a customer's probability are Shapley values of the trees (Lundberg et al., "From Local
Explanations to Global Understanding with Explainable AI for Trees", 2020), exact and adding up.

Everything is deterministic: the same moments give the same model.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit

from services.forecasting.domain.propensity import BoolArray, Decile, FloatArray, Moment, Quality, Reason
from services.forecasting.learning.holdout import area_under_curve

if TYPE_CHECKING:
    import lightgbm

PARTS, REASONS_MAX = 10, 3
ROWS_MAX = 400_000
_FOLDS = 5
_ROUNDS_MAX, _PATIENCE = 400, 30
_PROBABILITY_MIN = 1e-6
_GROWING: Final[dict[str, Any]] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "seed": 1,
    "verbose": -1,
}


@dataclass(frozen=True, slots=True)
class PropensityTrees:
    """Trees and the line that calibrates what they say: the logarithm of the odds is ``slope * trees + shift``."""

    booster: "lightgbm.Booster"
    slope: float
    shift: float

    def probabilities(self, features: FloatArray) -> FloatArray:
        """For each row, from 0 to 1."""
        raw = np.asarray(self.booster.predict(features, raw_score=True, num_threads=1), dtype=np.float64)
        found: FloatArray = expit(self.slope * raw + self.shift)
        return found

    def contributions(self, features: FloatArray) -> FloatArray:
        """By how much each feature moves the logarithm of the odds, by row; without what all rows have in common."""
        raw = np.asarray(self.booster.predict(features, pred_contrib=True, num_threads=1), dtype=np.float64)
        return self.slope * raw[:, :-1]

    def dump(self) -> dict[str, object]:
        """As plain values."""
        return {"trees": self.booster.model_to_string(), "slope": self.slope, "shift": self.shift}


def load(plain: Mapping[str, Any]) -> PropensityTrees:
    """What ``dump`` gave."""
    import lightgbm

    return PropensityTrees(lightgbm.Booster(model_str=plain["trees"]), plain["slope"], plain["shift"])


def fit(moments: Sequence[Moment]) -> PropensityTrees:
    """Learn from moments whose horizons are over; there must be customers of both kinds."""
    features = np.vstack([it.features for it in moments])
    reached = np.concatenate([it.reached for it in moments])
    part = np.array([zlib.crc32(customer_id.encode()) % _FOLDS for it in moments for customer_id in it.ids])
    import lightgbm

    data = lightgbm.Dataset(features, reached.astype(np.float64), free_raw_data=False)
    folds = [(np.flatnonzero(part != number), np.flatnonzero(part == number)) for number in range(_FOLDS)]
    folds = [(train, test) for train, test in folds if len(train) and len(test)]
    rounds, unseen = _cross_validated(data, features, folds)
    slope, shift = calibration(unseen, reached)
    return PropensityTrees(lightgbm.train(_GROWING, data, rounds), slope, shift)


def _cross_validated(
    data: "lightgbm.Dataset", features: FloatArray, folds: Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]
) -> tuple[int, FloatArray]:
    """How many trees are best, and what that many say of rows that they did not see."""
    import lightgbm

    found: dict[str, Any] = lightgbm.cv(
        _GROWING,
        data,
        _ROUNDS_MAX,
        folds=folds,
        callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
        return_cvbooster=True,
    )
    boosters = found["cvbooster"]
    unseen = np.zeros(len(features))
    for (_, test), booster in zip(folds, boosters.boosters, strict=True):
        unseen[test] = booster.predict(
            features[test], raw_score=True, num_iteration=boosters.best_iteration, num_threads=1
        )
    return max(boosters.best_iteration, 1), unseen


def sampled(moment: Moment, share: float) -> Moment:
    """The rows of a share of the customers, at every moment the same ones."""
    if share >= 1:
        return moment
    rows = [row for row, it in enumerate(moment.ids) if zlib.crc32(it.encode(), 1) < share * 2**32]
    amount = moment.amount[rows] if len(moment.amount) else moment.amount
    return Moment([moment.ids[row] for row in rows], moment.features[rows], moment.reached[rows], amount)


def calibration(scores: FloatArray, reached: BoolArray) -> tuple[float, float]:
    """The slope (never below zero) and shift that make the scores logarithms of odds, by maximum likelihood."""
    label = reached.astype(np.float64)

    def loss(line: FloatArray) -> tuple[float, FloatArray]:
        odds = line[0] * scores + line[1]
        gap = expit(odds) - label
        value = float(np.mean(np.logaddexp(0.0, odds) - label * odds))
        return value, np.array([np.mean(gap * scores), np.mean(gap)])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.0, 10.0), (-30.0, 30.0)])
    slope, shift = found.x
    return float(slope), float(shift)


def importance(contributions: FloatArray, names: Sequence[str]) -> dict[str, float]:
    """The mean size of each feature's contributions as a share of all, the largest first; without those of none."""
    mean = np.abs(contributions).mean(axis=0)
    total = float(mean.sum())
    order = np.argsort(-mean, kind="stable")
    return {names[at]: float(mean[at] / total) for at in order.tolist() if mean[at] > 0}


def percentiles(said: FloatArray) -> list[int]:
    """In which hundredth of all customers each is: 100 for the highest, 1 for the lowest."""
    place = np.empty(len(said), dtype=np.int64)
    place[np.argsort(said, kind="stable")] = np.arange(len(said))
    found: list[int] = (place * 100 // len(said) + 1).tolist()
    return found


def reasons(names: Sequence[str], features: FloatArray, moved: FloatArray) -> Iterator[tuple[Reason, ...]]:
    """What moved each customer most, the strongest first, without what moved nothing."""
    strongest = np.argsort(-np.abs(moved), axis=1, kind="stable")[:, :REASONS_MAX]
    for row, columns in enumerate(strongest.tolist()):
        yield tuple(
            Reason(names[at], _value(features[row, at]), float(moved[row, at])) for at in columns if moved[row, at]
        )


def _value(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def quality(start: int, probability: FloatArray, reached: BoolArray) -> Quality:
    """Probabilities against what came; at least one customer."""
    label = reached.astype(np.float64)
    rate = float(label.mean())
    safe = np.clip(probability, _PROBABILITY_MIN, 1 - _PROBABILITY_MIN)
    deciles = _deciles(probability, label, rate)
    gaps = [it.customer_count * abs(it.probability - it.reached_share) for it in deciles]
    return Quality(
        start=start,
        customer_count=len(label),
        base_rate=rate,
        auc=area_under_curve(probability, label),
        average_precision=average_precision(probability, label),
        brier=float(np.mean((probability - label) ** 2)),
        base_brier=rate * (1 - rate),
        log_loss=float(np.mean(np.logaddexp(0.0, logit(safe)) - label * logit(safe))),
        calibration_error=sum(gaps) / len(label),
        deciles=deciles,
    )


def _deciles(probability: FloatArray, label: FloatArray, rate: float) -> tuple[Decile, ...]:
    ranking = np.argsort(-probability, kind="stable")
    parts = [part for part in np.array_split(ranking, PARTS) if len(part)]
    means = [(len(part), float(probability[part].mean()), float(label[part].mean())) for part in parts]
    return tuple(Decile(count, said, came, came / rate if rate else None) for count, said, came in means)


def average_precision(score: FloatArray, label: FloatArray) -> float | None:
    """The mean over the ones of the precision down to each of them, equal scores in one step; ``None`` without ones."""
    if not label.any():
        return None
    order = np.argsort(-score, kind="stable")
    ordered, hits = score[order], np.cumsum(label[order])
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    recalled = np.diff(hits[ends], prepend=0.0) / hits[-1]
    return float(np.sum(recalled * hits[ends] / (ends + 1)))
