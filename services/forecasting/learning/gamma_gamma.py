"""How much customers spend each time: Gamma-Gamma (Fader, Hardie 2013).

A customer's amounts vary around a mean of their own, and means vary among customers; the fewer amounts are known of a
customer, the nearer the expectation is to everyone's mean. It is assumed that how much and how often are independent.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, gammaln

from services.forecasting.learning.maximum_likelihood import Maximum, maximise
from services.forecasting.learning.purchases import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """A fitted model, by the names of the paper; ``gamma`` is in the unit of the amounts."""

    p: float
    q: float
    gamma: float

    @property
    def parameters(self) -> dict[str, float]:
        """By the names of the paper."""
        return {"p": self.p, "q": self.q, "gamma": self.gamma}

    def expected_amount(self, count: IntArray, mean: FloatArray) -> FloatArray:
        """The expected mean of a customer whose ``count`` known amounts have ``mean`` (of none: everyone's mean).

        Of amounts so wild that no expectation exists, their own mean.
        """
        known = self.p * count + self.q - 1
        expected = self.p * (self.gamma + count * mean) / np.where(known > 0, known, np.inf)
        return np.where(known > 0, expected, mean)


def fit_gamma_gamma(count: IntArray, mean: FloatArray) -> tuple[GammaGamma, Maximum]:
    """The model of maximum likelihood for customers with one positive amount at least."""
    scale = float(mean.mean())
    found = maximise(GammaGammaLikelihood(count, mean / scale), np.array([2.0, 3.0, 1.0]), len(count))
    p, q, gamma = found.parameters
    value, _ = GammaGammaLikelihood(count, mean)(np.array([p, q, gamma * scale]))
    return GammaGamma(p, q, gamma * scale), Maximum((p, q, gamma * scale), value, found.converged)


class GammaGammaLikelihood:
    """The log-likelihood of (p, q, gamma) with its gradient."""

    def __init__(self, count: IntArray, mean: FloatArray) -> None:
        self._count = np.unique(count).astype(np.float64)
        place = np.searchsorted(self._count, count)
        self._size = len(count)
        self._weight = np.bincount(place, minlength=len(self._count)).astype(np.float64)
        self._counts, self._total = count.astype(np.float64), count * mean
        self._log_mean_sum = float(np.log(mean).sum())
        self._log_totals = float((count * np.log(self._total)).sum())  # of x * (log mean + log x)

    def __call__(self, parameters: FloatArray) -> tuple[float, FloatArray]:
        p, q, gamma = parameters.tolist()
        known = p * self._count
        log_spread = np.log(gamma + self._total)
        inverse = 1 / (gamma + self._total)
        weighted = float(self._counts @ log_spread)
        value = (
            self._weight @ (gammaln(known + q) - gammaln(known))
            + self._size * (q * np.log(gamma) - gammaln(q))
            + p * self._log_totals
            - self._log_mean_sum
            - p * weighted
            - q * log_spread.sum()
        )
        both = digamma(known + q)
        gradient = (
            (self._weight * self._count) @ (both - digamma(known)) + self._log_totals - weighted,
            self._weight @ both + self._size * (np.log(gamma) - digamma(q)) - log_spread.sum(),
            self._size * q / gamma - p * (self._counts @ inverse) - q * inverse.sum(),
        )
        return float(value), np.array(gradient)
