"""What forecasting predicts is part of the profile, over gRPC: kept, taken back, exported, erased, and never lost."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1.money_pb2 import Money
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1 import forecasting_service_pb2_grpc
from tessera.profiles.v1 import merge_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.errors import AlreadyExists, Conflict
from services.common.sealing import read_master_keys
from services.common.store.sqlite import SqliteStore
from services.forecasting import app as forecasting_app
from services.profiles.adapters.customer_keys import CustomerKeys
from services.profiles.adapters.keys import TenantKeys
from services.profiles.adapters.predictive_traits import PREDICTIONS, StoredPredictiveTraits
from services.profiles.app import KEPT, Settings, serve
from services.profiles.domain.predictive_trait import Expectation, PredictiveModel
from tests.conftest import Keyring
from tests.ports import free_ports
from tests.profiles.client import Client, order, track
from tests.profiles.test_customer_exports import Exported, begin, download, ended
from tests.profiles.test_erasing import FINISHED, erase, receipt, user
from tests.profiles.test_erasing_crash import ServiceProcess
from tests.whole_platform import until

DAY = 86_400


def batch(*churn: tuple[str, float | None], tenant: str = "acme", version: int = 1) -> pb.FollowPredictionsResponse:
    """What forecasting tells of customers: their churn, ``None`` where it takes it back."""
    told = pb.FollowPredictionsResponse(caught_up=True)
    for customer_id, chance in churn:
        change = told.changes.add(tenant_id=tenant, customer_id=customer_id)
        if chance is not None:
            change.prediction.CopyFrom(
                pb.CustomerPrediction(
                    customer_id=customer_id,
                    version=version,
                    churn_probability=chance,
                    churn_band=pb.CHURN_BAND_HIGH if chance > 0.5 else pb.CHURN_BAND_LOW,
                    probability_alive=0.9,
                    expected_orders=1.5,
                    expected_order_value=Money(currency="USD", amount_minor=1000),
                    expected_revenue=Money(currency="USD", amount_minor=1550),
                    lifetime_value=Money(currency="USD", amount_minor=120_000),
                    expected_next_order_time=Timestamp(seconds=40 * DAY),
                )
            )
    model = pb.CustomerModel(version=version, purchase_model=pb.PURCHASE_MODEL_BG_NBD, currency="USD", horizon_days=91)
    model.as_of_time.seconds, model.start_time.seconds, model.fit_time.seconds = 30 * DAY, 1 * DAY, 31 * DAY
    model.holdout.CopyFrom(
        pb.CustomerHoldout(customer_count=70, brier=0.15, churn_auc=0.8, top_decile_revenue_share=0.5)
    )
    told.models.add(tenant_id=tenant, customer_model=model)
    return told


class Forecasting(forecasting_service_pb2_grpc.ForecastingServiceServicer):
    """A neighbour that tells what a test says, each batch with its number as the cursor."""

    def __init__(self) -> None:
        self.batches: list[pb.FollowPredictionsResponse] = []
        self.resumed: list[str] = []
        self.sent = 0
        self._more = asyncio.Event()

    def tell(self, told: pb.FollowPredictionsResponse) -> None:
        self.batches.append(told)
        told.cursor = str(len(self.batches))
        self._more.set()
        self._more = asyncio.Event()

    async def FollowPredictions(  # noqa: N802 (the contract's name)
        self, request: pb.FollowPredictionsRequest, context: Any
    ) -> AsyncIterator[pb.FollowPredictionsResponse]:
        self.resumed.append(request.after_cursor)
        position = int(request.after_cursor or 0)
        if position > len(self.batches):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the cursor is not of this feed")
        while True:
            while position < len(self.batches):
                position += 1
                self.sent += 1
                yield self.batches[position - 1]
            await self._more.wait()


@asynccontextmanager
async def neighbour() -> AsyncIterator[tuple[Forecasting, str]]:
    server, forecasting = grpc.aio.server(), Forecasting()  # type: ignore[abstract]  # it answers one rpc
    forecasting_service_pb2_grpc.add_ForecastingServiceServicer_to_server(forecasting, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield forecasting, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def following(
    configure: Callable[..., Any], keyring: Keyring, address: str, **settings: Any
) -> AsyncIterator[Client]:
    chosen = configure(Settings, forecasting_addr=address, erasure_services=(), **settings)
    async with serve(chosen) as up, grpc.aio.insecure_channel(up.address) as channel:
        yield Client(ProfilesServiceStub(channel), keyring.header("acme"))


async def churn(client: Client, name: str) -> float | None:
    """The churn probability in the profile of a user, if there is one."""
    customer = await client.customer("user_id", name)
    told = {each.name: json.loads(each.value_json) for each in customer.predictive_traits.traits}
    return told.get("churn_probability")


async def test_a_profile_shows_what_is_expected_by_which_model_and_how_good_that_is(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with neighbour() as (forecasting, address), following(configure, keyring, address) as acme:
        await acme.ingest(track("m1", "ann"), track("m2", "bob"))
        ann, bob = [(await acme.customer("user_id", name)).customer_id for name in ("ann", "bob")]
        forecasting.tell(batch((ann, 0.25), tenant="rival"))
        forecasting.tell(batch((ann, 0.75)))

        async def told() -> bool:
            return await churn(acme, "ann") == 0.75

        await until(told)
        found = (await acme.customer("user_id", "ann")).predictive_traits
        assert {each.name: json.loads(each.value_json) for each in found.traits} == {
            "churn_band": "high",
            "churn_probability": 0.75,
            "expected_order_value": 10.0,
            "expected_orders": 1.5,
            "expected_revenue": 15.5,
            "lifetime_value": 1200.0,
            "next_order_time": "1970-02-10T00:00:00+00:00",
            "probability_alive": 0.9,
        }
        assert (found.source, found.model, found.model_version) == ("forecasting", "bg_nbd", 1)
        assert (found.horizon_days, found.currency) == (91, "USD")
        times = (found.data_start_time, found.as_of_time, found.fit_time)
        assert [each.seconds // DAY for each in times] == [1, 30, 31]
        assert (found.quality.churn_auc, found.quality.churn_brier, found.quality.customer_count) == (0.8, 0.15, 70)
        assert found.quality.top_decile_revenue_lift == 5.0
        assert not found.quality.HasField("order_bias")
        asked = profiles.BatchGetCustomersRequest(customer_ids=[ann, bob])
        both = {each.customer_id: each for each in (await acme.call("BatchGetCustomers", asked)).customers}
        assert both[ann].predictive_traits == found
        assert not both[bob].HasField("predictive_traits")
        forecasting.tell(batch((ann, None), (bob, 0.5)))

        async def taken_back() -> bool:
            return await churn(acme, "ann") is None and await churn(acme, "bob") == 0.5

        await until(taken_back)


async def test_a_person_reads_what_is_expected_and_it_goes_with_the_person(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with neighbour() as (forecasting, address), following(configure, keyring, address) as acme:
        await acme.ingest(track("m1", "ann"))
        ann = (await acme.customer("user_id", "ann")).customer_id
        forecasting.tell(batch((ann, 0.75)))

        async def told() -> bool:
            return await churn(acme, "ann") == 0.75

        await until(told)
        job = await begin(acme, user("ann"))
        await ended(acme, job.export_id)
        records = Exported(await download(acme, job.export_id)).records("profiles/predictive_trait")
        assert {"churn_band": "high", "expected_revenue": 15.5}.items() <= {
            each["name"]: each["value"] for each in records
        }.items()
        assert {(each["source"], each["model"]) for each in records} == {("forecasting", "bg_nbd")}
        (erasure,) = (await erase(acme, user("ann"))).erasures
        found = await receipt(acme, erasure.erasure_id, lambda it: it.state == FINISHED)
        assert {each.kind: each.count for each in found.services[0].removed}["predictive_trait"] == 8


async def test_what_was_told_while_profiles_was_away_comes_with_its_cursor(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with neighbour() as (forecasting, address):
        async with following(configure, keyring, address) as acme:
            await acme.ingest(track("m1", "ann"))
            ann = (await acme.customer("user_id", "ann")).customer_id
            forecasting.tell(batch((ann, 0.1)))

            async def first() -> bool:
                return await churn(acme, "ann") == 0.1

            await until(first)
        forecasting.tell(batch((ann, 0.9), version=2))
        async with following(configure, keyring, address) as acme:

            async def second() -> bool:
                return await churn(acme, "ann") == 0.9

            await until(second)
            found = (await acme.customer("user_id", "ann")).predictive_traits
            assert found.model_version == 2
        assert forecasting.resumed == ["", "1"]


async def test_a_forecasting_that_lost_its_data_is_read_from_the_beginning(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with neighbour() as (forecasting, address):
        async with following(configure, keyring, address) as acme:
            await acme.ingest(track("m1", "ann"))
            ann = (await acme.customer("user_id", "ann")).customer_id
            forecasting.tell(batch((ann, 0.1)))
            forecasting.tell(batch((ann, 0.2)))

            async def known() -> bool:
                return await churn(acme, "ann") == 0.2

            await until(known)
        forecasting.batches.clear()
        forecasting.tell(batch((ann, 0.9)))
        async with following(configure, keyring, address) as acme:

            async def replaced() -> bool:
                return await churn(acme, "ann") == 0.9

            await until(replaced)
        assert forecasting.resumed == ["", "2", ""]


async def test_a_killed_profiles_goes_on_where_its_last_commit_was(tmp_path: Path, keyring: Keyring) -> None:
    users = [f"u{number}" for number in range(100)]
    async with neighbour() as (forecasting, address):
        variables = {"FORECASTING_ADDR": address}
        async with process_at(tmp_path, keyring, variables) as acme:
            await acme.ingest(*(track(f"m{name}", name) for name in users))
            listed = await acme.call("ListCustomers", profiles.ListCustomersRequest(page_size=100))
            customers = [each.customer_id for each in listed.customers]
            for number in range(1, 121):
                told = batch(*((each, number / 200) for each in customers), version=number)
                for change in told.changes:
                    change.propensities.add(
                        model_id="buys_shoes", version=number, probability=number / 400, percentile=9
                    )
                forecasting.tell(told)

            async def at_work() -> bool:
                return forecasting.sent > 3

            await until(at_work)
        async with process_at(tmp_path, keyring, variables) as acme:

            async def caught_up() -> bool:
                listed = await acme.call("ListCustomers", profiles.ListCustomersRequest(page_size=100))
                told = [it for each in listed.customers for it in (each.predictive_traits, *each.model_traits)]
                return {each.model_version for each in told} == {120} and len(told) == 200

            await until(caught_up)
            assert await churn(acme, "u7") == 0.6
        positions = [int(each or 0) for each in forecasting.resumed]
        assert positions == sorted(positions)


@asynccontextmanager
async def process_at(folder: Path, keyring: Keyring, variables: dict[str, str]) -> AsyncIterator[Client]:
    """A process, killed at the end."""
    process = await asyncio.to_thread(ServiceProcess, folder, keyring, **variables)
    try:
        async with grpc.aio.insecure_channel(process.address) as channel:
            yield Client(ProfilesServiceStub(channel), keyring.header("acme"))
    finally:
        process.kill()


async def test_of_two_who_follow_one_applies_a_batch_and_nothing_older_comes_after(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    settings = configure(Settings)
    async with neighbour() as (_, address), following(configure, keyring, address) as acme:
        await acme.ingest(track("m1", "ann"))
        ann = (await acme.customer("user_id", "ann")).customer_id
    store = await SqliteStore.open(settings.data_dir / "profiles.sqlite3", KEPT)
    master = read_master_keys((settings.data_dir / "profiles_master_key").read_text("ascii"), "a file")
    keys = CustomerKeys(store, TenantKeys(store, master))
    one, other = StoredPredictiveTraits(store, keys), StoredPredictiveTraits(store, keys)
    model = PredictiveModel(1, "bg_nbd", 0, 0, 0, 91, "USD", None)

    def expected(chance: float) -> dict[tuple[str, str], Expectation | None]:
        values = {"churn_probability": chance}
        return {("acme", who): Expectation(who, 1, values, 7) for who in (ann, "of whom there is no key")}

    assert [await each.load_cursor() for each in (one, other)] == ["", ""]
    await one.apply(expected(0.1), [("acme", model)], "1")
    await one.apply(expected(0.2), [], "2")
    with pytest.raises(AlreadyExists):
        await other.apply(expected(0.1), [("acme", model)], "1")
    assert await other.load_cursor() == "2"
    await other.apply(expected(0.3), [], "3")
    with pytest.raises(Conflict):
        await one.apply(expected(0.25), [], "2.5")
    found = await one.of("acme", [ann, "of whom there is no key"])
    assert {who: each.expectation.values for who, each in found.items()} == {ann: {"churn_probability": 0.3}}
    assert await one.of("rival", [ann]) == {}
    raw = await store.get("acme", PREDICTIONS, ann)
    assert raw is not None
    assert b"churn" not in raw.body["sealed"]
    await store.close()


async def test_a_real_fit_and_a_merge_reach_the_profile(configure: Callable[..., Any], keyring: Keyring) -> None:
    ports = dict(zip(("profiles", "forecasting"), free_ports(2), strict=True))
    addresses = {f"{name}_addr": f"127.0.0.1:{port}" for name, port in ports.items()}
    own = configure(forecasting_app.Settings, **{**addresses, "port": ports["forecasting"]})
    async with (
        following(configure, keyring, addresses["forecasting_addr"], port=ports["profiles"]) as acme,
        forecasting_app.serve(own) as oracle,
        grpc.aio.insecure_channel(oracle.address) as channel,
    ):
        visits = [(number, day) for number in range(36) for day in range(number % 5, 60, 6 + number % 7)]
        await acme.ingest(*(order(f"o{number}-{day}", f"u{number}", 20.0, at=day * DAY) for number, day in visits))
        forecasting = forecasting_service_pb2_grpc.ForecastingServiceStub(channel)

        async def followed() -> bool:
            status = await forecasting.GetStatus(pb.GetStatusRequest(), metadata=acme.metadata)
            return bool(status.order_count == len(visits))

        await until(followed)
        fit = pb.FitCustomerModelRequest(request_id="fit", horizon_days=30, purchase_model=pb.PURCHASE_MODEL_BG_NBD)
        await forecasting.FitCustomerModel(fit, metadata=acme.metadata)

        async def known() -> bool:
            return None not in [await churn(acme, f"u{number}") for number in range(36)]

        await until(known)
        one, other = [await acme.customer("user_id", name) for name in ("u0", "u1")]
        asked = pb.GetCustomerPredictionRequest(customer_id=one.customer_id)
        before = (await forecasting.GetCustomerPrediction(asked, metadata=acme.metadata)).prediction
        assert await churn(acme, "u0") == before.churn_probability
        merge = merge_pb2.MergeCustomersRequest(
            request_id="m", customer_id=one.customer_id, merged_customer_ids=[other.customer_id], reason="one person"
        )
        await acme.call("MergeCustomers", merge)

        async def moved() -> bool:
            return await churn(acme, "u1") == await churn(acme, "u0") != before.churn_probability

        await until(moved)
        now = (await forecasting.GetCustomerPrediction(asked, metadata=acme.metadata)).prediction
        assert await churn(acme, "u0") == now.churn_probability
        assert now.purchase_count > before.purchase_count
