"""Forecasts taken apart: what the level, the season, the calendar and each driver add, step by step.

Regressions are sums already. Trees are taken apart by their SHAP values (S. M. Lundberg et al., Nature Machine
Intelligence 2020), which add up to the prediction exactly. The other methods have a level and a season; the network's
are the straight line through its forecast and what is left.
"""

from dataclasses import dataclass

import numpy as np

from services.forecasting.learning import boosting
from services.forecasting.learning.histories import FloatArray, side_by_side
from services.forecasting.learning.known_ahead import Learnt
from services.forecasting.learning.lagged import CALENDAR, LEVEL, SEASON, ahead
from services.forecasting.learning.methods import (
    DRIVER_REGRESSION,
    GRADIENT_BOOSTING,
    LAST_YEAR,
    LAST_YEAR_GROWN,
    NAMES,
    NEURAL_NETWORK,
    SMOOTHING_COUNT,
)
from services.forecasting.learning.regression import Drivers, Regressed, regress
from services.forecasting.learning.rolling_origin import Ahead
from services.forecasting.learning.what_if import DriverResponse

ADJUSTMENT = "adjustment"
"""What cutting off below zero, and making forecasts add up, changed."""
_REGRESSION = SMOOTHING_COUNT
_LAST_YEAR, _GROWN = NAMES.index(LAST_YEAR), NAMES.index(LAST_YEAR_GROWN)
_NETWORK = NAMES.index(NEURAL_NETWORK)
_WITH_DRIVERS, _BOOSTED = NAMES.index(DRIVER_REGRESSION), NAMES.index(GRADIENT_BOOSTING)


@dataclass(frozen=True, slots=True)
class Apart:
    """What each part adds to the forecasts of all series, and what is needed to ask again."""

    learnt: Learnt
    parts: dict[str, FloatArray]
    """By name; by series and step."""
    shares: FloatArray
    coefficients: FloatArray
    covariance: FloatArray

    def parts_of(self, series: int, points: FloatArray) -> dict[str, FloatArray]:
        """By name; they add up to ``points``, what rounding leaves over is the level's."""
        found = {name: part[series] for name, part in self.parts.items() if name == LEVEL or part[series].any()}
        others = sum((part for name, part in found.items() if name != LEVEL), np.zeros_like(points))
        return found | {LEVEL: points - others}

    def response_of(self, series: int) -> DriverResponse | None:
        """How the series' forecast answers to its drivers; ``None`` without any."""
        panel = self.learnt.panel
        known = panel.known
        if not known.driver_names:
            return None
        horizon = known.drivers.shape[1] - panel.length
        rows = ahead(np.array([series]), np.array([panel.length]), horizon)
        around = known.drivers[series, panel.length - 1 :]
        return DriverResponse(
            names=known.driver_names,
            around=np.concatenate([around, around[-1:]]),
            regression_weight=float(self.shares[_WITH_DRIVERS, series]),
            coefficients=self.coefficients[series],
            covariance=self.covariance[series],
            boosting_weight=float(self.shares[_BOOSTED, series]),
            level=float(panel.levels(rows)[0]),
            features=boosting.matrix(panel, rows),
        )


def take_apart(
    series: list[FloatArray],
    period: int,
    calendar: FloatArray,
    learnt: Learnt,
    ahead: Ahead,
    shares: FloatArray,
    adjustment: FloatArray,
) -> Apart:
    """``shares``: the weights of the methods by method and series; ``adjustment`` by series and step."""
    histories, _ = side_by_side(series)
    of, ends, horizon = histories.series, np.full(len(series), histories.length), ahead.levels.shape[2]
    known = learnt.panel.known
    names = (LEVEL, SEASON, CALENDAR, *known.driver_names)
    total = np.zeros((len(names), len(series), horizon))
    forecasts, share = ahead.forecasts[:SMOOTHING_COUNT], shares[:SMOOTHING_COUNT, :, None]
    used = (share > 0) & np.isfinite(forecasts)
    total[0] = np.where(used, share * ahead.levels, 0.0).sum(axis=0)
    total[1] = np.where(used, share * (forecasts - ahead.levels), 0.0).sum(axis=0)
    count = len(known.driver_names)
    coefficients, covariance = np.zeros((len(series), count)), np.zeros((len(series), count, count))
    for method, drivers in ((_REGRESSION, None), (_WITH_DRIVERS, Drivers(known.drivers, of) if count else None)):
        if shares.shape[0] <= method or not shares[method].any():
            continue
        for columns, found in regress(histories, period, horizon, calendar, ends, drivers):
            here = of[columns]
            total[:, here] += shares[method, here, None] * _regressed(found, count)
            if drivers is not None:
                coefficients[here], covariance[here] = found.coefficients, found.covariance
    total += _boosted(learnt, shares, names, horizon)
    total[:2] += _year_ago(learnt, shares, horizon) + _networked(learnt, shares, horizon)
    parts = dict(zip(names, total, strict=True)) | {ADJUSTMENT: np.where(np.abs(adjustment) > 0, adjustment, 0.0)}
    return Apart(learnt, parts, shares, coefficients, covariance)


def _regressed(found: Regressed, count: int) -> FloatArray:
    """By part, history and step; drivers that were not used add nothing."""
    drivers = found.drivers.transpose(2, 0, 1) if found.drivers.shape[2] else np.zeros((count, *found.level.shape))
    return np.concatenate([np.stack([found.level, found.season, found.calendar]), drivers])


def _year_ago(learnt: Learnt, shares: FloatArray, horizon: int) -> FloatArray:
    """What the methods of last year say: a level, and how far from it the same phase was."""
    panel = learnt.panel
    count = shares.shape[1]
    rows = ahead(np.arange(count), np.full(count, panel.length), horizon)
    level = panel.levels(rows).reshape(count, horizon)
    last_year = panel.year_ago(rows)
    total = np.zeros((2, count, horizon))
    for method, found in ((_LAST_YEAR, last_year), (_GROWN, last_year * panel.growth(rows))):
        share = shares[method][:, None]
        away = np.where(share > 0, found.reshape(count, horizon) - level, 0.0)
        total += share * np.stack([np.where(share > 0, level, 0.0), away])
    return total


def _networked(learnt: Learnt, shares: FloatArray, horizon: int) -> FloatArray:
    """What the network says: its straight line over the steps is the level, with its trend, the rest is the season."""
    total = np.zeros((2, shares.shape[1], horizon))
    series = np.flatnonzero(shares[_NETWORK] > 0) if len(shares) > _NETWORK else np.zeros(0, dtype=np.int64)
    network = learnt.network(learnt.panel.length)
    if network is None or not len(series):
        return total
    found = network.forecast(learnt.panel, np.full(len(series), learnt.panel.length), series)
    degree = min(horizon - 1, 1)
    line = np.polynomial.polynomial.polyfit(np.arange(horizon), found.T, degree)
    level = np.polynomial.polynomial.polyval(np.arange(horizon), line)
    total[:, series] = np.stack([level, found - level]) * shares[_NETWORK, series, None]
    return total


def _boosted(learnt: Learnt, shares: FloatArray, names: tuple[str, ...], horizon: int) -> FloatArray:
    panel = learnt.panel
    total = np.zeros((len(names), shares.shape[1], horizon))
    series = np.flatnonzero(shares[_BOOSTED] > 0) if len(shares) > _BOOSTED else np.zeros(0, dtype=np.int64)
    model = learnt.of(panel.length)
    if model is None or not len(series):
        return total
    rows = ahead(series, np.full(len(series), panel.length), horizon)
    size = panel.levels(rows) * np.repeat(shares[_BOOSTED, series], horizon)
    found = model.contributions(boosting.matrix(panel, rows)) * size[:, None]
    base = panel.base(rows)
    adds = {LEVEL: found[:, -1] + size, SEASON: (base - 1.0) * size}
    for part, column in zip(boosting.parts(panel), found[:, :-1].T, strict=True):
        adds[part] = adds.get(part, np.zeros(len(rows))) + column
    for part, values in adds.items():
        total[names.index(part), series] = values.reshape(len(series), horizon)
    return total
