"""What customers will do: a model of when they buy and one of how much, fitted together and read by horizon."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from services.forecasting.learning.bg_nbd import BgNbd, fit_bg_nbd
from services.forecasting.learning.gamma_gamma import GammaGamma, fit_gamma_gamma
from services.forecasting.learning.maximum_likelihood import Maximum
from services.forecasting.learning.pareto_nbd import ParetoNbd, fit_pareto_nbd
from services.forecasting.learning.purchases import FloatArray, IntArray, Purchases

_YEAR_DAYS = 365.25
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(8)


class PurchaseModel(Protocol):
    """When customers buy, and when they stop. Times are weeks; arrays are of customers."""

    @property
    def name(self) -> str:
        """As in the contract."""
        ...

    @property
    def parameters(self) -> dict[str, float]:
        """By the names of the papers."""
        ...

    def probability_alive(self, rows: Purchases) -> FloatArray:
        """That the customer has not stopped."""
        ...

    def expected_purchases(self, rows: Purchases, weeks: float) -> FloatArray:
        """How many purchases within ``weeks`` from now."""
        ...

    def probability_of_purchase(self, rows: Purchases, weeks: float) -> FloatArray:
        """That there is a purchase within ``weeks`` from now."""
        ...

    def median_wait(self, rows: Purchases) -> FloatArray:
        """Weeks until the next purchase of a customer who has not stopped: the median."""
        ...


PURCHASE_MODELS: Mapping[str, Callable[[Purchases], tuple[PurchaseModel, Maximum]]] = {
    "bg_nbd": fit_bg_nbd,
    "mbg_nbd": lambda rows: fit_bg_nbd(rows, 1),
    "pareto_nbd": fit_pareto_nbd,
}
"""How to fit each model, by its name."""
_OF_PARAMETERS: Mapping[str, Callable[..., PurchaseModel]] = {
    "bg_nbd": BgNbd,
    "mbg_nbd": partial(BgNbd, chances_before=1),
    "pareto_nbd": ParetoNbd,
}


@dataclass(frozen=True, slots=True)
class Spending:
    """How much customers spent so far, one entry each."""

    count: IntArray
    """Purchases, with the first one."""
    mean: FloatArray
    """The mean amount of a purchase: positive."""


@dataclass(frozen=True, slots=True)
class ValueModel:
    """A model of when and a model of how much. The first purchase's amount counts: it tells as much as any other."""

    timing: PurchaseModel
    spending: GammaGamma


@dataclass(frozen=True, slots=True)
class FittedValueModel(ValueModel):
    """One that was fitted here and now."""

    timing_fit: Maximum
    spending_fit: Maximum


@dataclass(frozen=True, slots=True)
class Expected:
    """What each customer will do, one entry each."""

    probability_alive: FloatArray
    probability_of_order: FloatArray
    orders: FloatArray
    order_value: FloatArray
    revenue: FloatArray
    lifetime_value: FloatArray
    wait_days: FloatArray
    """The median, if the customer goes on; infinite where it is beyond counting."""


def value_model(name: str, timing: Mapping[str, float], spending: Mapping[str, float]) -> ValueModel:
    """The model of that name with the parameters that a fit found before."""
    return ValueModel(_OF_PARAMETERS[name](**timing), GammaGamma(**spending))


def fit_value_model(name: str, rows: Purchases, spending: Spending) -> FittedValueModel:
    """The model of that name with the spending model, each of maximum likelihood."""
    timing, timing_fit = PURCHASE_MODELS[name](rows)
    spent, spending_fit = fit_gamma_gamma(spending.count, spending.mean)
    return FittedValueModel(timing, spent, timing_fit, spending_fit)


def expect(
    model: ValueModel,
    rows: Purchases,
    spending: Spending,
    horizon_days: float,
    lifetime_days: float,
    discount_rate: float,
) -> Expected:
    """What the model says of customers, one row each: within the horizon, and discounted by year over the lifetime."""
    weeks = horizon_days / 7
    orders = model.timing.expected_purchases(rows, weeks)
    order_value = model.spending.expected_amount(spending.count, spending.mean)
    return Expected(
        probability_alive=model.timing.probability_alive(rows),
        probability_of_order=model.timing.probability_of_purchase(rows, weeks),
        orders=orders,
        order_value=order_value,
        revenue=orders * order_value,
        lifetime_value=discounted_purchases(model.timing, rows, lifetime_days, discount_rate) * order_value,
        wait_days=model.timing.median_wait(rows) * 7,
    )


def discounted_purchases(model: PurchaseModel, rows: Purchases, days: float, yearly_rate: float) -> FloatArray:
    """The expected purchases within ``days``, each worth less the later it comes.

    By parts: the integral of e^(-d t) over the growth of the expectation is the discounted end plus d times the
    integral of the discounted expectation, which is smooth and needs a Gauss rule of 8 nodes.
    """
    weeks = days / 7
    force = np.log1p(yearly_rate) * 7 / _YEAR_DAYS
    total: FloatArray = np.exp(-force * weeks) * model.expected_purchases(rows, weeks)
    if force == 0:
        return total
    for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        at = weeks * (1 + node) / 2
        total = total + force * weeks / 2 * weight * np.exp(-force * at) * model.expected_purchases(rows, at)
    return total
