"""What forecasting's propensity, category and uplift models say is part of the profile, over gRPC, as churn is."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1.money_pb2 import Money
from tessera.forecasting.v1 import category_preference_pb2, propensity_pb2, uplift_pb2
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub
from tessera.profiles.v1 import merge_pb2
from tessera.profiles.v1 import predictive_trait_pb2 as traits_pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.forecasting import app as forecasting_app
from tests.conftest import Keyring
from tests.ports import free_ports
from tests.profiles.client import Client, order, track
from tests.profiles.test_customer_exports import Exported, begin, download, ended
from tests.profiles.test_erasing import FINISHED, erase, receipt, user
from tests.profiles.test_predictive_traits import DAY, batch, churn, following, neighbour
from tests.whole_platform import until

Said = list[tuple[int, str, int]]
PROPENSITY, CATEGORY, UPLIFT = 2, 3, 4


def at(day: int) -> Timestamp:
    return Timestamp(seconds=day * DAY)


def likely(model_id: str, probability: float, percentile: int, version: int = 1) -> propensity_pb2.Propensity:
    return propensity_pb2.Propensity(
        model_id=model_id,
        version=version,
        probability=probability,
        percentile=percentile,
        as_of_time=at(30),
        horizon_days=14,
        fit_time=at(31),
    )


def liked(*names: str) -> category_preference_pb2.CategoryPreferences:
    said = category_preference_pb2.CategoryPreferences(version=3, as_of_time=at(29), horizon_days=28, fit_time=at(32))
    for name in names:
        said.categories.add(category=name, probability=0.5, share=0.25)
    return said


def moved(model_id: str, value: float, currency: str = "USD", **more: Any) -> uplift_pb2.Uplift:
    return uplift_pb2.Uplift(
        model_id=model_id,
        version=4,
        uplift=uplift_pb2.UpliftFigure(value=value, low=value / 2, high=value * 2),
        percentile=91,
        group=uplift_pb2.UPLIFT_GROUP_PERSUADABLE,
        as_of_time=at(28),
        horizon_days=7,
        fit_time=at(33),
        currency=currency,
        **more,
    )


def told_of(customer_id: str, *said: Any, tenant: str = "acme") -> pb.FollowPredictionsResponse:
    """What forecasting tells of a customer of whom the model of purchases says nothing."""
    answer = pb.FollowPredictionsResponse(caught_up=True)
    add(answer.changes.add(tenant_id=tenant, customer_id=customer_id), *said)
    return answer


def add(change: pb.PredictionChange, *said: Any) -> None:
    for it in said:
        if isinstance(it, propensity_pb2.Propensity):
            change.propensities.append(it)
        elif isinstance(it, uplift_pb2.Uplift):
            change.uplifts.append(it)
        else:
            change.category_preferences.CopyFrom(it)


def values(told: traits_pb.PredictiveTraits) -> dict[str, Any]:
    return {each.name: json.loads(each.value_json) for each in told.traits}


async def models(client: Client, name: str) -> Said:
    """The models of which something is in the profile of a user."""
    found = (await client.customer("user_id", name)).model_traits
    return [(it.kind, it.model, it.model_version) for it in found]


async def says(client: Client, name: str, expected: Said) -> bool:
    return await models(client, name) == expected


async def test_a_profile_shows_what_each_model_says_with_its_version_and_times(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with neighbour() as (forecasting, address), following(configure, keyring, address) as acme:
        await acme.ingest(track("m1", "ann"))
        ann = (await acme.customer("user_id", "ann")).customer_id
        forecasting.tell(told_of(ann, likely("theirs", 0.9, 90), tenant="rival"))
        spent = moved("spent", 300.0, base_amount=1500.0)
        forecasting.tell(
            told_of(ann, likely("buys_shoes", 0.375, 81), liked("TOYS", "FOOD"), moved("mail", 0.25), spent)
        )
        everything = [(PROPENSITY, "buys_shoes", 1), (CATEGORY, "categories", 3)]
        everything += [(UPLIFT, "mail", 4), (UPLIFT, "spent", 4)]
        await until(partial(says, acme, "ann", everything))
        found = await acme.customer("user_id", "ann")
        assert not found.HasField("predictive_traits")
        shoes, tastes, mail, spent_more = found.model_traits
        assert values(shoes) == {"probability": 0.375, "percentile": 81, "decile": 9}
        assert (shoes.source, shoes.horizon_days, shoes.currency) == ("forecasting", 14, "")
        assert (shoes.as_of_time, shoes.fit_time, shoes.HasField("data_start_time")) == (at(30), at(31), False)
        assert shoes.HasField("change_time")
        assert values(tastes) == {
            "top_category": "TOYS",
            "top_category_probability": 0.5,
            "categories": [{"category": it, "probability": 0.5, "share": 0.25} for it in ("TOYS", "FOOD")],
        }
        assert (tastes.as_of_time, tastes.fit_time, tastes.horizon_days) == (at(29), at(32), 28)
        figures = {"uplift": 0.25, "uplift_low": 0.125, "uplift_high": 0.5, "base_probability": 0.0}
        place = {"uplift_group": "persuadable", "percentile": 91, "decile": 10}
        assert values(mail) == figures | place
        assert (mail.currency, mail.as_of_time, mail.fit_time, mail.horizon_days) == ("", at(28), at(33), 7)
        amounts = {"uplift": 3.0, "uplift_low": 1.5, "uplift_high": 6.0, "base_amount": 15.0}
        assert values(spent_more) == amounts | place
        assert spent_more.currency == "USD"
        asked = profiles.BatchGetCustomersRequest(customer_ids=[ann])
        assert list((await acme.call("BatchGetCustomers", asked)).customers) == [found]
        rival = Client(acme.stub, keyring.header("rival"))
        other = await rival.call("BatchGetCustomers", asked)
        assert not other.customers

        with_churn = batch((ann, 0.75))
        add(with_churn.changes[0], likely("buys_shoes", 0.5, 100, version=2))
        forecasting.tell(with_churn)
        await until(partial(says, acme, "ann", [(PROPENSITY, "buys_shoes", 2)]))
        found = await acme.customer("user_id", "ann")
        assert values(found.model_traits[0]) == {"probability": 0.5, "percentile": 100, "decile": 10}
        assert found.predictive_traits.kind == traits_pb.PREDICTIVE_MODEL_KIND_PURCHASES
        forecasting.tell(batch((ann, 0.25)))  # as when the model is deleted
        await until(partial(says, acme, "ann", []))
        assert await churn(acme, "ann") == 0.25


async def test_what_a_profile_can_carry_is_bounded_shown_to_the_person_and_goes_with_them(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with neighbour() as (forecasting, address), following(configure, keyring, address) as acme:
        await acme.ingest(track("m1", "ann"))
        ann = (await acme.customer("user_id", "ann")).customer_id
        names = [f"m{number:02}" for number in range(51)]
        categories = liked(*(f"c{number}" for number in range(21)))
        everything = (*(likely(name, 0.5, 50) for name in names), categories, *(moved(name, 0.5) for name in names))
        told = batch((ann, 0.75))
        add(told.changes[0], *everything)
        forecasting.tell(told)
        expected = [(PROPENSITY, name, 1) for name in names[:50]] + [(CATEGORY, "categories", 3)]
        expected += [(UPLIFT, name, 4) for name in names[:50]]
        await until(partial(says, acme, "ann", expected))
        found = (await acme.customer("user_id", "ann")).model_traits
        assert len(values(found[50])["categories"]) == 20

        job = await begin(acme, user("ann"))
        await ended(acme, job.export_id)
        records = Exported(await download(acme, job.export_id)).records("profiles/predictive_trait")
        shown = [each for each in records if (each["kind"], each["model"]) == ("propensity", "m07")]
        assert {each["name"]: each["value"] for each in shown} == {"probability": 0.5, "percentile": 50, "decile": 5}
        assert {each["as_of"] for each in shown} == {"1970-01-31T00:00:00+00:00"}
        assert not any("currency" in each for each in shown)
        count = 8 + 50 * 3 + 3 + 50 * 7
        assert len(records) == count
        (erasure,) = (await erase(acme, user("ann"))).erasures
        done = await receipt(acme, erasure.erasure_id, lambda it: it.state == FINISHED)
        assert {each.kind: each.count for each in done.services[0].removed}["predictive_trait"] == count
        forecasting.tell(told_of(ann, likely("m00", 0.5, 50)))  # what was on its way finds nobody
        await acme.ingest(track("m2", "bob"))
        bob = (await acme.customer("user_id", "bob")).customer_id
        forecasting.tell(told_of(bob, likely("m00", 0.5, 50)))
        await until(partial(says, acme, "bob", [(PROPENSITY, "m00", 1)]))


class Oracle:
    """A forecasting that follows the profiles that follows it."""

    def __init__(self, stub: Any, metadata: Any) -> None:
        self.stub, self.metadata = stub, metadata

    async def call(self, rpc: str, request: Any) -> Any:
        return await getattr(self.stub, rpc)(request, metadata=self.metadata)

    async def fit(self, rpc: str, request: Any) -> None:
        job = (await self.call(rpc, request)).job

        async def done() -> bool:
            found = (await self.call("GetJob", pb.GetJobRequest(job_id=job.job_id))).job
            assert found.state != 4, found.message
            return bool(found.state == 3)

        await until(done)


@asynccontextmanager
async def both(configure: Callable[..., Any], keyring: Keyring) -> AsyncIterator[tuple[Client, Oracle]]:
    ports = dict(zip(("profiles", "forecasting"), free_ports(2), strict=True))
    addresses = {f"{name}_addr": f"127.0.0.1:{port}" for name, port in ports.items()}
    own = configure(forecasting_app.Settings, **addresses, port=ports["forecasting"], propensity_examples_min=5)
    async with (
        following(configure, keyring, addresses["forecasting_addr"], port=ports["profiles"]) as acme,
        forecasting_app.serve(own) as oracle,
        grpc.aio.insecure_channel(oracle.address) as channel,
    ):
        yield acme, Oracle(ForecastingServiceStub(channel), acme.metadata)


CUSTOMERS = 36


def bought(number: int, day: int) -> profiles.Event:
    event = order(f"o{number}-{day}", f"u{number}", 20.0, at=day * DAY + number)
    content = json.loads(event.properties_json)
    content["products"][0]["category"] = "TOYS" if (number + day) % 3 else "FOOD"
    event.properties_json = json.dumps(content)
    return event


async def fit_all(acme: Client, oracle: Oracle) -> None:
    """A propensity model, the model of category preferences and an uplift model, of customers who come once a week."""
    visits = [(number, day) for number in range(CUSTOMERS) for day in range(1 + number % 5, 60, 6 + number % 7)]
    await acme.ingest(*(bought(number, day) for number, day in visits))

    async def followed() -> bool:
        return bool((await oracle.call("GetStatus", pb.GetStatusRequest())).order_count == len(visits))

    await until(followed)
    goal = propensity_pb2.PropensityGoal(horizon_days=7)
    ask = propensity_pb2.FitPropensityModelRequest(request_id="likely", model_id="buys_soon", goal=goal)
    await oracle.fit("FitPropensityModel", ask)
    tastes = category_preference_pb2.FitCategoryPreferencesRequest(request_id="liked", horizon_days=7)
    await oracle.fit("FitCategoryPreferences", tastes)
    everybody = (await acme.call("ListCustomers", profiles.ListCustomersRequest(page_size=100))).customers
    treatments = [
        uplift_pb2.Treatment(customer_id=each.customer_id, treated=place % 2 == 0, treatment_time=at(40))
        for place, each in enumerate(everybody)
    ]
    record = uplift_pb2.RecordTreatmentsRequest(request_id="mail", experiment_id="mail", treatments=treatments)
    await oracle.call("RecordTreatments", record)
    goal.horizon_days = 14
    cost, margin = Money(currency="USD", amount_minor=50), 0.5
    gained = uplift_pb2.FitUpliftModelRequest(
        request_id="moved", model_id="mail", experiment_id="mail", goal=goal, contact_cost=cost, margin=margin,
        outcome=uplift_pb2.UPLIFT_OUTCOME_AMOUNT,
    )  # fmt: skip
    await oracle.fit("FitUpliftModel", gained)


async def test_real_models_reach_the_profile_and_go_with_merges_deletions_and_erasures(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with both(configure, keyring) as (acme, oracle):
        await fit_all(acme, oracle)
        everything = [(PROPENSITY, "buys_soon", 1), (CATEGORY, "categories", 1), (UPLIFT, "mail", 1)]

        async def known() -> bool:
            return all([await says(acme, f"u{number}", everything) for number in range(CUSTOMERS)])

        await until(known)
        one, other = [await acme.customer("user_id", name) for name in ("u0", "u1")]
        ids = [one.customer_id, other.customer_id]
        assert shown(one) == (await said(oracle, ids))[one.customer_id]

        merge = merge_pb2.MergeCustomersRequest(
            request_id="m", customer_id=ids[0], merged_customer_ids=ids[1:], reason="one person"
        )
        merged = await acme.call("MergeCustomers", merge)

        async def together() -> bool:
            now = await said(oracle, ids)
            return list(now) == ids[:1] and shown(await acme.customer("user_id", "u1")) == now[ids[0]]

        await until(together)
        assert await says(acme, "u1", everything)
        back = merge_pb2.UnmergeCustomerRequest(merge_id=merged.merges[0].merge_id, request_id="u", reason="two people")
        await acme.call("UnmergeCustomer", back)

        async def apart() -> bool:
            now = await said(oracle, ids)
            found = [shown(await acme.customer("user_id", name)) for name in ("u0", "u1")]
            return found == [now.get(who) for who in ids] and all(it and PROPENSITY in it for it in found)

        await until(apart)

        gone = propensity_pb2.DeletePropensityModelRequest(model_id="buys_soon")
        await oracle.call("DeletePropensityModel", gone)
        left = everything[1:]
        await until(partial(says, acme, "u0", left))
        await until(partial(says, acme, "u9", left))
        (erasure,) = (await erase(acme, user("u9"))).erasures
        done = await receipt(acme, erasure.erasure_id, lambda it: it.state == FINISHED)
        assert {each.kind: each.count for each in done.services[0].removed}["predictive_trait"] == 3 + 7
        await oracle.call("DeleteUpliftModel", uplift_pb2.DeleteUpliftModelRequest(model_id="mail"))
        await until(partial(says, acme, "u0", left[:1]))
        assert await models(acme, "u20") == left[:1]


async def said(oracle: Oracle, ids: list[str]) -> dict[str, dict[int, Any]]:
    """What forecasting says of customers, by the kind of the model."""
    found: dict[str, dict[int, Any]] = {}
    likely = propensity_pb2.BatchGetPropensitiesRequest(customer_ids=ids)
    for one in (await oracle.call("BatchGetPropensities", likely)).propensities:
        found.setdefault(one.customer_id, {})[PROPENSITY] = (*facts(one), "", one.probability, one.percentile)
    tastes = category_preference_pb2.BatchGetCategoryPreferencesRequest(customer_ids=ids)
    for best in (await oracle.call("BatchGetCategoryPreferences", tastes)).preferences:
        named = [it.category for it in best.categories]
        found.setdefault(best.customer_id, {})[CATEGORY] = (*facts(best), "", named[0], named)
    uplifts = uplift_pb2.BatchGetUpliftsRequest(customer_ids=ids)
    for it in (await oracle.call("BatchGetUplifts", uplifts)).uplifts:
        amounts = it.uplift.value / 100, it.base_amount / 100
        found.setdefault(it.customer_id, {})[UPLIFT] = (*facts(it), "USD", *amounts)
    return found


def facts(told: Any) -> tuple[Any, ...]:
    return told.fit_time.ToMicroseconds(), told.as_of_time.ToMicroseconds(), told.horizon_days


NAMES = {
    PROPENSITY: ("probability", "percentile"),
    CATEGORY: ("top_category", "categories"),
    UPLIFT: ("uplift", "base_amount"),
}


def shown(customer: profiles.Customer) -> dict[int, Any]:
    """What the profile says, in the same words."""
    found: dict[int, Any] = {}
    for it in customer.model_traits:
        first, second = (values(it)[name] for name in NAMES[it.kind])
        second = [each["category"] for each in second] if it.kind == CATEGORY else second
        found[it.kind] = (*facts(it), it.currency, first, second)
    return found
