"""Forecasts for a panel of series: backtest all methods, weigh them for each series, combine, calibrate."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from services.forecasting.learning import methods
from services.forecasting.learning.accuracy import Errors, errors, seasonal_change, weighted_quantile_losses
from services.forecasting.learning.boosting import Boosted
from services.forecasting.learning.combination import combine, weights, weights_without_each_origin
from services.forecasting.learning.explanation import take_apart
from services.forecasting.learning.histories import FloatArray, IntArray
from services.forecasting.learning.intervals import Calibration, PastErrors, calibrate, coverage, without_each_origin
from services.forecasting.learning.known_ahead import LEARNERS, Learners, Learnt
from services.forecasting.learning.lagged import Known
from services.forecasting.learning.reconciliation import reconcile, togetherness
from services.forecasting.learning.rolling_origin import Ahead, Backtest, backtest
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
    unreconciled: Errors | None = None
    """Of the same forecasts before they were made to add up and agree; ``None`` where nothing was made to."""


@dataclass(frozen=True, slots=True)
class PanelForecast:
    """The forecasts of all series, and the models of trees that were fitted for them, the newest first."""

    series: list[SeriesForecast]
    models: list[Boosted]


@dataclass(frozen=True, slots=True)
class Weighed:
    """A panel whose methods are weighed: forecasts without intervals. Those of the past are by series, origin and
    step."""

    series: list[FloatArray]
    period: int
    calendar: FloatArray
    parents: IntArray | None
    ahead: Ahead
    past: Backtest
    learnt: Learnt | None
    shares: FloatArray
    combined: FloatArray
    """By series and step: the weighted mean alone."""
    points: FloatArray
    held_out: FloatArray
    alone: FloatArray | None = None
    """The forecasts of the past before they were made to add up or agree; ``None`` where nothing was made to."""

    @property
    def floor(self) -> FloatArray:
        """By series: what no forecast is below."""
        return np.array([0.0 if one.min() >= 0 else -np.inf for one in self.series])

    @property
    def residuals(self) -> FloatArray:
        """By series, origin and step; NaN where there is none."""
        return self.past.actuals - self.held_out

    def calibration(self) -> Calibration:
        """The intervals."""
        return calibrate(self._past_errors(self.held_out), self.points)

    def judged(self) -> tuple[FloatArray, FloatArray]:
        """How often intervals held, by series and level, and the weighted quantile loss by series; those of each origin
        found without it."""
        without = without_each_origin(self._past_errors(self.held_out))
        return coverage(self.residuals, without), self._losses(self.held_out, without)

    def naive_losses(self) -> FloatArray:
        """By series: the weighted quantile loss of the seasonal naive method."""
        naive = self.past.forecasts[_NAIVE]
        return self._losses(naive, without_each_origin(self._past_errors(naive)))

    def _losses(self, forecasts: FloatArray, by_origin: list[Calibration]) -> FloatArray:
        widths = [_half_width(it) for it in by_origin]
        half_widths = np.stack(widths, axis=1) if widths else np.zeros_like(forecasts)
        return weighted_quantile_losses(forecasts, self.past.actuals, half_widths, self.floor)

    def adding_up(self) -> "Weighed":
        """The same with the parts of each whole adding up to it."""
        if self.parents is None:
            return self
        variance = self.calibration().scale ** 2
        together = togetherness(self.residuals, self.parents)
        points = reconcile(self.points, variance, self.parents, self.floor, together)
        held_out = reconcile(self.held_out, variance[:, None, :], self.parents, self.floor, together)
        return self.changed(points, held_out)

    def changed(self, points: FloatArray, held_out: FloatArray) -> "Weighed":
        """The same with other forecasts."""
        alone = self.held_out if self.alone is None else self.alone
        return replace(self, points=points, held_out=held_out, alone=alone)

    def _past_errors(self, forecasts: FloatArray) -> PastErrors:
        """Those of such forecasts of the past."""
        spread = np.array([_spread(one, self.points.shape[1]) for one in self.series])
        residuals = self.past.actuals - forecasts
        return PastErrors(residuals, forecasts, self.past.origins, spread, np.isfinite(self.floor))


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
    return conclude(weigh(series, period, horizon, calendar, parents, known, learners).adding_up())


def weigh(
    series: list[FloatArray],
    period: int,
    horizon: int,
    calendar: FloatArray | None = None,
    parents: IntArray | None = None,
    known: Known | None = None,
    learners: Learners = LEARNERS,
    origins: Sequence[int] | None = None,
) -> Weighed:
    """Backtest all methods, and weigh them for each series; as ``forecast_panel``, which says what all of it is.
    ``origins``: how many periods each holds out; without it they are chosen."""
    longest = max(len(one) for one in series)
    days = np.zeros((longest + horizon, 0)) if calendar is None else calendar
    from_end, past, learnt = backtest(series, period, horizon, days, known, learners, origins)
    ahead = from_end.forecasts
    losses = _losses(past, series)
    if known is not None and not known.rhythm.seasons and known.rhythm.year > period:
        losses = losses * _year_charge(ahead)[:, :, None]
    shares = _with_fallback(weights(losses), ahead)
    combined = combine(ahead, shares)
    held_out = combine(past.forecasts, weights_without_each_origin(losses))
    found = Weighed(series, period, days, parents, from_end, past, learnt, shares, combined, combined, held_out)
    floor = found.floor[:, None]
    return replace(found, points=np.maximum(combined, floor), held_out=np.maximum(held_out, floor[:, None]))


def conclude(it: Weighed) -> PanelForecast:
    """With intervals, errors, and what makes the forecasts up."""
    calibration = it.calibration()
    (covered, losses), naive_losses = it.judged(), it.naive_losses()
    counts = np.isfinite(it.residuals).any(axis=2).sum(axis=1)
    totals = total_deviations(it.residuals, calibration.scale)
    apart = None
    if it.learnt:
        adjustment = it.points - it.combined
        apart = take_apart(it.series, it.period, it.calendar, it.learnt, it.ahead, it.shares, adjustment)
    found = [
        SeriesForecast(
            points=it.points[s],
            scale=calibration.scale[s],
            quantiles=calibration.quantiles[s],
            weights=_named(it.shares[:, s]),
            origin_count=int(counts[s]),
            accuracy=_errors(it.held_out[s], it.past.actuals[s], one, it.period, losses[s]),
            seasonal_naive=_errors(it.past.forecasts[_NAIVE, s], it.past.actuals[s], one, it.period, naive_losses[s]),
            coverage=covered[s] if counts[s] else None,
            total_deviation=float(totals[s]),
            parts=apart.parts_of(s, it.points[s]) if apart else {},
            response=apart.response_of(s) if apart else None,
            unreconciled=_alone(it, s),
        )
        for s, one in enumerate(it.series)
    ]
    return PanelForecast(found, list(it.learnt.models.values()) if it.learnt else [])


def _alone(it: Weighed, series: int) -> Errors | None:
    """The errors before anything was made to add up, where there are errors after it."""
    if it.alone is None:
        return None
    there = np.isfinite(it.held_out[series])
    before = np.where(there, it.alone[series], np.nan)
    return _errors(before, it.past.actuals[series], it.series[series], it.period)


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


def _half_width(it: Calibration) -> FloatArray:
    """By series and step: that of intervals of 80 %."""
    return it.quantiles[:, 79:80] * it.scale


def _errors(
    forecasts: FloatArray, actuals: FloatArray, one: FloatArray, period: int, loss: float = np.nan
) -> Errors | None:
    if not (np.isfinite(forecasts) & np.isfinite(actuals)).any():
        return None
    found = errors(forecasts, actuals, seasonal_change(one, period))
    return replace(found, wql=float(loss)) if np.isfinite(loss) else found
