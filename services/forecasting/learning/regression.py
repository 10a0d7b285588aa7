"""Ridge regression on a trend, the season as Fourier terms, the calendar and drivers, with its errors smoothed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from services.forecasting.learning.histories import FloatArray, Histories, IntArray
from services.forecasting.learning.smoothing import SIMPLE, smooth

_HARMONICS_MAX = 6
_SEASONS_MIN = 2
# Penalties in units of one observation: the season is well supported, the trend and the calendar must earn it. Drivers
# are scaled to a variance of 1 in each history.
_SEASON_PENALTY = 0.1
_CALENDAR_PENALTY = 2.0
_TREND_PENALTY = 5.0
_DRIVER_PENALTY = 1.0
_CORRELATION_MAX = 0.9
# The trend's column in the design.
_TREND = 1
_SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class Drivers:
    """What is known to move each history."""

    values: FloatArray
    """By series, period (from the first of the longest series to the last that is forecast) and driver; finite."""
    series: IntArray
    """Which series each history is of."""


@dataclass(frozen=True, slots=True)
class Regressed:
    """Forecasts of some histories, taken apart; in the units of the histories."""

    level: FloatArray
    season: FloatArray
    calendar: FloatArray
    drivers: FloatArray
    """By history, step and driver."""
    coefficients: FloatArray
    """What one more unit of a driver adds, by history and driver."""
    covariance: FloatArray
    """Of the coefficients, by history."""

    @property
    def forecasts(self) -> FloatArray:
        """By history and step."""
        found: FloatArray = self.level + self.season + self.calendar + self.drivers.sum(axis=2)
        return found


@dataclass(frozen=True, slots=True)
class _Design:
    """Columns for all periods: what they speak for, and their penalties."""

    columns: FloatArray
    penalties: FloatArray
    wave_count: int

    @property
    def calendar_start(self) -> int:
        return _TREND + 1 + self.wave_count


def regression(
    histories: Histories,
    period: int,
    horizon: int,
    calendar: FloatArray,
    ends: IntArray,
    drivers: Drivers | None = None,
) -> FloatArray:
    """Forecasts; NaN for a history too short to regress.

    ``calendar`` holds one row a period, from the first period of the longest series to the last that is forecast;
    ``ends`` says for each history before which of these rows it ends.
    """
    forecasts = np.full((histories.count, horizon), np.nan)
    for columns, found in regress(histories, period, horizon, calendar, ends, drivers):
        forecasts[columns] = found.forecasts
    return forecasts


def regress(
    histories: Histories,
    period: int,
    horizon: int,
    calendar: FloatArray,
    ends: IntArray,
    drivers: Drivers | None = None,
) -> Iterator[tuple[IntArray, Regressed]]:
    """The columns of histories that end together and are long enough, and their forecasts taken apart."""
    long_enough = histories.sizes >= _size_min(period)
    errors, fits = np.full_like(histories.values, np.nan), []
    for end in np.unique(ends):
        columns = np.flatnonzero((ends == end) & long_enough)
        if len(columns):
            moved = _aligned(drivers, columns, end, (histories.length, horizon))
            found, errors[:, columns] = _fit(
                histories.taken(columns), period, horizon, calendar[: end + horizon], moved
            )
            fits.append((columns, found))
    if fits:
        last = np.empty((histories.count, horizon))
        last[long_enough] = smooth(histories.replaced(errors).taken(np.flatnonzero(long_enough)), SIMPLE).forecast(
            horizon
        )
        yield from ((columns, replace(found, level=found.level + last[columns])) for columns, found in fits)


def _aligned(drivers: Drivers | None, columns: IntArray, end: int, shape: tuple[int, int]) -> FloatArray:
    """The drivers of some histories for each of their rows and steps; 0 in rows before the longest series."""
    length, horizon = shape
    count = 0 if drivers is None else drivers.values.shape[2]
    found = np.zeros((len(columns), length + horizon, count))
    if drivers is not None:
        found[:, length - end :] = drivers.values[drivers.series[columns], : end + horizon]
    return found


def _size_min(period: int) -> int:
    return max(_SEASONS_MIN * period, 10)


def _fit(
    histories: Histories, period: int, horizon: int, calendar: FloatArray, drivers: FloatArray
) -> tuple[Regressed, FloatArray]:
    """What is regressed of histories that end together, in their units, and its errors by row and history."""
    length = histories.length
    design = _design(length, period, horizon, calendar)
    past, ahead = design.columns[:-horizon], design.columns[-horizon:]
    values = histories.filled()
    scale = np.maximum(np.abs(values).sum(axis=0) / histories.sizes, _SMALLEST)
    values /= scale
    moved, deviation = _standard(drivers, histories)
    gram = _gram(past, histories, moved[:, :length], design.penalties)
    # The trend is counted in lengths of the longest history; the penalty is for the slope in its own lengths.
    gram[:, _TREND, _TREND] += _TREND_PENALTY * (histories.sizes / length) ** 2
    seen = (past.T @ values).T
    if moved.shape[2]:
        seen = np.concatenate([seen, np.einsum("tn,ntd->nd", values, moved[:, :length])], axis=1)
    weights = np.linalg.solve(gram, seen[:, :, None])[:, :, 0]
    shared = past.shape[1]
    errors = histories.values / scale
    errors -= past @ weights[:, :shared].T
    if moved.shape[2]:
        errors -= np.einsum("ntd,nd->tn", moved[:, :length], weights[:, shared:])
    units = scale[:, None] / deviation
    by_column = weights[:, None, :shared] * ahead * scale[:, None, None]
    at = design.calendar_start
    found = Regressed(
        level=by_column[:, :, : _TREND + 1].sum(axis=2),
        season=by_column[:, :, _TREND + 1 : at].sum(axis=2),
        calendar=by_column[:, :, at:].sum(axis=2),
        drivers=moved[:, length:] * (weights[:, shared:] * scale[:, None])[:, None, :],
        coefficients=weights[:, shared:] * units,
        covariance=_covariance(gram, errors, units),
    )
    return found, errors * scale


def _covariance(gram: FloatArray, errors: FloatArray, units: FloatArray) -> FloatArray:
    """Of the coefficients of the drivers, which are the last columns."""
    count = units.shape[1]
    if not count:
        return np.zeros((len(gram), 0, 0))
    inverse = np.linalg.inv(gram)[:, -count:, -count:]
    return np.asarray(inverse * _long_run_variance(errors)[:, None, None] * units[:, :, None] * units[:, None, :])


def _long_run_variance(errors: FloatArray) -> FloatArray:
    """The variance of errors, times what their autocorrelation makes of that of a mean (as of an AR(1) process)."""
    found = np.where(np.isfinite(errors), errors, 0.0)
    square = (found**2).sum(axis=0)
    lagged = (found[1:] * found[:-1]).sum(axis=0) / np.where(square > 0, square, 1.0)
    correlation = np.clip(lagged, 0.0, _CORRELATION_MAX)
    counts = np.maximum(np.isfinite(errors).sum(axis=0), 1)
    return np.asarray(square / counts * (1 + correlation) / (1 - correlation), dtype=np.float64)


def _standard(drivers: FloatArray, histories: Histories) -> tuple[FloatArray, FloatArray]:
    """Drivers with mean 0 and variance 1 over each history, and their deviations; 0 where one never changes."""
    length = histories.length
    mask = histories.present().T[:, :, None]
    sizes = np.maximum(mask.sum(axis=1), 1.0)
    mean = (drivers[:, :length] * mask).sum(axis=1) / sizes
    centred = drivers - mean[:, None, :]
    deviation = np.sqrt((centred[:, :length] ** 2 * mask).sum(axis=1) / sizes)
    still = deviation <= 1e-9 * np.maximum(np.abs(mean), _SMALLEST)
    safe = np.where(still, 1.0, deviation)
    return np.where(still[:, None, :], 0.0, centred / safe[:, None, :]), safe


def _gram(past: FloatArray, histories: Histories, drivers: FloatArray, penalties: FloatArray) -> FloatArray:
    """By history: the products of the design's columns over the rows that it has, with the penalties."""
    starts, place = np.unique(histories.starts, return_inverse=True)
    shared = np.stack([past[start:].T @ past[start:] for start in starts])[place] + np.diag(penalties)
    count = drivers.shape[2]
    if not count:
        found: FloatArray = shared
        return found
    masked = drivers * histories.present().T[:, :, None]
    across = np.einsum("tp,ntd->npd", past, masked)
    own = np.einsum("ntd,nte->nde", masked, masked) + _DRIVER_PENALTY * np.eye(count)
    return np.block([[shared, across], [across.transpose(0, 2, 1), own]])


def _design(length: int, period: int, horizon: int, calendar: FloatArray) -> _Design:
    time = np.arange(length + horizon)
    angle = 2 * np.pi * time / max(period, 1)
    harmonics = min(period // 2, _HARMONICS_MAX)
    waves = [wave(k * angle) for k in range(1, harmonics + 1) for wave in (np.cos, np.sin)]
    # At half the period the sine is zero throughout.
    waves = waves[:-1] if harmonics and 2 * harmonics == period else waves
    known = np.zeros((length + horizon, calendar.shape[1]))
    shared = min(len(calendar), length + horizon)
    known[-shared:] = calendar[-shared:]
    columns = [np.ones(len(time)), (time - length / 2) / length, *waves, *known.T]
    penalties = [1e-6, 0.0, *[_SEASON_PENALTY] * len(waves), *[_CALENDAR_PENALTY] * calendar.shape[1]]
    return _Design(np.stack(columns, axis=1), np.array(penalties), len(waves))
