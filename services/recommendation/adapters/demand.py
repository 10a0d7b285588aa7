"""What many buy, what lies in one basket, who buys what again: read from the recorded purchases, kept for a while."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.common.columnar import Columnar, of_tenant
from services.recommendation.adapters.demand_events import SUMS, DemandEvents, decayed, sums_of
from services.recommendation.adapters.interactions import INTERACTIONS, ColumnarInteractions
from services.recommendation.domain import replenishment
from services.recommendation.domain.audience import Audience, audience_of, buyers_of
from services.recommendation.domain.baskets import Baskets, baskets_of
from services.recommendation.domain.companions import Companions, windows_of
from services.recommendation.domain.demand import Board, Fading
from services.recommendation.domain.model import Model
from services.recommendation.domain.replenishment import Rhythms
from services.recommendation.domain.tally import Counting, InteractionKind, Part, Tally
from services.recommendation.ports import AudienceQuestion, Buyers, Memberships

BOARD_SECONDS = 5.0
SEGMENT_SECONDS = 60.0
BASKETS_SECONDS = 600.0
RHYTHMS_SECONDS = 3600.0
LAST_TIMES_SECONDS = 60.0
AUDIENCE_SECONDS = 300.0
LINES_MAX = 2_000_000
"""The newest purchase lines from which baskets and rhythms are counted."""
WINDOW_LINES_MAX = 1_000_000
"""The newest purchase lines that are divided into windows."""
WINDOWS_MAX = 8
"""Divisions into windows that are kept, of all tenants, some 16 MB each where there are as many lines."""
KEPT_MAX = 64
"""Answers that are kept, of all tenants; the one that was not asked for longest goes first."""

_ = ibis._
T = TypeVar("T")


class Kept:
    """Answers that cost something, each made once at a time and again when it is too old."""

    def __init__(self, most: int = KEPT_MAX) -> None:
        self._most = most
        self._answers: OrderedDict[tuple[Any, ...], tuple[float, Any]] = OrderedDict()
        self._making: dict[tuple[Any, ...], asyncio.Lock] = {}

    async def get(self, key: tuple[Any, ...], seconds: float, make: Callable[[T | None], Awaitable[T]]) -> T:
        """The answer of ``key``; ``make`` is given the one that is too old, if it is still here."""
        now = asyncio.get_running_loop().time
        if (known := self._answers.get(key)) is None or known[0] < now():
            async with self._making.setdefault(key, asyncio.Lock()):
                if (known := self._answers.get(key)) is None or known[0] < now():
                    made = await make(known[1] if known else None)
                    known = now() + seconds, made
                    self._answers[key] = known
        self._answers.move_to_end(key)
        while len(self._answers) > self._most:
            self._making.pop(self._answers.popitem(last=False)[0], None)
        answer: T = known[1]
        return answer


class ColumnarDemand:
    """The port ``Demand``."""

    def __init__(self, columnar: Columnar, interactions: ColumnarInteractions, memberships: Memberships) -> None:
        self._columnar, self._interactions, self._memberships = columnar, interactions, memberships
        self._kept, self._windows, self._events = Kept(), Kept(WINDOWS_MAX), DemandEvents(columnar)

    async def tally(self, tenant: str, countings: tuple[Counting, ...], buyers: Buyers) -> Tally:
        whole = not buyers.segment_id and not buyers.customer_ids

        async def make(_: Tally | None) -> Tally:
            customer_ids: Sequence[str] | None = None if whole else buyers.customer_ids
            if buyers.segment_id:
                customer_ids = await self._memberships.members(tenant, buyers.segment_id)
            parts = [await self._part(tenant, each, customer_ids) for each in countings]
            return await asyncio.to_thread(Tally, parts)

        if buyers.customer_ids:
            return await make(None)
        seconds = BOARD_SECONDS if whole and all(map(_summed, countings)) else SEGMENT_SECONDS
        return await self._kept.get(("tally", tenant, countings, buyers.segment_id), seconds, make)

    async def _part(self, tenant: str, counting: Counting, customer_ids: Sequence[str] | None) -> Part:
        if customer_ids is not None or not _summed(counting):
            return await self._events.counted(tenant, counting, customer_ids)
        fading = counting.fading

        async def of_all(before: Board | None) -> Board:
            # Lines of those who were erased are counted no more: then everything is counted again.
            gone = before and await self._interactions.moved_after(tenant, before.position)
            return await self._counted(tenant, fading, None if gone else before)

        board = await self._kept.get(("board", tenant, fading), 0, of_all)
        return Part(counting, board.current(), board.newest)

    async def baskets(self, tenant: str) -> Baskets:
        async def count(_: Baskets | None) -> Baskets:
            found = await self._columnar.execute(self._newest(tenant).select("basket_id", "item_id"))
            return await asyncio.to_thread(_baskets, found)

        return await self._kept.get(("baskets", tenant), BASKETS_SECONDS, count)

    async def companions(self, tenant: str, window: int, placed: Callable[[Baskets], Companions]) -> Companions:
        async def divide(_: Companions | None) -> Companions:
            newest = self._newest(tenant, WINDOW_LINES_MAX)
            found = await self._columnar.execute(newest.select("customer_id", "item_id", "time"))
            return placed(await asyncio.to_thread(_windows, found, window))

        return await self._windows.get((tenant, window), BASKETS_SECONDS, divide)

    async def rhythms(self, tenant: str) -> Rhythms:
        async def learn(_: Rhythms | None) -> Rhythms:
            found = await self._columnar.execute(self._newest(tenant).select("customer_id", "item_id", "time"))
            return await asyncio.to_thread(_rhythms, found)

        return await self._kept.get(("rhythms", tenant), RHYTHMS_SECONDS, learn)

    async def purchases_of(self, tenant: str, customer_id: str, limit: int) -> list[tuple[str, int]]:
        lines = self._bought(tenant).filter(_.customer_id == customer_id)
        newest = lines.order_by(ibis.desc("time"), "item_id").limit(limit).select("item_id", "time")
        found = await self._columnar.execute(newest)
        return list(zip(found["item_id"].to_pylist(), found["time"].to_pylist(), strict=True))

    async def audience(self, tenant: str, model: Model, question: AudienceQuestion) -> Audience:
        async def find(_: Audience | None) -> Audience:
            last_times = await self._last_times(tenant, model)
            moved = await self._interactions.moved_since(tenant, model.training.position)
            codes = [code for each in moved if (code := model.customer_of.get(each)) is not None]
            return await asyncio.to_thread(_audience, model, question, last_times, np.array(codes, dtype=np.int64))

        version = model.training.model_version
        return await self._kept.get(("audience", tenant, version, question), AUDIENCE_SECONDS, find)

    async def _last_times(self, tenant: str, model: Model) -> NDArray[np.int64]:
        async def read(before: NDArray[np.int64] | None) -> NDArray[np.int64]:
            lines = self._bought(tenant).group_by("customer_id").aggregate(last=_.time.max())
            found = await self._columnar.execute(lines)
            return await asyncio.to_thread(_aligned, found, model)

        key = ("last times", tenant, model.training.model_version)
        return await self._kept.get(key, LAST_TIMES_SECONDS, read)

    async def _counted(self, tenant: str, fading: Fading, before: Board | None) -> Board:
        """A board of all lines, or ``before`` with what came since. A board is replaced, never changed while it is
        read: the event loop runs nothing between a look at it and the next."""
        lines = self._bought(tenant)
        board = before
        if board is None:
            edge = await self._columnar.execute(lines.aggregate(newest=_.time.max()))
            newest = edge["newest"][0].as_py() or 0
            board = Board(fading, landmark=newest, newest=newest)
        counted = decayed(lines.filter(_.position > board.position), fading, board.landmark)
        found = await self._columnar.execute(counted.aggregate(*SUMS, position=_.position.max(), newest=_.time.max()))
        if found.num_rows:
            board.add(sums_of(found), int(pc.max(found["position"]).as_py()), int(pc.max(found["newest"]).as_py()))
        return board

    def _newest(self, tenant: str, count: int = LINES_MAX) -> ir.Table:
        return self._bought(tenant).order_by(ibis.desc("position")).limit(count)

    def _bought(self, tenant: str) -> ir.Table:
        return of_tenant(self._columnar.table(INTERACTIONS), tenant).filter(_.quantity > 0)


def _summed(counting: Counting) -> bool:
    """Whether it is counted on from where it was counted before; what leaves a window would have to be taken out."""
    return counting.kind is InteractionKind.PURCHASE and not counting.window


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def _baskets(lines: pa.Table) -> Baskets:
    baskets, _names = _codes(lines["basket_id"])
    items, item_ids = _codes(lines["item_id"])
    return baskets_of(baskets, items, item_ids)


def _windows(lines: pa.Table, window: int) -> Baskets:
    customers, _names = _codes(lines["customer_id"])
    items, item_ids = _codes(lines["item_id"])
    return windows_of(customers, items, lines["time"].to_numpy(), item_ids, window)


def _rhythms(lines: pa.Table) -> Rhythms:
    customers, _names = _codes(lines["customer_id"])
    items, item_ids = _codes(lines["item_id"])
    return replenishment.learn(customers, items, lines["time"].to_numpy() / replenishment.DAY, item_ids)


def _aligned(found: pa.Table, model: Model) -> NDArray[np.int64]:
    places = pc.index_in(pa.array(model.customer_ids, pa.string()), value_set=found["customer_id"]).to_numpy(False)
    known = ~np.isnan(places.astype(np.float64))
    times = np.zeros(len(places), dtype=np.int64)
    times[known] = found["last"].to_numpy()[places[known].astype(np.int64)]
    return times


def _audience(
    model: Model, question: AudienceQuestion, last_times: NDArray[np.int64], moved: NDArray[np.int64]
) -> Audience:
    without = np.union1d(moved, buyers_of(model, question.row)) if question.exclude_buyers else moved
    return audience_of(model, question.row, last_times, question.now, question.half_life, without)
