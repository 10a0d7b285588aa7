"""The dispatcher: stops when it is told to, and survives a store that does not answer."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from services.common.errors import Unavailable
from services.crm.handlers.delivery import Means, Policy
from services.crm.handlers.dispatch import Dispatcher
from services.crm.ports import Run

POLICY = Policy(timedelta(seconds=30), timedelta(seconds=60), "")


class NoRuns:
    """The port ``Runs`` with nothing to do; fails when told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.failing = False

    async def due(self, now: datetime, limit: int) -> Sequence[Run]:
        self.asked += 1
        if self.failing:
            raise Unavailable("the store does not answer")
        return []

    async def next_due_time(self) -> datetime | None:
        return None


def a_dispatcher(runs: NoRuns) -> Dispatcher:
    nothing = cast(Any, None)
    means = Means(
        templates=nothing,
        campaigns=nothing,
        runs=cast(Any, runs),
        messages=nothing,
        audience=nothing,
        customers=nothing,
        consents=nothing,
        renderer=nothing,
        mailer=None,
        clock=lambda: datetime.now(UTC),
    )
    return Dispatcher(means, POLICY, drain_seconds_max=1.0)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_cancellation_that_comes_with_new_work_is_not_forgotten() -> None:
    for turns in range(5):
        dispatcher = a_dispatcher(NoRuns())
        task = asyncio.create_task(dispatcher.dispatch())
        await _turns(10)
        dispatcher.wake()
        await _turns(turns)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert task in done


async def test_a_store_that_does_not_answer_is_asked_again() -> None:
    runs = NoRuns()
    runs.failing = True
    dispatcher = a_dispatcher(runs)
    task = asyncio.create_task(dispatcher.dispatch())
    await _turns(10)
    runs.failing = False
    asked = runs.asked
    dispatcher.wake()
    await _turns(10)
    assert runs.asked > asked
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


async def test_waking_finds_work_at_once() -> None:
    runs = NoRuns()
    dispatcher = a_dispatcher(runs)
    task = asyncio.create_task(dispatcher.dispatch())
    await _turns(10)
    asked = runs.asked
    dispatcher.wake()
    await _turns(10)
    assert runs.asked == asked + 1
    task.cancel()
    await asyncio.wait([task])
