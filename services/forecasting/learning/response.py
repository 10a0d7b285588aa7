"""What a media mix model says of any spend: response curves and the best budget.

By steady spend the adstock of a channel in a region is the spend itself, so that a period brings in

    f(w) = B · w / (w + K),        B = s_r · b_c,   K = s_r · u_c · k_c        (money a period)

with the symbols of ``media_mix``. f is concave: the best plan spends, wherever no bound is in the way, until one more
unit brings in the same λ everywhere, w = √(B·K/λ) − K, and λ is found by bisection (water filling). Bounds on a region
lie within bounds on its channel: a channel that its own bounds hold has a λ of its own.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.media_mix import StoredMix

Array = npt.NDArray[np.float64]
DRAWS = 400
_BISECTIONS = 200


@dataclass(frozen=True, slots=True)
class Response:
    """The curves of every region and channel, one set of them for each draw; all shapes (draws, regions, channels)."""

    ceiling: Array
    """B: what a period brings in at most."""
    half: Array
    """K: the spend a period that brings in half of that."""

    def outcome(self, spend: Array) -> Array:
        """What ``spend`` a period, shape (regions, channels), brings in a period. Shape (draws, regions, channels)."""
        return np.asarray(self.ceiling * spend / (spend + self.half))

    def slope(self, spend: Array) -> Array:
        """What one more unit brings in. Shape (draws, regions, channels)."""
        return np.asarray(self.ceiling * self.half / (spend + self.half) ** 2)


def at_maximum(mix: StoredMix) -> Response:
    """The most likely curves, as one draw."""
    return _response(mix, mix.theta[None], mix.scale[None])


def draws(mix: StoredMix) -> Response:
    """Curves drawn from the posterior."""
    theta = (mix.theta.ravel() + _normal(mix.covariance)).reshape(DRAWS, *mix.theta.shape)
    # The ceiling follows from the return at the spend that was: what saturates later needs a higher one for the same.
    stock = mix.mean_spend / (mix.sizes[:, None] * mix.units)

    def reached(half: Array) -> Array:
        return np.asarray(np.einsum("r,drc->dc", mix.sizes, stock / (stock + half[:, None, :])))

    correction = reached(np.exp(mix.theta[None, 2])) / reached(np.exp(theta[:, 2]))
    return _response(mix, theta, mix.scale * np.exp(theta[:, 0] - mix.theta[0]) * correction)


def _response(mix: StoredMix, theta: Array, scale: Array) -> Response:
    half = np.exp(theta[:, 2])[:, None, :] * mix.units * mix.sizes[:, None]
    return Response(scale[:, None, :] * mix.sizes[:, None], half)


def _normal(covariance: Array) -> Array:
    """Draws from the normal distribution, always the same ones. Shape (draws, parameters)."""
    values, vectors = np.linalg.eigh(covariance)
    generator = np.random.default_rng(0)
    half = generator.standard_normal((DRAWS // 2, len(values)))
    return np.asarray(np.concatenate([half, -half]) * np.sqrt(np.maximum(values, 0)) @ vectors.T)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be spent a period."""

    channel_low: Array
    """Shape (channels,)."""
    channel_high: Array
    region_low: Array
    """Shape (regions, channels)."""
    region_high: Array

    @property
    def least(self) -> Array:
        """The least that each channel may spend. Shape (channels,)."""
        return np.asarray(np.maximum(self.channel_low, self.region_low.sum(axis=0)))

    @property
    def most(self) -> Array:
        """The most that each channel may spend. Shape (channels,)."""
        return np.asarray(np.minimum(self.channel_high, self.region_high.sum(axis=0)))


def best_at(response: Response, bounds: Bounds, price: float) -> Array:
    """The spend a period at which one more unit brings in ``price``, within the bounds. Shape (regions, channels)."""
    free = _clipped(response, bounds, np.full(len(bounds.least), price))
    total = free.sum(axis=0)
    held = (total < bounds.least) | (total > bounds.most)
    if not held.any():
        return free
    wanted = np.clip(total, bounds.least, bounds.most)
    low, high = np.full(len(wanted), 1e-12), np.full(len(wanted), 1e12)
    for _ in range(_BISECTIONS):
        middle = np.sqrt(low * high)
        more = _clipped(response, bounds, middle).sum(axis=0) > wanted
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.asarray(np.where(held, _clipped(response, bounds, high), free))


def best_within(response: Response, bounds: Bounds, total: float) -> Array:
    """The spend a period that adds up to ``total`` and brings in most. Shape (regions, channels).

    ``total`` must lie between the sums of what the channels may spend at least and at most.
    """
    low, high = 1e-12, 1e12
    for _ in range(_BISECTIONS):
        middle = float(np.sqrt(low * high))
        if best_at(response, bounds, middle).sum() > total:
            low = middle
        else:
            high = middle
        if high / low < 1 + 1e-13:
            break
    return _exactly(best_at(response, bounds, low), best_at(response, bounds, high), total)


def _exactly(above: Array, below: Array, total: float) -> Array:
    """Between two plans of nearly the same price, the one that adds up to ``total``."""
    gap = above.sum() - below.sum()
    share = 0.0 if gap <= 0 else min(1.0, max(0.0, (total - below.sum()) / gap))
    return np.asarray(below + share * (above - below))


def _clipped(response: Response, bounds: Bounds, prices: Array) -> Array:
    wanted = np.sqrt(response.ceiling[0] * response.half[0] / prices) - response.half[0]
    return np.asarray(np.clip(wanted, bounds.region_low, bounds.region_high))
