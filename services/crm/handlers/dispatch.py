"""Take the runs that are due and carry them out, several at once, until the process stops."""

import asyncio
import contextlib
import logging
from datetime import timedelta

from services.common.errors import Conflict
from services.crm.handlers.delivery import Delivery, Means, Policy
from services.crm.ports import Run

log = logging.getLogger(__name__)

RUNS_MAX = 16
POLL_SECONDS_MAX = 1.0
"""How long work that another process made, or left behind, can stay unnoticed."""


class Dispatcher:
    """Looks for work when it is woken, when some comes due, and every second."""

    def __init__(self, means: Means, policy: Policy, drain_seconds_max: float) -> None:
        self._means, self._policy, self._drain_seconds_max = means, policy, drain_seconds_max
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def wake(self) -> None:
        """There may be work now."""
        self._woken.set()

    async def dispatch(self) -> None:
        """Work for ever; when cancelled, let what is with the mail server finish and give the runs back."""
        try:
            while True:
                self._woken.clear()
                try:
                    await self._take_due()
                    pause = await self._pause_seconds()
                except Exception:
                    log.exception("no work could be looked up; it is tried again")
                    pause = POLL_SECONDS_MAX
                # Not `wait_for`: before Python 3.12 it forgets a cancellation that comes with what it waits for.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
        finally:
            await self._drain()

    async def _take_due(self) -> None:
        room = RUNS_MAX - len(self._tasks)
        due = await self._means.runs.due(self._means.clock(), RUNS_MAX) if room else []
        for run in due:
            if (run.tenant, run.campaign_id) in self._tasks or len(self._tasks) >= RUNS_MAX:
                continue
            try:
                held = await self._means.runs.hold(run, self._means.clock() + self._policy.lease)
            except Conflict:
                continue  # another process was faster
            self._begin(held)

    def _begin(self, run: Run) -> None:
        key = (run.tenant, run.campaign_id)
        task = asyncio.create_task(self._carry_out(run), name=f"campaign {run.campaign_id}")
        self._tasks[key] = task

        def ended(_: asyncio.Task[None]) -> None:
            del self._tasks[key]
            self._woken.set()

        task.add_done_callback(ended)

    async def _carry_out(self, run: Run) -> None:
        """One run. What escapes is a bug: it is logged, and the run comes due again when its lease ends."""
        try:
            campaign = await self._means.campaigns.get(run.tenant, run.campaign_id)
            assert campaign is not None, f"the run of {run.campaign_id} has no campaign"
            await Delivery(self._means, self._policy, run, campaign, self._stopping).carry_out()
        except Exception:
            log.exception("campaign %s stopped unexpectedly; it goes on when its lease has ended", run.campaign_id)

    async def _pause_seconds(self) -> float:
        due_time = await self._means.runs.next_due_time()
        if due_time is None:
            return POLL_SECONDS_MAX
        return min(max((due_time - self._means.clock()) / timedelta(seconds=1), 0.01), POLL_SECONDS_MAX)

    async def _drain(self) -> None:
        self._stopping.set()
        tasks = tuple(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._drain_seconds_max)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
