"""What follows from forecasts, in the schema: anomalies, reorder plans and goals."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from tessera.forecasting.v1 import demand_pb2 as pb
from tessera.forecasting.v1 import series_pb2

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.registry import from_proto, input_from_proto, mutation, query

Measure = Annotated[series_pb2.Measure.ValueType, series_pb2.Measure]
Dimension = Annotated[series_pb2.Dimension.ValueType, series_pb2.Dimension]
Granularity = Annotated[series_pb2.Granularity.ValueType, series_pb2.Granularity]


@from_proto(pb.DetectAnomaliesResponse, "anomalies", "anomaly_count", "series_count", "skipped_count")
class Anomalies: ...


@from_proto(pb.Anomaly, "value", "start_time", "actual", "expected", "lower", "upper", "score", "severity")
class Anomaly: ...


@from_proto(
    pb.ReorderLine,
    "product_id",
    "daily_demand",
    "expected_demand",
    "demand_deviation",
    "safety_stock",
    "reorder_point",
    "order_quantity",
    "stockout_probability",
    "days_of_cover",
    "warnings",
    "error",
)
class ReorderLine: ...


@from_proto(
    pb.Goal,
    "goal_id",
    "name",
    "measure",
    "dimension",
    "value",
    "currency",
    "time_zone",
    "first_date",
    "last_date",
    "target",
    "create_time",
    "event_name",
)
class Goal: ...


@from_proto(
    pb.GoalProgress,
    "goal",
    "actual",
    "expected",
    "lower",
    "upper",
    "probability",
    "gap",
    "days_left",
    "daily_needed",
    "warnings",
)
class GoalProgress: ...


@from_proto(pb.CreateGoalResponse, "goal")
class CreateGoalPayload: ...


@input_from_proto(
    pb.CreateGoalRequest,
    "request_id",
    "name",
    "measure",
    "dimension",
    "value",
    "currency",
    "time_zone",
    "first_date",
    "last_date",
    "target",
    "event_name",
)
class CreateGoalInput: ...


@input_from_proto(pb.StockItem, "product_id", "on_hand", "on_order", "lead_time_days", "pack_size", "minimum_order")
class StockItemInput: ...


@input_from_proto(pb.PlanReorderRequest, "items", "service_level", "review_days", "time_zone")
class PlanReorderInput: ...


@query(by_rpc("forecasting.DetectAnomalies"))
async def anomalies(
    info: Info,
    measure: Measure,
    granularity: Granularity,
    dimension: Dimension = series_pb2.DIMENSION_TOTAL,
    values: list[str] | None = None,
    period_count: int = 0,
    level: int = 0,
    currency: str = "",
    time_zone: str = "",
    event_name: str = "",
) -> pb.DetectAnomaliesResponse:
    """What was unusual in the last periods (28 unless said), outside the interval of a level (99 unless said)."""
    request = pb.DetectAnomaliesRequest(
        measure=measure,
        dimension=dimension,
        granularity=granularity,
        values=values or [],
        period_count=period_count,
        level=level,
        currency=currency,
        time_zone=time_zone,
        event_name=event_name,
    )
    return await info.context.backends.forecasting.DetectAnomalies(request, metadata=info.context.metadata)


@query(by_rpc("forecasting.PlanReorder"))
async def reorder_plan(info: Info, input: pb.PlanReorderRequest) -> list[pb.ReorderLine]:
    """When to order how much of each product."""
    answer = await info.context.backends.forecasting.PlanReorder(input, metadata=info.context.metadata)
    return list(answer.lines)


@query(by_rpc("forecasting.ListGoals"))
async def goals(info: Info, first: First = 20, after: After = None) -> Page[pb.GoalProgress]:
    """Goals with how they stand, the newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.GoalProgress], str]:
        request = pb.ListGoalsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.forecasting.ListGoals(request, metadata=info.context.metadata)
        return answer.goals, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("forecasting.CreateGoal"))
async def create_goal(info: Info, input: pb.CreateGoalRequest) -> pb.CreateGoalResponse:
    return await info.context.backends.forecasting.CreateGoal(input, metadata=info.context.metadata)


@mutation(by_rpc("forecasting.DeleteGoal"))
async def delete_goal(info: Info, id: strawberry.ID) -> strawberry.ID:
    """Give up a goal: its id, also if it was not there."""
    request = pb.DeleteGoalRequest(goal_id=id)
    await info.context.backends.forecasting.DeleteGoal(request, metadata=info.context.metadata)
    return id
