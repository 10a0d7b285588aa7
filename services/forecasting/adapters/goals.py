"""Goals as documents."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from services.common.store import Collection, Delete, Document, Index, Put, Query, Store
from services.forecasting.domain.demand import Goal
from services.forecasting.domain.measures import Dimension, Measure

GOALS = Collection("goals", (Index(("create_time",)),))
COLLECTIONS = (GOALS,)


class StoredGoals:
    """The port ``Goals`` over the document store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, tenant: str, goal: Goal) -> None:
        await self._store.commit([Put(tenant, GOALS, goal.goal_id, _body(goal))])

    async def delete(self, tenant: str, goal_id: str) -> None:
        await self._store.commit([Delete(tenant, GOALS, goal_id)])

    async def count(self, tenant: str) -> int:
        return await self._store.count(tenant, GOALS)

    async def page(self, tenant: str, limit: int, after: str) -> tuple[Sequence[Goal], str]:
        query = Query(order_by="create_time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, GOALS, query)
        return [_goal(document) for document in page.documents], page.next_cursor


def _body(goal: Goal) -> dict[str, Any]:
    return {
        "name": goal.name,
        "measure": int(goal.measure),
        "dimension": int(goal.dimension),
        "value": goal.value,
        "currency": goal.currency,
        "time_zone": goal.time_zone,
        "first": goal.first.isoformat(),
        "last": goal.last.isoformat(),
        "target": goal.target,
        "create_time": goal.create_time,
        "event_name": goal.event_name,
    }


def _goal(document: Document) -> Goal:
    body = document.body
    return Goal(
        goal_id=document.id,
        name=body["name"],
        measure=Measure(body["measure"]),
        dimension=Dimension(body["dimension"]),
        value=body["value"],
        currency=body["currency"],
        time_zone=body["time_zone"],
        first=date.fromisoformat(body["first"]),
        last=date.fromisoformat(body["last"]),
        target=body["target"],
        create_time=body["create_time"],
        event_name=body.get("event_name", ""),
    )
