"""Of which categories customers are likely to buy, and how far that can be trusted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import FailedPrecondition, NotFound
from services.forecasting.domain.periods import DAY
from services.forecasting.domain.propensity import BoolArray, Decile, FloatArray, Moment, Reason

CATEGORIES_MAX = 100
HORIZON_DAYS, KEPT = 28, 5
MODEL_ID = "categories"
"""The one name under which a tenant's models are kept."""
TASTE_WINDOWS_DAYS = (30, 90, 365)

IntArray = npt.NDArray[np.int64]


class CategoryPreferenceModelNotFound(NotFound):
    """No model of category preferences was fitted, or not that version."""


class ModelNotKept(FailedPrecondition):
    """The model was fitted when nothing was kept that could be asked again, or another way of asking."""


class TooFewCategories(FailedPrecondition):
    """The orders name fewer than two categories: there is nothing to prefer."""


@dataclass(frozen=True, slots=True)
class Tastes:
    """What each customer had bought of each category at a moment, one entry for each pair that there is.

    ``moment``: the customers; its ``reached`` is of no use. ``customers`` and ``categories`` are places among them and
    among ``names``. Days are those whose lines of the category come to more than zero. ``bought_later``: a row a pair,
    customer and category, of who bought within the horizon after the moment; of no use where that was not over.
    """

    moment: Moment
    names: tuple[str, ...]
    customers: IntArray
    categories: IntArray
    recency_days: FloatArray
    first_days: FloatArray
    """How many days ago the first was."""
    days: FloatArray
    days_in_horizon: FloatArray
    """Within the last days, as many as the horizon has."""
    days_in: FloatArray
    """A row a pair, a column for each of ``TASTE_WINDOWS_DAYS``."""
    amount: FloatArray
    bought_later: IntArray

    def __len__(self) -> int:
        return len(self.moment)

    def labels(self) -> BoolArray:
        """Who bought of what within the horizon: a row a customer, a column a category."""
        found = np.zeros((len(self), len(self.names)), dtype=np.bool_)
        found[self.bought_later[:, 0], self.bought_later[:, 1]] = True
        return found


class RankingMethod(IntEnum):
    """How an order of categories is found; the numbers are those of the contract."""

    MODEL = 1
    PERSONAL_FREQUENCY = 2
    POPULARITY = 3


@dataclass(frozen=True, slots=True)
class Ranking:
    """How good an order of categories was."""

    method: RankingMethod
    hit_rate: float
    hit_rate_of_three: float
    average_precision: float
    log_loss: float


@dataclass(frozen=True, slots=True)
class CategoryQuality:
    """Probabilities of one category against what came. ``None`` where a measure would divide by zero."""

    category: str
    base_rate: float
    probability: float
    """The mean over the customers."""
    log_loss: float
    personal_frequency_log_loss: float
    base_log_loss: float
    average_precision: float | None
    calibration_error: float
    first_count: int
    """Of how many customers it was the likeliest."""
    first_hit_rate: float | None
    first_three_count: int
    first_three_hit_rate: float | None
    deciles: tuple[Decile, ...]


@dataclass(frozen=True, slots=True)
class PreferenceQuality:
    """Probabilities of categories against what came.

    ``deciles`` are of pairs of customers and categories. The last three are unknown of models of before they were
    measured.
    """

    start: int
    """Microseconds."""
    customer_count: int
    buyer_count: int
    base_rate: float
    calibration_error: float
    rankings: tuple[Ranking, ...]
    base_log_loss: float | None = None
    deciles: tuple[Decile, ...] = ()
    categories: tuple[CategoryQuality, ...] = ()


@dataclass(frozen=True, slots=True)
class CategoryPreferenceModel:
    """A fitted model. Times are microseconds."""

    version: int
    horizon_days: int
    currency: str
    fit_time: int
    as_of: int
    customer_count: int
    categories: tuple[str, ...]
    moment_count: int
    quality: PreferenceQuality
    importance: Mapping[str, float]
    """By feature, the most important first; together 1."""
    warnings: tuple[str, ...]
    kept: int = KEPT
    """How many categories of each customer."""
    learnt: Mapping[str, Any] = field(default_factory=dict)
    """What gives the probabilities, as ``learning.propensity`` writes it, and what all customers told of categories, as
    ``learning.preference`` does; without either in models of before it was kept."""
    model_id: str = MODEL_ID

    @property
    def horizon(self) -> int:
        """In microseconds."""
        return self.horizon_days * DAY


@dataclass(frozen=True, slots=True)
class CategoryPreference:
    """How likely a customer is to buy of a category; ``share``: of the sum over all categories."""

    category: str
    probability: float
    share: float
    reasons: tuple[Reason, ...] = ()
    """What moved the probability most, the strongest first."""


@dataclass(frozen=True, slots=True)
class CategoryPreferences:
    """Of which categories a customer is likely to buy, the likeliest first."""

    version: int
    customer_id: str
    as_of: int
    horizon_days: int
    categories: tuple[CategoryPreference, ...]
    model_id: str = MODEL_ID
    fit_time: int = 0
    """Zero: not said, as all was before it was."""


def likeliest(likely: FloatArray, kept: int) -> IntArray:
    """The places of the ``kept`` highest of each row, the highest first."""
    return np.argsort(-likely, axis=1, kind="stable")[:, :kept]


def preferences(
    names: Sequence[str], likely: FloatArray, best: IntArray, reasons: Iterable[tuple[Reason, ...]]
) -> list[tuple[CategoryPreference, ...]]:
    """Those at the places ``best`` of each row of probabilities, which has a column for each of ``names``; ``reasons``:
    of each of these, row by row."""
    whole, why = likely.sum(axis=1), iter(reasons)
    return [
        tuple(
            CategoryPreference(names[at], float(likely[row, at]), float(likely[row, at] / whole[row]), next(why))
            for at in columns
        )
        for row, columns in enumerate(best.tolist())
    ]
