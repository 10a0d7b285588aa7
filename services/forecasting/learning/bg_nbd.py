"""When customers buy, and when they stop: BG/NBD (Fader, Hardie, Lee 2005) and MBG/NBD (Batislam, Denizel 2007).

A customer buys at a rate of their own (gamma: ``r``, ``alpha``) and after each purchase stops for good with a
probability of their own (beta: ``a``, ``b``). In MBG/NBD the first purchase can be the last one too; in BG/NBD a
customer stops after a repeat purchase at the earliest, so one who bought once counts as active for ever.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, digamma, expit, gammaln, hyp2f1, log_expit

from services.forecasting.learning.maximum_likelihood import Maximum, maximise
from services.forecasting.learning.purchases import FloatArray, IntArray, Purchases, merged

_START = np.array([0.5, 5.0, 1.0, 3.0])
_POLE = 1e-6
_FIRST_MIN, _A_MAX = -30.0, 30.0
"""Beyond these the terms of the hypergeometric series cancel, and then overflow."""
_NODES = 400


@dataclass(frozen=True, slots=True)
class BgNbd:
    """A fitted model; times in weeks. Arrays are of customers, or of groups of equal ones."""

    r: float
    alpha: float
    a: float
    b: float
    chances_before: int = 0
    """How many chances to stop a customer had before the first repeat: 0 in BG/NBD, 1 in MBG/NBD."""

    @property
    def name(self) -> str:
        """As in the contract."""
        return "mbg_nbd" if self.chances_before else "bg_nbd"

    @property
    def parameters(self) -> dict[str, float]:
        """By the names of the papers."""
        return {"r": self.r, "alpha": self.alpha, "a": self.a, "b": self.b}

    def probability_alive(self, rows: Purchases) -> FloatArray:
        """That the customer has not stopped."""
        recency, age = rows.weeks()
        chances = rows.frequency + self.chances_before
        odds = np.log(self.a) - np.log(self.b + np.maximum(chances, 1) - 1)
        odds += (self.r + rows.repeats) * (np.log(self.alpha + age) - np.log(self.alpha + recency))
        return np.where(chances > 0, expit(-odds), 1.0)

    def expected_if_alive(self, rows: Purchases, weeks: float) -> FloatArray:
        """How many purchases within ``weeks`` from now, of a customer who has not stopped.

        The published form multiplies a vanishing power with a growing hypergeometric function; Euler's transformation
        leaves one bounded factor. It depends on frequency and age alone, so equal pairs are evaluated once.
        """
        span = int(rows.age.max(initial=0)) + 1
        pairs, place = np.unique(rows.frequency * span + rows.age, return_inverse=True)
        frequency, age = (column.astype(np.float64) for column in np.divmod(pairs, span))
        return self._expected(frequency, age / 7.0, weeks)[place]

    def _expected(self, frequency: FloatArray, age: FloatArray, weeks: float) -> FloatArray:
        a = self.a if abs(self.a - 1) > _POLE else 1 + _POLE  # the limit at 1 is regular
        total = a + self.b + frequency + self.chances_before - 1
        past = self.alpha + age
        share = weeks / (past + weeks)
        first = a + self.b + self.chances_before - 1 - self.r
        with np.errstate(over="ignore", invalid="ignore"):
            power = (1 - share) ** (a - 1) * hyp2f1(first, a - 1, total, share)
        expected = total / (a - 1) * (1 - power)
        if first < _FIRST_MIN or a > _A_MAX or not np.isfinite(expected).all():
            return self._expected_by_quadrature(frequency, past, weeks)
        return np.clip(expected, 0.0, (self.r + frequency) / past * weeks)

    def _expected_by_quadrature(self, frequency: FloatArray, past: FloatArray, weeks: float) -> FloatArray:
        """The mean over the probability of stopping, for customers who hardly differ.

        In the logit of the probability the density is a bell with exponential tails, which the trapezoidal rule
        integrates to all digits. What is integrated is what stopping takes away: it vanishes where nobody stops.
        """
        a, b = self.a, self.b + frequency + self.chances_before
        middle, width = np.log(a / b), 8 * np.sqrt(1 / a + 1 / b)
        first, last = middle - np.minimum(width, 6.0) - 40 / (a + 1), middle + np.minimum(width, 6.0) + 40 / b
        logit = first + (last - first) * np.linspace(0, 1, _NODES)[:, None]
        density = np.exp(a * log_expit(logit) + b * log_expit(-logit) - betaln(a, b))
        stops, exponent = np.maximum(expit(logit), 1e-300), self.r + frequency
        unstopped = exponent * weeks / past
        taken = unstopped + np.expm1(-exponent * np.log1p(stops * weeks / past)) / stops
        lost: FloatArray = (density * np.maximum(taken, 0.0)).sum(axis=0) * (last - first) / (_NODES - 1)
        return np.clip(unstopped - lost, 0.0, None)

    def expected_purchases(self, rows: Purchases, weeks: float) -> FloatArray:
        """How many purchases within ``weeks`` from now."""
        return self.probability_alive(rows) * self.expected_if_alive(rows, weeks)

    def probability_of_purchase(self, rows: Purchases, weeks: float) -> FloatArray:
        """That there is a purchase within ``weeks`` from now."""
        past = self.alpha + rows.weeks()[1]
        waits = (self.r + rows.repeats) * np.log(past / (past + weeks))
        return self.probability_alive(rows) * -np.expm1(waits).astype(np.float64)

    def median_wait(self, rows: Purchases) -> FloatArray:
        """Weeks until the next purchase of a customer who has not stopped: the median, as the mean may not exist."""
        past = self.alpha + rows.weeks()[1]
        with np.errstate(over="ignore"):
            wait: FloatArray = past * np.expm1(np.log(2) / (self.r + rows.repeats))
        return wait


def fit_bg_nbd(rows: Purchases, chances_before: int = 0) -> tuple[BgNbd, Maximum]:
    """The model of maximum likelihood. Equal customers are merged."""
    rows = merged(rows)
    found = maximise(BgNbdLikelihood(rows, chances_before), _START, rows.customer_count)
    r, alpha, a, b = found.parameters
    return BgNbd(r, alpha, a, b, chances_before), found


class BgNbdLikelihood:
    """The log-likelihood of (r, alpha, a, b) with its gradient.

    Terms of the frequency alone, or of the age, are evaluated once for each distinct value; what is left for each row
    is the logarithm of one plus the odds that the customer has stopped.
    """

    def __init__(self, rows: Purchases, chances_before: int = 0) -> None:
        self._count = rows.customer_count
        self._frequency, by_frequency = _distinct(rows.frequency)
        self._frequency_weight = np.bincount(by_frequency, rows.weight)
        self._chances = self._frequency + chances_before
        age, by_age = _distinct(rows.age)
        self._age = age / 7.0
        self._age_weight = np.bincount(by_age, rows.weight)
        self._age_purchases = np.bincount(by_age, rows.weight * rows.frequency)
        stopping = np.flatnonzero(rows.frequency + chances_before > 0)
        recency, self._by_recency = _distinct(rows.recency[stopping])
        self._recency = recency / 7.0
        self._by_frequency, self._by_age = by_frequency[stopping], by_age[stopping]
        self._weight = rows.weight[stopping]

    def __call__(self, parameters: FloatArray) -> tuple[float, FloatArray]:
        r, alpha, a, b = parameters.tolist()
        frequency, chances = self._frequency, self._chances
        log_age = np.log(alpha + self._age)
        log_recency = np.log(alpha + self._recency)
        exponent = (r + frequency)[self._by_frequency]
        gap = log_age[self._by_age] - log_recency[self._by_recency]
        survivals = b + np.maximum(chances, 1) - 1
        odds = np.log(a / survivals)[self._by_frequency] + exponent * gap
        stopped = self._weight * expit(odds)
        by_frequency = np.bincount(self._by_frequency, stopped, len(frequency))
        stopped_rate = stopped * exponent
        age_exponent = r * self._age_weight + self._age_purchases
        value = (
            self._frequency_weight @ (gammaln(r + frequency) + gammaln(b + chances) - gammaln(a + b + chances))
            + self._count * (r * np.log(alpha) - gammaln(r) + gammaln(a + b) - gammaln(b))
            - age_exponent @ log_age
            + self._weight @ np.logaddexp(0.0, odds)
        )
        total = self._count * digamma(a + b) - self._frequency_weight @ digamma(a + b + chances)
        gradient = (
            self._frequency_weight @ digamma(r + frequency)
            + self._count * (np.log(alpha) - digamma(r))
            - self._age_weight @ log_age
            + stopped @ gap,
            self._count * r / alpha
            - (age_exponent / (alpha + self._age)).sum()
            + (np.bincount(self._by_age, stopped_rate, len(self._age)) / (alpha + self._age)).sum()
            - (np.bincount(self._by_recency, stopped_rate, len(self._recency)) / (alpha + self._recency)).sum(),
            total + stopped.sum() / a,
            total
            + self._frequency_weight @ digamma(b + chances)
            - self._count * digamma(b)
            - (by_frequency / survivals).sum(),
        )
        return float(value), np.array(gradient)


def _distinct(values: IntArray) -> tuple[FloatArray, IntArray]:
    """The distinct values, ascending, and the place of each of ``values`` among them. Values are small integers."""
    if not len(values):
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    seen = np.zeros(int(values.max()) + 1, dtype=bool)
    seen[values] = True
    found = np.flatnonzero(seen)
    places = np.cumsum(seen) - 1
    return found.astype(np.float64), places[values]
