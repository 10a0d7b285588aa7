"""Gradient boosting over all series of a panel: one model, which forecasts every step directly.

The model's target is how far a figure, relative to the level of its series at the origin, is from the same of the last
seasons (``lagged``). The step is a feature; no forecast is fed back into another. Trees by LightGBM (G. Ke et al.,
NeurIPS 2017), on one thread, so that the same data give the same trees.
"""

import logging
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from services.forecasting.learning.histories import FloatArray, IntArray
from services.forecasting.learning.lagged import Panel, Rows, ahead
from services.forecasting.learning.lightgbm_runtime import missing

if TYPE_CHECKING:
    import lightgbm

log = logging.getLogger(__name__)
_SEED = 20
_RATIO_MAX = 20.0
ROWS_MAX = 200_000
ROWS_MIN = 1_000
SECONDS_MAX = 120
"""Of processor time: a model that takes longer is given up. A usual one takes two to eight."""
HISTORY_MIN = 4
_ROUNDS = 300
# Errors count squared up to a fifth of the level, and by their size from there on (P. J. Huber, 1964): absolute errors
# alone lead to medians, which lie too low for promotions and leave the leaves to chance; squared ones to what single
# days did.
_PARAMETERS: dict[str, Any] = {
    "objective": "huber",
    "alpha": 0.2,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "max_bin": 127,
    "seed": _SEED,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True)
class Boosted:
    """A fitted model."""

    booster: "lightgbm.Booster"

    @property
    def text(self) -> str:
        """The model as LightGBM writes it."""
        return str(self.booster.model_to_string())

    @classmethod
    def parse(cls, text: str) -> "Boosted":
        """The model that was written so."""
        import lightgbm

        return cls(lightgbm.Booster(model_str=text))

    def predict(self, features: FloatArray) -> FloatArray:
        """Figures relative to the levels, by row."""
        return np.asarray(self.booster.predict(features, num_threads=1), dtype=np.float64)

    def contributions(self, features: FloatArray) -> FloatArray:
        """By row and feature, and last what is expected of any row (SHAP values of trees); they sum to ``predict``."""
        return np.asarray(self.booster.predict(features, pred_contrib=True, num_threads=1), dtype=np.float64)


def matrix(panel: Panel, rows: Rows) -> FloatArray:
    """The features of ``rows``, one a column."""
    found = np.empty((len(rows), len(parts(panel))))
    for place, column in enumerate(panel.columns(rows)):
        found[:, place] = column.values
    return found


def parts(panel: Panel) -> list[str]:
    """Which driver or part each feature speaks for."""
    return [column.part for column in panel.columns(_one_row())]


@cache
def available() -> bool:
    """Whether LightGBM can be loaded."""
    if why := missing():
        log.warning("forecasts are made without gradient boosting: %s", why)
    return not why


def fit(panel: Panel, end: int, horizon: int, parameters: dict[str, Any] | None = None) -> Boosted | None:
    """The model of what came before the period ``end``; ``None`` if that is too little."""
    if not available():
        return None
    rows = _training_rows(panel, end, horizon)
    if len(rows) < ROWS_MIN:
        return None
    levels, actuals = panel.levels(rows), panel.actuals(rows)
    usable = levels > 0
    target = np.clip(actuals[usable] / levels[usable], -_RATIO_MAX, _RATIO_MAX)
    rows = Rows(rows.series[usable], rows.origins[usable], rows.steps[usable])
    categorical = [n for n, column in enumerate(panel.columns(_one_row())) if column.categorical]
    options = _PARAMETERS | (parameters or {})
    rounds = options.pop("rounds", _ROUNDS)
    import lightgbm

    data = lightgbm.Dataset(
        matrix(panel, rows),
        target - panel.base(rows),
        categorical_feature=categorical,
        params=options,
        free_raw_data=True,
    )
    deadline = time.thread_time() + SECONDS_MAX

    def stop(_: object) -> None:
        if time.thread_time() > deadline:
            raise TimeoutError

    try:
        return Boosted(lightgbm.train(options, data, rounds, callbacks=[stop]))
    except TimeoutError:
        log.warning("a gradient boosting model of %d rows was given up after %d s", len(rows), SECONDS_MAX)
        return None


def forecast(model: Boosted, panel: Panel, ends: IntArray, series: IntArray, horizon: int) -> FloatArray:
    """Forecasts of ``series`` from before the periods ``ends``, one row each, one column a step."""
    rows = ahead(series, ends, horizon)
    found = (panel.base(rows) + model.predict(matrix(panel, rows))) * panel.levels(rows)
    return found.reshape(len(series), horizon)


def _training_rows(panel: Panel, end: int, horizon: int) -> Rows:
    """Places whose targets lie before ``end``, at most ``ROWS_MAX`` of them, drawn evenly."""
    first = panel.starts + HISTORY_MIN - 1
    spans = np.maximum(end - 1 - first, 0)
    total = int(spans.sum())
    if not total:
        return Rows(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
    random = np.random.default_rng(_SEED)
    count = min(total * horizon, ROWS_MAX)
    place = random.choice(total, count, replace=count > total) if count < total * horizon else None
    if place is None:
        place, steps = np.repeat(np.arange(total), horizon), np.tile(np.arange(1, horizon + 1), total)
    else:
        steps = random.integers(1, horizon + 1, count)
    ends = np.cumsum(spans)
    series = np.searchsorted(ends, place, side="right")
    origins = first[series] + place - (ends[series] - spans[series])
    inside = origins + steps < end
    return Rows(series[inside], origins[inside], steps[inside])


def _one_row() -> Rows:
    zero = np.zeros(1, dtype=np.int64)
    return Rows(zero, zero, zero + 1)
