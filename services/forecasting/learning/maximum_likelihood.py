"""Maximum likelihood over positive parameters: L-BFGS on their logarithms, with the exact gradient."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from services.forecasting.learning.purchases import FloatArray

LogLikelihood = Callable[[FloatArray], tuple[float, FloatArray]]
"""The log-likelihood of positive parameters, and its gradient with respect to them."""

_LOG_BOUND = 12.0
"""Parameters stay between e^-12 and e^12: a likelihood that is flat beyond has no maximum, but does not overflow."""
_LOG_EXTREME = 8.0
"""Beyond e^8, or below e^-8, no parameter of customers lies: the likelihood only becomes flatter there."""


@dataclass(frozen=True, slots=True)
class Maximum:
    """Where the likelihood is highest."""

    parameters: tuple[float, ...]
    log_likelihood: float
    converged: bool
    """False if a parameter ran away: the data do not tell it."""


def maximise(log_likelihood: LogLikelihood, start: FloatArray, count: float) -> Maximum:
    """The maximum that is reached from ``start``. ``count`` scales the steps: the number of customers."""

    def objective(logarithms: FloatArray) -> tuple[float, FloatArray]:
        parameters = np.exp(logarithms)
        value, gradient = log_likelihood(parameters)
        return -value / count, -gradient * parameters / count

    found = minimize(
        objective,
        np.log(start),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_LOG_BOUND, _LOG_BOUND)] * len(start),
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7},
    )
    inside = bool((np.abs(found.x) < _LOG_EXTREME).all())
    return Maximum(tuple(np.exp(found.x).tolist()), float(-found.fun * count), inside)
