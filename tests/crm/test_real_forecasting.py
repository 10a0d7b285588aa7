"""crm beside the real forecasting: what a campaign with a control group changes is learnt, and nobody copies rows."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
from tessera.crm.v1 import crm_service_pb2 as pb
from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceStub
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting_pb
from tessera.forecasting.v1 import propensity_pb2, uplift_pb2
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.common.channels import connect
from services.crm import app as crm_app
from services.forecasting import app as forecasting_app
from tests.conftest import Keyring
from tests.crm.conftest import Client
from tests.crm.mail_server import MailServer
from tests.crm.neighbours import Neighbours
from tests.crm.test_merges import merged
from tests.forecasting.conftest import line, properties, timestamp
from tests.whole_platform import until

if TYPE_CHECKING:
    from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceAsyncStub

NOW = datetime.now(UTC)
CUSTOMERS = 240
AFTER = 0.95, 0.3
"""How likely who was written to, and who was held back, is to order within two weeks."""


def bought(customer_id: str, days: float) -> profiles.Change:
    return profiles.Change(
        tenant_id="acme",
        event_recorded=profiles.RecordedEvent(
            message_id=f"{customer_id}:{days}",
            name="Order Completed",
            customer_id=customer_id,
            origin_customer_id=customer_id,
            event_time=timestamp(NOW + timedelta(days=days)),
            properties_json=properties(f"{customer_id}:{days}", [line("1", 20.0, "FOOD")]),
        ),
    )


def erased(customer_id: str) -> profiles.Change:
    told = profiles.CustomerErased(
        erasure_id="e1", customer_id=customer_id, origin_customer_ids=[customer_id], pseudonym="nobody-7"
    )
    return profiles.Change(tenant_id="acme", customer_erased=told)


class Forecasting:
    """Asks forecasting as one tenant."""

    def __init__(self, stub: "ForecastingServiceAsyncStub", metadata: Sequence[tuple[str, str]]) -> None:
        self.stub, self.metadata = stub, tuple(metadata)

    async def experiments(self) -> list[uplift_pb2.UpliftExperiment]:
        request = uplift_pb2.ListUpliftExperimentsRequest()
        return list((await self.stub.ListUpliftExperiments(request, metadata=self.metadata)).experiments)

    async def sizes(self) -> list[tuple[int, int]]:
        """Treated and held back, by experiment."""
        return [(it.treated_count, it.control_count) for it in await self.experiments()]

    async def orders(self) -> int:
        status = await self.stub.GetStatus(forecasting_pb.GetStatusRequest(), metadata=self.metadata)
        return status.order_count

    async def fitted(self, experiment_id: str) -> uplift_pb2.UpliftModel:
        goal = propensity_pb2.PropensityGoal(horizon_days=14)
        request = uplift_pb2.FitUpliftModelRequest(
            request_id="fit", model_id="mailed", experiment_id=experiment_id, goal=goal
        )
        job = (await self.stub.FitUpliftModel(request, metadata=self.metadata)).job
        follow = forecasting_pb.FollowJobRequest(job_id=job.job_id)
        async for told in self.stub.FollowJob(follow, metadata=self.metadata):
            job = told.job
        assert job.state == 3, job.message
        get = uplift_pb2.GetUpliftModelRequest(model_id="mailed")
        return (await self.stub.GetUpliftModel(get, metadata=self.metadata)).uplift_model


Start = Callable[..., Any]


@asynccontextmanager
async def forecasting(
    configure: Start, keyring: Keyring, neighbours: Neighbours, crm: str
) -> AsyncIterator[Forecasting]:
    settings = configure(
        forecasting_app.Settings,
        profiles_addr=neighbours.address,
        segmentation_addr="127.0.0.1:1",
        crm_addr=crm,
        propensity_examples_min=5,
    )
    async with forecasting_app.serve(settings) as up, connect(up.address, settings) as channel:
        yield Forecasting(ForecastingServiceStub(channel), keyring.header())


async def sent(client: Client, campaign_id: str) -> dict[str, bool]:
    """Who was written to, of all whom the campaign could be written to."""
    await client.start(campaign_id)
    await client.ended(campaign_id)
    return {it.customer_id: it.state == pb.MESSAGE_STATE_SENT for it in await client.messages(campaign_id)}


async def test_what_a_campaign_changes_is_learnt_from_whom_it_held_back(
    configure: Start, keyring: Keyring, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", CUSTOMERS)
    settings = configure(
        crm_app.Settings, smtp_url=mails.url, profiles_addr=neighbours.address, segmentation_addr=neighbours.address
    )
    async with crm_app.serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        client = Client(CrmServiceStub(channel), keyring.header())
        assert all((await sent(client, await client.campaign())).values())
        campaign_id = await client.campaign(control_percent=50)
        treated = await sent(client, campaign_id)
        chance = random.Random(1)
        comes = {who: chance.random() < AFTER[0 if treated[who] else 1] for who in treated}
        orders = [bought(who, -(number % 30) - 1.0) for number, who in enumerate(treated)]
        orders += [bought(who, 5.0) for who in treated if comes[who]]
        neighbours.changes += [*orders, bought("last", 20.0)]
        one, other = (next(who for who in treated if treated[who] is it) for it in (True, False))
        neighbours.changes.append(merged([other], other, one))
        gone = next(who for who in treated if treated[who] and who != one)
        sizes = (sum(treated.values()), CUSTOMERS - sum(treated.values()))
        async with forecasting(configure, keyring, neighbours, up.address) as ours:

            async def heard() -> bool:
                return await ours.sizes() == [sizes] and await ours.orders() == len(orders) + 1

            await until(heard)
            [experiment] = await ours.experiments()
            assert (experiment.campaign_id, experiment.experiment_id) == (campaign_id, f"campaign:{campaign_id}")
            model = await ours.fitted(experiment.experiment_id)
            assert model.quality.customer_count == CUSTOMERS - 2
            assert model.quality.effect.low > 0.3
            assert any("1 customers were recorded in both groups" in it for it in model.warnings)
            assert any("waves of an hour" in it for it in model.warnings)
            neighbours.changes.append(erased(gone))

            async def forgotten() -> bool:
                return await ours.sizes() == [(sizes[0] - 1, sizes[1])]

            await until(forgotten)
        async with forecasting(configure, keyring, neighbours, "127.0.0.1:1") as alone:
            assert await alone.sizes() == [(sizes[0] - 1, sizes[1])]  # crm is away: what it told holds
            gone_too = uplift_pb2.DeleteUpliftExperimentRequest(experiment_id=f"campaign:{campaign_id}")
            await alone.stub.DeleteUpliftExperiment(gone_too, metadata=alone.metadata)
            assert await alone.sizes() == []
