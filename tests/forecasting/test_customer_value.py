"""Orders in through profiles, what customers are expected to do out, over gRPC."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import grpc
import numpy as np
import pytest
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2 import Event

from tests.forecasting.conftest import Shop, instant, line, order, timestamp
from tests.forecasting.test_servicer import refusal

FIRST = instant("2026-01-01T09:00")


def orders(customers: int = 80, seed: int = 4) -> list[Event]:
    """A year of customers who come about every fortnight, most of whom stop at some time."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(customers):
        user, day, amount = f"u{number}", float(random.integers(0, 150)), random.gamma(4, 10)
        while day < 300 and (day < 1 or random.random() > 0.12):
            found.append(bought(user, FIRST + timedelta(days=int(day)), round(amount * random.gamma(9, 1 / 9), 2)))
            day += 1 + random.exponential(13)
    return found


def bought(user: str, time: datetime, amount: float, currency: str = "USD") -> Event:
    event = order(f"{user}-{time:%Y%m%d%H%M%S}-{currency}", time, [line("1", amount, "FOOD")], currency=currency)
    event.user_id = user
    return event


async def fitted(shop: Shop, **options: object) -> pb.CustomerModel:
    request = pb.FitCustomerModelRequest(request_id=f"fit-{options}", **options)  # type: ignore[arg-type]
    started = await shop.forecasting.FitCustomerModel(request, metadata=shop.header())
    job = await shop.finished(started.job.job_id)
    assert (job.kind, job.state, job.message) == ("fit_customer_model", 3, "done")
    model = await shop.forecasting.GetCustomerModel(pb.GetCustomerModelRequest(), metadata=shop.header())
    assert job.results["version"] == str(model.customer_model.version)
    return model.customer_model


async def listed(shop: Shop, order: int = 0, size: int = 30) -> list[pb.CustomerPrediction]:
    found: list[pb.CustomerPrediction] = []
    request = pb.ListCustomerPredictionsRequest(order=order, page_size=size)  # type: ignore[arg-type]
    while True:
        page = await shop.forecasting.ListCustomerPredictions(request, metadata=shop.header())
        found.extend(page.predictions)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_a_model_is_fitted_with_its_holdout_and_says_what_it_knew(shop: Shop) -> None:
    events = orders()
    await shop.sell(events)
    model = await fitted(shop, horizon_days=60)
    assert (model.version, model.currency, model.horizon_days, model.lifetime_days) == (1, "USD", 60, 1095)
    assert model.customer_count == len({event.user_id for event in events})
    assert model.repeat_customer_count <= model.customer_count
    assert model.as_of_time == max((event.event_time for event in events), key=lambda time: time.seconds)
    assert model.as_of_time.seconds - model.holdout.start_time.seconds == 60 * 86400
    assert {it.purchase_model for it in model.holdout.purchase_model_errors} == {1, 2, 3}
    best = min(model.holdout.purchase_model_errors, key=lambda it: it.order_rmse)
    assert model.purchase_model == best.purchase_model
    assert model.holdout.order_rmse == best.order_rmse
    assert sum(it.customer_count for it in model.holdout.deciles) == model.holdout.customer_count
    assert len(model.holdout.deciles) == 10
    assert model.holdout.churn_auc > 0.6
    assert 0 < model.holdout.brier < 0.25
    assert set(model.spending_parameters) == {"p", "q", "gamma"}
    assert len(model.purchase_parameters) == 4


async def test_each_customer_has_a_prediction_and_lists_go_from_the_highest_to_the_lowest(shop: Shop) -> None:
    events = orders()
    await shop.sell(events)
    model = await fitted(shop, purchase_model=pb.PURCHASE_MODEL_PARETO_NBD)
    assert model.purchase_model == pb.PURCHASE_MODEL_PARETO_NBD
    by_revenue = await listed(shop)
    assert len({it.customer_id for it in by_revenue}) == len(by_revenue) == model.customer_count
    revenue = [it.expected_revenue.amount_minor for it in by_revenue]
    assert revenue == sorted(revenue, reverse=True)
    by_churn = await listed(shop, pb.CUSTOMER_PREDICTION_ORDER_CHURN_PROBABILITY)
    churn = [it.churn_probability for it in by_churn]
    assert churn == sorted(churn, reverse=True)
    for it in by_revenue:
        assert 0 <= it.probability_alive <= 1
        assert 1 - it.probability_alive <= it.churn_probability + 1e-9 <= 1 + 1e-9
        assert it.churn_band == 1 + (it.churn_probability >= 1 / 3) + (it.churn_probability >= 2 / 3)
        product = it.expected_orders * it.expected_order_value.amount_minor
        assert it.expected_revenue.amount_minor == pytest.approx(product, abs=1 + it.expected_orders)
        assert it.lifetime_value.amount_minor >= it.expected_revenue.amount_minor * 0.97
        assert it.expected_next_order_time.seconds > it.as_of_time.seconds
        assert it.version == 1
        assert it.HasField("days_between_orders") == (it.purchase_count > 1)
    asked = [by_churn[3].customer_id, "nobody", by_churn[0].customer_id]
    batch = await shop.forecasting.BatchGetCustomerPredictions(
        pb.BatchGetCustomerPredictionsRequest(customer_ids=asked), metadata=shop.header()
    )
    assert list(batch.predictions) == [by_churn[3], by_churn[0]]
    one = await shop.forecasting.GetCustomerPrediction(
        pb.GetCustomerPredictionRequest(customer_id=asked[0]), metadata=shop.header()
    )
    assert one.prediction == by_churn[3]


async def test_who_came_until_now_is_expected_sooner_than_who_stayed_away(shop: Shop) -> None:
    events = orders()
    faithful = [bought("faithful", FIRST + timedelta(days=day), 50.0) for day in range(0, 300, 10)]
    gone = [bought("gone", FIRST + timedelta(days=day), 50.0) for day in range(0, 100, 10)]
    await shop.sell([*events, *faithful, *gone])
    await fitted(shop)
    [stays] = [it for it in await listed(shop) if it.purchase_count == 30 and _day(it) == 290]
    [left] = [it for it in await listed(shop) if it.purchase_count == 10 and _day(it) == 90]
    assert stays.probability_alive > 0.8
    assert left.probability_alive < 0.1
    assert (stays.churn_band, left.churn_band) == (pb.CHURN_BAND_LOW, pb.CHURN_BAND_HIGH)
    assert stays.expected_revenue.amount_minor > 10 * left.expected_revenue.amount_minor
    assert (stays.days_between_orders, stays.historic_revenue.amount_minor) == (10, 30 * 5_000)
    assert stays.expected_next_order_time.seconds - stays.as_of_time.seconds < 20 * 86400


def _day(it: pb.CustomerPrediction) -> int:
    return (it.last_purchase_time.seconds - int(FIRST.timestamp())) // 86400 + 1  # the time is that of midnight before


async def test_orders_of_one_day_are_one_purchase_and_those_of_nothing_are_none(shop: Shop) -> None:
    events = orders()
    day = FIRST + timedelta(days=250)
    twice = [bought("twice", day, 30.0), bought("twice", day + timedelta(hours=5), 20.0)]
    given = [bought("given", day, 30.0), bought("given", day + timedelta(days=3), 0.0)]
    await shop.sell([*events, *twice, *given, bought("nothing", day, 0.0)])
    before = {event.user_id for event in events}
    model = await fitted(shop)
    assert model.customer_count == len(before) + 2
    assert sum(it.purchase_count == 1 for it in await listed(shop) if _day(it) == 250) == 2


async def test_the_same_moment_gives_the_same_model_whatever_came_after(shop: Shop) -> None:
    events = orders()
    middle = timestamp(FIRST + timedelta(days=200))
    await shop.sell([event for event in events if event.event_time.seconds <= middle.seconds])
    first = await fitted(shop, as_of_time=middle, horizon_days=30)
    early = await listed(shop)
    monitor = pb.MonitorCustomerModelRequest()
    error = await refusal(shop.forecasting.MonitorCustomerModel(monitor, metadata=shop.header()))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "the end of the 30 days" in (error.details() or "")
    await shop.sell([event for event in events if event.event_time.seconds > middle.seconds])
    request = pb.FitCustomerModelRequest(request_id="again", as_of_time=middle, horizon_days=30)
    job = (await shop.forecasting.FitCustomerModel(request, metadata=shop.header())).job
    assert (await shop.finished(job.job_id)).state == 3
    again = await shop.forecasting.GetCustomerModel(pb.GetCustomerModelRequest(), metadata=shop.header())
    second = again.customer_model
    assert second.version == 2
    assert second.purchase_parameters == first.purchase_parameters
    assert second.holdout == first.holdout
    late = await listed(shop)
    for it in (*early, *late):
        it.version = 0
    assert late == early
    kept = await shop.forecasting.GetCustomerModel(pb.GetCustomerModelRequest(version=1), metadata=shop.header())
    assert kept.customer_model == first
    came = await shop.forecasting.MonitorCustomerModel(monitor, metadata=shop.header())
    assert (came.version, came.outcome.start_time) == (2, middle)
    tenths = came.outcome.deciles
    assert sum(it.customer_count for it in tenths) == came.outcome.customer_count == first.customer_count
    said = sum(it.customer_count * it.churn_probability for it in tenths)
    assert said == pytest.approx(sum(it.churn_probability for it in early))
    known = {event.user_id for event in events if event.event_time.seconds <= middle.seconds}
    days = {
        (event.user_id, event.event_time.seconds // 86_400)
        for event in events
        if event.user_id in known and 0 < event.event_time.seconds - middle.seconds <= 30 * 86_400
    }
    assert sum(it.customer_count * it.actual_orders for it in tenths) == pytest.approx(len(days))


async def test_a_page_token_of_a_model_before_is_refused(shop: Shop) -> None:
    await shop.sell(orders())
    await fitted(shop, horizon_days=30)
    page = await shop.forecasting.ListCustomerPredictions(
        pb.ListCustomerPredictionsRequest(page_size=5), metadata=shop.header()
    )
    await fitted(shop, horizon_days=60)
    request = pb.ListCustomerPredictionsRequest(page_size=5, page_token=page.next_page_token)
    error = await refusal(shop.forecasting.ListCustomerPredictions(request, metadata=shop.header()))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert len(await listed(shop)) == len({it.customer_id for it in await listed(shop)})


async def test_a_request_id_starts_one_job(shop: Shop) -> None:
    await shop.sell(orders())
    request = pb.FitCustomerModelRequest(request_id="once", horizon_days=30)
    first = await shop.forecasting.FitCustomerModel(request, metadata=shop.header())
    again = await shop.forecasting.FitCustomerModel(request, metadata=shop.header())
    assert again.job.job_id == first.job.job_id
    other = pb.FitCustomerModelRequest(request_id="once", horizon_days=31)
    error = await refusal(shop.forecasting.FitCustomerModel(other, metadata=shop.header()))
    assert error.code() == grpc.StatusCode.ALREADY_EXISTS
    await shop.finished(first.job.job_id)


def few(count: int) -> Sequence[Event]:
    return [
        bought(f"f{number}", FIRST + timedelta(days=number % 20 + 5 * visit), 10.0 + number)
        for number in range(count)
        for visit in range(2)
    ]


async def test_a_shop_without_repeat_customers_is_told_so(shop: Shop) -> None:
    request = pb.FitCustomerModelRequest(request_id="none")
    for events in ([], few(29)):
        if events:
            await shop.sell(events)
        error = await refusal(shop.forecasting.FitCustomerModel(request, metadata=shop.header()))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert f"{len(events) // 2} customers bought on two days" in (error.details() or "")
    jobs = await shop.forecasting.ListJobs(pb.ListJobsRequest(), metadata=shop.header())
    assert not jobs.jobs


async def test_a_short_history_has_no_holdout_and_says_so(shop: Shop) -> None:
    await shop.sell(few(40))
    model = await fitted(shop, holdout_days=3)
    assert not model.HasField("holdout")
    assert "too short" in model.warnings[0]
    assert len(await listed(shop)) == 40


async def test_what_is_wrong_with_a_fit_is_said(shop: Shop) -> None:
    await shop.sell([*orders(), bought("u1", FIRST, 5.0, currency="EUR")])
    for fields, reason in (
        ({}, "choose one currency"),
        ({"currency": "USD", "discount_rate": -0.1}, "discount rate"),
        ({"currency": "USD", "discount_rate": float("nan")}, "discount rate"),
        ({"currency": "USD", "purchase_model": 9}, "purchase_model has no value"),
        ({"currency": "USD", "as_of_time": timestamp(instant("2400-01-01"))}, "between 1970 and 2169"),
        ({"currency": "USD", "horizon_days": 100_000}, "horizon_days"),
    ):
        request = pb.FitCustomerModelRequest(request_id="wrong", **fields)  # type: ignore[arg-type]
        error = await refusal(shop.forecasting.FitCustomerModel(request, metadata=shop.header()))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert reason in (error.details() or "")
    assert (await fitted(shop, currency="USD")).currency == "USD"


async def test_a_tenant_sees_only_its_own_model_and_predictions(shop: Shop) -> None:
    await shop.sell(orders())
    await fitted(shop)
    known = (await listed(shop))[0].customer_id
    model = pb.GetCustomerModelRequest()
    assert (await refusal(shop.forecasting.GetCustomerModel(model, metadata=shop.header("other")))).code() == (
        grpc.StatusCode.NOT_FOUND
    )
    one = pb.GetCustomerPredictionRequest(customer_id=known)
    error = await refusal(shop.forecasting.GetCustomerPrediction(one, metadata=shop.header("other")))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    batch = await shop.forecasting.BatchGetCustomerPredictions(
        pb.BatchGetCustomerPredictionsRequest(customer_ids=[known]), metadata=shop.header("other")
    )
    page = await shop.forecasting.ListCustomerPredictions(
        pb.ListCustomerPredictionsRequest(), metadata=shop.header("other")
    )
    assert not batch.predictions
    assert not page.predictions
    error = await refusal(
        shop.forecasting.FitCustomerModel(pb.FitCustomerModelRequest(request_id="x"), metadata=shop.header("other"))
    )
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
