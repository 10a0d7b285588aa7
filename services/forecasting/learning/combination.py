"""The choice of methods for each series: weights from the errors on its own past and on that of its neighbours."""

import numpy as np

from services.forecasting.learning.histories import FloatArray

# How sharply weights follow the errors: 0 is the plain mean of all methods, infinity only the best one.
_SHARPNESS = 5.0
# A series' own errors count as much as those of all series together once it has so many origins.
_ORIGINS_TRUSTED = 4.0
_WEIGHT_MIN = 0.03


def weights(losses: FloatArray) -> FloatArray:
    """Weights by method and series from losses by method, series and origin; they sum to 1 for each series.

    NaN marks an origin that a series lacks or a method that does not apply; such a method has weight 0. A series
    without any loss gets the weights of all series together; if no series has one, all weights are 0.
    """
    own, counts = _log_mean(losses)
    pooled = _centred_mean(own)
    trust = counts / (counts + _ORIGINS_TRUSTED)
    relative = own - np.nanmin(np.where(np.isfinite(own), own, np.inf), axis=0)
    known = np.isfinite(own)
    fallback = np.broadcast_to(pooled[:, None], own.shape)
    score = np.where(known, trust * np.where(known, relative, 0.0) + (1 - trust) * fallback, np.inf)
    score = np.where(counts > 0, score, fallback)
    raw = np.exp(-_SHARPNESS * (score - np.min(score, axis=0, initial=1e6)))
    return _trimmed(np.where(np.isfinite(raw), raw, 0.0))


def weights_without_each_origin(losses: FloatArray) -> FloatArray:
    """Weights by method, series and origin, each found without that origin's losses."""
    count = losses.shape[2]
    if count < 2:
        return np.repeat(weights(losses)[:, :, None], count, axis=2)
    return np.stack([weights(np.delete(losses, k, axis=2)) for k in range(count)], axis=2)


def combine(forecasts: FloatArray, shares: FloatArray) -> FloatArray:
    """The weighted mean over the first axis of forecasts that have one more axis (the steps) than the weights.

    Where a method has no forecast its weight goes to the others.
    """
    usable = np.isfinite(forecasts)
    share = np.where(usable, shares[..., None], 0.0)
    total = share.sum(axis=0)
    mixed = (share * np.where(usable, forecasts, 0.0)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, mixed / total, np.nan)


def _log_mean(losses: FloatArray) -> tuple[FloatArray, FloatArray]:
    present = np.isfinite(losses)
    counts = present.sum(axis=2)
    mean = np.where(present, losses, 0.0).sum(axis=2) / np.maximum(counts, 1)
    floor = 1e-9 + 1e-3 * np.max(np.where(counts > 0, mean, 0.0), axis=0)
    return np.where(counts > 0, np.log(mean + floor), np.nan), counts.max(axis=0)


def _centred_mean(logs: FloatArray) -> FloatArray:
    """The mean over series of how much worse than the best each method is; infinite for one that never applies."""
    known = np.isfinite(logs)
    best = np.min(np.where(known, logs, np.inf), axis=0)
    relative = np.where(known, logs - np.where(np.isfinite(best), best, 0.0), 0.0)
    counts = known.sum(axis=1)
    return np.where(counts > 0, relative.sum(axis=1) / np.maximum(counts, 1), np.inf)


def _trimmed(raw: FloatArray) -> FloatArray:
    total = raw.sum(axis=0)
    share = raw / np.where(total > 0, total, 1.0)
    share = np.where(share >= _WEIGHT_MIN, share, 0.0)
    return share / np.where(share.sum(axis=0) > 0, share.sum(axis=0), 1.0)
