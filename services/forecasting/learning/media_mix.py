"""Media mix: what each channel's spend brought in, with carry-over and saturation, by region and period.

Outcome of region r in period t, divided by the region's size s (its mean outcome):

    y[r,t] = region level + trend + season + Σ_c b_c · a/(a + K_c) + noise,
    a[r,t] = (1 − α_c) Σ_l α_c^l x[r,t−l]        geometric adstock of the spend x, per unit of size and of mean spend,

the model of Jin et al. (2017, "Bayesian methods for media mix modeling with carryover and shape effects"), with the
Hill slope at 1, so that returns diminish and the best budget is unique. ``b_c`` is written as the return on investment
of the channel, on which people have priors and experiments (as Zhang et al. 2023 do). Level, trend and season are
linear and are projected out; shocks that all regions share in a period are random effects (Swamy and Arora 1972). The
three parameters of each channel (log ROI, logit α, log K) are found at the maximum of the posterior by
Levenberg-Marquardt steps with the exact Jacobian, and are normal around it with the sandwich covariance: scores go
together within a region and within neighbouring periods (Cameron, Gelbach and Miller 2011), so that regions that differ
and noise that lasts widen the intervals.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

STEPS_MAX = 100
REGIONS_FOR_CLUSTERS = 20
LAGS = 4
_TOLERANCE = 1e-3
"""Of the Newton decrement: twice how much the log posterior is expected still to gain."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Normal priors, one of each a channel: of the log of the ROI, the logit of α, the log of K."""

    mean: Array
    """Shape (3, channels)."""
    deviation: Array
    """Shape (3, channels)."""


@dataclass(frozen=True, slots=True)
class Panel:
    """What was seen. Everything in units of money (or of the outcome) a period."""

    outcome: Array
    """Shape (regions, periods)."""
    spend: Array
    """Shape (regions, periods, channels); not below 0, each channel above 0 somewhere."""
    baseline: Array
    """Shape (periods, columns): trend and season, shared by the regions."""

    @property
    def sizes(self) -> Array:
        """The mean outcome of each region, above 0. Shape (regions,)."""
        mean = np.abs(self.outcome).mean(axis=1)
        return np.asarray(np.maximum(mean, mean.mean() * 1e-3))

    @property
    def units(self) -> Array:
        """The mean of each channel's spend per size, where there was any. Shape (channels,)."""
        scaled = self.spend / self.sizes[:, None, None]
        count = np.maximum((scaled > 0).sum(axis=(0, 1)), 1)
        return np.asarray(scaled.sum(axis=(0, 1)) / count)


@dataclass(frozen=True, slots=True)
class MediaMix:
    """A fitted model."""

    theta: Array
    """The parameters at the maximum: log ROI, logit α, log K. Shape (3, channels)."""
    covariance: Array
    """Of ``theta.ravel()``. Shape (3·channels, 3·channels)."""
    scale: Array
    """b_c at the maximum: the outcome per size of a saturated channel. Shape (channels,)."""
    units: Array
    sizes: Array
    fitted: Array
    """The outcome that the model explains. Shape (regions, periods)."""
    contributions: Array
    """The part of it that each channel brought in, by period. Shape (periods, channels)."""
    baseline: Array
    """The coefficients of trend and season, per size. Shape (columns,)."""
    converged: bool

    @property
    def retention(self) -> Array:
        """α: the share of an effect that lasts into the next period. Shape (channels,)."""
        return _logistic(self.theta[1])

    @property
    def half_saturation(self) -> Array:
        """K in units of the mean spend per size. Shape (channels,)."""
        return np.asarray(np.exp(self.theta[2]))

    @property
    def roi(self) -> Array:
        """Outcome by spend over the span. Shape (channels,)."""
        return np.asarray(np.exp(self.theta[0]))

    def expected(self, outcome: Array, spend: Array, baseline: Array, known: int) -> Array:
        """What the model says of the periods from ``known`` on, which it has not seen, in all regions together.

        ``outcome`` is read up to ``known`` only, for the levels of the regions; ``spend`` and ``baseline`` are of all.
        """
        stock, _ = _adstock(spend / (self.sizes[:, None, None] * self.units), self.retention)
        model = (stock / (stock + self.half_saturation) * self.scale).sum(axis=2) + baseline @ self.baseline
        level = (outcome[:, :known] / self.sizes[:, None] - model[:, :known]).mean(axis=1)
        return np.asarray(self.sizes @ (level[:, None] + model[:, known:]))


def default_prior(channels: int) -> Prior:
    """Weak priors: ROI about 1.2 (0.3 to 5), α about .4, K 1.5 times the mean spend (.3 to 8 times)."""
    mean = np.repeat([[0.2], [-0.4], [0.4]], channels, axis=1)
    deviation = np.repeat([[0.9], [1.0], [1.0]], channels, axis=1)
    return Prior(mean, deviation)


def fit(panel: Panel, prior: Prior) -> MediaMix:
    """The posterior's maximum and the covariance around it."""
    problem = _Problem(panel, prior)
    theta, converged = _maximum(problem, prior.mean)
    shared = _shared_share(problem.at(theta).residual)
    if shared > 0:
        problem = _Problem(panel, prior, shared)
        theta, converged = _maximum(problem, theta)
    point = problem.at(theta)
    information = point.jacobian.T @ point.jacobian / point.noise + np.diag(problem.precision)
    inverse = np.linalg.inv(information)
    covariance = inverse @ (problem.score_covariance(point) + np.diag(problem.precision)) @ inverse
    plain = problem if shared == 0 else _Problem(panel, prior)
    explained = panel.outcome - problem.sizes[:, None] * plain.at(theta).residual
    return MediaMix(
        theta=theta,
        covariance=covariance,
        scale=point.scale,
        units=problem.units,
        sizes=problem.sizes,
        fitted=explained,
        contributions=np.einsum("r,rtc->tc", problem.sizes, point.effects),
        baseline=_coefficients(panel, point.effects),
        converged=converged and bool(np.isfinite(covariance).all()),
    )


@dataclass(frozen=True, slots=True)
class _Point:
    """The model at one set of parameters."""

    residual: Array
    jacobian: Array
    effects: Array
    scale: Array
    noise: float
    loss: float


class _Problem:
    def __init__(self, panel: Panel, prior: Prior, shared: float = 0.0) -> None:
        """``shared``: the part of the regions' mean that is taken out of each period, from 0 to 1."""
        self._shared = shared
        self.sizes, self.units = panel.sizes, panel.units
        self._spend = panel.spend / (self.sizes[:, None, None] * self.units)
        self._money = panel.spend.sum(axis=(0, 1))
        self.prior_mean = prior.mean.ravel()
        self.precision = prior.deviation.ravel() ** -2.0
        regions, periods = panel.outcome.shape
        self.shape = (regions, periods)
        self._nuisance = _orthonormal(panel)
        self._outcome = self._project((panel.outcome / self.sizes[:, None]).reshape(-1, 1))[:, 0]
        self._degrees = max(1, regions * periods - regions - self._nuisance.shape[1])

    def _project(self, columns: Array) -> Array:
        """``columns`` without what region levels, trend and season explain of them."""
        regions, periods = self.shape
        by_region = columns.reshape(regions, periods, -1)
        by_region = by_region - self._shared * by_region.mean(axis=0, keepdims=True)
        within = (by_region - by_region.mean(axis=1, keepdims=True)).reshape(regions * periods, -1)
        return np.asarray(within - self._nuisance @ (self._nuisance.T @ within))

    def at(self, theta: Array) -> _Point:
        """The model and its Jacobian at ``theta``, shape (3, channels)."""
        roi, alpha, half = np.exp(theta[0]), _logistic(theta[1]), np.exp(theta[2])
        stock, slope = _adstock(self._spend, alpha)
        share = stock / (stock + half)
        by_stock = half / (stock + half) ** 2
        derivatives = (by_stock * slope * (alpha * (1 - alpha)), -share * (1 - share))
        total = np.einsum("r,rtc->c", self.sizes, share)
        scale = roi * self._money / np.maximum(total, 1e-300)
        effects = share * scale
        columns = [effects]
        for derivative in derivatives:
            drift = np.einsum("r,rtc->c", self.sizes, derivative) / np.maximum(total, 1e-300)
            columns.append(scale * (derivative - share * drift))
        jacobian = self._project(np.concatenate(columns, axis=2).reshape(self._outcome.size, -1))
        residual = self._outcome - self._project(effects.sum(axis=2).reshape(-1, 1))[:, 0]
        noise = max(float(residual @ residual) / self._degrees, 1e-12)
        return _Point(residual.reshape(self.shape), jacobian, effects, scale, noise, self._loss(residual, theta))

    def _loss(self, residual: Array, theta: Array) -> float:
        """Minus the log posterior with the noise's variance at its best."""
        away = theta.ravel() - self.prior_mean
        squares: float = max(float(residual @ residual), 1e-300)
        return float(0.5 * self._degrees * np.log(squares) + 0.5 * self.precision @ away**2)

    def gradient(self, point: _Point, theta: Array) -> Array:
        """Of the log posterior at ``theta``, given the noise."""
        away = theta.ravel() - self.prior_mean
        return np.asarray(point.jacobian.T @ point.residual.ravel() / point.noise - self.precision * away)

    def score_covariance(self, point: _Point) -> Array:
        """The covariance of the data's score, whose parts may go together within a region or over time."""
        regions, periods = self.shape
        scores = (point.jacobian * point.residual.reshape(-1, 1)).reshape(regions, periods, -1) / point.noise
        flat = scores.reshape(regions * periods, -1)
        found = _over_time(scores.sum(axis=0))
        if regions >= REGIONS_FOR_CLUSTERS:
            sums = scores.sum(axis=1)
            found += sums.T @ sums * (regions / (regions - 1)) - flat.T @ flat
        return _at_least(found, point.jacobian.T @ point.jacobian / point.noise)


def _coefficients(panel: Panel, effects: Array) -> Array:
    """Least squares of what the channels leave on trend and season, regions' levels taken out."""
    left = (panel.outcome / panel.sizes[:, None] - effects.sum(axis=2)).mean(axis=0)
    columns = panel.baseline - panel.baseline.mean(axis=0)
    return np.asarray(np.linalg.lstsq(columns, left - left.mean(), rcond=None)[0])


def _at_least(found: Array, plain: Array) -> Array:
    """``found``, in no direction below ``plain``: few clusters understate, and independent noise is the least."""
    root = np.linalg.cholesky(plain + 1e-9 * np.trace(plain) / len(plain) * np.eye(len(plain)))
    inner = np.linalg.solve(root, np.linalg.solve(root, found).T)
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    outer = root @ vectors
    return np.asarray((outer * np.maximum(values, 1.0)) @ outer.T)


def _over_time(scores: Array) -> Array:
    """The covariance of the sum of ``scores``, shape (periods, parameters), by Newey and West (1987)."""
    found = scores.T @ scores
    for lag in range(1, min(LAGS, len(scores) - 1) + 1):
        across = scores[lag:].T @ scores[:-lag]
        found = found + (1 - lag / (LAGS + 1)) * (across + across.T)
    return np.asarray(found)


def _shared_share(residual: Array) -> float:
    """How much of the regions' mean residual to take out of each period: 0 for noise that the regions do not share."""
    regions = len(residual)
    if regions < 2:
        return 0.0
    mean = residual.mean(axis=0)
    own = float(((residual - mean) ** 2).mean()) * regions / (regions - 1)
    shared = max(regions * float((mean**2).mean()), 1e-300)
    return max(0.0, 1 - math.sqrt(own / shared))


def _maximum(problem: _Problem, start: Array) -> tuple[Array, bool]:
    theta = start.copy()
    point, damping = problem.at(theta), 1e-2
    for _ in range(STEPS_MAX):
        gradient = problem.gradient(point, theta)
        information = point.jacobian.T @ point.jacobian / point.noise + np.diag(problem.precision)
        if gradient @ np.linalg.solve(information, gradient) < _TOLERANCE:
            return theta, True
        while damping < 1e8:
            step = np.linalg.solve(information + damping * np.diag(np.diag(information)), gradient)
            step = np.clip(step, -1.0, 1.0).reshape(theta.shape)
            candidate = problem.at(theta + step)
            if candidate.loss < point.loss:
                break
            damping *= 4
        else:
            return theta, False
        theta, point, damping = theta + step, candidate, max(damping / 5, 1e-6)
    return theta, False


def _orthonormal(panel: Panel) -> Array:
    """An orthonormal basis of trend and season within regions. Shape (regions · periods, columns)."""
    regions = len(panel.outcome)
    columns = panel.baseline - panel.baseline.mean(axis=0)
    basis, values, _ = np.linalg.svd(columns, full_matrices=False)
    kept = basis[:, values > 1e-9 * max(values.max(initial=0.0), 1e-300)]
    return np.tile(kept / np.sqrt(regions), (regions, 1))


def trend_and_season(periods: int, per_year: float) -> Array:
    """A line that may bend once a year, and, of a year or more, its first two harmonics. Shape (periods, columns)."""
    time = np.arange(periods) / per_year
    bends = [np.maximum(time - year, 0) for year in range(1, int(time[-1]) if periods else 0)]
    waves = [wave(2 * np.pi * k * time) for k in (1, 2) for wave in (np.sin, np.cos)] if time[-1] >= 1 else []
    return np.column_stack([time, *bends, *waves])


def _adstock(spend: Array, alpha: Array) -> tuple[Array, Array]:
    """The adstock of ``spend`` and its derivative by α. Shapes (regions, periods, channels)."""
    held, slope = np.zeros_like(spend[:, 0]), np.zeros_like(spend[:, 0])
    stock, slopes = np.empty_like(spend), np.empty_like(spend)
    for period in range(spend.shape[1]):
        slope = held + alpha * slope
        held = spend[:, period] + alpha * held
        stock[:, period] = (1 - alpha) * held
        slopes[:, period] = (1 - alpha) * slope - held
    return stock, slopes


def _logistic(value: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-value)))
