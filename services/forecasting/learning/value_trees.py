"""Whether customers come and what they spend within a horizon, by gradient boosting over figures of the past.

Two sets of trees: whether somebody comes, as a calibrated probability (Platt scaling, on customers whom the trees did
not see), and the logarithm of what those who come spend, so that no single order steers them, then brought to the level
of what was spent. Revenue is their product (a hurdle model).

Trees either know nothing of the models of purchases and amounts, or they correct them: they start from the logarithm of
the odds, and of the amount, that these expect (an offset, as in generalised linear models), and know their figures as
features. Of customers of whom trees have nothing to add, the models' expectation then stands.

Trees by LightGBM (G. Ke et al., NeurIPS 2017), of one thread: the same examples give the same trees.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import expit, logit

from services.forecasting.learning.customer_value import Expected
from services.forecasting.learning.propensity import calibration
from services.forecasting.learning.purchases import FloatArray

if TYPE_CHECKING:
    import lightgbm

_FOLDS = 5
ROWS_MAX = 100_000
"""Examples that trees of four leaves learn from; more change nothing but the time."""
_ROUNDS_MAX, _PATIENCE = 400, 30
_SEEDS = (1, 2, 3)
_ROWS_MANY = 25_000
"""From so many examples on the trees of one seed are as good as the mean of several."""
_PROBABILITY_MIN, _AMOUNT_MIN = 1e-4, 1.0
_LEVEL_MIN, _LEVEL_MAX = 0.5, 4.0
_YEAR_DAYS = 365.25
_OF_MODELS = 5
_GROWING: Final[dict[str, Any]] = {
    "learning_rate": 0.05,
    "num_leaves": 4,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of customers at a moment, one row each."""

    features: FloatArray
    expected: Expected
    """By the models of purchases and amounts, within the horizon."""


@dataclass(frozen=True, slots=True)
class Examples:
    """What was known of customers at moments of the past, and what they did within the horizon after it."""

    ids: Sequence[str]
    known: Known
    came: FloatArray
    """One for who ordered, zero for who did not."""
    revenue: FloatArray


@dataclass(frozen=True, slots=True)
class Said:
    """What trees say of customers, one entry each."""

    probability_of_order: FloatArray
    amount: FloatArray
    """What those spend who come."""


@dataclass(frozen=True, slots=True)
class _Grown:
    """Trees of one target, of several seeds, and what as many trees say of the examples that they did not see."""

    boosters: "Sequence[lightgbm.Booster]"
    unseen: FloatArray


@dataclass(frozen=True, slots=True)
class ValueTrees:
    """Trees of whether customers come and of what those spend who come.

    ``slope`` and ``shift`` calibrate the logarithm of the odds, ``level`` multiplies the amount.
    """

    correcting: bool
    """Whether they start from what the models expect."""
    coming: "Sequence[lightgbm.Booster]"
    spending: "Sequence[lightgbm.Booster]"
    slope: float
    shift: float
    level: float

    def says(self, known: Known) -> Said:
        """For each customer."""
        features = _features(known, correcting=self.correcting)
        odds, logarithm = _raw(self.coming, features), _raw(self.spending, features)
        if self.correcting:
            odds, logarithm = odds + _odds(known.expected), logarithm + _logarithm(known.expected)
        return Said(expit(self.slope * odds + self.shift), self.level * np.exp(logarithm))

    def asks(self, count: int) -> bool:
        """Whether they are of that many features, without those of the models."""
        return all(it.num_feature() == count + self.correcting * _OF_MODELS for it in (*self.coming, *self.spending))

    def dump(self) -> dict[str, object]:
        """As plain values."""
        trees = {"coming": self.coming, "spending": self.spending}
        texts = {name: [it.model_to_string() for it in boosters] for name, boosters in trees.items()}
        line = {"slope": self.slope, "shift": self.shift, "level": self.level}
        return {"correcting": self.correcting, **texts, **line}


def load(plain: Mapping[str, Any]) -> ValueTrees:
    """What ``dump`` gave."""
    import lightgbm

    trees = {name: [lightgbm.Booster(model_str=it) for it in plain[name]] for name in ("coming", "spending")}
    return ValueTrees(**dict(plain) | trees)


def grow(examples: Examples, *, correcting: bool) -> ValueTrees:
    """Learn from examples; there must be customers who came, and others who did not."""
    features, expected = _features(examples.known, correcting=correcting), examples.known.expected
    odds = _odds(expected) if correcting else None
    coming = _grown(features, examples.came, odds, examples.ids, {"objective": "binary"})
    slope, shift = calibration(coming.unseen, examples.came > 0)
    who = np.flatnonzero(examples.came)
    spent, ids = np.maximum(examples.revenue[who], _AMOUNT_MIN), [examples.ids[it] for it in who.tolist()]
    logarithm = _logarithm(expected)[who] if correcting else None
    spending = _grown(features[who], np.log(spent), logarithm, ids, {"objective": "regression"})
    level = min(max(float(spent.sum() / np.exp(spending.unseen).sum()), _LEVEL_MIN), _LEVEL_MAX)
    return ValueTrees(correcting, coming.boosters, spending.boosters, slope, shift, level)


def _grown(
    features: FloatArray, target: FloatArray, start: FloatArray | None, ids: Sequence[str], objective: dict[str, Any]
) -> _Grown:
    """Trees from ``start``, their number by cross-validation over customers."""
    import lightgbm

    part = np.array([zlib.crc32(customer_id.encode()) % _FOLDS for customer_id in ids])
    folds = [(np.flatnonzero(part != number), np.flatnonzero(part == number)) for number in range(_FOLDS)]
    folds = [(train, test) for train, test in folds if len(train) and len(test)]
    data = lightgbm.Dataset(features, target, init_score=start, free_raw_data=False)
    stop: list[Any] = [lightgbm.early_stopping(_PATIENCE, verbose=False)]
    growing = _GROWING | objective | {"seed": _SEEDS[0]}
    found: Any = lightgbm.cv(growing, data, _ROUNDS_MAX, folds=folds, callbacks=stop, return_cvbooster=True)
    rounds = max(found["cvbooster"].best_iteration, 1)
    unseen = np.zeros(len(target)) if start is None else start.copy()
    for (_, test), booster in zip(folds, found["cvbooster"].boosters, strict=True):
        unseen[test] += booster.predict(features[test], raw_score=True, num_iteration=rounds, num_threads=1)
    seeds = _SEEDS[:1] if len(target) > _ROWS_MANY else _SEEDS
    return _Grown([lightgbm.train(growing | {"seed": it}, data, rounds) for it in seeds], unseen)


def _raw(boosters: "Sequence[lightgbm.Booster]", features: FloatArray) -> FloatArray:
    said = [np.asarray(it.predict(features, raw_score=True, num_threads=1), dtype=np.float64) for it in boosters]
    mean: FloatArray = np.mean(said, axis=0)
    return mean


def _features(known: Known, *, correcting: bool) -> FloatArray:
    if not correcting:
        return known.features
    it = known.expected
    return np.column_stack(
        [known.features, it.revenue, it.probability_of_order, it.orders, it.order_value, it.probability_alive]
    )


def _odds(expected: Expected) -> FloatArray:
    found: FloatArray = logit(np.clip(expected.probability_of_order, _PROBABILITY_MIN, 1 - _PROBABILITY_MIN))
    return found


def _logarithm(expected: Expected) -> FloatArray:
    """Of what those spend who come."""
    found: FloatArray = np.log(np.maximum(_each(expected) * expected.order_value, _AMOUNT_MIN))
    return found


def _each(expected: Expected) -> FloatArray:
    """The orders of those who come: at least one."""
    each: FloatArray = np.maximum(expected.orders / np.maximum(expected.probability_of_order, _PROBABILITY_MIN), 1.0)
    return each


def revalued(expected: Expected, said: Said, horizon_days: float, lifetime_days: float, yearly_rate: float) -> Expected:
    """What is expected where trees say what comes within the horizon: the models' expectation of what comes later.

    Of who comes, as many orders are expected as the models expect of them if they come. What was expected of the
    lifetime is changed by the change of the revenue within the horizon, discounted from the horizon's middle. Who comes
    cannot have stopped.
    """
    likely, each = said.probability_of_order, _each(expected)
    revenue = likely * said.amount
    if lifetime_days < horizon_days:
        lifetime = expected.lifetime_value * revenue / np.maximum(expected.revenue, _AMOUNT_MIN)
    else:
        discount = (1 + yearly_rate) ** (-horizon_days / 2 / _YEAR_DAYS)
        later = np.maximum(expected.lifetime_value - discount * expected.revenue, 0.0)
        lifetime = later + discount * revenue
    return replace(
        expected,
        probability_alive=np.maximum(expected.probability_alive, likely),
        probability_of_order=likely,
        orders=likely * each,
        order_value=said.amount / each,
        revenue=revenue,
        lifetime_value=lifetime,
    )


def together(examples: Sequence[Examples]) -> Examples:
    """The examples of several moments as one."""
    columns = ("probability_alive", "probability_of_order", "orders", "order_value", "revenue", "lifetime_value")
    parts = [it.known.expected for it in examples]
    joined = {name: np.concatenate([getattr(it, name) for it in parts]) for name in (*columns, "wait_days")}
    return Examples(
        ids=[customer_id for it in examples for customer_id in it.ids],
        known=Known(np.vstack([it.known.features for it in examples]), Expected(**joined)),
        came=np.concatenate([it.came for it in examples]),
        revenue=np.concatenate([it.revenue for it in examples]),
    )
