"""How likely places are looked at, of all tenants: counted from feedback, estimated beside the loop, and kept."""

import asyncio
from collections import OrderedDict
from dataclasses import replace

import ibis
import ibis.expr.types as ir

from services.common.columnar import Columnar, of_tenant
from services.recommendation.adapters.tables import FEEDBACK
from services.recommendation.domain.examination import LAST, Cell, Examination, examine
from services.recommendation.domain.feedback import DAY, FeedbackKind

KEPT_SECONDS = 600.0
KEPT_MAX = 1000
"""Examinations that are kept, of all tenants and placements; each is a dozen numbers."""
TELLING_DAYS = 90
CELLS_MAX = 200_000
"""Items of placements in a place, those that were seen most."""

_ = ibis._


class Examinations:
    """What is known of places, ten minutes old at most."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar
        self._kept: OrderedDict[tuple[str, str], tuple[float, Examination]] = OrderedDict()

    async def of(self, tenant: str, placement_id: str) -> Examination:
        """Of a placement; of all where none is named, or that one tells too little."""
        found = await self._found(tenant, placement_id)
        if not placement_id or not found.problem:
            return found
        of_all = await self._found(tenant, "")
        return found if of_all.problem else replace(of_all, pooled=True)

    async def _found(self, tenant: str, placement_id: str) -> Examination:
        now, key = asyncio.get_running_loop().time(), (tenant, placement_id)
        known = self._kept.get(key)
        if known is None or known[0] < now:
            known = now + KEPT_SECONDS, await self._estimated(tenant, placement_id)
            self._kept[key] = known
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return known[1]

    async def _estimated(self, tenant: str, placement_id: str) -> Examination:
        rows = of_tenant(self._columnar.table(FEEDBACK), tenant)
        told = rows.filter(_.position >= 1, _.position <= LAST, _.kind <= int(FeedbackKind.CLICK))
        if placement_id:
            told = told.filter(_.placement_id == placement_id)
        newest = told.filter(told.time > told.time.max().as_scalar() - TELLING_DAYS * DAY)
        counted = newest.group_by("placement_id", "item_id", "position").aggregate(
            impressions=(_.kind == 1).sum(), clicks=(_.kind == 2).sum()
        )
        most = counted.order_by(ibis.desc("impressions"), "placement_id", "item_id", "position").limit(CELLS_MAX)
        found = await self._columnar.execute(most)
        names = ("placement_id", "item_id", "position", "impressions", "clicks")
        columns = [found[name].to_pylist() for name in names]
        return await asyncio.to_thread(lambda: examine(Cell(*each) for each in zip(*columns, strict=True)))


def looked_at(events: ir.Table, examination: Examination, otherwise: float) -> ir.FloatingValue:
    """Of each event how likely its place is looked at; ``otherwise`` where that is not known."""
    value = ibis.literal(otherwise)
    for place in reversed(examination.places):
        value = ibis.ifelse(events.position.between(place.first, place.last), place.examined, value)
    return value.fill_null(otherwise)
