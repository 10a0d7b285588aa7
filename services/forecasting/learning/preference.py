"""How likely customers are to buy of each category: trees over pairs of customer and category, calibrated.

Each pair is a row: what the customer bought of the category, how that compares with what they buy at all, how many
others buy of it, and how near it lies to what they buy otherwise (the mean cosine between categories over customers:
Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms", 2001). The trees, their number and their
calibration are those of propensities (``learning/propensity.py``): all pairs of a customer are in the same part.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.special import logit

from services.forecasting.domain.preference import (
    TASTE_WINDOWS_DAYS,
    CategoryPreference,
    CategoryQuality,
    PreferenceQuality,
    Ranking,
    RankingMethod,
    Tastes,
    likeliest,
    preferences,
)
from services.forecasting.domain.propensity import FEATURES, BoolArray, FloatArray, Moment
from services.forecasting.learning.propensity import PropensityTrees, average_precision, load, quality, reasons

ROWS_MAX = 300_000
MEASURED_MAX = 1_000_000
CHUNK = 1_000
_PRIOR_DAYS = 90.0
_PROBABILITY_MIN = 1e-6
_OF_CUSTOMERS = (
    "recency_days",
    "tenure_days",
    "purchase_days",
    "gap_days",
    "overdue",
    "lines_per_purchase",
    "categories",
    *(f"purchase_days_in_{days}" for days in TASTE_WINDOWS_DAYS),
)
PAIR_FEATURES = (
    *_OF_CUSTOMERS,
    "category_recency_days",
    "category_first_days",
    "category_days",
    "category_gap_days",
    "category_overdue",
    "category_day_share",
    "category_amount_share",
    "category_frequency",
    "category_affinity",
    "category_popularity",
    *(f"category_days_in_{days}" for days in TASTE_WINDOWS_DAYS),
    *(f"category_popularity_in_{days}" for days in TASTE_WINDOWS_DAYS),
)
"""What is known of a customer and a category; the first ones are those of the customer (``domain/propensity.py``)."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """What all customers tell of categories: arrays by category, ``near`` by category and category."""

    popularity: FloatArray
    """The share of customers who bought of it within the last days, as many as the horizon has."""
    popularity_in: FloatArray
    """The same of each of ``TASTE_WINDOWS_DAYS``: a row each."""
    daily: FloatArray
    """Purchases of it by customer and day."""
    near: FloatArray
    """The cosine between the customers of two categories within a year; zero of one with itself."""

    def dump(self) -> dict[str, bytes]:
        """As plain values."""
        return {it.name: getattr(self, it.name).tobytes() for it in fields(self)}


def load_crowd(plain: Mapping[str, bytes]) -> Crowd:
    """What ``dump`` gave."""
    read = {name: np.frombuffer(values, dtype=np.float64) for name, values in plain.items()}
    width = len(read["popularity"])
    square = {name: read[name].reshape(-1, width) for name in ("popularity_in", "near")}
    return Crowd(popularity=read["popularity"], daily=read["daily"], **square)


def crowd(it: Tastes) -> Crowd:
    """What the tastes of all come to."""
    count, width = max(len(it), 1), len(it.names)

    def share(days: FloatArray) -> FloatArray:
        return np.bincount(it.categories[days > 0], minlength=width) / count

    tenure = it.moment.features[:, FEATURES.index("tenure_days")]
    within = it.days_in[:, -1] > 0
    ones = np.ones(int(within.sum()))
    owned = csr_array((ones, (it.customers[within], it.categories[within])), shape=(len(it), width))
    together = (owned.T @ owned).toarray()
    size = np.sqrt(np.maximum(np.diag(together), 1.0))
    near = together / size[:, None] / size
    np.fill_diagonal(near, 0.0)
    return Crowd(
        popularity=share(it.days_in_horizon),
        popularity_in=np.vstack([share(column) for column in it.days_in.T]),
        daily=np.bincount(it.categories, weights=it.days, minlength=width) / max(float(tenure.sum()), 1.0),
        near=near,
    )


def frequency(it: Tastes, known: Crowd, rows: slice, horizon_days: int) -> FloatArray:
    """The probability of a purchase by how often there were any, drawn to how often all buy: gamma and Poisson."""
    days, tenure = _dense(it, rows, it.days, 0.0), _customer(it, "tenure_days", rows)[:, None]
    rate = (days + _PRIOR_DAYS * known.daily) / (tenure + _PRIOR_DAYS)
    found: FloatArray = -np.expm1(-rate * horizon_days)
    return found


def pairs(it: Tastes, known: Crowd, rows: slice, horizon_days: int) -> FloatArray:
    """The features of the pairs of some customers: a row for each customer and category, in this order."""
    nothing = np.nan
    days, recency = _dense(it, rows, it.days, 0.0), _dense(it, rows, it.recency_days, nothing)
    first = _dense(it, rows, it.first_days, nothing)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where(days > 1, (first - recency) / (days - 1), nothing)
        overdue = recency / gap
        day_share = days / _customer(it, "purchase_days", rows)[:, None]
        amount_share = _dense(it, rows, it.amount, 0.0) / _customer(it, "amount", rows)[:, None]
    windows = [_dense(it, rows, column, 0.0) for column in it.days_in.T]
    owned = (windows[-1] > 0).astype(np.float64)
    affinity = owned @ known.near / np.maximum(owned.sum(axis=1, keepdims=True), 1.0)
    by_pair = [recency, first, days, gap, overdue, day_share, amount_share]
    by_pair += [frequency(it, known, rows, horizon_days), affinity]
    by_category = [np.broadcast_to(row, days.shape) for row in (known.popularity, *known.popularity_in)]
    by_customer = [np.broadcast_to(_customer(it, name, rows)[:, None], days.shape) for name in _OF_CUSTOMERS]
    columns = [*by_customer, *by_pair, by_category[0], *windows, *by_category[1:]]
    return np.column_stack([column.ravel() for column in columns])


def _customer(it: Tastes, name: str, rows: slice) -> FloatArray:
    found: FloatArray = it.moment.features[rows, FEATURES.index(name)]
    return found


def _dense(it: Tastes, rows: slice, values: FloatArray, otherwise: float) -> FloatArray:
    """Values of pairs, by customer of ``rows`` and category."""
    found = np.full((rows.stop - rows.start, len(it.names)), otherwise)
    inside = (it.customers >= rows.start) & (it.customers < rows.stop)
    found[it.customers[inside] - rows.start, it.categories[inside]] = values[inside]
    return found


def chunks(count: int) -> Iterator[slice]:
    """Some customers at a time."""
    for begin in range(0, count, CHUNK):
        yield slice(begin, min(begin + CHUNK, count))


def examples(it: Tastes, horizon_days: int, rows_max: int) -> Moment:
    """Pairs with whether they came, a random part of all where there are more than ``rows_max``."""
    known, labels, random = crowd(it), it.labels(), np.random.default_rng(1)
    share = min(rows_max / max(labels.size, 1), 1.0)
    ids: list[str] = []
    features, reached = [], []
    for rows in chunks(len(it)):
        chosen = np.flatnonzero(random.random(labels[rows].size) < share)
        features.append(pairs(it, known, rows, horizon_days)[chosen])
        reached.append(labels[rows].ravel()[chosen])
        ids.extend(it.moment.ids[rows.start + at] for at in (chosen // len(it.names)).tolist())
    return Moment(ids, np.vstack(features), np.concatenate(reached))


def likely(trees: PropensityTrees, it: Tastes, known: Crowd, rows: slice, horizon_days: int) -> FloatArray:
    """How likely some customers are to buy of each category: a row a customer, a column a category."""
    return trees.probabilities(pairs(it, known, rows, horizon_days)).reshape(-1, len(it.names))


def liked(
    names: Sequence[str], trees: PropensityTrees, it: Tastes, known: Crowd, rows: slice, horizon_days: int, kept: int
) -> list[tuple[CategoryPreference, ...]]:
    """The ``kept`` likeliest categories of some customers, with what moved each probability."""
    features = pairs(it, known, rows, horizon_days)
    said = trees.probabilities(features).reshape(-1, len(names))
    best = likeliest(said, kept)
    chosen = features[(np.arange(len(said))[:, None] * len(names) + best).ravel()]
    return preferences(names, said, best, reasons(PAIR_FEATURES, chosen, trees.contributions(chosen)))


def restored(learnt: Mapping[str, Any]) -> PropensityTrees | None:
    """The trees that were kept; ``None`` where there are none, or they go by other features than these."""
    trees = load(learnt) if learnt else None
    return trees if trees and trees.booster.num_feature() == len(PAIR_FEATURES) else None


def measure(start: int, trees: PropensityTrees, it: Tastes, horizon_days: int) -> PreferenceQuality:
    """Probabilities against what came, beside those of plain ways; of whom a moment knows at least one customer.

    Where there are more than ``MEASURED_MAX`` pairs, a part of the customers is measured: every second thousand, or
    fewer.
    """
    known, whole = crowd(it), it.labels()
    parts = list(chunks(len(it)))[:: -(-whole.size // MEASURED_MAX)]
    labels = np.vstack([whole[rows] for rows in parts])
    by_model = np.vstack([likely(trees, it, known, rows, horizon_days) for rows in parts])
    by_person = np.vstack([frequency(it, known, rows, horizon_days) for rows in parts])
    by_crowd = np.broadcast_to(known.popularity, labels.shape)
    overall = quality(start, by_model.ravel(), labels.ravel())
    buyers: BoolArray = np.any(labels, axis=1)
    said = zip(RankingMethod, (by_model, by_person, by_crowd), strict=True)
    return PreferenceQuality(
        start=start,
        customer_count=len(labels),
        buyer_count=int(buyers.sum()),
        base_rate=overall.base_rate,
        calibration_error=overall.calibration_error,
        rankings=tuple(ranking(method, each, labels, buyers) for method, each in said),
        base_log_loss=log_loss(np.broadcast_to(labels.mean(axis=0), labels.shape), labels),
        deciles=overall.deciles,
        categories=tuple(by_category(start, it.names, by_model, by_person, labels)),
    )


def by_category(
    start: int, names: Sequence[str], by_model: FloatArray, by_person: FloatArray, labels: BoolArray
) -> Iterator[CategoryQuality]:
    """How good the probabilities of each category were; rows are customers, columns are ``names``."""
    best = likeliest(by_model, 3)
    for at, name in enumerate(names):
        said, came = by_model[:, at], labels[:, at]
        found = quality(start, said, came)
        first, three = came[best[:, 0] == at], came[np.any(best == at, axis=1)]
        yield CategoryQuality(
            category=name,
            base_rate=found.base_rate,
            probability=float(said.mean()),
            log_loss=found.log_loss,
            personal_frequency_log_loss=log_loss(by_person[:, at], came),
            base_log_loss=log_loss(np.full(len(came), found.base_rate), came),
            average_precision=found.average_precision,
            calibration_error=found.calibration_error,
            first_count=len(first),
            first_hit_rate=float(first.mean()) if len(first) else None,
            first_three_count=len(three),
            first_three_hit_rate=float(three.mean()) if len(three) else None,
            deciles=found.deciles,
        )


def ranking(method: RankingMethod, said: FloatArray, labels: BoolArray, buyers: BoolArray) -> Ranking:
    """How good probabilities of customers and categories were; ``buyers``: who bought at all."""
    hits = np.take_along_axis(labels[buyers], likeliest(said[buyers], 3), axis=1)
    flat, came = np.clip(said.ravel(), _PROBABILITY_MIN, 1 - _PROBABILITY_MIN), labels.ravel().astype(np.float64)
    return Ranking(
        method=method,
        hit_rate=float(hits[:, 0].mean()) if len(hits) else 0.0,
        hit_rate_of_three=float(hits.any(axis=1).mean()) if len(hits) else 0.0,
        average_precision=average_precision(flat, came) or 0.0,
        log_loss=log_loss(said, labels),
    )


def log_loss(said: FloatArray, labels: BoolArray) -> float:
    """The mean negative logarithm of the probability of what came."""
    odds, came = logit(np.clip(said, _PROBABILITY_MIN, 1 - _PROBABILITY_MIN)), labels.astype(np.float64)
    return float(np.mean(np.logaddexp(0.0, odds) - came * odds))
