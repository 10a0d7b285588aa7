"""Forecasts of several lengths of periods that agree: a week is exactly the sum of its days.

Temporal hierarchies (G. Athanasopoulos, R. J. Hyndman, N. Kourentzes and F. Petropoulos, EJOR 2017): the least squares
estimate of the shortest periods from the forecasts of all lengths, each weighted by one over its variance (variance
scaling). Weeks and months do not nest, so that the lengths are no tree; the shortest periods belong to some of each.
What has come of a long period before the forecasts begin is fixed.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.forecasting.learning.histories import FloatArray, IntArray
from services.forecasting.learning.panel import Weighed

_Bools = npt.NDArray[np.bool_]
_UNKNOWN, _SMALLEST, _SMALL_SHARE = 1e12, 1e-12, 1e-9
_TOGETHER_MIN = 0.1
# The series' own figure of how errors go together counts as much as that of all once it has so many origins.
_ORIGINS_TRUSTED = 5.0


@dataclass(frozen=True, slots=True)
class Longer:
    """Longer periods of some of the series."""

    weighed: Weighed
    places: IntArray
    """By series: which series of the shortest periods it is."""
    owners: IntArray
    """By origin, the end first, and step of the shortest periods: which step of these it lies in, -1 for none. A step
    that is there is there with all periods that are still to come of it."""
    begun: FloatArray
    """By series and origin, the end first: what came of the first step before the origin."""


def agree(shortest: Weighed, longer: list[Longer]) -> tuple[Weighed, list[Weighed]]:
    """The same with forecasts that agree, at the end and at every origin, which are the same moments for all lengths.
    With ``parents`` those of the shortest periods add up over the series too, and so all of them do."""
    variance, variances = shortest.calibration().scale ** 2, [it.weighed.calibration().scale ** 2 for it in longer]
    variance = variance * _together(shortest.residuals, longer[0].owners[1:])[:, None]
    count = shortest.held_out.shape[1]
    found = np.stack(
        [_agreeing(_at(shortest, origin), origin, longer, variance, variances) for origin in range(count + 1)], axis=1
    )
    found = np.maximum(found, shortest.floor[:, None, None])
    short = shortest.changed(found[:, 0], found[:, 1:])
    if short.parents is not None:
        short = short.adding_up()
    return short, [_summed(it, short) for it in longer]


def _at(weighed: Weighed, origin: int) -> FloatArray:
    return weighed.held_out[:, origin - 1] if origin else weighed.points


def _agreeing(
    forecasts: FloatArray, origin: int, longer: list[Longer], variance: FloatArray, variances: list[FloatArray]
) -> FloatArray:
    """``forecasts`` of the shortest periods, by series and step, moved as far as what the longer ones say is sure."""
    sums: list[_Bools] = []
    said: list[FloatArray] = []
    doubt: list[FloatArray] = []
    for it, theirs in zip(longer, variances, strict=True):
        steps = _steps(it.owners[origin], theirs.shape[1])
        beside = np.full((len(forecasts), theirs.shape[1]), np.nan)
        beside[it.places] = _at(it.weighed, origin)
        beside[it.places, 0] -= it.begun[:, origin]
        beside[:, ~steps.any(axis=1)] = np.nan
        spread = np.zeros_like(beside)
        spread[it.places] = theirs
        sums, said, doubt = [*sums, steps], [*said, beside], [*doubt, spread]
    over = np.concatenate(sums).astype(np.float64)
    known = np.isfinite(forecasts)
    # What is not known has no forecast that could be moved; nor has a long period with such a part.
    own = np.where(known, np.maximum(variance, _SMALLEST), 0.0)
    filled = np.where(known, forecasts, 0.0)
    off = np.concatenate(said, axis=1) - filled @ over.T
    of_sums = (over[None] * own[:, None, :]) @ over.T
    size = np.einsum("smm->sm", of_sums)
    usable = np.isfinite(off) & ((~known).astype(np.float64) @ over.T == 0)
    spread = np.maximum(np.concatenate(doubt, axis=1), _SMALL_SHARE * size) + _SMALLEST
    spread = np.where(usable, spread, _UNKNOWN * (size.max(axis=1, keepdims=True) + 1.0))
    solved = np.linalg.solve(of_sums + spread[:, :, None] * np.eye(len(over)), np.where(usable, off, 0.0)[:, :, None])
    return np.where(known, forecasts + own * (solved[:, :, 0] @ over), np.nan)


def _summed(it: Longer, short: Weighed) -> Weighed:
    """The longer periods, with the sums of the shortest ones where these are forecast."""
    ends = [it.weighed.points, *(it.weighed.held_out[:, origin] for origin in range(short.held_out.shape[1]))]
    found = []
    for origin, own in enumerate(ends):
        steps = _steps(it.owners[origin], own.shape[1])
        sums = _at(short, origin)[it.places] @ steps.T.astype(np.float64)
        sums[:, 0] += it.begun[:, origin]
        absent = own if origin == 0 else np.nan
        found.append(np.where(steps.any(axis=1), sums, absent))
    return it.weighed.changed(found[0], np.stack(found[1:], axis=1) if found[1:] else it.weighed.held_out)


def _steps(owners: IntArray, count: int) -> _Bools:
    """Whether each longer step holds each of the shortest ones."""
    found: _Bools = owners[None, :] == np.arange(count)[:, None]
    return found


def _together(residuals: FloatArray, owners: IntArray) -> FloatArray:
    """By series: the mean square of the errors' sums within a longer period, over the sum of their mean squares. Errors
    of neighbouring days go together, so that their sum is less sure than their variances suggest."""
    sums, squares, counts = (np.zeros(len(residuals)) for _ in range(3))
    for origin, own in enumerate(owners):
        for step in range(own.max(initial=-1) + 1):
            error = residuals[:, origin, own == step]
            whole = np.isfinite(error).all(axis=1)
            sums += np.where(whole, error.sum(axis=1), 0.0) ** 2
            squares += np.where(whole, (error**2).sum(axis=1), 0.0)
            counts += whole
    known = (sums > 0) & (squares > 0)
    ratio = np.log(np.where(known, sums, 1.0) / np.where(known, squares, 1.0))
    usual = float(np.median(ratio[known])) if known.any() else 0.0
    trust = np.where(known, counts / (counts + _ORIGINS_TRUSTED), 0.0)
    found: FloatArray = np.maximum(np.exp(trust * ratio + (1 - trust) * usual), _TOGETHER_MIN)
    return found
