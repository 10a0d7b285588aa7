"""Orders in through profiles, of which categories each customer is likely to buy out, over gRPC."""

import json
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any

import grpc
import numpy as np
import pytest
from tessera.forecasting.v1 import category_preference_pb2 as pb
from tessera.forecasting.v1 import forecasting_service_pb2 as service
from tessera.forecasting.v1 import personal_data_pb2
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1.merge_pb2 import MergeCustomersRequest, UnmergeCustomerRequest
from tessera.profiles.v1.person_pb2 import Person
from tessera.profiles.v1.profiles_service_pb2 import Event

from tests.forecasting.conftest import Shop, instant, timestamp
from tests.forecasting.test_propensity import FIRST, bought, id_of
from tests.forecasting.test_servicer import refusal
from tests.whole_platform import until

DAYS, CUSTOMERS = 90, 110
NAMES = ("FOOD", "TOYS", "BOOKS")
THEN = FIRST + timedelta(days=60, hours=3)


def orders() -> list[Event]:
    """Customers who come every eight days, nine times in ten for their own category."""
    random = np.random.default_rng(5)
    found = []
    for number in range(CUSTOMERS):
        for day in range(number % 8, DAYS, 8):
            own = random.random() < 0.9
            name = NAMES[number % 3] if own else NAMES[random.integers(3)]
            found.append(bought(f"u{number}", float(day), name, 20.0))
    return found


def asked(name: str = "first", **more: Any) -> pb.FitCategoryPreferencesRequest:
    return pb.FitCategoryPreferencesRequest(request_id=name, **more)


async def fitted(shop: Shop, request: pb.FitCategoryPreferencesRequest) -> pb.CategoryPreferenceModel:
    started = await shop.forecasting.FitCategoryPreferences(request, metadata=shop.header())
    job = await shop.finished(started.job.job_id)
    assert (job.kind, job.state, job.message) == ("fit_category_preferences", 3, "done")
    newest = pb.GetCategoryPreferenceModelRequest()
    answer = await shop.forecasting.GetCategoryPreferenceModel(newest, metadata=shop.header())
    assert job.results["version"] == str(answer.category_preference_model.version)
    return answer.category_preference_model


async def listed(shop: Shop, category: str = "") -> list[pb.CategoryPreferences]:
    found: list[pb.CategoryPreferences] = []
    request = pb.ListCategoryPreferencesRequest(category=category, page_size=40)
    while True:
        page = await shop.forecasting.ListCategoryPreferences(request, metadata=shop.header())
        found.extend(page.preferences)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def told(shop: Shop) -> dict[str, service.PredictionChange]:
    """What a follower of the feed holds, by customer."""
    held: dict[str, service.PredictionChange] = {}
    async for batch in shop.forecasting.FollowPredictions(service.FollowPredictionsRequest(), metadata=shop.header()):
        held |= {it.customer_id: it for it in batch.changes if it.HasField("category_preferences")}
        if batch.caught_up:
            return held
    return held


async def test_what_customers_prefer_is_learnt_measured_listed_told_and_forgotten(shop: Shop) -> None:
    events = orders()
    await shop.sell(events)
    await refused(shop)
    model = await fitted(shop, asked(categories_per_customer=2))
    assert (await fitted(shop, asked(categories_per_customer=2))).version == 1
    assert (model.version, model.currency, model.horizon_days) == (1, "USD", 28)
    assert (sorted(model.categories), model.customer_count) == (sorted(NAMES), CUSTOMERS)
    assert [it.method for it in model.quality.rankings] == [1, 2, 3]
    ours, _, popular = model.quality.rankings
    assert ours.hit_rate > 0.8 > popular.hit_rate
    assert ours.log_loss < popular.log_loss
    assert model.as_of_time.seconds - model.quality.start_time.seconds == 28 * 86400
    assert abs(sum(it.importance for it in model.features) - 1) < 1e-9

    everybody = await listed(shop)
    await explained(everybody)
    first = [it.categories[0].probability for it in everybody]
    assert len({it.customer_id for it in everybody}) == CUSTOMERS
    assert first == sorted(first, reverse=True)
    assert {len(it.categories) for it in everybody} == {2}
    toys = await listed(shop, "TOYS")
    assert {it.categories[0].category for it in toys} == {"TOYS"}
    others = [it for name in ("FOOD", "BOOKS") for it in await listed(shop, name)]
    assert len(toys) + len(others) == CUSTOMERS
    u1 = await id_of(shop, "u1")
    assert u1 in {it.customer_id for it in toys}

    async def everybody_is_told_of() -> bool:
        return {who: it.category_preferences for who, it in (await told(shop)).items()} == {
            it.customer_id: it for it in everybody
        }

    await until(everybody_is_told_of)
    await forgotten(shop, u1)
    await deleted(shop, next(it.customer_id for it in everybody if it.customer_id != u1))
    await monitored(shop, events)
    await merged(shop)


async def forgotten(shop: Shop, who: str) -> None:
    """What is said of a person is shown to them, and goes with them."""
    export = personal_data_pb2.ExportCustomerDataRequest(customer_id=who)
    stream = shop.forecasting.ExportCustomerData(export, metadata=shop.header())
    records = [it async for page in stream for it in page.records if it.kind == "category_preferences"]
    shown = json.loads(records[0].json)
    assert next(iter(shown["probability_by_category"])) == "TOYS"
    assert len(shown["because_of_by_category"]["TOYS"]) == 3
    erase = erasure_pb2.EraseCustomersRequest(request_id="erase", persons=[Person(customer_id=who)])
    await shop.profiles.EraseCustomers(erase, metadata=shop.header())
    batch = pb.BatchGetCategoryPreferencesRequest(customer_ids=[who, "nobody"])

    async def gone() -> bool:
        answer = await shop.forecasting.BatchGetCategoryPreferences(batch, metadata=shop.header())
        return not answer.preferences and who not in await told(shop)

    await until(gone)


async def explained(everybody: Sequence[pb.CategoryPreferences]) -> None:
    """Each probability has its reasons, the strongest first."""
    for liked in (it for each in everybody for it in each.categories):
        sizes = [abs(why.contribution) for why in liked.reasons]
        assert len(sizes) == 3
        assert sizes == sorted(sizes, reverse=True)


async def deleted(shop: Shop, who: str) -> None:
    """The model goes once for a request, with what it says; those who follow are told of everybody. Its horizon, which
    was not over, is not monitored any more."""
    for version in (0, 1):
        early = pb.MonitorCategoryPreferencesRequest(version=version)
        error = await refusal(shop.forecasting.MonitorCategoryPreferences(early, metadata=shop.header()))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert "does not reach to the end of the 28 days" in (error.details() or "")
    delete = pb.DeleteCategoryPreferenceModelRequest(request_id="no more of it")
    await shop.forecasting.DeleteCategoryPreferenceModel(delete, metadata=shop.header())
    assert await told(shop) == {}
    batch = pb.BatchGetCategoryPreferencesRequest(customer_ids=[who])
    assert not (await shop.forecasting.BatchGetCategoryPreferences(batch, metadata=shop.header())).preferences
    for version in (0, 1):
        wanted = pb.GetCategoryPreferenceModelRequest(version=version)
        error = await refusal(shop.forecasting.GetCategoryPreferenceModel(wanted, metadata=shop.header()))
        assert error.code() == grpc.StatusCode.NOT_FOUND
    error = await refusal(shop.forecasting.MonitorCategoryPreferences(early, metadata=shop.header()))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert (await fitted(shop, asked("again", horizon_days=14, as_of_time=timestamp(THEN)))).version == 1
    await shop.forecasting.DeleteCategoryPreferenceModel(delete, metadata=shop.header())
    assert (await shop.forecasting.BatchGetCategoryPreferences(batch, metadata=shop.header())).preferences
    used = pb.DeleteCategoryPreferenceModelRequest(request_id="again")
    error = await refusal(shop.forecasting.DeleteCategoryPreferenceModel(used, metadata=shop.header()))
    assert error.code() == grpc.StatusCode.ALREADY_EXISTS


async def monitored(shop: Shop, events: Sequence[Event]) -> None:
    """What customers bought in the horizon is held against what was said of them; who was erased counts as a
    pseudonym."""
    newest = pb.MonitorCategoryPreferencesRequest()
    found = await shop.forecasting.MonitorCategoryPreferences(newest, metadata=shop.header())
    came = found.quality
    assert (found.version, came.start_time, came.customer_count) == (1, timestamp(THEN), CUSTOMERS)
    until_then = THEN + timedelta(days=14)
    inside = [it for it in events if THEN < it.event_time.ToDatetime(UTC) <= until_then]
    bought_of = {(it.user_id, json.loads(it.properties_json)["products"][0]["category"]) for it in inside}
    for it in came.categories:
        assert it.base_rate == pytest.approx(sum(name == it.category for _, name in bought_of) / CUSTOMERS)
    assert came.buyer_count == len({user for user, _ in bought_of})
    said = await listed(shop)
    for it in came.categories:
        chances = [liked.probability for each in said for liked in each.categories if liked.category == it.category]
        assert len(chances) == CUSTOMERS
        assert it.probability == pytest.approx(sum(chances) / CUSTOMERS)
    assert sum(it.pair_count for it in came.deciles) == CUSTOMERS * len(NAMES)
    assert came.rankings[0].hit_rate > 0.7
    assert came.rankings[0].log_loss < came.base_log_loss
    models = pb.ListCategoryPreferenceModelsRequest()
    listing = await shop.forecasting.ListCategoryPreferenceModels(models, metadata=shop.header())
    assert [it.version for it in listing.category_preference_models] == [1]


async def merged(shop: Shop) -> None:
    """What is said follows a merge and its undoing, and so do those who follow; who is merged is monitored once."""
    before = {it.customer_id: it for it in await listed(shop)}
    one, other = await id_of(shop, "u2"), await id_of(shop, "u4")
    merge = MergeCustomersRequest(customer_id=one, merged_customer_ids=[other], request_id="m", reason="one person")
    merges = (await shop.profiles.MergeCustomers(merge, metadata=shop.header())).merges

    async def are(count: int) -> bool:
        return len(await listed(shop)) == count

    await until(lambda: are(CUSTOMERS - 1))
    now = {it.customer_id: it for it in await listed(shop)}
    assert now.keys() == before.keys() - {other}
    assert {who for who, it in now.items() if it != before[who]} == {one}
    assert toys(now[one]) > toys(before[one])
    assert len(now[one].categories[0].reasons) == 3
    assert {who: it.category_preferences for who, it in (await told(shop)).items()} == now
    newest = pb.MonitorCategoryPreferencesRequest()
    again = await shop.forecasting.MonitorCategoryPreferences(newest, metadata=shop.header())
    assert again.quality.customer_count == CUSTOMERS - 1
    back = UnmergeCustomerRequest(merge_id=merges[0].merge_id, request_id="u", reason="two people")
    await shop.profiles.UnmergeCustomer(back, metadata=shop.header())
    await until(lambda: are(CUSTOMERS))
    for it in await listed(shop):
        assert toys(it) == pytest.approx(toys(before[it.customer_id]), rel=1e-6)


def toys(it: pb.CategoryPreferences) -> float:
    """How likely the customer is to buy toys."""
    return next(liked.probability for liked in it.categories if liked.category == "TOYS")


WRONG: Sequence[tuple[pb.FitCategoryPreferencesRequest, grpc.StatusCode, str]] = (
    (asked(horizon_days=60), grpc.StatusCode.FAILED_PRECONDITION, "and 180 are needed"),
    (asked(currency="EUR"), grpc.StatusCode.FAILED_PRECONDITION, "orders name 0 categories and 2 are needed"),
    (asked(as_of_time=timestamp(instant("2400-01-01"))), grpc.StatusCode.INVALID_ARGUMENT, "between 1970"),
    (asked(categories_per_customer=21), grpc.StatusCode.INVALID_ARGUMENT, "categories_per_customer"),
    (asked(horizon_days=1), grpc.StatusCode.FAILED_PRECONDITION, "100 are needed"),
)


async def refused(shop: Shop) -> None:
    """What is wrong with a fit is said, and starts none."""
    for request, code, reason in WRONG:
        error = await refusal(shop.forecasting.FitCategoryPreferences(request, metadata=shop.header()))
        assert (error.code(), reason in (error.details() or "")) == (code, True), error.details()
    nothing = pb.GetCategoryPreferenceModelRequest()
    error = await refusal(shop.forecasting.GetCategoryPreferenceModel(nothing, metadata=shop.header()))
    assert error.code() == grpc.StatusCode.NOT_FOUND
