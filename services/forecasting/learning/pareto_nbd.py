"""When customers buy, and when they stop: Pareto/NBD (Schmittlein, Morrison, Colombo 1987).

As in BG/NBD a customer buys at a rate of their own (gamma: ``r``, ``alpha``), but stops at any moment, at a second rate
of their own (gamma: ``s``, ``beta``): one who bought once and long ago has probably stopped.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, gammaln

from services.forecasting.learning.maximum_likelihood import Maximum, maximise
from services.forecasting.learning.purchases import FloatArray, Purchases, merged

_START = np.array([0.7, 8.0, 0.7, 10.0])
_SAMPLE_ROWS = 4_000
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(32)
# Cubed, the nodes crowd where the integral begins: there the ratio may be steep.
_PLACES, _PLACE_WEIGHTS = ((1 + _NODES) / 2) ** 3, 1.5 * _NODE_WEIGHTS * ((1 + _NODES) / 2) ** 2
_LOG_RANGE = 60.0
"""What the integrand loses by a factor of e^-60 is left out."""


@dataclass(frozen=True, slots=True)
class ParetoNbd:
    """A fitted model; times in weeks. Arrays are of customers, or of groups of equal ones."""

    r: float
    alpha: float
    s: float
    beta: float

    @property
    def name(self) -> str:
        """As in the contract."""
        return "pareto_nbd"

    @property
    def parameters(self) -> dict[str, float]:
        """By the names of the paper."""
        return {"r": self.r, "alpha": self.alpha, "s": self.s, "beta": self.beta}

    def probability_alive(self, rows: Purchases) -> FloatArray:
        """That the customer has not stopped."""
        recency, age = rows.weeks()
        exponent = self.r + rows.repeats
        alive = -exponent * np.log(self.alpha + age) - self.s * np.log(self.beta + age)
        stopped = _Stopping(exponent, self.alpha, self.s, self.beta, recency, age).log_integral
        result: FloatArray = np.exp(alive - np.logaddexp(alive, stopped))
        return result

    def expected_if_alive(self, rows: Purchases, weeks: float) -> FloatArray:
        """How many purchases within ``weeks`` from now, of a customer who has not stopped."""
        _, age = rows.weeks()
        rate = (self.r + rows.repeats) / (self.alpha + age)
        log_share = np.log((self.beta + age) / (self.beta + age + weeks))
        power = self.s - 1
        active = -log_share if abs(power) < 1e-9 else -np.expm1(power * log_share) / power
        expected: FloatArray = rate * (self.beta + age) * active
        return expected

    def expected_purchases(self, rows: Purchases, weeks: float) -> FloatArray:
        """How many purchases within ``weeks`` from now."""
        return self.probability_alive(rows) * self.expected_if_alive(rows, weeks)

    def probability_of_purchase(self, rows: Purchases, weeks: float) -> FloatArray:
        """That there is a purchase within ``weeks`` from now."""
        _, age = rows.weeks()
        exponent = self.r + rows.repeats
        alpha, beta = self.alpha + age, self.beta + age
        quiet = exponent * np.log(alpha / (alpha + weeks)) + self.s * np.log(beta / (beta + weeks))
        stops = _Stopping(exponent, alpha, self.s, beta, np.zeros(len(rows)), np.full(len(rows), weeks))
        stops_first = np.exp(stops.log_integral + exponent * np.log(alpha) + self.s * np.log(beta))
        buys: FloatArray = np.clip(1 - np.exp(quiet) - stops_first, 0.0, 1.0)
        return self.probability_alive(rows) * buys

    def median_wait(self, rows: Purchases) -> FloatArray:
        """Weeks until the next purchase of a customer who goes on: the median, as the mean may not exist."""
        past = self.alpha + rows.weeks()[1]
        with np.errstate(over="ignore"):
            wait: FloatArray = past * np.expm1(np.log(2) / (self.r + rows.repeats))
        return wait


def fit_pareto_nbd(rows: Purchases) -> tuple[ParetoNbd, Maximum]:
    """The model of maximum likelihood."""
    rows = merged(rows)
    start = _START
    if len(rows) > 2 * _SAMPLE_ROWS:
        part = rows.every(len(rows) // _SAMPLE_ROWS)
        start = np.array(maximise(ParetoNbdLikelihood(part), start, part.customer_count).parameters)
    found = maximise(ParetoNbdLikelihood(rows), start, rows.customer_count)
    return ParetoNbd(*found.parameters), found


class ParetoNbdLikelihood:
    """The log-likelihood of (r, alpha, s, beta) with its gradient."""

    def __init__(self, rows: Purchases) -> None:
        self._frequency, self._weight = rows.repeats, rows.weight
        self._recency, self._age = rows.weeks()

    def __call__(self, parameters: FloatArray) -> tuple[float, FloatArray]:
        r, alpha, s, beta = parameters.tolist()
        exponent = r + self._frequency
        log_rate_end, log_stop_end = np.log(alpha + self._age), np.log(beta + self._age)
        alive = -exponent * log_rate_end - s * log_stop_end
        stopping = _Stopping(exponent, alpha, s, beta, self._recency, self._age)
        either = np.logaddexp(alive, stopping.log_integral)
        is_alive = np.exp(alive - either)
        head = gammaln(exponent) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
        value = self._weight @ (head + either)
        slopes = stopping.slopes() * (1 - is_alive)
        slopes[0] -= is_alive * log_rate_end
        slopes[1] -= is_alive * exponent / (alpha + self._age)
        slopes[2] -= is_alive * log_stop_end
        slopes[3] -= is_alive * s / (beta + self._age)
        slopes[0] += digamma(exponent) - digamma(r) + np.log(alpha)
        slopes[1] += r / alpha
        slopes[2] += np.log(beta)
        slopes[3] += s / beta
        return float(value), slopes @ self._weight


class _Stopping:
    """The integral of s (alpha + t)^-exponent (beta + t)^-(s + 1) over t from ``begin`` to ``end``, by rows.

    It replaces the two hypergeometric functions of the published likelihood. With y = -(exponent + s) log((alpha + t) /
    (alpha + begin)) as variable the integrand is e^y times a smooth ratio, whatever the exponent, and a Gauss rule of
    32 nodes suffices. Begin and end do not depend on the parameters: the same rule gives the gradient.
    """

    def __init__(
        self,
        exponent: FloatArray,
        alpha: float | FloatArray,
        s: float,
        beta: float | FloatArray,
        begin: FloatArray,
        end: FloatArray,
    ) -> None:
        power = exponent + s
        first = alpha + begin
        reach = np.minimum(power * np.log((alpha + end) / first), _LOG_RANGE)
        variable = -reach * _PLACES[:, None]
        log_rate = np.log(first) - variable / power  # of alpha + t
        self._rate = np.exp(log_rate)
        self._stop = np.maximum(self._rate - alpha, 0.0) + beta  # beta + t
        self._log_rate, self._log_stop = log_rate, np.log(self._stop)
        height = variable + (s + 1) * (log_rate - self._log_stop)
        highest = height.max(axis=0)
        parts = _PLACE_WEIGHTS[:, None] * np.exp(height - highest)
        whole = parts.sum(axis=0)
        self._shares = parts / whole
        self._exponent, self._s = exponent, s
        with np.errstate(divide="ignore"):  # nothing between begin and end: minus infinity
            self.log_integral: FloatArray = (
                np.log(s / power) - power * np.log(first) + np.log(reach) + np.log(whole) + highest
            )

    def slopes(self) -> FloatArray:
        """The derivatives of the integral's logarithm with respect to (r, alpha, s, beta), one row each."""
        shares = self._shares
        return np.stack(
            (
                -(shares * self._log_rate).sum(axis=0),
                -self._exponent * (shares / self._rate).sum(axis=0),
                1 / self._s - (shares * self._log_stop).sum(axis=0),
                -(self._s + 1) * (shares / self._stop).sum(axis=0),
            )
        )
