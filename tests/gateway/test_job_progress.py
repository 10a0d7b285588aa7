"""A client follows a job to its end, whichever service does it, and across a restart of that service."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tessera.common.v1 import job_pb2
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting
from tessera.loyalty.v1 import coupon_pb2
from tessera.profiles.v1 import computed_trait_pb2
from tessera.recommendation.v1 import recommendation_service_pb2 as recommendation
from tessera.segmentation.v1 import cluster_pb2

from services.common.errors import Unavailable
from services.common.jobs import JobNotFound
from tests.conftest import Keyring
from tests.gateway.platform import SERVICES, Backend, Client
from tests.gateway.test_subscriptions import connected

FOLLOWED = [
    ("PROFILES", "profiles.FollowJob", computed_trait_pb2.FollowJobResponse),
    ("SEGMENTATION", "segmentation.FollowStudyJob", cluster_pb2.FollowStudyJobResponse),
    ("RECOMMENDATION", "recommendation.FollowJob", recommendation.FollowJobResponse),
    ("FORECASTING", "forecasting.FollowJob", forecasting.FollowJobResponse),
    ("LOYALTY", "loyalty.FollowCouponJob", coupon_pb2.FollowCouponJobResponse),
]
QUERY = 'subscription { jobProgress(service: %s, id: "job_1") { jobId state progress } }'
HALF = job_pb2.Job(job_id="job_1", state=job_pb2.JOB_STATE_RUNNING, progress=0.5)
DONE = job_pb2.Job(job_id="job_1", state=job_pb2.JOB_STATE_SUCCEEDED, progress=1)


async def told(client: Client, keyring: Keyring, service: str, **claims: Any) -> tuple[list[Any], Any]:
    """The payloads of a subscription to ``job_1``, and its last message."""
    found: list[Any] = []
    async with connected(client) as wire:
        await (await wire.initialised(f"Bearer {keyring.mint(**claims)}")).subscribe(QUERY % service)
        while (message := await wire.receive())["type"] == "next":
            found.append(message["payload"])
        return found, message


@pytest.mark.parametrize(("service", "rpc", "answer"), FOLLOWED)
async def test_a_job_is_followed_to_its_end(
    client: Client, backend: Backend, keyring: Keyring, service: str, rpc: str, answer: Any
) -> None:
    async def follow(request: Any) -> AsyncIterator[Any]:
        assert request.job_id == "job_1"
        yield answer(job=HALF)
        yield answer(job=DONE)

    backend.on(rpc, follow)  # type: ignore[arg-type]  # a stream answers with a generator
    payloads, end = await told(client, keyring, service)
    assert [payload["data"]["jobProgress"] for payload in payloads] == [
        {"jobId": "job_1", "state": "RUNNING", "progress": 0.5},
        {"jobId": "job_1", "state": "SUCCEEDED", "progress": 1},
    ]
    assert end["type"] == "complete"


async def test_a_service_that_restarts_is_asked_again(client: Client, backend: Backend, keyring: Keyring) -> None:
    answers = [HALF, DONE]

    async def follow(request: Any) -> AsyncIterator[Any]:
        job = answers.pop(0)
        yield forecasting.FollowJobResponse(job=job)
        if job is HALF:
            raise Unavailable("the service stops")

    backend.on("forecasting.FollowJob", follow)  # type: ignore[arg-type]
    payloads, _ = await told(client, keyring, "FORECASTING")
    assert [payload["data"]["jobProgress"]["state"] for payload in payloads] == ["RUNNING", "SUCCEEDED"]


async def test_a_job_that_is_not_there_is_an_error(client: Client, backend: Backend, keyring: Keyring) -> None:
    backend.on("forecasting.FollowJob", JobNotFound("there is no job job_1", job_id="job_1"))
    payloads, end = await told(client, keyring, "FORECASTING")
    errors = end["payload"] if end["type"] == "error" else payloads[-1]["errors"]
    assert errors[0]["extensions"]["code"] == "JOB_NOT_FOUND"


@pytest.mark.parametrize(("service", "rpc", "answer"), FOLLOWED)
async def test_jobs_are_told_to_those_who_may_read_them(
    client: Client, backend: Backend, keyring: Keyring, service: str, rpc: str, answer: Any
) -> None:
    others = [f"{each}:admin" for each in SERVICES if each != service.lower()]
    payloads, end = await told(client, keyring, service, scopes=others)
    errors = end["payload"] if end["type"] == "error" else payloads[-1]["errors"]
    assert errors[0]["extensions"]["code"] == "SCOPE_MISSING"
    assert backend.requests(rpc) == []
