"""What a real forecasting predicts becomes members, over gRPC: of each model, of merges, after a pause."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from tessera.common.v1.job_pb2 import JOB_STATE_SUCCEEDED
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1 import propensity_pb2
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub
from tessera.profiles.v1 import erasure_pb2, merge_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.person_pb2 import Person
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.segmentation.v1 import personal_data_pb2
from tessera.segmentation.v1 import segmentation_service_pb2 as segments
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.forecasting.app import Settings as ForecastingSettings
from services.forecasting.app import serve as serve_forecasting
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from services.segmentation.app import Settings, serve
from tests.conftest import Keyring
from tests.segmentation.platform import ordered

CUSTOMERS = 40
GENEROUS_SECONDS = 60


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + GENEROUS_SECONDS
    while not await reached():
        assert time.monotonic() < end, "it was never reached"
        await asyncio.sleep(0.02)


def histories() -> list[profiles.Event]:
    """Customers who came every ten days; the odd ones have stayed away for long."""
    events = [
        ordered(f"u{number}", (150 if number % 2 else 1) + 10 * visit, 20 + number)
        for number in range(CUSTOMERS)
        for visit in range(4)
    ]
    for number, event in enumerate(events):
        event.message_id = f"m{number}"
    return events


class Trio:
    """Profiles and forecasting at work, and segmentation while it is open."""

    def __init__(self, source: Any, oracle: Any, configure: Callable[..., Any], addresses: dict[str, str]) -> None:
        self.source, self.oracle = source, oracle
        self._configure, self._addresses = configure, addresses
        self.metadata: Any = None

    @asynccontextmanager
    async def segmentation(self) -> AsyncIterator[Any]:
        """Segmentation over the same data each time."""
        async with (
            serve(self._configure(Settings, **self._addresses)) as up,
            grpc.aio.insecure_channel(up.address) as channel,
        ):
            yield SegmentationServiceStub(channel)

    async def followed(self) -> bool:
        """Whether forecasting knows everything."""
        end = await self.source.GetStatistics(profiles.GetStatisticsRequest(), metadata=self.metadata)
        status = await self.oracle.GetStatus(pb.GetStatusRequest(), metadata=self.metadata)
        return bool(status.applied_cursor == end.end_cursor)

    async def fit(self, days: int) -> None:
        """A new model, to its end."""
        request = pb.FitCustomerModelRequest(request_id=f"fit {days}", horizon_days=days)
        job_id = (await self.oracle.FitCustomerModel(request, metadata=self.metadata)).job.job_id

        async def fitted() -> bool:
            found = await self.oracle.GetJob(pb.GetJobRequest(job_id=job_id), metadata=self.metadata)
            return bool(found.job.state == JOB_STATE_SUCCEEDED)

        await until(fitted)

    async def predicted(self) -> dict[str, float]:
        """The churn probability of each customer."""
        listing = pb.ListCustomerPredictionsRequest(page_size=1000)
        told = (await self.oracle.ListCustomerPredictions(listing, metadata=self.metadata)).predictions
        return {each.customer_id: each.churn_probability for each in told}

    async def told(self) -> str:
        """The cursor of all that forecasting has told."""
        stream = self.oracle.FollowPredictions(pb.FollowPredictionsRequest(), metadata=self.metadata)
        async for batch in stream:
            if batch.caught_up:
                stream.cancel()
                return str(batch.cursor)
        raise AssertionError("the feed ended")

    async def leaving(self, segmentation: Any, segment_id: str, bound: float) -> list[str]:
        """Wait until those above ``bound`` are the members, and answer who they are."""

        async def entered() -> bool:
            request = segments.ListMembersRequest(segment_id=segment_id, page_size=1000)
            page = await segmentation.ListMembers(request, metadata=self.metadata)
            chances = await self.predicted()
            found = [each.customer_id for each in page.members]
            return found == sorted(who for who, chance in chances.items() if chance > bound)

        await until(entered)
        chances = await self.predicted()
        return sorted(who for who, chance in chances.items() if chance > bound)


@pytest.fixture
async def trio(configure: Callable[..., Any], keyring: Keyring) -> AsyncIterator[Trio]:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(serve_profiles(configure(ProfilesSettings)))
        settings = configure(ForecastingSettings, profiles_addr=source.address, propensity_examples_min=5)
        oracle = await stack.enter_async_context(serve_forecasting(settings))
        to_source = await stack.enter_async_context(grpc.aio.insecure_channel(source.address))
        to_oracle = await stack.enter_async_context(grpc.aio.insecure_channel(oracle.address))
        addresses = {"profiles_addr": source.address, "forecasting_addr": oracle.address}
        found = Trio(ProfilesServiceStub(to_source), ForecastingServiceStub(to_oracle), configure, addresses)
        found.metadata = keyring.header()
        await found.source.IngestEvents(profiles.IngestEventsRequest(events=histories()), metadata=found.metadata)
        await until(found.followed)
        yield found


async def leavers(trio: Trio, segmentation: Any) -> str:
    create = segments.CreateSegmentRequest(name="leaving", rule_text='score("prediction.churn_probability") > 0.7')
    made = await segmentation.CreateSegment(create, metadata=trio.metadata)
    return str(made.segment.segment_id)


async def test_who_is_likely_to_leave_is_a_segment(trio: Trio) -> None:
    async with trio.segmentation() as segmentation:
        made = await leavers(trio, segmentation)
        status = await segmentation.GetStatus(segments.GetStatusRequest(), metadata=trio.metadata)
        assert not status.predictions_cursor
        await trio.fit(60)
        expected = await trio.leaving(segmentation, made, 0.7)
        chances = await trio.predicted()
        assert 0 < len(expected) < len(chances) == CUSTOMERS
        status = await segmentation.GetStatus(segments.GetStatusRequest(), metadata=trio.metadata)
        assert status.predictions_cursor == await trio.told()
        why = segments.ExplainMembershipRequest(segment_id=made, customer_id=expected[0])
        (node,) = (await segmentation.ExplainMembership(why, metadata=trio.metadata)).nodes
        assert [value.number_value for value in node.found] == [chances[expected[0]]]
        await trio.fit(1)  # within a day more of them stay away
        assert len(await trio.leaving(segmentation, made, 0.7)) > len(expected)


async def test_the_likeliest_tenth_by_a_model_of_ones_own_is_a_segment(trio: Trio) -> None:
    async with trio.segmentation() as segmentation:
        texts = ('score("propensity.again") >= 0', 'score("propensity_percentile.again") >= 91')
        made = []
        for number, rule in enumerate(texts):
            create = segments.CreateSegmentRequest(name=f"again {number}", rule_text=rule)
            made.append((await segmentation.CreateSegment(create, metadata=trio.metadata)).segment.segment_id)
        goal = propensity_pb2.PropensityGoal(horizon_days=9)
        fit = propensity_pb2.FitPropensityModelRequest(request_id="again", model_id="again", goal=goal)
        await trio.oracle.FitPropensityModel(fit, metadata=trio.metadata)

        async def sized(likely: int, top: int) -> bool:
            pages = [
                await segmentation.ListMembers(segments.ListMembersRequest(segment_id=each), metadata=trio.metadata)
                for each in made
            ]
            return [len(page.members) for page in pages] == [likely, top]

        await until(lambda: sized(CUSTOMERS, CUSTOMERS // 10))
        everybody = propensity_pb2.ListPropensitiesRequest(model_id="again", page_size=1000)
        said = (await trio.oracle.ListPropensities(everybody, metadata=trio.metadata)).propensities
        export = personal_data_pb2.ExportCustomerDataRequest(customer_id=said[0].customer_id)
        stream = segmentation.ExportCustomerData(export, metadata=trio.metadata)
        assert [record.kind async for page in stream for record in page.records].count("propensity") == 1
        delete = propensity_pb2.DeletePropensityModelRequest(model_id="again")
        await trio.oracle.DeletePropensityModel(delete, metadata=trio.metadata)
        await until(lambda: sized(0, 0))


async def test_a_model_that_was_fitted_while_segmentation_was_away_moves_members_when_it_is_back(trio: Trio) -> None:
    async with trio.segmentation() as segmentation:
        made = await leavers(trio, segmentation)
        await trio.fit(60)
        before = await trio.leaving(segmentation, made, 0.7)
    await trio.fit(1)
    async with trio.segmentation() as segmentation:
        assert len(await trio.leaving(segmentation, made, 0.7)) > len(before)


async def test_who_is_merged_or_erased_keeps_no_prediction(trio: Trio) -> None:
    async with trio.segmentation() as segmentation:
        made = await leavers(trio, segmentation)
        await trio.fit(60)
        one, other, gone, *_ = await trio.leaving(segmentation, made, 0.7)
        merge = merge_pb2.MergeCustomersRequest(
            request_id="m", customer_id=one, merged_customer_ids=[other], reason="the same person"
        )
        await trio.source.MergeCustomers(merge, metadata=trio.metadata)
        erase = erasure_pb2.EraseCustomersRequest(request_id="e", persons=[Person(customer_id=gone)])
        await trio.source.EraseCustomers(erase, metadata=trio.metadata)

        async def forgotten() -> bool:
            return not {other, gone} & set(await trio.predicted())

        await until(forgotten)
        await trio.leaving(segmentation, made, 0.7)
        for customer_id, count in ((one, 1), (other, 0), (gone, 0)):

            async def held(customer_id: str = customer_id, count: int = count) -> bool:
                export = personal_data_pb2.ExportCustomerDataRequest(customer_id=customer_id)
                stream = segmentation.ExportCustomerData(export, metadata=trio.metadata)
                kinds = [record.kind async for page in stream for record in page.records]
                return kinds.count("prediction") == count

            await until(held)
