"""Forecasts for a panel of series: backtest all methods, weigh them for each series, combine, calibrate."""

from dataclasses import dataclass, field

import numpy as np

from services.forecasting.learning import methods
from services.forecasting.learning.accuracy import Errors, errors, seasonal_change
from services.forecasting.learning.boosting import Boosted
from services.forecasting.learning.combination import combine, weights, weights_without_each_origin
from services.forecasting.learning.explanation import take_apart
from services.forecasting.learning.histories import FloatArray, IntArray
from services.forecasting.learning.intervals import calibrate, coverage
from services.forecasting.learning.known_ahead import LEARNERS, Learners
from services.forecasting.learning.lagged import Known
from services.forecasting.learning.reconciliation import reconcile, togetherness
from services.forecasting.learning.rolling_origin import Backtest, backtest
from services.forecasting.learning.totals import total_deviations
from services.forecasting.learning.what_if import DriverResponse

_INTERMITTENT_SHARE = 0.5
_SHORT_METHOD = methods.NAMES.index("recent_mean")
_LAST_YEAR = methods.NAMES.index(methods.LAST_YEAR)
_AWARE = (methods.LAST_YEAR, methods.LAST_YEAR_GROWN, methods.GRADIENT_BOOSTING, methods.NEURAL_NETWORK)
_YEAR_AWARE = [methods.NAMES.index(it) for it in _AWARE]
# The origins of a backtest of less than three years seldom hold the weeks that make a year: a method that cannot see
# them looks better there than it is. Of 1, 1.1, 1.2 and 1.5 the last was best on two earlier ends of Walmart's weeks.
_YEAR_BLIND_CHARGE = 1.5
_CHANGE_MIN = 1e-3
_NAIVE = methods.NAMES.index(methods.SEASONAL_NAIVE)


@dataclass(frozen=True, slots=True)
class SeriesForecast:
    """The forecast of one series."""

    points: FloatArray
    scale: FloatArray
    """Half-width of an interval by step, before the level's quantile."""
    quantiles: FloatArray
    """By level, 1 to 99 per cent."""
    weights: dict[str, float]
    """By method, the heaviest first; they sum to 1."""
    origin_count: int
    accuracy: Errors | None
    seasonal_naive: Errors | None
    coverage: FloatArray | None
    """By level, 1 to 99 per cent."""
    total_deviation: float
    """The standard deviation of the error of the sum over all steps."""
    parts: dict[str, FloatArray] = field(default_factory=dict)
    """By what moves the series, and step; they add up to ``points``. Empty where nothing is known but the calendar."""
    response: DriverResponse | None = None
    """How the forecast answers to other drivers."""


@dataclass(frozen=True, slots=True)
class PanelForecast:
    """The forecasts of all series, and the models of trees that were fitted for them, the newest first."""

    series: list[SeriesForecast]
    models: list[Boosted]


def forecast_panel(
    series: list[FloatArray],
    period: int,
    horizon: int,
    calendar: FloatArray | None = None,
    parents: IntArray | None = None,
    known: Known | None = None,
    learners: Learners = LEARNERS,
) -> PanelForecast:
    """Forecast each series; all end at the same time, none is empty and every value is finite.

    ``calendar`` has a row for each period from the first of the longest series to the last that is forecast. With
    ``parents``, as ``reconcile`` has them, forecasts add up, and errors and intervals are those of such forecasts. With
    what else is ``known``, methods that need it, and the ``learners``, compete too, and forecasts are taken apart.
    """
    longest = max(len(one) for one in series)
    days = np.zeros((longest + horizon, 0)) if calendar is None else calendar
    ahead, past, learnt = backtest(series, period, horizon, days, known, learners)
    floor = np.array([0.0 if one.min() >= 0 else -np.inf for one in series])
    losses = _losses(past, series)
    if known is not None and not known.rhythm.seasons and known.rhythm.year > period:
        losses = losses * _year_charge(ahead)[:, :, None]
    shares = _with_fallback(weights(losses), ahead)
    combined = combine(ahead, shares)
    points = np.maximum(combined, floor[:, None])
    held_out = combine(past.forecasts, weights_without_each_origin(losses))
    held_out = np.maximum(held_out, floor[:, None, None])
    spread = np.array([_spread(one, horizon) for one in series])
    lengths = np.array([float(len(one)) for one in series])
    if parents is not None:
        variance = calibrate(past.actuals - held_out, spread, lengths).scale ** 2
        together = togetherness(past.actuals - held_out, parents)
        points = reconcile(points, variance, parents, floor, together)
        held_out = reconcile(held_out, variance[:, None, :], parents, floor, together)
    calibration = calibrate(past.actuals - held_out, spread, lengths)
    covered = coverage(past.actuals - held_out, spread, lengths)
    counts = past.origin_counts.astype(np.int64)
    totals = total_deviations(past.actuals - held_out, calibration.scale)
    apart = take_apart(series, period, horizon, days, learnt, shares, points - combined) if learnt else None
    found = [
        SeriesForecast(
            points=points[s],
            scale=calibration.scale[s],
            quantiles=calibration.quantiles[s],
            weights=_named(shares[:, s]),
            origin_count=int(counts[s]),
            accuracy=_errors(held_out[s], past.actuals[s], one, period),
            seasonal_naive=_errors(past.forecasts[_NAIVE, s], past.actuals[s], one, period),
            coverage=covered[s] if counts[s] else None,
            total_deviation=float(totals[s]),
            parts=apart.parts_of(s, points[s]) if apart else {},
            response=apart.response_of(s) if apart else None,
        )
        for s, one in enumerate(series)
    ]
    return PanelForecast(found, list(learnt.models.values()) if learnt else [])


def _losses(past: Backtest, series: list[FloatArray]) -> FloatArray:
    """By method, series and origin: the mean absolute error, or its square's root where most figures are zero.

    (The absolute error of an intermittent series is least for a forecast of zero, which is of no use to anyone.)
    """
    size = np.abs(past.forecasts - past.actuals)
    power = np.array([2.0 if (one == 0).mean() > _INTERMITTENT_SHARE else 1.0 for one in series])[:, None]
    present = np.isfinite(size)
    counts = present.sum(axis=3)
    total = (np.where(present, size, 0.0) ** power[:, :, None]).sum(axis=3)
    return np.where(counts > 0, (total / np.maximum(counts, 1)) ** (1 / power), np.nan)


def _year_charge(ahead: FloatArray) -> FloatArray:
    """By method and series: what errors are multiplied by, where a year is known that only some methods look at."""
    charge = np.full(ahead.shape[:2], _YEAR_BLIND_CHARGE)
    charge[_YEAR_AWARE] = 1.0
    return np.where(np.isfinite(ahead[_LAST_YEAR]).all(axis=1), charge, 1.0)


def _with_fallback(shares: FloatArray, ahead: FloatArray) -> FloatArray:
    """Where nothing could be compared, or what was chosen does not reach the end: the recent mean."""
    usable = np.isfinite(ahead).all(axis=2)
    kept = np.where(usable, shares, 0.0)
    kept[_SHORT_METHOD] += kept.sum(axis=0) <= 0
    share: FloatArray = kept / kept.sum(axis=0)
    return share


def _spread(one: FloatArray, horizon: int) -> float:
    """How far a figure may be off, for a series without a backtest: its size if there is only one; else between its
    spread, which suits series that return to a mean, and its change over half of the horizon, which suits walks."""
    if len(one) < 2:
        return float(np.abs(one[0]))
    lag = max(min(horizon // 2, len(one) // 3), 1)
    around, change = np.abs(one - one.mean()).mean(), np.abs(one[lag:] - one[:-lag]).mean()
    return 1.5 * float(np.sqrt(around * max(change, _CHANGE_MIN * around)))


def _named(shares: FloatArray) -> dict[str, float]:
    order: IntArray = np.argsort(-shares, kind="stable")
    return {methods.NAMES[m]: float(shares[m]) for m in order if shares[m] > 0}


def _errors(forecasts: FloatArray, actuals: FloatArray, one: FloatArray, period: int) -> Errors | None:
    if not (np.isfinite(forecasts) & np.isfinite(actuals)).any():
        return None
    return errors(forecasts, actuals, seasonal_change(one, period))
