"""The ledger's writer: one a process, which applies what waits, in order, as one draft and one commit.

While a commit is on its way to the disk, operations queue; the next group takes them together. So a thousand
operations on one member cost a few commits, none of them conflicts with another, and none is refused. Other
processes are met by the versions of the documents: whoever loses reads again and applies its group again.
"""

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists, Conflict, Refusal
from services.common.store import Store
from services.loyalty.adapters.draft import Draft, load_draft
from services.loyalty.adapters.held import HeldMembers
from services.loyalty.adapters.store import ORDER_FOLLOWER
from services.loyalty.domain.books import OrderCounts
from services.loyalty.domain.entry import (
    EARNED,
    HELD,
    LAPSED,
    LAPSED_PENDING,
    POSTED,
    RESTORED,
    RETURNED,
    RETURNED_PENDING,
    SPENT,
    Entry,
)
from services.loyalty.domain.errors import LedgerBusy
from services.loyalty.domain.operations import Operation
from services.loyalty.domain.orders import ApplyOrderEvents
from services.loyalty.ports import Request

T = TypeVar("T")

QUEUE_MAX = 10_000
GROUP_WEIGHT_MAX = 512
"""Operations in one commit; a batch of orders weighs as many as it has."""
ATTEMPTS_MAX = 50
BACKOFF_SECONDS_MIN = 0.001
BACKOFF_SECONDS_MAX = 0.1


class OrdersApplied(Conflict):
    """Another process applied these orders: resume from the stored cursor."""


@dataclass(slots=True, eq=False)
class _Queued:
    """Something that waits for the writer."""

    operations: Mapping[str, Sequence[Operation[Any]]]
    """By tenant."""
    carry_out: Callable[[Draft, int], Any]
    weight: int
    done: "asyncio.Future[Any]"
    requests: Sequence[Request] = ()
    follower: str = ""
    """Whose batch it is."""
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


class StoredLedger:
    """The port ``Ledger`` over the document store."""

    def __init__(self, store: Store, clock: Clock, *, queue_max: int = QUEUE_MAX) -> None:
        self._store, self._clock, self._queue_max = store, clock, queue_max
        self._queue: deque[_Queued] = deque()
        self._waiting = 0
        self._held = HeldMembers()
        self._writer: asyncio.Task[None] | None = None

    async def post(self, request: Request, operation: Operation[T]) -> T:
        def carry_out(draft: Draft, now: int) -> T | Refusal:
            return _posted(draft, now, request, operation)

        with telemetry.span("loyalty.ledger.post"):
            operations = {request.tenant: [operation]}
            answer: T = await self._enqueue(_Queued(operations, carry_out, 1, _future(), [request]))
        return answer

    async def post_all(self, tenant: str, asked: Sequence[tuple[Request, Operation[T]]]) -> list[T | Refusal]:
        def carry_out(draft: Draft, now: int) -> list[T | Refusal]:
            return [_posted(draft, now, request, operation) for request, operation in asked]

        operations = {tenant: [operation for _, operation in asked]}
        with telemetry.span("loyalty.ledger.post", operations=len(asked)):
            requests = [request for request, _ in asked]
            answers: list[T | Refusal] = await self._enqueue(
                _Queued(operations, carry_out, len(asked), _future(), requests)
            )
        return answers

    async def apply_order_events(
        self, orders: Mapping[str, ApplyOrderEvents], after: str, cursor: str, follower: str = ORDER_FOLLOWER
    ) -> OrderCounts:
        def carry_out(draft: Draft, now: int) -> OrderCounts:
            if draft.cursors[follower] != after:
                raise OrdersApplied("the order feed has moved on")
            outcome = OrderCounts()
            for tenant, told in orders.items():
                outcome = outcome.plus(told.apply(draft.tenants[tenant].books, now))
            draft.move_cursor(follower, cursor)
            return outcome

        operations = {tenant: [told] for tenant, told in orders.items()}
        weight = sum(len(told.events) for told in orders.values())
        outcome: OrderCounts = await self._enqueue(_Queued(operations, carry_out, weight, _future(), follower=follower))
        return outcome

    async def try_out(self, tenant: str, operation: Operation[T]) -> T:
        draft = await load_draft(self._store, {tenant: [operation]}, {})
        return operation.apply(draft.tenants[tenant].books, to_micros(self._clock()))

    async def close(self) -> None:
        """Finish what was accepted."""
        if self._writer:
            await asyncio.wait([self._writer])

    async def _enqueue(self, queued: _Queued) -> Any:
        if self._waiting + queued.weight > self._queue_max and self._waiting:
            raise LedgerBusy(f"{self._waiting} operations wait; retry with backoff", queue_max=self._queue_max)
        self._queue.append(queued)
        self._waiting += queued.weight
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="ledger-writer")
        return await queued.done

    async def _write(self) -> None:
        while group := self._next_group():
            # In the context of the first request, so that its trace shows the commit.
            await asyncio.create_task(self._carry_out(group), context=group[0].context)

    def _next_group(self) -> list[_Queued]:
        group: list[_Queued] = []
        weight = 0
        while self._queue and (not group or weight + self._queue[0].weight <= GROUP_WEIGHT_MAX):
            queued = self._queue.popleft()
            self._waiting -= queued.weight
            if queued.done.done():  # whoever asked has gone away
                continue
            group.append(queued)
            weight += queued.weight
        return group

    async def _carry_out(self, group: Sequence[_Queued]) -> None:
        """Apply and commit a group. If that fails, each by itself: nobody fails by another's fault."""
        try:
            outcomes = await self._attempt(group)
        except Exception as error:
            if len(group) == 1:
                _settle(group[0], error)
                return
            for queued in group:
                await self._carry_out([queued])
        else:
            for queued, outcome in zip(group, outcomes, strict=True):
                _settle(queued, outcome)

    async def _attempt(self, group: Sequence[_Queued]) -> list[Any]:
        """What became of each, once all effects are on disk. A refusal is an outcome, and has no effect.

        First on the members that are held, and as if none of the requests had come before: the commit fails where that
        is wrong, and then everything is read.
        """
        for attempt in range(ATTEMPTS_MAX):
            draft = await self._load(group, None if attempt else self._held)
            now = to_micros(self._clock())
            outcomes = [_outcome(queued, draft, now) for queued in group]
            if not attempt and not await draft.stands(self._store):
                draft.drop(self._held)
                continue
            try:
                with telemetry.span("loyalty.ledger.commit", operations=len(group)):
                    await self._store.commit(draft.writes())
            except (Conflict, AlreadyExists):
                draft.drop(self._held)
                telemetry.counter("loyalty.commits.repeated").add(1)
                await asyncio.sleep(random.uniform(0, min(BACKOFF_SECONDS_MIN * 2**attempt, BACKOFF_SECONDS_MAX)))
                continue
            except BaseException:
                draft.drop(self._held)
                raise
            draft.hold(self._held)
            _measure(draft.entered())
            return outcomes
        raise Conflict(f"other processes were faster {ATTEMPTS_MAX} times; retry with backoff")

    async def _load(self, group: Sequence[_Queued], held: HeldMembers | None) -> Draft:
        operations: dict[str, list[Operation[Any]]] = {}
        request_ids: dict[str, list[str]] = {}
        for queued in group:
            for tenant, wanted in queued.operations.items():
                operations.setdefault(tenant, []).extend(wanted)
            if held is None:
                for request in queued.requests:
                    if request.id:
                        request_ids.setdefault(request.tenant, []).append(request.id)
        followers = dict.fromkeys(queued.follower for queued in group if queued.follower)
        return await load_draft(self._store, operations, request_ids, followers, held)


def _future() -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().create_future()


def _posted(draft: Draft, now: int, request: Request, operation: Operation[T]) -> T | Refusal:
    """The answer to a request, as it was given before if it was carried out before; or why it is refused."""
    tenant = draft.tenants[request.tenant]
    try:
        replayed: T | None = tenant.replay(request)
        if replayed is not None:
            return replayed
        answer = operation.apply(tenant.books, now)
    except Refusal as refusal:
        tenant.refused.add(request.id)
        return refusal
    tenant.keep_answer(request, answer)
    return answer


def _outcome(queued: _Queued, draft: Draft, now: int) -> Any:
    try:
        return queued.carry_out(draft, now)
    except Refusal as refusal:
        return refusal


def _settle(queued: _Queued, outcome: Any) -> None:
    if queued.done.done():
        return
    if isinstance(outcome, Exception):
        queued.done.set_exception(outcome)
    else:
        queued.done.set_result(outcome)


_COUNTERS = {
    EARNED: "issued",
    HELD: "issued",
    SPENT: "burned",
    LAPSED: "expired",
    LAPSED_PENDING: "expired",
    POSTED: "posted",
    RETURNED: "returned",
    RETURNED_PENDING: "returned",
    RESTORED: "restored",
}


def _measure(entries: Sequence[Entry]) -> None:
    moved = dict.fromkeys(_COUNTERS.values(), 0)
    for entry in entries:
        if name := _COUNTERS.get((entry.debit, entry.credit)):
            moved[name] += entry.points
    for name, points in moved.items():
        if points:
            telemetry.counter(f"loyalty.points.{name}").add(points)
    if entries:
        telemetry.counter("loyalty.entries.entered").add(len(entries))
