"""What a real forecasting predicts becomes members, over gRPC."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
from tessera.common.v1.job_pb2 import JOB_STATE_SUCCEEDED
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
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


async def until(reached: Callable[[], Any]) -> None:
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


async def test_who_is_likely_to_leave_is_a_segment(configure: Callable[..., Any], keyring: Keyring) -> None:
    metadata = keyring.header()
    async with serve_profiles(configure(ProfilesSettings)) as source:
        to_profiles = configure(ForecastingSettings, profiles_addr=source.address)
        async with serve_forecasting(to_profiles) as oracle:
            addresses = {"profiles_addr": source.address, "forecasting_addr": oracle.address}
            settings = configure(Settings, **addresses, clock_seconds=0.1, prediction_seconds=0.1)
            async with (
                serve(settings) as up,
                grpc.aio.insecure_channel(source.address) as to_source,
                grpc.aio.insecure_channel(oracle.address) as to_oracle,
                grpc.aio.insecure_channel(up.address) as to_segmentation,
            ):
                forecasting, segmentation = ForecastingServiceStub(to_oracle), SegmentationServiceStub(to_segmentation)
                ingest = profiles.IngestEventsRequest(events=histories())
                await ProfilesServiceStub(to_source).IngestEvents(ingest, metadata=metadata)
                create = segments.CreateSegmentRequest(
                    name="leaving", rule_text='score("prediction.churn_probability") > 0.7'
                )
                made = (await segmentation.CreateSegment(create, metadata=metadata)).segment

                async def followed() -> bool:
                    end = (
                        await ProfilesServiceStub(to_source).GetStatistics(
                            profiles.GetStatisticsRequest(), metadata=metadata
                        )
                    ).end_cursor
                    status = await forecasting.GetStatus(pb.GetStatusRequest(), metadata=metadata)
                    return bool(status.applied_cursor == end)

                await until(followed)
                fit = pb.FitCustomerModelRequest(request_id="fit", horizon_days=60)
                job = (await forecasting.FitCustomerModel(fit, metadata=metadata)).job

                async def fitted() -> bool:
                    found = await forecasting.GetJob(pb.GetJobRequest(job_id=job.job_id), metadata=metadata)
                    return bool(found.job.state == JOB_STATE_SUCCEEDED)

                await until(fitted)
                listing = pb.ListCustomerPredictionsRequest(page_size=1000)
                told = (await forecasting.ListCustomerPredictions(listing, metadata=metadata)).predictions
                expected = sorted(each.customer_id for each in told if each.churn_probability > 0.7)
                assert 0 < len(expected) < len(told) == CUSTOMERS

                async def entered() -> bool:
                    request = segments.ListMembersRequest(segment_id=made.segment_id, page_size=1000)
                    page = await segmentation.ListMembers(request, metadata=metadata)
                    return [each.customer_id for each in page.members] == expected

                await until(entered)
                why = segments.ExplainMembershipRequest(segment_id=made.segment_id, customer_id=expected[0])
                (node,) = (await segmentation.ExplainMembership(why, metadata=metadata)).nodes
                chance = next(each.churn_probability for each in told if each.customer_id == expected[0])
                assert [value.number_value for value in node.found] == [chance]
