"""What another policy would have earned, from the logs of the one that ran: arrays in, estimates out.

Every line of a log is a choice with its reward and the probability with which the policy that ran chose it. With the
probability that another policy would have given to the same choice, the reward is weighted by the ratio of the two:

- IPS (Horvitz and Thompson, 1952) is the mean of weighted rewards: unbiased where the policy that ran could have chosen
  whatever the other one would, and of a large variance where the ratios are.
- SNIPS (Swaminathan and Joachims, 2015) divides by the mean weight: a small bias for far less variance.
- DR (Dudik, Langford and Li, 2011) adds to a model's prediction the weighted error of that model: unbiased if either
  the probabilities or the model are right.

Intervals are normal, from the variance of the lines' contributions (for SNIPS by the delta method).
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]


class LogInvalid(ValueError):
    """A log from which nothing can be estimated; says why."""


@dataclass(frozen=True)
class Log:
    """Choices that were made. Arrays are parallel, a line each; probabilities lie in (0, 1] where they were ``logged``
    and in [0, 1] where they are of the ``target`` policy for the same choice."""

    rewards: Floats
    logged: Floats
    target: Floats

    def __post_init__(self) -> None:
        if not len(self.rewards) == len(self.logged) == len(self.target) or len(self.rewards) < 2:
            raise LogInvalid("rewards, logged and target must be of one length, two lines at least")
        if not all(np.isfinite(each).all() for each in (self.rewards, self.logged, self.target)):
            raise LogInvalid("rewards and probabilities must be finite")
        if not ((self.logged > 0) & (self.logged <= 1)).all() or not ((self.target >= 0) & (self.target <= 1)).all():
            raise LogInvalid("logged probabilities lie in (0, 1], those of the target in [0, 1]")

    def weights(self, clip: float = np.inf) -> Floats:
        """How much likelier the target was to choose so; at most ``clip``, which trades variance for bias."""
        weights: Floats = np.minimum(self.target / self.logged, clip)
        return weights


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean reward of the target policy, with an interval; ``effective_size`` is how many lines of the target's own
    the log is worth (Kish, 1965)."""

    value: float
    low: float
    high: float
    effective_size: float


def ips(log: Log, confidence: float = 0.95, clip: float = np.inf) -> Estimate:
    """Inverse propensity scoring."""
    weights = log.weights(clip)
    return _estimate(weights * log.rewards, weights, confidence)


def snips(log: Log, confidence: float = 0.95, clip: float = np.inf) -> Estimate:
    """Self-normalised inverse propensity scoring; ``LogInvalid`` where the target would never have chosen so."""
    weights = log.weights(clip)
    mean = float(weights.mean())
    if mean == 0:
        raise LogInvalid("the target policy would have made none of the choices of the log")
    value = float((weights * log.rewards).sum() / weights.sum())
    return _estimate(value + weights * (log.rewards - value) / mean, weights, confidence)


def doubly_robust(
    log: Log, predicted: Floats, expected: Floats, confidence: float = 0.95, clip: float = np.inf
) -> Estimate:
    """``predicted`` is the model's reward of the choice that was made, ``expected`` its mean over the target's choices,
    both a line each. The model must not have learnt from these lines; ``crossfitted`` sees to that."""
    if not len(predicted) == len(expected) == len(log.rewards):
        raise LogInvalid("predictions must be of the length of the log")
    weights = log.weights(clip)
    return _estimate(expected + weights * (log.rewards - predicted), weights, confidence)


def crossfitted(
    actions: NDArray[np.int64],
    contexts: NDArray[np.int64],
    rewards: Floats,
    target: Floats | sparse.csr_array,
    folds: int = 2,
) -> tuple[Floats, Floats]:
    """Predictions for ``doubly_robust`` from a model of means: the reward of each action, shrunk to that of all by as
    much as actions differ (ten lines of doubt). ``target[c, a]`` is the probability of action ``a`` in context ``c``.
    A line is predicted from the other folds, which take turns."""
    fold = np.arange(len(rewards)) % folds
    predicted, expected = np.empty(len(rewards)), np.empty(len(rewards))
    doubt = 10.0
    for each in range(folds):
        others = fold != each
        overall = float(rewards[others].mean())
        counts = np.bincount(actions[others], minlength=target.shape[1])
        sums = np.bincount(actions[others], weights=rewards[others], minlength=target.shape[1])
        means = (sums + doubt * overall) / (counts + doubt)
        predicted[~others] = means[actions[~others]]
        expected[~others] = np.asarray(target @ means)[contexts[~others]]
    return predicted, expected


def _estimate(contributions: Floats, weights: Floats, confidence: float) -> Estimate:
    value = float(contributions.mean())
    margin = NormalDist().inv_cdf((1 + confidence) / 2) * float(contributions.std(ddof=1)) / len(contributions) ** 0.5
    squares = float((weights**2).sum())
    size = float(weights.sum()) ** 2 / squares if squares else 0.0
    return Estimate(value, value - margin, value + margin, size)
