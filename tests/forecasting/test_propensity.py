"""Orders in through profiles, how likely each customer is to reach a goal out, over gRPC."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import grpc
import numpy as np
import pytest
from tessera.common.v1 import rule_pb2
from tessera.common.v1.money_pb2 import Money
from tessera.common.v1.rule_pb2 import Value
from tessera.forecasting.v1 import propensity_pb2 as pb
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1.merge_pb2 import MergeCustomersRequest, UnmergeCustomerRequest
from tessera.profiles.v1.person_pb2 import Person
from tessera.profiles.v1.profiles_service_pb2 import EVENT_TYPE_TRACK, Event, GetCustomerRequest, Identifier

from tests.forecasting.conftest import Shop, instant, line, order, timestamp
from tests.forecasting.test_servicer import refusal
from tests.whole_platform import until

FIRST = instant("2026-01-01T09:00")
DAYS = 200
FOOD = pb.PropensityGoal(categories=["FOOD"], horizon_days=30)


def orders(customers: int = 320, seed: int = 4) -> list[Event]:
    """Customers who come every ten days to every half year; one in five buys toys, and never food."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(customers):
        day, gap = float(random.integers(0, 40)), random.choice([14.0, 40.0, 180.0])
        while day < DAYS:
            category = "TOYS" if number % 5 == 0 else "FOOD"
            found.append(bought(f"u{number}", day, category, 20.0 + number % 7))
            day += 1 + random.exponential(gap)
    return [*found, bought("last", DAYS, "TOYS", 5.0)]


def bought(user: str, day: float, category: str, amount: float, currency: str = "USD") -> Event:
    time = FIRST + timedelta(days=int(day), hours=int(24 * (day % 1)) % 12)
    event = order(f"{user}-{time:%Y%m%d%H}-{currency}", time, [line("1", amount, category)], currency=currency)
    event.user_id = user
    return event


def asked(name: str = "food", goal: pb.PropensityGoal = FOOD, **more: Any) -> pb.FitPropensityModelRequest:
    return pb.FitPropensityModelRequest(request_id=f"fit-{name}-{more}", model_id=name, goal=goal, **more)


async def fitted(shop: Shop, request: pb.FitPropensityModelRequest) -> pb.PropensityModel:
    started = await shop.forecasting.FitPropensityModel(request, metadata=shop.header())
    job = await shop.finished(started.job.job_id)
    assert (job.kind, job.state, job.message) == ("fit_propensity_model", 3, "done")
    wanted = pb.GetPropensityModelRequest(model_id=request.model_id)
    model = (await shop.forecasting.GetPropensityModel(wanted, metadata=shop.header())).propensity_model
    assert job.results["version"] == str(model.version)
    return model


async def listed(shop: Shop, name: str = "food", size: int = 100) -> list[pb.Propensity]:
    found: list[pb.Propensity] = []
    request = pb.ListPropensitiesRequest(model_id=name, page_size=size)
    while True:
        page = await shop.forecasting.ListPropensities(request, metadata=shop.header())
        found.extend(page.propensities)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_a_goal_is_learnt_measured_on_the_last_horizon_and_told_of_each_customer(shop: Shop) -> None:
    events = orders()
    await shop.sell(events)
    model = await fitted(shop, asked())
    assert (model.version, model.currency, model.moment_count) == (1, "USD", 8)
    assert model.goal.categories == ["FOOD"]
    assert model.customer_count == len({it.user_id for it in events})
    assert model.as_of_time.seconds - model.quality.start_time.seconds == 30 * 86400
    assert model.quality.auc > 0.75
    assert model.quality.brier < model.quality.base_brier
    assert model.quality.average_precision > model.quality.base_rate
    assert sum(it.customer_count for it in model.quality.deciles) == model.quality.customer_count
    assert sum(it.importance for it in model.features) == pytest.approx(1.0)
    found = await listed(shop)
    assert len({it.customer_id for it in found}) == len(found) == model.customer_count
    chances = [it.probability for it in found]
    assert chances == sorted(chances, reverse=True)
    assert 0 <= chances[-1] < 0.1 < 0.6 < chances[0] <= 1
    assert [found[0].percentile, found[-1].percentile] == [100, 1]
    for it in (found[0], found[-1]):
        sizes = [abs(why.contribution) for why in it.reasons]
        assert len(sizes) == 3
        assert sizes == sorted(sizes, reverse=True)
    assert {it.horizon_days for it in found} == {30}


async def test_what_is_said_follows_merges_and_their_undoing(shop: Shop) -> None:
    await shop.sell(orders())
    await fitted(shop, asked())
    before = {it.customer_id: it for it in await listed(shop)}
    one, other = await id_of(shop, "u1"), await id_of(shop, "u2")
    merge = MergeCustomersRequest(customer_id=one, merged_customer_ids=[other], request_id="m", reason="one person")
    merges = (await shop.profiles.MergeCustomers(merge, metadata=shop.header())).merges

    async def said() -> dict[str, pb.Propensity]:
        return {it.customer_id: it for it in await listed(shop)}

    async def merged() -> bool:
        return other not in await said()

    await until(merged)
    now = await said()
    assert now.keys() == before.keys() - {other}
    assert {who for who in now if now[who] != before[who]} == {one}
    figure = now[one]
    assert 1 <= figure.percentile <= 100
    under = [it for it in before.values() if it.probability <= figure.probability]
    nearest = max((it.probability for it in under), default=0.0)
    assert figure.percentile in {it.percentile for it in under if it.probability == nearest} or not under
    back = UnmergeCustomerRequest(merge_id=merges[0].merge_id, request_id="u", reason="two people")
    await shop.profiles.UnmergeCustomer(back, metadata=shop.header())

    async def parted() -> bool:
        return other in await said()

    await until(parted)
    for who, it in (await said()).items():
        assert it.probability == pytest.approx(before[who].probability, rel=1e-9)


async def id_of(shop: Shop, user: str) -> str:
    request = GetCustomerRequest(identifier=Identifier(type="user_id", value=user))
    return (await shop.profiles.GetCustomer(request, metadata=shop.header())).customer.customer_id


async def test_who_never_bought_of_it_is_the_least_likely_and_absence_is_the_rest(shop: Shop) -> None:
    await shop.sell(orders())
    await fitted(shop, asked())
    without = pb.PropensityGoal(categories=["FOOD"], horizon_days=30, absent=True)
    await fitted(shop, asked("no-food", without))
    request = GetCustomerRequest(identifier=Identifier(type="user_id", value="u0"))
    toys = (await shop.profiles.GetCustomer(request, metadata=shop.header())).customer.customer_id
    both = await shop.forecasting.BatchGetPropensities(
        pb.BatchGetPropensitiesRequest(customer_ids=["nobody", toys]), metadata=shop.header()
    )
    assert [it.model_id for it in both.propensities] == ["food", "no-food"]
    assert both.propensities[0].probability < 0.1
    assert both.propensities[0].probability + both.propensities[1].probability == pytest.approx(1.0, abs=0.05)
    one = pb.BatchGetPropensitiesRequest(customer_ids=[toys], model_ids=["no-food", "unknown"])
    chosen = await shop.forecasting.BatchGetPropensities(one, metadata=shop.header())
    assert [it.model_id for it in chosen.propensities] == ["no-food"]


async def test_a_model_is_held_against_what_came_once_its_horizon_has_passed(shop: Shop) -> None:
    await shop.sell(orders())
    then = timestamp(FIRST + timedelta(days=DAYS - 40))
    early = await fitted(shop, asked(as_of_time=then))
    said = {it.customer_id: it.probability for it in await listed(shop)}
    await fitted(shop, asked())
    monitor = pb.MonitorPropensityModelRequest(model_id="food")
    found = await shop.forecasting.MonitorPropensityModel(monitor, metadata=shop.header())
    assert found.version == early.version
    assert found.quality.start_time == then
    assert found.quality.customer_count == early.customer_count
    mean = sum(it.customer_count * it.probability for it in found.quality.deciles) / early.customer_count
    assert mean == pytest.approx(sum(said.values()) / len(said))
    assert found.quality.auc > 0.7
    monitor.version = 2
    error = await refusal(shop.forecasting.MonitorPropensityModel(monitor, metadata=shop.header()))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "does not reach to the end of the 30 days" in (error.details() or "")


async def test_what_is_said_goes_with_the_person_with_the_next_fit_and_with_the_model(shop: Shop) -> None:
    await shop.sell(orders())
    await fitted(shop, asked())
    gone = (await listed(shop))[0].customer_id
    person = Person(customer_id=gone)
    erase = erasure_pb2.EraseCustomersRequest(request_id="erase", persons=[person])
    await shop.profiles.EraseCustomers(erase, metadata=shop.header())
    batch = pb.BatchGetPropensitiesRequest(customer_ids=[gone])

    async def forgotten() -> bool:
        return not (await shop.forecasting.BatchGetPropensities(batch, metadata=shop.header())).propensities

    await until(forgotten)
    first = pb.ListPropensitiesRequest(model_id="food", page_size=5)
    page = await shop.forecasting.ListPropensities(first, metadata=shop.header())
    await fitted(shop, asked(currency="USD"))
    first.page_token = page.next_page_token
    error = await refusal(shop.forecasting.ListPropensities(first, metadata=shop.header()))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    for _ in range(2):
        delete = pb.DeletePropensityModelRequest(model_id="food")
        await shop.forecasting.DeletePropensityModel(delete, metadata=shop.header())
    batch.customer_ids.append(page.propensities[0].customer_id)
    assert not (await shop.forecasting.BatchGetPropensities(batch, metadata=shop.header())).propensities
    models = await shop.forecasting.ListPropensityModels(pb.ListPropensityModelsRequest(), metadata=shop.header())
    assert not models.propensity_models
    first.page_token = ""
    error = await refusal(shop.forecasting.ListPropensities(first, metadata=shop.header()))
    assert error.code() == grpc.StatusCode.NOT_FOUND


OPENED = pb.PropensityGoal(event_name="Email Opened", channels=["news"], horizon_days=24)


def opened(customers: int = 360) -> list[Event]:
    """Nobody orders; every third customer opens a newsletter nearly each week, all others a notice now and then."""
    random = np.random.default_rng(6)
    found = []
    for number in range(customers):
        keen = number % 3 == 0
        for day in range(number % 7, 100, 7):
            if random.random() < (0.8 if keen else 0.2):
                found.append(happened(f"u{number}", day, "news" if keen else "notices"))
    return [*found, *(happened(f"u{number}", 99, "news") for number in (1, 2))]


def happened(user: str, day: int, channel: str) -> Event:
    return Event(
        message_id=f"{user}-{day}-{channel}",
        type=EVENT_TYPE_TRACK,
        name="Email Opened",
        user_id=user,
        event_time=timestamp(FIRST + timedelta(days=day)),
        properties_json=json.dumps({"channel": channel, "clicks": 1 + day % 2, "email": f"{user}@shop.example"}),
    )


def where(field: str, operator: rule_pb2.Operator.ValueType, *values: str | float) -> rule_pb2.Comparison:
    given = [Value(string_value=it) if isinstance(it, str) else Value(number_value=it) for it in values]
    return rule_pb2.Comparison(field=field, operator=operator, values=given)


NEWS = where("channel", rule_pb2.OPERATOR_EQUALS, "news")
CLICKED: dict[str, Any] = {"event_name": "Email Opened", "horizon_days": 24, "where": [NEWS], "sum_property": "clicks"}
UNKNOWN: Sequence[tuple[dict[str, Any], str]] = (
    ({"where": [where("plan", rule_pb2.OPERATOR_EQUALS, "gold")]}, "has plan; known are channel, clicks"),
    ({"where": [where("email", rule_pb2.OPERATOR_EXISTS)]}, "email is not kept: of an event 50 properties"),
    ({"where": [where("channel", rule_pb2.OPERATOR_MATCHES, "n.*")]}, "MATCHES is not possible"),
    ({"where": [where("channel", rule_pb2.OPERATOR_EQUALS)]}, "EQUALS takes 1, not 0"),
    ({"where": [where("channel", rule_pb2.OPERATOR_UNSPECIFIED, "a")]}, "an operator is needed"),
    ({"where": [where("channel", rule_pb2.OPERATOR_EQUALS, "a" * 257)]}, "longer texts are not kept"),
    ({"sum_property": "clicks"}, "go together"),
    ({"min_sum": 2.0}, "go together"),
    ({"event_name": "", "where": [NEWS]}, "properties are those of events"),
)


async def asks_for_properties(shop: Shop, by_channel: pb.PropensityModel) -> None:
    """A condition on a property counts the same events, conditions that make no sense are refused."""
    for fields, problem in UNKNOWN:
        named: dict[str, Any] = {"event_name": "Email Opened", "horizon_days": 24}
        goal = pb.PropensityGoal(**named | fields)
        error = await refusal(shop.forecasting.FitPropensityModel(asked(goal=goal), metadata=shop.header()))
        assert (error.code(), problem in (error.details() or "")) == (grpc.StatusCode.INVALID_ARGUMENT, True), problem
    same = pb.PropensityGoal(event_name="Email Opened", horizon_days=24, where=[NEWS])
    model = await fitted(shop, asked("property", same, as_of_time=by_channel.as_of_time))
    assert model.goal.where == [NEWS]
    assert model.warnings == by_channel.warnings
    said = {it.customer_id: it.probability for it in await listed(shop, "opens")}
    assert {it.customer_id: it.probability for it in await listed(shop, "property")} == said
    summed = pb.PropensityGoal(**CLICKED, min_sum=2.0)
    clicked = await fitted(shop, asked("clicks", summed, as_of_time=by_channel.as_of_time))
    assert (clicked.goal.sum_property, clicked.goal.min_sum) == ("clicks", 2.0)
    assert clicked.reached_count < model.reached_count
    assert clicked.quality.auc > 0.9


async def test_a_goal_may_be_any_event_of_customers_who_never_ordered(shop: Shop) -> None:
    events = opened()
    await shop.sell(events)
    wrong = pb.PropensityGoal(
        event_name="Email Opened", min_amount=Money(currency="USD", amount_minor=5), horizon_days=20
    )
    for goal, problem in ((wrong, "no amount"), (pb.PropensityGoal(channels=["a"], horizon_days=20), "no channel")):
        error = await refusal(shop.forecasting.FitPropensityModel(asked(goal=goal), metadata=shop.header()))
        assert (error.code(), problem in (error.details() or "")) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    model = await fitted(shop, asked("opens", OPENED, as_of_time=timestamp(FIRST + timedelta(days=75))))
    assert model.goal == pb.PropensityGoal(event_name="Email Opened", channels=["news"], horizon_days=24, min_orders=1)
    assert model.quality.auc > 0.9
    assert sum(it.importance for it in model.features if it.name.startswith("goal_event")) > 0.5
    found = await listed(shop, "opens")
    assert len(found) == model.customer_count > 300
    assert found[-1].probability < 0.2 < 0.8 < found[0].probability
    monitor = pb.MonitorPropensityModelRequest(model_id="opens", version=1)
    came = await shop.forecasting.MonitorPropensityModel(monitor, metadata=shop.header())
    assert came.quality.customer_count == model.customer_count
    assert came.quality.auc > 0.9
    await asks_for_properties(shop, model)


Change = Callable[[], pb.FitPropensityModelRequest]
WRONG: Sequence[tuple[Change, grpc.StatusCode, str]] = (
    (
        lambda: asked(goal=pb.PropensityGoal(horizon_days=70)),
        grpc.StatusCode.FAILED_PRECONDITION,
        "spans 200 days and 210 are needed",
    ),
    (
        lambda: asked(goal=pb.PropensityGoal(categories=["NONE"], horizon_days=30)),
        grpc.StatusCode.FAILED_PRECONDITION,
        "in the last horizon 0 customers reached the goal",
    ),
    (
        lambda: asked(goal=pb.PropensityGoal(min_amount=Money(currency="USD"), horizon_days=30)),
        grpc.StatusCode.INVALID_ARGUMENT,
        "must be above zero",
    ),
    (
        lambda: asked(goal=pb.PropensityGoal(min_amount=Money(currency="EUR", amount_minor=5), horizon_days=30)),
        grpc.StatusCode.INVALID_ARGUMENT,
        "must be in USD",
    ),
    (lambda: asked(as_of_time=timestamp(instant("2400-01-01"))), grpc.StatusCode.INVALID_ARGUMENT, "between 1970"),
    (lambda: asked(goal=pb.PropensityGoal()), grpc.StatusCode.INVALID_ARGUMENT, "horizon_days"),
    (lambda: asked("No Name"), grpc.StatusCode.INVALID_ARGUMENT, "model_id"),
)


async def test_what_is_wrong_with_a_fit_is_said_and_starts_no_job(shop: Shop) -> None:
    await shop.sell(orders())
    for request, code, reason in WRONG:
        error = await refusal(shop.forecasting.FitPropensityModel(request(), metadata=shop.header()))
        assert error.code() == code
        assert reason in (error.details() or "")
    models = await shop.forecasting.ListPropensityModels(pb.ListPropensityModelsRequest(), metadata=shop.header())
    assert not models.propensity_models
