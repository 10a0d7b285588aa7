"""Whom it pays to treat: what a treatment changes for each customer, learnt from an experiment.

A doubly robust learner (Kennedy, "Towards optimal doubly robust estimation of heterogeneous causal effects", 2023).
For each customer of the experiment boosted trees say, without having seen the customer, how likely the goal is (or how
much is spent) with and without the treatment; what they miss, divided by the probability to be in the group, makes an
unbiased if noisy figure of the effect. A ridge regression on ranks and boosted trees over these figures are the effect
by customer. How much of their differences is real is the slope of the noisy figures on what was said of customers not
seen (the best linear predictor of Chernozhukov, Demirer, Duflo and Fernandez-Val, "Generic machine learning inference
on heterogeneous treatment effects", 2018), which also mixes the two; differences that noise explains are shrunk away
(James and Stein).

The whole is repeated without each tenth of the customers: what the repetitions say of those left out measures the
procedure, and how they differ makes the intervals (the delete-a-group jackknife; Kott, 2001).

Everything is deterministic: the same experiment gives the same model.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.special import ndtri
from scipy.stats import t as student

from services.forecasting.domain.propensity import FloatArray
from services.forecasting.domain.uplift import IntArray, Trial
from services.forecasting.learning.holdout import area_under_curve

if TYPE_CHECKING:
    import lightgbm

ROWS_MAX = 200_000
PARTS = 10
LEVEL = 0.9
_FOLDS, _NUISANCE_FOLDS = 4, 3
_ROUNDS, _LEAVES, _EFFECT_LEAVES = 40, 5, 3
_LEAF_MIN, _EFFECT_LEAF_SHARE = 50, 0.03
_QUANTILES = 101
_RIDGES: Final = tuple(10.0**power for power in range(-3, 3))
_SLOPE_MAX = 2.0
_CHANCE_MIN = 0.02
_TELLING_AUC, _TELLING_ERRORS = 0.53, 3.0
_OF_SHARES: Final[dict[str, Any]] = {"objective": "binary"}
_OF_AMOUNTS: Final[dict[str, Any]] = {"objective": "regression"}
_GROWING: Final[dict[str, Any]] = {
    "learning_rate": 0.08,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "feature_fraction": 0.7,
    "lambda_l2": 10.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "seed": 1,
    "verbose": -1,
}


@dataclass(frozen=True, slots=True)
class Ranks:
    """Features as normal scores of their ranks; one that is missing is in the middle."""

    cuts: FloatArray
    """A row for each quantile, a column for each feature."""

    @classmethod
    def of(cls, features: FloatArray) -> "Ranks":
        """Of these customers."""
        filled = np.where(np.isnan(features).all(axis=0), 0.0, features)
        return cls(np.nanquantile(filled, np.linspace(0, 1, _QUANTILES), axis=0))

    def __call__(self, features: FloatArray) -> FloatArray:
        """The scores."""
        grid = np.linspace(0.5, _QUANTILES - 0.5, _QUANTILES) / _QUANTILES
        columns = [_rank(self.cuts[:, at], grid, features[:, at]) for at in range(features.shape[1])]
        scores: FloatArray = np.nan_to_num(ndtri(np.column_stack(columns)))
        return scores


def _rank(cuts: FloatArray, grid: FloatArray, values: FloatArray) -> FloatArray:
    """Equal values, of which there may be many, are in the middle of their ranks."""
    low = np.interp(values, cuts, grid)
    high = 1 - np.interp(-values, -cuts[::-1], grid)
    return np.where(np.isnan(values), np.nan, (low + high) / 2)


@dataclass(frozen=True, slots=True)
class Effects:
    """The effect of the treatment by customer: what is the same for all, and what a line and trees add to it."""

    mean: float
    ranks: Ranks
    line: FloatArray
    trees: "lightgbm.Booster | None"
    trees_weight: float

    def __call__(self, features: FloatArray) -> FloatArray:
        """By how much the treatment raises the probability of the goal, or the amount, by customer."""
        found: FloatArray = self.mean + self.ranks(features) @ self.line
        if self.trees:
            found = found + self.trees_weight * _said(self.trees, features)
        return found

    def moved(self, features: FloatArray) -> FloatArray:
        """What each feature adds to the effect, by customer; a column for each, without what all have in common."""
        found: FloatArray = self.ranks(features) * self.line
        if self.trees:
            said = np.asarray(self.trees.predict(features, pred_contrib=True, num_threads=1), dtype=np.float64)
            found = found + self.trees_weight * said[:, :-1]
        return found

    def parts(self, features: FloatArray) -> FloatArray:
        """How far each feature sets these customers apart from their mean; a column for each."""
        found = self.moved(features)
        centred: FloatArray = found - found.mean(axis=0)
        return centred


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How likely the goal is, or how much is spent, in one group of the experiment: the mean of several boosters."""

    boosters: "tuple[lightgbm.Booster, ...]"

    def __call__(self, features: FloatArray) -> FloatArray:
        """By customer."""
        found: FloatArray = np.mean([_said(it, features) for it in self.boosters], axis=0)
        return found


@dataclass(frozen=True, slots=True)
class UpliftTrees:
    """What an experiment taught: the effects, the same without each tenth of the customers, and the goal without it."""

    effects: Effects
    repetitions: tuple[Effects, ...]
    control: Outcomes

    def uplift(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The effect by customer, and half the width of its interval."""
        again = np.stack([it(features) for it in self.repetitions])
        count = len(again)
        deviation = np.sqrt((count - 1) * again.var(axis=0))
        return self.effects(features), float(student.ppf((1 + LEVEL) / 2, count - 1)) * deviation


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Each customer of an experiment seen by a model that did not know them.

    ``effect``: the unbiased, noisy figure of the effect. ``chance``: the probability to be treated. ``part``: those of
    one number were seen by the same model; only they are compared, as a model that did not see who gained says less.
    """

    uplift: FloatArray
    part: IntArray
    effect: FloatArray
    chance: FloatArray


def fit(trial: Trial) -> tuple[UpliftTrees, HeldOut, bool]:
    """What an experiment teaches, how that holds, and whether treatments seem drawn by lot; it needs both groups."""
    chance, drawn = chances(trial)
    learnt = _learn(trial, chance)
    part = _parts(trial.ids, PARTS, 0)
    uplift, effect = np.zeros(len(trial)), np.zeros(len(trial))
    repetitions: list[Effects] = []
    for number in range(PARTS):
        out = part == number
        again = _learn(taken(trial, ~out), chance[~out])
        repetitions.append(again.effects)
        left = taken(trial, out)
        uplift[out] = again.effects(left.features)
        effect[out] = noisy(left, chance[out], again.treated(left.features), again.control(left.features))
    trees = UpliftTrees(learnt.effects, tuple(repetitions), learnt.control)
    return trees, HeldOut(uplift, part, effect, chance), drawn


def taken(trial: Trial, rows: npt.NDArray[np.bool_]) -> Trial:
    """These customers of the experiment."""
    ids = tuple(trial.ids[at] for at in np.flatnonzero(rows).tolist())
    return Trial(
        ids, trial.features[rows], trial.treated[rows], trial.outcome[rows], trial.stratum[rows], trial.of_amounts
    )


def chances(trial: Trial) -> tuple[FloatArray, bool]:
    """The probability of each customer to be treated, and whether it was drawn by lot.

    By lot it is the share of their stratum. Where what was known tells apart who was treated, it is what trees say that
    did not see the customer, and never nearly 0 or 1.
    """
    count, treated = np.bincount(trial.stratum), np.bincount(trial.stratum, trial.treated)
    share = np.clip(treated / np.maximum(count, 1), _CHANCE_MIN, 1 - _CHANCE_MIN)[trial.stratum]
    label = trial.treated.astype(np.float64)
    said = np.zeros(len(trial))
    for inside, outside in _folds(trial.ids, _NUISANCE_FOLDS, 3):
        known = np.column_stack([trial.features, share])
        said[outside] = _said(_boosted(known[inside], label[inside]), known[outside])
    # Within strata: that one moment has more treatments than another is no sign of choice.
    found = [_told_apart(said[trial.stratum == each], label[trial.stratum == each]) for each in range(len(count))]
    weight = np.array([each[1] for each in found])
    if not weight.sum():
        return share, True
    auc = float(np.sum([each[0] * each[1] for each in found]) / weight.sum())
    error = 1 / np.sqrt(weight.sum())
    drawn = auc < max(_TELLING_AUC, 0.5 + _TELLING_ERRORS * error)
    return (share if drawn else np.clip(said, _CHANCE_MIN, 1 - _CHANCE_MIN)), drawn


def _told_apart(said: FloatArray, label: FloatArray) -> tuple[float, float]:
    """The area under the curve, and one over its variance if nothing is told apart (Hanley and McNeil, 1982)."""
    ones = float(label.sum())
    zeros = len(label) - ones
    auc = area_under_curve(said, label)
    return (0.5, 0.0) if auc is None else (auc, 12 * ones * zeros / (ones + zeros + 1))


def noisy(trial: Trial, chance: FloatArray, treated: FloatArray, control: FloatArray) -> FloatArray:
    """The unbiased, noisy effects, from what the goal's probabilities with and without the treatment miss."""
    weight = np.where(trial.treated, 1 / chance, -1 / (1 - chance))
    missed = trial.outcome - np.where(trial.treated, treated, control)
    found: FloatArray = treated - control + weight * missed
    return found


@dataclass(frozen=True, slots=True)
class _Learnt:
    effects: Effects
    treated: Outcomes
    control: Outcomes


def _learn(trial: Trial, chance: FloatArray) -> _Learnt:
    effect = np.zeros(len(trial))
    outcomes: dict[bool, list[lightgbm.Booster]] = {True: [], False: []}
    objective = _OF_AMOUNTS if trial.of_amounts else _OF_SHARES
    for inside, outside in _folds(trial.ids, _NUISANCE_FOLDS, 1):
        for treated, found in outcomes.items():
            rows = inside[trial.treated[inside] == treated]
            found.append(_boosted(trial.features[rows], trial.outcome[rows], objective))
        left = trial.features[outside]
        with_it, without = (_said(outcomes[it][-1], left) for it in (True, False))
        mask = np.zeros(len(trial), dtype=np.bool_)
        mask[outside] = True
        effect[mask] = noisy(taken(trial, mask), chance[mask], with_it, without)
    effects = effects_of(trial.ids, trial.features, effect)
    return _Learnt(effects, Outcomes(tuple(outcomes[True])), Outcomes(tuple(outcomes[False])))


def effects_of(ids: Sequence[str], features: FloatArray, effect: FloatArray) -> Effects:
    """The effects that noisy ones suggest: a line and trees, as far as customers not seen bear them out."""
    said = np.zeros((len(ids), 2))
    for inside, outside in _folds(ids, _FOLDS, 2):
        ranks = Ranks.of(features[inside])
        line = ridge(ranks(features[inside]), effect[inside])
        said[outside, 0] = ranks(features[outside]) @ line
        said[outside, 1] = _said(_grown(features[inside], effect[inside]), features[outside])
    weights = borne_out(said, effect)
    ranks = Ranks.of(features)
    line = weights[0] * ridge(ranks(features), effect)
    trees = _grown(features, effect) if weights[1] else None
    whole = Effects(0.0, ranks, line, trees, float(weights[1]))
    return replace(whole, mean=float(effect.mean() - whole(features).mean()))


def borne_out(said: FloatArray, effect: FloatArray) -> FloatArray:
    """By how much to multiply what was said (a column for each sayer) of customers not seen; zero for what is noise."""
    centred, target = said - said.mean(axis=0), effect - effect.mean()
    weights = nnls(centred, target)[0]
    if weights.sum() > _SLOPE_MAX:
        weights = weights * (_SLOPE_MAX / weights.sum())
    together = centred @ weights
    size = float(together @ together)
    if size <= 0:
        return np.zeros_like(weights)
    variance = float(np.sum((together * (target - together)) ** 2)) / size**2
    slope = float(together @ target) / size
    kept = max(0.0, 1 - len(weights) * variance / slope**2) if slope > 0 else 0.0
    found: FloatArray = kept * weights
    return found


def ridge(scores: FloatArray, target: FloatArray) -> FloatArray:
    """The coefficients of the penalty with the least generalised cross-validation (Golub, Heath and Wahba, 1979)."""
    count = len(target)
    centred, wanted = scores - scores.mean(axis=0), target - target.mean()
    sizes, axes = np.linalg.eigh(centred.T @ centred)
    sizes = np.maximum(sizes, 0.0)
    along = axes.T @ (centred.T @ wanted)

    def error(penalty: float) -> float:
        kept = sizes + count * penalty
        rest = float(wanted @ wanted) - float(np.sum(along**2 * (2 / kept - sizes / kept**2)))
        return rest / (1 - float(np.sum(sizes / kept)) / count) ** 2

    best = min(_RIDGES, key=error)
    found: FloatArray = axes @ (along / (sizes + count * best))
    return found


def _grown(features: FloatArray, effect: FloatArray) -> "lightgbm.Booster":
    import lightgbm

    leaf = max(round(_EFFECT_LEAF_SHARE * len(effect)), _LEAF_MIN)
    growing = _GROWING | {"objective": "regression", "num_leaves": _EFFECT_LEAVES, "min_data_in_leaf": leaf}
    return lightgbm.train(growing, lightgbm.Dataset(features, effect), _ROUNDS)


def _boosted(features: FloatArray, label: FloatArray, objective: dict[str, Any] = _OF_SHARES) -> "lightgbm.Booster":
    import lightgbm

    growing = _GROWING | objective | {"num_leaves": _LEAVES, "min_data_in_leaf": _LEAF_MIN}
    return lightgbm.train(growing, lightgbm.Dataset(features, label), _ROUNDS)


def _said(booster: "lightgbm.Booster", features: FloatArray) -> FloatArray:
    return np.asarray(booster.predict(features, num_threads=1), dtype=np.float64)


def _parts(ids: Sequence[str], count: int, salt: int) -> IntArray:
    return np.array([zlib.crc32(it.encode(), salt) % count for it in ids], dtype=np.int64)


def _folds(ids: Sequence[str], count: int, salt: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Who is learnt from, and who is not seen."""
    part = _parts(ids, count, salt)
    for number in range(count):
        yield np.flatnonzero(part != number), np.flatnonzero(part == number)
