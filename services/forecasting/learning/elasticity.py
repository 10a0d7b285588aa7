"""Price and promotion elasticities: a Poisson regression for each product, drawn together within categories.

The logarithm of expected units is a level, a trend, a yearly season, what the rest of the shop sells, the logarithm of
the price and the promotion. It is fitted by Poisson pseudo-maximum likelihood (Santos Silva and Tenreyro, "The log of
gravity", 2006) rather than as a regression of logarithms, so that periods without a sale count and small figures do not
pull it. Errors allow for variance beyond Poisson's and for noise that lasts (Newey and West, 1987). Then each product
is drawn towards the mean of its category, and each category towards that of all, as far as differences are no more than
noise explains (empirical Bayes with DerSimonian and Laird's variance, 1986).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from services.forecasting.domain.propensity import FloatArray
from services.forecasting.domain.uplift import IntArray

LEVEL = 0.9
WIDTH = float(ndtri((1 + LEVEL) / 2))
VARIATION_MIN = 0.01
_YEAR_DAYS, _HARMONICS, _SEASONS_MIN = 365.25, 2, 1.5
_STEPS, _TOLERANCE, _RIDGE = 30, 1e-8, 1e-8
_ODDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Own:
    """What products' own histories say: a figure and its standard error by product; NaN where they say nothing."""

    value: FloatArray
    error: FloatArray


@dataclass(frozen=True, slots=True)
class Answers:
    """How products answer: to the price, to promotions, and how far the price's logarithm moved by itself."""

    price: Own
    promotion: Own
    variation: FloatArray


def answers(
    units: FloatArray, prices: FloatArray, promotions: FloatArray, period_days: float, periods_min: int
) -> Answers:
    """``units``, ``prices`` and ``promotions`` by product and period; prices are above zero where units are.

    A product counts from its first sale to its last, with at least ``periods_min`` periods.
    """
    rest = _rest(units)
    figures = np.full((len(units), 4), np.nan)
    variation = np.zeros(len(units))
    for row in range(len(units)):
        sold = np.flatnonzero(units[row] > 0)
        if not len(sold) or (prices[row] <= 0).any():
            continue
        span = slice(int(sold[0]), int(sold[-1]) + 1)
        if span.stop - span.start < periods_min:
            continue
        known = _known(span, rest[row, span], period_days)
        figures[row], variation[row] = _answer(
            units[row, span], np.log(prices[row, span]), promotions[row, span], known
        )
    return Answers(Own(figures[:, 0], figures[:, 1]), Own(figures[:, 2], figures[:, 3]), variation)


def _rest(units: FloatArray) -> FloatArray:
    """The logarithm of what all other products sell, by product and period."""
    found: FloatArray = np.log1p(np.maximum(units.sum(axis=0) - units, 0.0))
    return found


def _known(span: slice, rest: FloatArray, period_days: float) -> FloatArray:
    """What moves demand beside price and promotion; a column each, the first of ones."""
    count = span.stop - span.start
    columns = [np.ones(count), np.linspace(-1, 1, count)]
    if count * period_days >= _SEASONS_MIN * _YEAR_DAYS:
        turn = 2 * np.pi * np.arange(span.start, span.stop) * period_days / _YEAR_DAYS
        for number in range(1, _HARMONICS + 1):
            columns += [np.sin(number * turn), np.cos(number * turn)]
    if np.ptp(rest) > 0:
        columns.append(rest - rest.mean())
    return np.column_stack(columns)


def _answer(
    units: FloatArray, price: FloatArray, promotion: FloatArray, known: FloatArray
) -> tuple[tuple[float, float, float, float], float]:
    """Elasticity, its error, the promotion's coefficient, its error; and how far the price moved by itself."""
    nan = float("nan")
    promoted = np.ptp(promotion) > 0
    others = np.column_stack([known, promotion]) if promoted else known
    variation = float(_beside(price, others).std())
    moved = variation >= VARIATION_MIN
    design = np.column_stack([known, *([price - price.mean()] if moved else []), *([promotion] if promoted else [])])
    if not (moved or promoted) or len(units) <= 2 * design.shape[1]:
        return (nan, nan, nan, nan), variation
    line, errors = poisson(design, units)
    at = known.shape[1]
    told = (line[at], errors[at]) if moved else (nan, nan)
    lifted = (line[-1], errors[-1]) if promoted else (nan, nan)
    return (float(told[0]), float(told[1]), float(lifted[0]), float(lifted[1])), variation


def _beside(values: FloatArray, others: FloatArray) -> FloatArray:
    line = np.linalg.lstsq(others, values, rcond=None)[0]
    found: FloatArray = values - others @ line
    return found


def poisson(design: FloatArray, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The coefficients of the logarithm of the expected counts, and their standard errors; the first column is ones."""
    line = np.zeros(design.shape[1])
    line[0] = np.log(counts.mean())
    ridge = _RIDGE * counts.sum() * np.eye(len(line))
    expected = np.full(len(counts), counts.mean())
    for _ in range(_STEPS):
        curve = (design.T * expected) @ design + ridge
        step = np.linalg.solve(curve, design.T @ (counts - expected))
        line = line + step / max(1.0, float(np.abs(step).max()))
        expected = np.exp(np.clip(design @ line, -_ODDS_MAX, _ODDS_MAX))
        if np.abs(step).max() < _TOLERANCE:
            break
    return line, _errors(design, counts, expected)


def _errors(design: FloatArray, counts: FloatArray, expected: FloatArray) -> FloatArray:
    """The larger of what a constant dispersion and what lasting noise makes of the errors."""
    count, width = design.shape
    inverse = np.linalg.inv((design.T * expected) @ design + _RIDGE * counts.sum() * np.eye(width))
    free = max(count - width, 1)
    dispersion = float(np.sum((counts - expected) ** 2 / np.maximum(expected, 1e-9))) / free
    plain = dispersion * np.diag(inverse)
    scores = design * (counts - expected)[:, None]
    lags = int(4 * (count / 100) ** (2 / 9))
    meat = scores.T @ scores
    for lag in range(1, lags + 1):
        cross = scores[lag:].T @ scores[:-lag]
        meat = meat + (1 - lag / (lags + 1)) * (cross + cross.T)
    lasting = np.diag(inverse @ meat @ inverse) * count / free
    found: FloatArray = np.sqrt(np.maximum(np.maximum(plain, lasting), 0.0))
    return found


@dataclass(frozen=True, slots=True)
class Drawn:
    """Figures drawn together: by product, by group and of all; each with its standard error."""

    value: FloatArray
    error: FloatArray
    group_value: FloatArray
    group_error: FloatArray
    mean: float
    mean_error: float


def drawn_together(own: Own, group: IntArray, groups: int) -> Drawn | None:
    """Each product drawn to the mean of its group (numbers from 0), each group to that of all; ``None`` without any."""
    known = np.flatnonzero(np.isfinite(own.value) & np.isfinite(own.error) & (own.error > 0))
    if not len(known):
        return None
    value, variance, of = own.value[known], own.error[known] ** 2, group[known]
    within = _within(value, variance, of)
    weight = 1 / (variance + within)
    total = np.bincount(of, weight, groups)
    there = total > 0
    raw = np.where(there, np.bincount(of, weight * value, groups) / np.where(there, total, 1.0), np.nan)
    raw_variance = np.where(there, 1 / np.where(there, total, 1.0), np.inf)
    between = dersimonian_laird(raw[there], raw_variance[there])
    weights = 1 / (raw_variance[there] + between)
    mean, mean_variance = float(weights @ raw[there] / weights.sum()), float(1 / weights.sum())
    mean_variance = mean_variance if len(known) > 1 else float(variance[0])
    group_value, group_variance = _towards(raw, raw_variance, np.full(groups, mean), mean_variance, between)
    centre, centre_variance = group_value[group], group_variance[group]
    everyone = np.full(len(own.value), np.nan)
    everyone[known] = value
    all_variance = np.full(len(own.value), np.inf)
    all_variance[known] = variance
    found, found_variance = _towards(everyone, all_variance, centre, centre_variance, within)
    return Drawn(
        found, np.sqrt(found_variance), group_value, np.sqrt(group_variance), mean, float(np.sqrt(mean_variance))
    )


def _towards(
    value: FloatArray, variance: FloatArray, centre: FloatArray, centre_variance: FloatArray | float, spread: float
) -> tuple[FloatArray, FloatArray]:
    """Figures drawn to centres about which the truths are spread; one that says nothing is the centre."""
    said = np.isfinite(variance)
    trust = np.where(said, spread / np.where(said, spread + variance, 1.0), 0.0)
    found = np.where(said, trust * np.nan_to_num(value) + (1 - trust) * centre, centre)
    left = np.where(said, trust * np.where(said, variance, 0.0), spread) + (1 - trust) ** 2 * centre_variance
    return found, np.asarray(left, dtype=np.float64)


def _within(value: FloatArray, variance: FloatArray, of: IntArray) -> float:
    """How far truths are spread within groups: the groups' own variances, by how much each tells."""
    parts: list[tuple[float, int]] = []
    for number in np.unique(of):
        rows = of == number
        if rows.sum() > 1:
            parts.append((dersimonian_laird(value[rows], variance[rows]), int(rows.sum()) - 1))
    if not parts:
        return dersimonian_laird(value, variance)
    return float(sum(spread * told for spread, told in parts) / sum(told for _, told in parts))


def dersimonian_laird(value: FloatArray, variance: FloatArray) -> float:
    """How far the truths behind noisy figures are spread: their variance, never below zero."""
    if len(value) < 2:
        return 0.0
    weight = 1 / variance
    mean = weight @ value / weight.sum()
    scatter = float(weight @ (value - mean) ** 2)
    scale = float(weight.sum() - (weight**2).sum() / weight.sum())
    return max(0.0, (scatter - (len(value) - 1)) / scale)


def grouped(names: Sequence[str]) -> tuple[IntArray, list[str]]:
    """The number of each name's group, and the names by number."""
    known = list(dict.fromkeys(names))
    place = {name: number for number, name in enumerate(known)}
    return np.array([place[name] for name in names], dtype=np.int64), known
