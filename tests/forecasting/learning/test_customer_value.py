"""Models of purchases and spending: published fits, known habits, and what must hold of any customer."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.special import betaln, expit, log_expit

from services.forecasting.learning.bg_nbd import BgNbd, BgNbdLikelihood, fit_bg_nbd
from services.forecasting.learning.customer_value import (
    PURCHASE_MODELS,
    PurchaseModel,
    discounted_purchases,
    expect,
    fit_value_model,
)
from services.forecasting.learning.gamma_gamma import GammaGamma, GammaGammaLikelihood, fit_gamma_gamma
from services.forecasting.learning.holdout import compare
from services.forecasting.learning.maximum_likelihood import LogLikelihood
from services.forecasting.learning.pareto_nbd import ParetoNbd, ParetoNbdLikelihood, fit_pareto_nbd
from services.forecasting.learning.purchases import FloatArray, Purchases, merged, purchases
from tests.evaluation_data import evaluation_data
from tests.forecasting.learning.shops import Shop, cdnow, online_retail, simulated

LIKELIHOODS: dict[str, Callable[[Purchases], LogLikelihood]] = {
    "bg_nbd": BgNbdLikelihood,
    "mbg_nbd": lambda rows: BgNbdLikelihood(rows, 1),
    "pareto_nbd": ParetoNbdLikelihood,
}
MODELS: list[PurchaseModel] = [
    BgNbd(0.24, 4.4, 0.79, 2.4),
    BgNbd(0.5, 6.2, 0.9, 1.6, 1),
    BgNbd(0.7, 9.0, 1.0, 5.0),
    ParetoNbd(0.55, 10.6, 0.61, 11.7),
    ParetoNbd(2.0, 3.0, 1.0, 40.0),
]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.name}-{model.parameters}")


def customer(frequency: int, recency: int, age: int) -> Purchases:
    return purchases(np.array([frequency]), np.array([recency]), np.array([age]))


def numeric_gradient(likelihood: LogLikelihood, at: FloatArray) -> FloatArray:
    def value(point: FloatArray) -> float:
        return likelihood(point)[0]

    slope: FloatArray = approx_fprime(at, value, 1e-7)
    return slope


@st.composite
def customers(draw: st.DrawFn) -> Purchases:
    age = draw(st.integers(0, 1500))
    recency = draw(st.integers(0, age))
    return customer(draw(st.integers(1, 300)) if recency else 0, recency, age)


@pytest.fixture(scope="module")
def published() -> Shop:
    return cdnow(evaluation_data("cdnow"))


def test_bg_nbd_is_fitted_as_published(published: Shop) -> None:
    model, fitted = fit_bg_nbd(published.rows)
    assert (model.r, model.alpha, model.a, model.b) == pytest.approx((0.2426, 4.4135, 0.7929, 2.4258), abs=1e-3)
    assert fitted.log_likelihood == pytest.approx(-9582.43, abs=1e-2)
    assert fitted.converged
    expected = model.expected_purchases(published.rows, 39.0)
    assert np.sqrt(np.mean((expected - published.later_orders) ** 2)) <= 1.6081
    assert published.later_orders.sum() == 1882
    assert expected.sum() == pytest.approx(1653, abs=1)


def test_pareto_nbd_is_fitted_as_published(published: Shop) -> None:
    model, fitted = fit_pareto_nbd(published.rows)
    assert (model.r, model.alpha, model.s, model.beta) == pytest.approx((0.553, 10.578, 0.606, 11.669), abs=1e-3)
    assert fitted.log_likelihood == pytest.approx(-9594.98, abs=1e-2)
    expected = model.expected_purchases(published.rows, 39.0)
    assert np.sqrt(np.mean((expected - published.later_orders) ** 2)) <= 1.603


def test_gamma_gamma_is_fitted_as_published(published: Shop) -> None:
    spent = published.repeat_spending
    model, fitted = fit_gamma_gamma(spent.count, spent.mean)
    assert len(spent.count) == 946
    assert (model.p, model.q, model.gamma) == pytest.approx((6.249, 3.745, 15.448), rel=1e-3)
    assert fitted.log_likelihood >= GammaGammaLikelihood(spent.count, spent.mean)(np.array([6.249, 3.745, 15.448]))[0]


def test_customers_of_an_online_shop_are_ranked_as_well_as_published() -> None:
    shop = online_retail(evaluation_data("online_retail"))
    model = fit_value_model("bg_nbd", shop.rows, shop.spending)
    found = compare(expect(model, shop.rows, shop.spending, 91, 365, 0.1), shop.later_orders, shop.later_revenue)
    assert found.revenue_rank_correlation is not None
    assert found.revenue_rank_correlation >= 0.52
    assert found.churn_auc is not None
    assert found.churn_auc >= 0.73
    assert found.top_decile_revenue_share is not None
    assert found.top_decile_revenue_share >= 0.55
    expected = [part.expected_revenue for part in found.parts]
    assert expected == sorted(expected, reverse=True)
    assert sum(part.customer_count for part in found.parts) == len(shop.rows)


@pytest.mark.parametrize("chances_before", [0, 1])
def test_parameters_are_found_again_in_simulated_purchases(chances_before: int) -> None:
    truth = (0.8, 6.0, 0.9, 3.0)
    rows = simulated(20_000, truth, 400, seed=7, chances_before=chances_before)
    model, fitted = fit_bg_nbd(rows, chances_before)
    assert (model.r, model.alpha, model.a, model.b) == pytest.approx(truth, rel=0.15)
    assert fitted.log_likelihood >= BgNbdLikelihood(rows, chances_before)(np.array(truth))[0]


def test_spending_parameters_are_found_again_in_simulated_amounts() -> None:
    random = np.random.default_rng(5)
    truth = GammaGamma(4.0, 3.5, 2000.0)
    count = 1 + random.poisson(3, 20_000)
    scale = random.gamma(truth.q, 1 / truth.gamma, len(count))
    mean = random.gamma(truth.p * count, 1 / scale) / count
    model, fitted = fit_gamma_gamma(count, mean)
    assert (model.p, model.q, model.gamma) == pytest.approx((truth.p, truth.q, truth.gamma), rel=0.1)
    assert fitted.converged


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_equal_customers_merged_have_the_same_likelihood(name: str) -> None:
    rows = simulated(5_000, (0.5, 5.0, 0.8, 2.5), 60, seed=2)
    once = merged(rows)
    assert len(once) < len(rows) / 3
    assert once.customer_count == 5_000
    again = merged(Purchases(*(np.concatenate((getattr(once, field),) * 2) for field in once.__slots__)))
    parameters = np.array([0.6, 4.0, 0.7, 2.0])
    value, slope = LIKELIHOODS[name](rows)(parameters)
    for same, times in ((once, 1), (again, 2)):
        found, gradient = LIKELIHOODS[name](same)(parameters)
        assert found == pytest.approx(times * value, rel=1e-12)
        assert gradient == pytest.approx(times * slope, rel=1e-9)


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("parameters", [(0.5, 8.0, 0.7, 2.0), (2.0, 1.5, 3.0, 20.0)])
def test_the_gradient_is_that_of_the_likelihood(name: str, parameters: tuple[float, ...]) -> None:
    likelihood = LIKELIHOODS[name](simulated(2_000, (0.5, 5.0, 0.8, 2.5), 400, seed=3))
    at = np.array(parameters)
    assert likelihood(at)[1] == pytest.approx(numeric_gradient(likelihood, at), rel=2e-3, abs=0.05)


def test_the_gradient_of_spending_is_that_of_its_likelihood() -> None:
    likelihood = GammaGammaLikelihood(np.array([1, 2, 5, 2]), np.array([3.0, 8.0, 5.5, 1.0]))
    at = np.array([2.0, 3.0, 4.0])
    assert likelihood(at)[1] == pytest.approx(numeric_gradient(likelihood, at), rel=1e-4)


@pytest.mark.parametrize(
    ("frequency", "recency", "age"), [(0, 0, 0), (0, 0, 273), (3, 100, 270), (30, 295, 300), (120, 100, 300)]
)
@pytest.mark.parametrize("parameters", [(0.55, 10.6, 0.6, 11.7), (2.0, 0.5, 3.0, 200.0), (0.5, 20.0, 1.5, 2.0)])
def test_the_pareto_nbd_likelihood_is_the_integral_over_when_the_customer_stopped(
    frequency: int, recency: int, age: int, parameters: tuple[float, float, float, float]
) -> None:
    r, alpha, s, beta = parameters
    exponent, begin, end = r + frequency, recency / 7, age / 7

    def stopping(time: float) -> float:
        share = np.exp(exponent * np.log((alpha + begin) / (alpha + time)))
        return float(share * s * (beta + time) ** (-s - 1))

    places = [begin + (end - begin) * part for part in (1e-3, 1e-2, 0.1, 0.3)]
    integral = quad(stopping, begin, end, points=places, limit=500, epsabs=0, epsrel=1e-11)[0] if age else 0.0
    alive = np.exp(exponent * np.log((alpha + begin) / (alpha + end))) * (beta + end) ** -s
    probability = ParetoNbd(*parameters).probability_alive(customer(frequency, recency, age))
    assert probability == pytest.approx(alive / (alive + integral), rel=1e-7)


@pytest.mark.parametrize("a", [0.4, 1.0, 2.7, 500.0])
@pytest.mark.parametrize("r", [0.4, 25.0, 60.0])
@pytest.mark.parametrize(("frequency", "age"), [(0, 0), (0, 300), (4, 200), (150, 700)])
def test_expected_purchases_of_bg_nbd_are_the_mean_over_stopping_probabilities(
    a: float, r: float, frequency: int, age: int
) -> None:
    model, weeks = BgNbd(r, 5.0, a, 3.0), 13.0
    past, exponent = model.alpha + age / 7, model.r + frequency

    def purchases_of(logit: float) -> float:
        stops = expit(logit)
        density = np.exp(a * log_expit(logit) + (3 + frequency) * log_expit(-logit) - betaln(a, 3 + frequency))
        return float(-np.expm1(-exponent * np.log1p(stops * weeks / past)) / stops * density)

    middle = np.log(a / (3 + frequency))
    mean = sum(quad(purchases_of, middle + begin, middle + begin + 5, limit=500)[0] for begin in range(-100, 40, 5))
    found = model.expected_if_alive(customer(frequency, min(age, frequency), age), weeks)
    assert found == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("model", [it for it in MODELS if isinstance(it, BgNbd)])
def test_expectations_are_what_simulated_customers_do(model: BgNbd) -> None:
    random = np.random.default_rng(11)
    count, weeks = 100_000, 30.0
    rate = random.gamma(model.r, 1 / model.alpha, count)
    stops = random.beta(model.a, model.b, count)
    time, orders = np.zeros(count), np.zeros(count)
    active = np.flatnonzero(random.random(count) >= stops) if model.chances_before else np.arange(count)
    while len(active):
        time[active] += random.exponential(1 / np.maximum(rate[active], 1e-12))
        active = active[time[active] <= weeks]
        orders[active] += 1
        active = active[random.random(len(active)) >= stops[active]]
    new = customer(0, 0, 0)
    assert model.expected_purchases(new, weeks) == pytest.approx(orders.mean(), rel=0.04)
    assert model.probability_of_purchase(new, weeks) == pytest.approx((orders > 0).mean(), abs=0.005)


def test_who_bought_once_is_alive_for_certain_by_bg_nbd_alone() -> None:
    once = customer(0, 0, 300)
    assert BgNbd(0.24, 4.4, 0.79, 2.4).probability_alive(once) == 1.0
    assert BgNbd(0.24, 4.4, 0.79, 2.4, 1).probability_alive(once) < 0.8
    assert ParetoNbd(0.55, 10.6, 0.61, 11.7).probability_alive(once) < 0.8


@each_model
def test_who_bought_a_moment_ago_has_stopped_at_that_purchase_or_not_at_all(model: PurchaseModel) -> None:
    now = model.probability_alive(customer(5, 100, 100))[0]
    if isinstance(model, BgNbd):
        chances = 5 + model.chances_before
        assert now == pytest.approx((model.b + chances - 1) / (model.a + model.b + chances - 1))
        first = model.b / (model.a + model.b) if model.chances_before else 1.0
        assert model.probability_alive(customer(0, 0, 0)) == pytest.approx(first)
    else:
        assert now == pytest.approx(1.0)
        assert model.probability_alive(customer(0, 0, 0)) == pytest.approx(1.0)


@each_model
@given(rows=customers(), weeks=st.floats(0.1, 200))
def test_figures_of_any_customer_are_possible_and_grow_with_the_horizon(
    model: PurchaseModel, rows: Purchases, weeks: float
) -> None:
    alive = model.probability_alive(rows)[0]
    near, far = (model.expected_purchases(rows, ahead)[0] for ahead in (weeks, 2 * weeks))
    buys, buys_later = (model.probability_of_purchase(rows, ahead)[0] for ahead in (weeks, 2 * weeks))
    assert 0 <= alive <= 1
    assert 0 <= buys <= buys_later + 1e-9 <= alive + 2e-9
    assert buys <= near * (1 + 1e-6) + 1e-9
    assert near <= far * (1 + 1e-9) + 1e-9
    assert model.median_wait(rows)[0] >= 0


@each_model
@given(rows=customers(), days=st.integers(1, 500))
def test_who_is_silent_for_longer_is_likelier_lost(model: PurchaseModel, rows: Purchases, days: int) -> None:
    later = Purchases(rows.frequency, rows.recency, rows.age + days, rows.weight)
    assert model.probability_alive(later)[0] <= model.probability_alive(rows)[0] + 1e-9
    assert model.expected_purchases(later, 13.0)[0] <= model.expected_purchases(rows, 13.0)[0] * (1 + 1e-6) + 1e-9


@each_model
@given(rows=customers(), rate=st.floats(0.0, 2.0))
def test_a_discount_never_adds_value(model: PurchaseModel, rows: Purchases, rate: float) -> None:
    plain = model.expected_purchases(rows, 730 / 7)[0]
    discounted = discounted_purchases(model, rows, 730, rate)[0]
    assert discounted <= plain * (1 + 1e-4) + 1e-9
    assert discounted >= plain / (1 + rate) ** 2 * (1 - 1e-4) - 1e-9


@given(count=st.integers(1, 200), mean=st.floats(0.01, 1e6))
def test_expected_amounts_lie_between_the_customers_own_mean_and_everyones(count: int, mean: float) -> None:
    model = GammaGamma(6.25, 3.74, 15.44)
    everyone = model.expected_amount(np.array([0]), np.array([0.0]))[0]
    found = model.expected_amount(np.array([count]), np.array([mean]))[0]
    assert min(mean, everyone) * (1 - 1e-9) <= found <= max(mean, everyone) * (1 + 1e-9)


@pytest.mark.parametrize("name", PURCHASE_MODELS)
def test_customers_who_are_all_alike_are_fitted_all_the_same(name: str) -> None:
    same = purchases(np.full(50, 3), np.full(50, 60), np.full(50, 90))
    model, fitted = PURCHASE_MODELS[name](same)
    assert np.isfinite(fitted.log_likelihood)
    assert not fitted.converged
    assert np.isfinite(model.expected_purchases(same, 13.0)).all()


def test_amounts_that_are_all_alike_are_expected_again() -> None:
    model, fitted = fit_gamma_gamma(np.full(50, 3), np.full(50, 1000.0))
    assert not fitted.converged
    assert model.expected_amount(np.array([3]), np.array([1000.0])) == pytest.approx(1000, rel=0.01)
