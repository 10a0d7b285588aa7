"""An experiment and orders in, what the treatment changes for each customer out, over gRPC."""

import json
import zlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import grpc
import numpy as np
import pytest
from tessera.common.v1 import rule_pb2
from tessera.common.v1.money_pb2 import Money
from tessera.forecasting.v1 import forecasting_service_pb2 as service
from tessera.forecasting.v1 import propensity_pb2, uplift_pb2
from tessera.forecasting.v1 import uplift_pb2 as pb
from tessera.forecasting.v1.personal_data_pb2 import ExportCustomerDataRequest
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1.merge_pb2 import MergeCustomersRequest, UnmergeCustomerRequest
from tessera.profiles.v1.person_pb2 import Person
from tessera.profiles.v1.profiles_service_pb2 import EVENT_TYPE_TRACK, Event, GetCustomerRequest, Identifier

from tests.forecasting.conftest import Shop, instant, line, order, timestamp
from tests.forecasting.test_servicer import refusal
from tests.whole_platform import until

FIRST = instant("2026-01-01T09:00")
MAILED = FIRST + timedelta(days=60)
CUSTOMERS = 640
AMOUNT = pb.UPLIFT_OUTCOME_AMOUNT
SOON = propensity_pb2.PropensityGoal(horizon_days=14)


def bought(user: str, day: int, category: str = "FOOD") -> Event:
    event = order(f"{user}-{day}", FIRST + timedelta(days=day), [line("1", 20.0, category)])
    event.user_id = user
    return event


def treated(number: int) -> bool:
    return number % 2 == 0


def orders() -> list[Event]:
    """Those who had bought toys come for the mail, the others do not; four in ten come anyway.

    The effect is so large because the ids, which part who is learnt from from who is not seen, are new with each run.
    """
    random = np.random.default_rng(1)
    found = [bought("last", 90)]
    for number in range(CUSTOMERS):
        user, toys = f"u{number}", number % 4 < 2
        found += [bought(user, int(day), "TOYS" if toys else "FOOD") for day in random.integers(0, 60, 1 + toys)]
        chance = 0.4 + 0.58 * (toys and treated(number))
        if random.random() < chance:
            found.append(bought(user, 61 + int(random.integers(0, 12))))
    return found


async def ids_of(shop: Shop, users: Sequence[str]) -> list[str]:
    found = []
    for user in users:
        request = GetCustomerRequest(identifier=Identifier(type="user_id", value=user))
        found.append((await shop.profiles.GetCustomer(request, metadata=shop.header())).customer.customer_id)
    return found


async def mailed(shop: Shop) -> list[str]:
    """Customers, every other one of whom was mailed, after their orders."""
    await shop.sell(orders())
    ids = await ids_of(shop, [f"u{number}" for number in range(CUSTOMERS)])
    await shop.forecasting.RecordTreatments(recorded(ids), metadata=shop.header())
    return ids


def recorded(ids: Sequence[str]) -> pb.RecordTreatmentsRequest:
    rows = [
        pb.Treatment(customer_id=who, treated=treated(number), treatment_time=timestamp(MAILED))
        for number, who in enumerate(ids)
    ]
    return pb.RecordTreatmentsRequest(request_id="mail", experiment_id="mail", treatments=rows)


def asked(name: str = "mailed", **more: Any) -> pb.FitUpliftModelRequest:
    fields: dict[str, Any] = {"experiment_id": "mail", "goal": SOON} | more
    request_id = f"fit-{name}-{zlib.crc32(repr(more).encode())}"
    return pb.FitUpliftModelRequest(request_id=request_id, model_id=name, **fields)


async def finished(shop: Shop, request: pb.FitUpliftModelRequest) -> Any:
    started = await shop.forecasting.FitUpliftModel(request, metadata=shop.header())
    return await shop.finished(started.job.job_id)


async def listed(shop: Shop, name: str = "mailed") -> list[pb.Uplift]:
    found: list[pb.Uplift] = []
    request = pb.ListUpliftsRequest(model_id=name, page_size=150)
    while True:
        page = await shop.forecasting.ListUplifts(request, metadata=shop.header())
        found.extend(page.uplifts)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_whom_the_treatment_moves_is_learnt_and_how_many_to_treat(shop: Shop) -> None:
    ids = await mailed(shop)
    [experiment] = (
        await shop.forecasting.ListUpliftExperiments(pb.ListUpliftExperimentsRequest(), metadata=shop.header())
    ).experiments
    assert (experiment.treated_count, experiment.control_count) == (CUSTOMERS / 2, CUSTOMERS / 2)
    goal = Money(currency="USD", amount_minor=1_000)
    job = await finished(shop, asked(goal_value=goal, contact_cost=Money(currency="USD", amount_minor=150)))
    assert (job.kind, job.state) == ("fit_uplift_model", 3)
    get = pb.GetUpliftModelRequest(model_id="mailed")
    model = (await shop.forecasting.GetUpliftModel(get, metadata=shop.header())).uplift_model
    assert (model.version, model.experiment_id, model.quality.customer_count) == (1, "mail", CUSTOMERS)
    assert model.quality.effect.low < 0.58 / 2 < model.quality.effect.high
    assert model.quality.qini.low > 0
    assert model.quality.curve[-1].profit_of_thousand.amount_minor == pytest.approx(
        model.quality.effect.value * 1_000_000 - 150_000, abs=1
    )
    found = await listed(shop)
    assert len(found) == model.customer_count == CUSTOMERS + 1
    said = {it.customer_id: it for it in found}
    values = [it.uplift.value for it in found]
    assert values == sorted(values, reverse=True)
    assert [found[0].percentile, found[-1].percentile] == [100, 1]
    toys, others = (
        [said[ids[number]].uplift.value for number in range(CUSTOMERS) if (number % 4 < 2) is it]
        for it in (True, False)
    )
    assert np.mean(toys) > np.mean(others) + 0.15
    groups = {it.group for it in found}
    assert groups <= {
        uplift_pb2.UPLIFT_GROUP_PERSUADABLE,
        uplift_pb2.UPLIFT_GROUP_SURE_THING,
        uplift_pb2.UPLIFT_GROUP_LOST_CAUSE,
    }
    assert found[0].reasons
    advice = model.recommendation
    assert advice.uplift_min == pytest.approx(0.15)
    assert advice.customer_count == sum(value >= 0.15 for value in values)
    assert advice.expected_profit.amount_minor > advice.profit_of_all.amount_minor
    await spends_more(shop, ids)
    models = await shop.forecasting.ListUpliftModels(pb.ListUpliftModelsRequest(), metadata=shop.header())
    assert [it.model_id for it in models.uplift_models] == ["mailed", "spent"]


async def spends_more(shop: Shop, ids: Sequence[str]) -> None:
    """The same of amounts: each order is of 20 dollars."""
    cost = Money(currency="USD", amount_minor=150)
    job = await finished(shop, asked("spent", outcome=uplift_pb2.UPLIFT_OUTCOME_AMOUNT, margin=0.5, contact_cost=cost))
    assert job.state == 3, job.message
    get = pb.GetUpliftModelRequest(model_id="spent")
    model = (await shop.forecasting.GetUpliftModel(get, metadata=shop.header())).uplift_model
    assert model.outcome == uplift_pb2.UPLIFT_OUTCOME_AMOUNT
    assert model.quality.effect.low < 2_000 * 0.58 / 2 < model.quality.effect.high
    assert model.quality.qini.low > 0
    assert model.quality.curve[-1].profit_of_thousand.amount_minor == pytest.approx(
        model.quality.effect.value * 500 - 150_000, abs=1
    )
    said = {it.customer_id: it for it in await listed(shop, "spent")}
    toys, others = (
        np.mean([said[ids[number]].uplift.value for number in range(CUSTOMERS) if (number % 4 < 2) is it])
        for it in (True, False)
    )
    assert toys > others + 300
    assert all(it.HasField("base_amount") and it.base_probability == 0 for it in said.values())
    assert np.mean([it.base_amount for it in said.values()]) == pytest.approx(800, abs=300)
    advice = model.recommendation
    assert not advice.HasField("goal_value")
    assert (advice.margin, advice.uplift_min) == (0.5, 300)
    assert advice.customer_count == sum(it.uplift.value >= 300 for it in said.values())
    assert advice.expected_amount.amount_minor == pytest.approx(
        sum(it.uplift.value for it in said.values() if it.uplift.value >= 300), abs=1
    )
    assert advice.expected_profit.amount_minor > advice.profit_of_all.amount_minor


async def told(shop: Shop) -> dict[str, list[pb.Uplift]]:
    """What a follower of predictions holds, by customer."""
    held: dict[str, list[pb.Uplift]] = {}
    async for batch in shop.forecasting.FollowPredictions(service.FollowPredictionsRequest(), metadata=shop.header()):
        held |= {it.customer_id: list(it.uplifts) for it in batch.changes}
        if batch.caught_up:
            break
    return {who: said for who, said in held.items() if said}


async def follows_merges(shop: Shop, source: str, target: str) -> None:
    """Who is merged is told of anew, and who is parted again as before."""

    async def said() -> dict[str, pb.Uplift]:
        request = pb.BatchGetUpliftsRequest(customer_ids=[source, target])
        found = await shop.forecasting.BatchGetUplifts(request, metadata=shop.header())
        return {it.customer_id: it for it in found.uplifts}

    before = await said()
    merge = MergeCustomersRequest(customer_id=target, merged_customer_ids=[source], request_id="m", reason="one person")
    merges = (await shop.profiles.MergeCustomers(merge, metadata=shop.header())).merges

    async def merged() -> bool:
        return (await said()).keys() == {target}

    await until(merged)
    assert (await said())[target].reasons != before[target].reasons
    assert [source in (held := await told(shop)), held[target]] == [False, [(await said())[target]]]
    back = UnmergeCustomerRequest(merge_id=merges[0].merge_id, request_id="u", reason="two people")
    await shop.profiles.UnmergeCustomer(back, metadata=shop.header())

    async def parted() -> bool:
        return (await said()).keys() == {source, target}

    await until(parted)
    for who, it in (await said()).items():
        assert it.uplift.value == pytest.approx(before[who].uplift.value, rel=1e-9)
        assert it.base_probability == pytest.approx(before[who].base_probability, rel=1e-9)
        assert [why.feature for why in it.reasons] == [why.feature for why in before[who].reasons]


async def test_what_is_said_is_told_and_goes_with_the_person_and_with_the_model(shop: Shop) -> None:
    ids = await mailed(shop)
    assert (await finished(shop, asked())).state == 3
    everybody = {it.customer_id: [it] for it in await listed(shop)}
    assert await told(shop) == everybody
    [said] = everybody[ids[0]]
    assert (said.horizon_days, said.currency) == (14, "USD")
    get = pb.GetUpliftModelRequest(model_id="mailed")
    model = (await shop.forecasting.GetUpliftModel(get, metadata=shop.header())).uplift_model
    assert said.fit_time == model.fit_time
    export = ExportCustomerDataRequest(customer_id=ids[0])
    kinds = {
        it.kind
        async for batch in shop.forecasting.ExportCustomerData(export, metadata=shop.header())
        for it in batch.records
    }
    assert {"order_line", "treatment", "uplift"} <= kinds
    await follows_merges(shop, ids[2], ids[3])
    erase = erasure_pb2.EraseCustomersRequest(request_id="erase", persons=[Person(customer_id=ids[0])])
    await shop.profiles.EraseCustomers(erase, metadata=shop.header())
    batch = pb.BatchGetUpliftsRequest(customer_ids=ids[:2])

    async def forgotten() -> bool:
        found = await shop.forecasting.BatchGetUplifts(batch, metadata=shop.header())
        return [it.customer_id for it in found.uplifts] == ids[1:2] and ids[0] not in await told(shop)

    await until(forgotten)

    async def left() -> int:
        request = pb.ListUpliftExperimentsRequest()
        found = (await shop.forecasting.ListUpliftExperiments(request, metadata=shop.header())).experiments
        return sum(it.treated_count for it in found)

    async def taken_out() -> bool:
        return await left() == CUSTOMERS / 2 - 1

    await until(taken_out)
    for _ in range(2):
        gone = pb.DeleteUpliftExperimentRequest(experiment_id="mail")
        await shop.forecasting.DeleteUpliftExperiment(gone, metadata=shop.header())
        deleted = pb.DeleteUpliftModelRequest(model_id="mailed")
        await shop.forecasting.DeleteUpliftModel(deleted, metadata=shop.header())
    assert await left() == 0
    assert not (await shop.forecasting.BatchGetUplifts(batch, metadata=shop.header())).uplifts
    assert await told(shop) == {}
    error = await refusal(
        shop.forecasting.ListUplifts(pb.ListUpliftsRequest(model_id="mailed"), metadata=shop.header())
    )
    assert error.code() == grpc.StatusCode.NOT_FOUND


IN_THE_APP = rule_pb2.Comparison(
    field="channel", operator=rule_pb2.OPERATOR_EQUALS, values=[rule_pb2.Value(string_value="app")]
)
SUBSCRIBED = propensity_pb2.PropensityGoal(horizon_days=14, event_name="Subscribed", where=[IN_THE_APP])


def happened(user: str, day: int, name: str, channel: str) -> Event:
    return Event(
        message_id=f"{user}-{day}-{name}",
        type=EVENT_TYPE_TRACK,
        name=name,
        user_id=user,
        event_time=timestamp(FIRST + timedelta(days=day)),
        properties_json=json.dumps({"channel": channel}),
    )


def visits() -> list[Event]:
    """Nobody orders. Those who read often subscribe in the app for the mail; four in ten of all do anyway."""
    random = np.random.default_rng(2)
    found = [happened("last", 90, "Help Read", "web")]
    for number in range(CUSTOMERS):
        user, keen = f"u{number}", number % 4 < 2
        days = random.choice(60, 4 if keen else 1, replace=False).tolist()
        found += [happened(user, day, "Help Read", "web") for day in days]
        came = random.random() < 0.4 + 0.58 * (keen and treated(number))
        found.append(happened(user, 61 + int(random.integers(0, 12)), "Subscribed", "app" if came else "web"))
    return found


async def test_a_goal_may_be_an_event_of_customers_who_never_ordered(shop: Shop) -> None:
    await shop.sell(visits())
    ids = await ids_of(shop, [f"u{number}" for number in range(CUSTOMERS)])
    await shop.forecasting.RecordTreatments(recorded(ids), metadata=shop.header())
    nothing = propensity_pb2.PropensityGoal(horizon_days=14, event_name="Never")
    for request, code, reason in (
        (asked(goal=nothing), grpc.StatusCode.FAILED_PRECONDITION, "no events Never"),
        (asked(goal=SUBSCRIBED, outcome=AMOUNT), grpc.StatusCode.INVALID_ARGUMENT, "come to no amount"),
    ):
        error = await refusal(shop.forecasting.FitUpliftModel(request, metadata=shop.header()))
        assert (error.code(), reason in (error.details() or "")) == (code, True)
    goal, cost = (Money(currency="USD", amount_minor=it) for it in (1_000, 150))
    job = await finished(shop, asked(goal=SUBSCRIBED, goal_value=goal, contact_cost=cost))
    assert job.state == 3, job.message
    get = pb.GetUpliftModelRequest(model_id="mailed")
    model = (await shop.forecasting.GetUpliftModel(get, metadata=shop.header())).uplift_model
    assert (model.goal.event_name, model.currency, model.customer_count) == ("Subscribed", "USD", CUSTOMERS + 1)
    assert model.goal.where == [IN_THE_APP]
    assert model.quality.customer_count == CUSTOMERS
    assert model.quality.effect.value == pytest.approx(0.58 / 2, abs=0.2)
    assert model.quality.qini.low > 0
    said = {it.customer_id: it.uplift.value for it in await listed(shop)}
    keen, others = (
        np.mean([said[ids[number]] for number in range(CUSTOMERS) if (number % 4 < 2) is it]) for it in (True, False)
    )
    assert keen > others + 0.15
    assert model.recommendation.expected_profit.amount_minor > model.recommendation.profit_of_all.amount_minor


Change = Callable[[], pb.FitUpliftModelRequest]
EURO = Money(currency="EUR", amount_minor=5)
WRONG: Sequence[tuple[Change, grpc.StatusCode, str]] = (
    (lambda: asked(experiment_id="none"), grpc.StatusCode.NOT_FOUND, "RecordTreatments begins one"),
    (
        lambda: asked(goal=propensity_pb2.PropensityGoal(horizon_days=40)),
        grpc.StatusCode.FAILED_PRECONDITION,
        "0 customers were treated",
    ),
    (
        lambda: asked(goal_value=Money(currency="USD", amount_minor=5)),
        grpc.StatusCode.INVALID_ARGUMENT,
        "must be in USD",
    ),
    (lambda: asked(goal_value=EURO, contact_cost=EURO), grpc.StatusCode.INVALID_ARGUMENT, "must be in USD"),
    (lambda: asked(contact_cost=EURO), grpc.StatusCode.INVALID_ARGUMENT, "more than zero"),
    (lambda: asked(outcome=AMOUNT, contact_cost=EURO), grpc.StatusCode.INVALID_ARGUMENT, "above 0 and at most 1"),
    (lambda: asked(outcome=AMOUNT, margin=1.1), grpc.StatusCode.INVALID_ARGUMENT, "above 0 and at most 1"),
    (lambda: asked(outcome=AMOUNT, margin=0.5), grpc.StatusCode.INVALID_ARGUMENT, "must be in USD"),
    (lambda: asked(goal_value=EURO, margin=0.5), grpc.StatusCode.INVALID_ARGUMENT, "a margin is of amounts"),
    (
        lambda: asked(outcome=AMOUNT, goal=propensity_pb2.PropensityGoal(horizon_days=14, absent=True)),
        grpc.StatusCode.INVALID_ARGUMENT,
        "that of all lines that count",
    ),
    (lambda: asked("No Name"), grpc.StatusCode.INVALID_ARGUMENT, "model_id"),
)


async def test_what_is_wrong_is_said_and_starts_no_job(shop: Shop) -> None:
    ids = await mailed(shop)
    for request, code, reason in WRONG:
        error = await refusal(shop.forecasting.FitUpliftModel(request(), metadata=shop.header()))
        assert error.code() == code
        assert reason in (error.details() or "")
    twice = recorded([ids[0], ids[1], ids[0]])
    twice.request_id = "twice"
    error = await refusal(shop.forecasting.RecordTreatments(twice, metadata=shop.header()))
    assert "treatments[2] is of the same customer as treatments[0]" in (error.details() or "")
    again = await shop.forecasting.RecordTreatments(recorded(ids), metadata=shop.header())
    assert again.recorded == CUSTOMERS
    rare = propensity_pb2.PropensityGoal(horizon_days=14, categories=["TOYS"])
    job = await finished(shop, asked(goal=rare))
    assert job.state == 4
    assert "0 reached the goal; 100 are needed" in job.message
