"""Anomalies, reorder plans and goals in the contract."""

from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.forecasting.v1 import demand_pb2 as pb
from tessera.forecasting.v1 import series_pb2

from services.common.auth import principal
from services.common.idempotency import fingerprint
from services.forecasting.domain.demand import Anomaly, Goal, GoalProgress, ReorderLine, StockItem
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.series import Selection
from services.forecasting.handlers.anomalies import FOUND_MAX, LEVEL_DEFAULT, PERIODS_DEFAULT, detect_anomalies
from services.forecasting.handlers.goals import GoalKeeping, create_goal, list_goals, parsed
from services.forecasting.handlers.plan_reorder import SERVICE_LEVEL_DEFAULT, plan_reorder
from services.forecasting.servicer.enums import known

Context = grpc.aio.ServicerContext[Any, Any]
GOALS_PAGE_SIZE_DEFAULT = 20


class DemandRpcs:
    """The rpcs about what follows from forecasts."""

    _goals: GoalKeeping

    async def DetectAnomalies(self, request: pb.DetectAnomaliesRequest, context: Context) -> pb.DetectAnomaliesResponse:
        selection = Selection(
            known(Measure, request.measure, "measure"),
            known(Dimension, request.dimension, "dimension"),
            known(Granularity, request.granularity, "granularity"),
            tuple(request.values),
            request.currency,
            request.time_zone,
            request.event_name,
        )
        count, level = request.period_count or PERIODS_DEFAULT, request.level or LEVEL_DEFAULT
        found = await detect_anomalies(
            self._goals.lines, self._goals.drivers, principal().tenant, selection, count, level
        )
        return pb.DetectAnomaliesResponse(
            anomalies=map(_anomaly, found.found[:FOUND_MAX]),
            anomaly_count=len(found.found),
            series_count=found.series_count,
            skipped_count=found.skipped_count,
        )

    async def PlanReorder(self, request: pb.PlanReorderRequest, context: Context) -> pb.PlanReorderResponse:
        items = [
            StockItem(it.product_id, it.on_hand, it.on_order, it.lead_time_days, it.pack_size, it.minimum_order)
            for it in request.items
        ]
        level, review = request.service_level or SERVICE_LEVEL_DEFAULT, request.review_days or 1
        tenant, goals = principal().tenant, self._goals
        lines = await plan_reorder(goals.lines, goals.drivers, tenant, items, level, review, request.time_zone)
        return pb.PlanReorderResponse(lines=map(_line, lines))

    async def CreateGoal(self, request: pb.CreateGoalRequest, context: Context) -> pb.CreateGoalResponse:
        goal = Goal(
            goal_id="",
            name=request.name,
            measure=known(Measure, request.measure, "measure"),
            dimension=known(Dimension, request.dimension, "dimension"),
            value=request.value,
            currency=request.currency,
            time_zone=request.time_zone,
            first=parsed(request.first_date, "first_date"),
            last=parsed(request.last_date, "last_date"),
            target=request.target,
            create_time=0,
            event_name=request.event_name,
        )
        tenant, content = principal().tenant, fingerprint(request)
        return pb.CreateGoalResponse(
            goal=_goal(await create_goal(self._goals, tenant, request.request_id, content, goal))
        )

    async def DeleteGoal(self, request: pb.DeleteGoalRequest, context: Context) -> pb.DeleteGoalResponse:
        await self._goals.goals.delete(principal().tenant, request.goal_id)
        return pb.DeleteGoalResponse()

    async def ListGoals(self, request: pb.ListGoalsRequest, context: Context) -> pb.ListGoalsResponse:
        size = request.page_size or GOALS_PAGE_SIZE_DEFAULT
        found, token = await list_goals(self._goals, principal().tenant, size, request.page_token)
        return pb.ListGoalsResponse(goals=map(_progress, found), next_page_token=token)


def _anomaly(it: Anomaly) -> pb.Anomaly:
    return pb.Anomaly(
        value=it.value,
        start_time=_timestamp(it.start),
        actual=it.actual,
        expected=it.expected,
        lower=it.lower,
        upper=it.upper,
        score=it.score,
        severity=pb.AnomalySeverity.ValueType(it.severity),
    )


def _line(it: ReorderLine) -> pb.ReorderLine:
    return pb.ReorderLine(**{name: getattr(it, name) for name in ReorderLine.__slots__})


def _goal(it: Goal) -> pb.Goal:
    return pb.Goal(
        goal_id=it.goal_id,
        name=it.name,
        measure=series_pb2.Measure.ValueType(it.measure),
        dimension=series_pb2.Dimension.ValueType(it.dimension),
        value=it.value,
        currency=it.currency,
        time_zone=it.time_zone,
        first_date=it.first.isoformat(),
        last_date=it.last.isoformat(),
        target=it.target,
        create_time=_timestamp(it.create_time),
        event_name=it.event_name,
    )


def _progress(it: GoalProgress) -> pb.GoalProgress:
    return pb.GoalProgress(
        goal=_goal(it.goal),
        actual=it.actual,
        expected=it.expected,
        lower=it.lower,
        upper=it.upper,
        probability=it.probability,
        gap=it.gap,
        days_left=it.days_left,
        daily_needed=it.daily_needed,
        warnings=it.warnings,
    )


def _timestamp(micros: int) -> Timestamp:
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)
