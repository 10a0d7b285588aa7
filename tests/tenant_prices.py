"""People who buy one thing every week at prices that change, so that a tenant can learn what they answer to prices."""

import json
import time
from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import job_pb2
from tessera.loyalty.v1 import pricing_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from tests.whole_platform import until

PERSONS, WEEKS = 12, 20
WEEK_SECONDS = 7 * 24 * 3600


class Buying(Protocol):
    """A tenant that can be called."""

    def own(self, noun: str) -> str: ...
    async def call(self, service: str, rpc: str, request: Any) -> Any: ...


async def learn_prices(tenant: Buying) -> str:
    """Let people buy, and the tenant learn from it; the job that did."""
    now = int(time.time())
    for week in range(WEEKS):
        orders = [
            profiles.Event(
                message_id=f"weekly-{week}-{number}",
                type=profiles.EVENT_TYPE_TRACK,
                name="Order Completed",
                user_id=tenant.own(f"weekly{number}"),
                event_time=Timestamp(seconds=now - week * WEEK_SECONDS),
                properties_json=json.dumps(
                    {
                        "order_id": f"weekly-{week}-{number}",
                        "currency": "USD",
                        "products": [{"product_id": tenant.own("milk"), "price": 4 + week % 3, "quantity": 1}],
                    }
                ),
            )
            for number in range(PERSONS)
        ]
        await tenant.call("profiles", "IngestEvents", profiles.IngestEventsRequest(events=orders))

    async def followed() -> bool:
        known = await tenant.call("loyalty", "GetPricingPolicy", pricing_pb2.GetPricingPolicyRequest())
        return bool(known.order_count >= PERSONS * WEEKS)

    await until(followed)
    estimate = pricing_pb2.EstimatePriceSensitivityRequest(request_id="estimate")
    job_id: str = (await tenant.call("loyalty", "EstimatePriceSensitivity", estimate)).job.job_id

    async def learnt() -> bool:
        job = (await tenant.call("loyalty", "GetPricingJob", pricing_pb2.GetPricingJobRequest(job_id=job_id))).job
        assert job.state != job_pb2.JOB_STATE_FAILED, job.message
        return bool(job.state == job_pb2.JOB_STATE_SUCCEEDED)

    await until(learnt)
    return job_id
