"""Jobs of several processes on one store: each is one process's, until it dies, or the job is cancelled."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.common.clock import system_clock
from services.common.job_leases import JOB_TENANTS
from services.common.job_record import job_body
from services.common.jobs import COLLECTIONS, JOBS, TAKEOVERS_MAX, Job, JobNotFound, Jobs, Progress, Resume, State, Work
from services.common.store import Put, Store
from services.common.store.mongo import MongoStore
from services.common.store.sqlite import SqliteStore
from tests.common.job_runner import LEASE_SECONDS

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(params=["sqlite", "mongodb"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path, mongodb_url: str) -> AsyncIterator[list[Store]]:
    """Two stores on the same data, as two processes have them."""
    database = f"jobs_{uuid.uuid4().hex[:12]}"
    opened: list[Store] = []
    for _ in range(2):
        if request.param == "sqlite":
            opened.append(await SqliteStore.open(tmp_path / "jobs.db", COLLECTIONS))
        else:
            opened.append(await MongoStore.open(mongodb_url, database, COLLECTIONS))
    yield opened
    for store in opened:
        await store.close()


async def ended(jobs: Jobs, job_id: str) -> Job:
    async with asyncio.timeout(60):
        async for job in jobs.follow("acme", job_id):
            last = job
    return last


async def running(jobs: Jobs, *job_ids: str) -> None:
    """Wait until these are at work."""
    async with asyncio.timeout(60):
        for job_id in job_ids:
            async for job in jobs.follow("acme", job_id):
                if job.state is State.RUNNING:
                    break


async def endless(progress: Progress) -> dict[str, str]:
    await asyncio.Event().wait()
    return {}


def counting(done: list[str]) -> Resume:
    def resume(tenant: str, arguments: Mapping[str, str]) -> Work:
        async def work(progress: Progress) -> dict[str, str]:
            done.append(f"{tenant} {arguments['rows']}")
            return {"rows": arguments["rows"]}

        return work

    return resume


async def test_a_starting_process_leaves_the_jobs_of_living_ones_alone(stores: list[Store]) -> None:
    one, other = (Jobs(store, system_clock) for store in stores)
    go_on = asyncio.Event()

    async def work(progress: Progress) -> dict[str, str]:
        await go_on.wait()
        return {"recall": "0.5"}

    job = await one.start("acme", "train", work)
    await other.recover()
    assert (await other.get("acme", job.job_id)).state in (State.PENDING, State.RUNNING)
    go_on.set()
    assert (await ended(other, job.job_id)).results == {"recall": "0.5"}
    await other.close()


async def test_a_job_is_taken_over_when_its_lease_has_run_out_and_not_before(stores: list[Store]) -> None:
    time, done = Time(), list[str]()
    one, other = (Jobs(store, time, lease_seconds=600) for store in stores)
    other.resumable("import", counting(done))
    resumed = await one.start("acme", "import", endless, arguments={"rows": "7"})
    failed = await one.start("acme", "train", endless)
    await running(one, resumed.job_id, failed.job_id)
    time.now += timedelta(seconds=599)
    await other.recover()
    assert (await other.get("acme", failed.job_id)).end_time is None
    time.now += timedelta(seconds=2)
    await other.recover()
    assert (await ended(other, failed.job_id)).state is State.FAILED
    assert (await ended(other, resumed.job_id)).results == {"rows": "7"}
    assert done == ["acme 7"]
    # Whoever held them writes nothing any more of what is another's.
    await one.close()
    assert (await other.get("acme", resumed.job_id)).state is State.SUCCEEDED
    await other.close()


async def test_a_slow_process_cannot_end_what_another_one_has_taken_over(stores: list[Store]) -> None:
    time = Time()
    one, other = (Jobs(store, time, lease_seconds=600) for store in stores)
    go_on, left = asyncio.Event(), asyncio.Event()

    async def work(progress: Progress) -> dict[str, str]:
        await go_on.wait()
        try:
            await progress(0.9, "nearly")
        finally:
            left.set()
        return {"whose": "mine"}

    job = await one.start("acme", "train", work)
    await running(other, job.job_id)
    time.now += timedelta(hours=1)
    await other.recover()
    go_on.set()
    await asyncio.wait_for(left.wait(), 30)
    await one.close()
    found = await other.get("acme", job.job_id)
    assert (found.state, found.results) == (State.FAILED, {})
    await other.close()


async def test_a_job_that_ends_its_processes_is_given_up(stores: list[Store]) -> None:
    time = Time()
    first = Jobs(stores[0], time, 60)
    job = await first.start("acme", "import", endless, arguments={"rows": "1"})
    await running(first, job.job_id)
    held = [first]
    for _ in range(TAKEOVERS_MAX):
        time.now += timedelta(minutes=2)
        again = Jobs(stores[1], time, 60)
        again.resumable("import", lambda tenant, arguments: endless)
        await again.recover()
        await running(again, job.job_id)
        held.append(again)
    time.now += timedelta(minutes=2)
    last = Jobs(stores[0], time, 60)
    last.resumable("import", lambda tenant, arguments: endless)
    await last.recover()
    assert (await last.get("acme", job.job_id)).state is State.FAILED
    for jobs in (*held, last):
        await jobs.close()


async def test_the_only_process_takes_up_at_once_what_the_one_before_left(stores: list[Store]) -> None:
    done = list[str]()
    one, other = (Jobs(store, system_clock) for store in stores)
    resumed = await one.start("acme", "import", endless, arguments={"rows": "7"})
    failed = await one.start("acme", "train", endless)
    await running(one, resumed.job_id, failed.job_id)
    other.resumable("import", counting(done))
    await other.recover(alone=True)
    assert (await other.get("acme", failed.job_id)).state is State.FAILED
    assert (await ended(other, resumed.job_id)).state is State.SUCCEEDED
    await one.close()
    await other.close()


async def test_a_process_that_stops_in_order_lets_another_one_go_on_at_once(stores: list[Store]) -> None:
    done = list[str]()
    one, other = (Jobs(store, system_clock) for store in stores)
    for jobs in (one, other):
        jobs.resumable("import", counting(done))
    job = await one.start("acme", "import", endless, arguments={"rows": "7"})
    await running(other, job.job_id)
    await one.close()
    await other.recover()
    assert (await ended(other, job.job_id)).results == {"rows": "7"}
    await other.close()


async def test_a_job_is_cancelled_through_any_process_and_stops_in_its_own(stores: list[Store]) -> None:
    one, other = (Jobs(store, system_clock, lease_seconds=1) for store in stores)
    stopped, begun = asyncio.Event(), asyncio.Event()

    async def work(progress: Progress) -> dict[str, str]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return {}

    job = await one.start("acme", "export", work)
    await asyncio.wait_for(begun.wait(), 30)
    assert (await other.cancel("acme", job.job_id)).state is State.CANCELLED
    await asyncio.wait_for(stopped.wait(), 30)
    again = await one.cancel("acme", job.job_id)
    assert (again.state, again.message) == (State.CANCELLED, "cancelled by request")
    with pytest.raises(JobNotFound):
        await one.cancel("rival", job.job_id)
    await one.close()
    assert (await other.get("acme", job.job_id)).state is State.CANCELLED


async def test_a_job_that_is_cancelled_while_it_waits_never_begins(stores: list[Store]) -> None:
    jobs, begun = Jobs(stores[0], system_clock), list[str]()
    first = await jobs.start("acme", "export", endless)

    async def work(progress: Progress) -> dict[str, str]:
        begun.append("second")
        return {}

    second = await jobs.start("acme", "export", work)
    await jobs.cancel("acme", second.job_id)
    await jobs.cancel("acme", first.job_id)
    third = await jobs.start("acme", "export", work)
    assert (await ended(jobs, third.job_id)).state is State.SUCCEEDED
    assert begun == ["second"]
    await jobs.close()


async def test_jobs_from_before_there_were_leases_are_failed_when_nobody_renews_them(stores: list[Store]) -> None:
    time = Time()
    old = Job("job_old", "train", State.RUNNING, NOW)
    await stores[0].commit([Put("*", JOB_TENANTS, "acme", {}), Put("acme", JOBS, "job_old", job_body(old))])
    one, other = (Jobs(store, time, 60) for store in stores)
    await one.recover()
    assert (await one.get("acme", "job_old")).state is State.RUNNING
    time.now += timedelta(seconds=61)
    await other.recover()
    assert (await one.get("acme", "job_old")).state is State.FAILED
    await one.close()
    await other.close()


async def test_a_job_is_started_once_whoever_asks(stores: list[Store]) -> None:
    one, other = (Jobs(store, system_clock) for store in stores)
    first = await one.start("acme", "train", endless, "job_1")
    assert (await other.start("acme", "train", endless, "job_1")).create_time == first.create_time
    await one.close()
    assert (await other.get("acme", "job_1")).state is State.FAILED
    await other.close()


async def test_what_a_killed_process_was_at_goes_on_in_another(mongodb_url: str) -> None:
    database, done = f"jobs_{uuid.uuid4().hex[:12]}", list[str]()
    store = await MongoStore.open(mongodb_url, database, COLLECTIONS)
    jobs = Jobs(store, system_clock, LEASE_SECONDS)
    jobs.resumable("import", counting(done))
    command = [sys.executable, "-m", "tests.common.job_runner", mongodb_url, database]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
    runner = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    assert runner.stdout
    try:
        for _ in range(2):
            assert await runner.stdout.readline() == b"half\n"
        await jobs.recover()
        assert (await jobs.get("acme", "job_i")).message == "half"
    finally:
        runner.kill()
        await runner.communicate()
    assert (await ended(jobs, "job_i")).results == {"rows": "7"}
    assert (await ended(jobs, "job_t")).state is State.FAILED
    assert done == ["acme 7"]
    await jobs.close()
    await store.close()
