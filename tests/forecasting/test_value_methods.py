"""How it is told what customers spend: chosen by a holdout or by the caller, kept with the model, said again after
merges."""

import sys

import grpc
import pytest
from tessera.forecasting.v1 import customer_value_pb2 as value_pb
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.profiles.v1.merge_pb2 import MergeCustomersRequest, UnmergeCustomerRequest

from tests.forecasting.conftest import Shop, timestamp
from tests.forecasting.test_customer_value import fitted, listed
from tests.forecasting.test_propensity import FIRST, id_of, orders
from tests.forecasting.test_servicer import refusal
from tests.whole_platform import until

PROBABILISTIC, BOOSTING = value_pb.VALUE_METHOD_PROBABILISTIC, value_pb.VALUE_METHOD_BOOSTING
COMBINATION = value_pb.VALUE_METHOD_COMBINATION


def score(it: value_pb.ValueMethodScore) -> float:
    return (it.revenue_rank_correlation + it.top_decile_revenue_share + it.churn_auc) / 3


async def test_the_method_that_ranks_best_in_the_holdout_is_chosen_and_shown(shop: Shop) -> None:
    await shop.sell(orders())
    model = await fitted(shop, horizon_days=30)
    scores = {it.value_method: it for it in model.holdout.value_methods}
    assert list(scores) == [PROBABILISTIC, BOOSTING, COMBINATION]
    assert model.value_method == max(scores, key=lambda it: score(scores[it]))
    best = scores[model.value_method]
    for name in ("revenue_rank_correlation", "top_decile_revenue_share", "revenue_bias", "churn_auc", "brier"):
        assert getattr(model.holdout, name) == getattr(best, name)
    assert model.moment_count == (0 if model.value_method == PROBABILISTIC else 8)


async def test_trees_as_asked_speak_of_everybody_the_same_after_a_merge_and_its_undoing_and_in_a_replay(
    shop: Shop,
) -> None:
    events = orders()
    middle = timestamp(FIRST.replace(month=6, day=15))
    await shop.sell([it for it in events if it.event_time.seconds <= middle.seconds])
    model = await fitted(shop, horizon_days=30, as_of_time=middle, value_method=COMBINATION)
    assert (model.value_method, model.moment_count) == (COMBINATION, 8)
    assert [it.value_method for it in model.holdout.value_methods] == [PROBABILISTIC, COMBINATION]
    before = {it.customer_id: it for it in await listed(shop, size=200)}
    for it in before.values():
        product = it.expected_orders * it.expected_order_value.amount_minor
        assert it.expected_revenue.amount_minor == pytest.approx(product, abs=1 + it.expected_orders)
        assert 1 - it.probability_alive <= it.churn_probability + 1e-9 <= 1 + 1e-9
    one, other = await id_of(shop, "u1"), await id_of(shop, "u2")
    merge = MergeCustomersRequest(customer_id=one, merged_customer_ids=[other], request_id="m", reason="one person")
    merges = (await shop.profiles.MergeCustomers(merge, metadata=shop.header())).merges

    async def known() -> set[str]:
        return {it.customer_id for it in await listed(shop, size=200)}

    async def merged() -> bool:
        return other not in await known()

    async def parted() -> bool:
        return other in await known()

    await until(merged)
    back = UnmergeCustomerRequest(merge_id=merges[0].merge_id, request_id="u", reason="two people")
    await shop.profiles.UnmergeCustomer(back, metadata=shop.header())
    await until(parted)
    assert {it.customer_id: it for it in await listed(shop, size=200)} == before
    await shop.sell([it for it in events if it.event_time.seconds > middle.seconds])
    again = pb.FitCustomerModelRequest(request_id="again", horizon_days=30, as_of_time=middle, value_method=COMBINATION)
    job = (await shop.forecasting.FitCustomerModel(again, metadata=shop.header())).job
    assert (await shop.finished(job.job_id)).results["value_method"] == "combination"
    monitored = await shop.forecasting.MonitorCustomerModel(
        pb.MonitorCustomerModelRequest(version=1), metadata=shop.header()
    )
    assert [it.value_method for it in monitored.outcome.value_methods] == [COMBINATION]
    said = sum(it.customer_count * it.expected_revenue.amount_minor for it in monitored.outcome.deciles)
    assert said == pytest.approx(sum(it.expected_revenue.amount_minor for it in before.values()), abs=len(before))
    late = {it.customer_id: it for it in await listed(shop, size=200)}
    for it in late.values():
        it.version = 1
    assert late == before


async def test_without_the_library_or_enough_customers_the_models_speak_alone_and_say_why(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sell(orders(120))
    asked = pb.FitCustomerModelRequest(request_id="trees", horizon_days=30, value_method=BOOSTING)
    error = await refusal(shop.forecasting.FitCustomerModel(asked, metadata=shop.header()))
    assert (error.code(), "it takes 100" in (error.details() or "")) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    asked.horizon_days = 90
    error = await refusal(shop.forecasting.FitCustomerModel(asked, metadata=shop.header()))
    assert (error.code(), "270 are needed" in (error.details() or "")) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    error = await refusal(shop.forecasting.FitCustomerModel(asked, metadata=shop.header()))
    assert (error.code(), "LightGBM" in (error.details() or "")) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    model = await fitted(shop, horizon_days=30)
    assert (model.value_method, model.moment_count) == (PROBABILISTIC, 0)
    assert [it.value_method for it in model.holdout.value_methods] == [PROBABILISTIC]
    assert "LightGBM cannot be loaded" in model.warnings[-1]
