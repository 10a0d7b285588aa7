"""Jobs keep their state, one runs at a time, and none is left running by a process that died."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from services.common.errors import FailedPrecondition
from services.common.job_messages import to_proto
from services.common.jobs import COLLECTIONS, JobNotFound, Jobs, Progress, State
from services.common.settings import ServiceSettings
from services.common.store import Store, open_store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Settings(ServiceSettings):
    service = "test"


@pytest.fixture
async def store(configure: Callable[..., Any]) -> AsyncIterator[Store]:
    async with open_store(configure(Settings), COLLECTIONS) as opened:
        yield opened


@pytest.fixture
def jobs(store: Store) -> Jobs:
    return Jobs(store, lambda: NOW)


async def ended(jobs: Jobs, job_id: str) -> Any:
    while True:
        job = await jobs.get("acme", job_id)
        if job.end_time is not None:
            return job
        await asyncio.sleep(0.005)


async def test_who_follows_a_job_sees_it_as_it_stands_and_to_its_end(jobs: Jobs) -> None:
    go_on = asyncio.Event()

    async def work(progress: Progress) -> dict[str, str]:
        await progress(0.5, "half")
        await go_on.wait()
        return {"recall": "0.5"}

    job = await jobs.start("acme", "train", work)
    seen = []
    async with asyncio.timeout(30):
        async for each in jobs.follow("acme", job.job_id):
            seen.append((each.state, each.progress))
            if each.message == "half":
                go_on.set()
    assert seen[-2:] == [(State.RUNNING, 0.5), (State.SUCCEEDED, 1.0)]
    assert len(set(seen)) == len(seen)
    assert [each.state async for each in jobs.follow("acme", job.job_id)] == [State.SUCCEEDED]
    with pytest.raises(JobNotFound):
        await anext(jobs.follow("rival", job.job_id))


async def test_a_job_tells_its_progress_and_its_results(jobs: Jobs) -> None:
    at_half, go_on = asyncio.Event(), asyncio.Event()

    async def work(progress: Progress) -> dict[str, str]:
        await progress(0.5, "half")
        at_half.set()
        await go_on.wait()
        return {"recall": "0.5"}

    job = await jobs.start("acme", "train", work)
    await at_half.wait()
    running = await jobs.get("acme", job.job_id)
    assert (running.state, running.progress, running.message) == (State.RUNNING, 0.5, "half")
    go_on.set()
    done = await ended(jobs, job.job_id)
    assert (done.state, done.progress, done.results) == (State.SUCCEEDED, 1.0, {"recall": "0.5"})
    assert to_proto(done).results["recall"] == "0.5"


async def test_a_refusal_is_told_and_a_bug_is_not_spelt_out(jobs: Jobs) -> None:
    async def refuse(progress: Progress) -> dict[str, str]:
        raise FailedPrecondition("there are no baskets yet")

    async def break_down(progress: Progress) -> dict[str, str]:
        raise RuntimeError("secret")

    refused = await jobs.start("acme", "train", refuse)
    broken = await jobs.start("acme", "train", break_down)
    assert (await ended(jobs, refused.job_id)).message == "there are no baskets yet"
    failed = await ended(jobs, broken.job_id)
    assert failed.state is State.FAILED
    assert "secret" not in failed.message


async def test_jobs_of_one_kind_run_one_after_the_other(jobs: Jobs) -> None:
    running, most = 0, 0

    async def work(progress: Progress) -> dict[str, str]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return {}

    started = [await jobs.start("acme", "train", work) for _ in range(4)]
    for job in started:
        await ended(jobs, job.job_id)
    assert most == 1


async def test_a_job_that_the_process_left_is_failed_at_the_next_start(store: Store, jobs: Jobs) -> None:
    running = asyncio.Event()

    async def never(progress: Progress) -> dict[str, str]:
        running.set()
        await asyncio.Event().wait()
        return {}

    job = await jobs.start("acme", "train", never)
    await running.wait()
    next_start = Jobs(store, lambda: NOW)
    await next_start.recover(alone=True)
    assert (await next_start.get("acme", job.job_id)).state is State.FAILED
    await jobs.close()


async def test_jobs_are_listed_newest_first_and_kept_apart_by_tenant(jobs: Jobs) -> None:
    async def work(progress: Progress) -> dict[str, str]:
        return {}

    job = await jobs.start("acme", "train", work)
    await ended(jobs, job.job_id)
    listed, token = await jobs.list("acme", 10, "")
    assert [each.job_id for each in listed] == [job.job_id]
    assert token == ""
    with pytest.raises(JobNotFound):
        await jobs.get("rival", job.job_id)
