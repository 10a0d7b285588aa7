"""Forecast errors, as the field measures them. NaN cells are those without a figure and count nowhere."""

from dataclasses import dataclass

import numpy as np

from services.forecasting.learning.histories import FloatArray


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors of forecasts against what came. ``None`` where a measure is undefined (it would divide by zero)."""

    wape: float | None
    mase: float | None
    smape: float
    rmse: float
    bias: float | None
    wql: float | None = None


def errors(forecasts: FloatArray, actuals: FloatArray, seasonal_change: float) -> Errors:
    """Errors over all cells; ``seasonal_change`` is the scale of MASE."""
    known = np.isfinite(forecasts) & np.isfinite(actuals)
    forecast, actual = forecasts[known], actuals[known]
    off = forecast - actual
    total, size = float(np.abs(actual).sum()), float(np.abs(off).mean())
    return Errors(
        wape=float(np.abs(off).sum()) / total if total > 0 else None,
        mase=size / seasonal_change if seasonal_change > 0 else None,
        smape=float(symmetric_errors(forecast, actual).mean()),
        rmse=float(np.sqrt((off**2).mean())),
        bias=float(off.sum()) / total if total > 0 else None,
    )


def weighted_quantile_losses(
    forecasts: FloatArray, actuals: FloatArray, half_widths: FloatArray, floor: FloatArray
) -> FloatArray:
    """By series: the mean over the quantiles .1, .5 and .9 of twice the quantile (pinball) loss, as a share of the sum
    of the figures; NaN where that is zero. ``half_widths`` are those of 80 % intervals, which end at the ``floor``."""
    known = np.isfinite(forecasts) & np.isfinite(actuals)
    lower, upper = np.maximum(forecasts - half_widths, floor[:, None, None]), forecasts + half_widths
    loss = np.zeros_like(forecasts)
    for share, quantile in ((0.1, lower), (0.5, forecasts), (0.9, upper)):
        off = actuals - quantile
        loss += 2 / 3 * np.maximum(share * off, (share - 1) * off)
    total = np.where(known, np.abs(actuals), 0.0).sum(axis=(1, 2))
    lost = np.where(known, loss, 0.0).sum(axis=(1, 2))
    with np.errstate(over="ignore"):
        return np.where(total > 0, lost / np.where(total > 0, total, 1.0), np.nan)


def symmetric_errors(forecasts: FloatArray, actuals: FloatArray) -> FloatArray:
    """Symmetric absolute percentage errors, 0 to 200; 0 where both are zero."""
    size = np.abs(forecasts) + np.abs(actuals)
    return np.where(size > 0, 200.0 * np.abs(forecasts - actuals) / np.where(size > 0, size, 1.0), 0.0)


def seasonal_change(history: FloatArray, period: int) -> float:
    """The mean absolute change from one season to the next; from one value to the next in a short history."""
    lag = period if len(history) > period else 1
    return float(np.abs(history[lag:] - history[:-lag]).mean()) if len(history) > lag else 0.0
