"""Funnels over the wire."""

from collections.abc import Sequence
from dataclasses import dataclass

from tessera.segmentation.v1 import funnel_pb2, segmentation_service_pb2_grpc

from services.common.auth import principal
from services.common.clock import Clock
from services.segmentation.domain.funnel import Exclusion, Funnel, StepResult, share
from services.segmentation.handlers.get_funnel import get_funnel
from services.segmentation.ports import Analytics, Insights, Segments
from services.segmentation.servicer.context import Context
from services.segmentation.servicer.insights import (
    as_of,
    breakdown_of,
    duration,
    events_of,
    group_value,
    micros,
    timestamp,
    window_of,
)


@dataclass(frozen=True, kw_only=True)
class FunnelRpcs(segmentation_service_pb2_grpc.SegmentationServiceServicer):
    """The rpcs of funnels."""

    segments: Segments
    analytics: Analytics
    insights: Insights
    clock: Clock

    async def GetFunnel(self, request: funnel_pb2.GetFunnelRequest, context: Context) -> funnel_pb2.GetFunnelResponse:
        result, at = await get_funnel(
            self.segments,
            self.insights,
            self.analytics.pattern_fault,
            self.clock,
            principal().tenant,
            funnel_of(request.funnel),
            breakdown_of(request),
            as_of(request),
        )
        names = [step.name or step.filter.event for step in request.funnel.steps]
        return funnel_pb2.GetFunnelResponse(
            steps=_steps(names, result.steps),
            groups=[
                funnel_pb2.FunnelGroup(group=group_value(label), steps=_steps(names, steps))
                for label, steps in result.groups
            ],
            as_of_time=timestamp(at),
        )


def funnel_of(message: funnel_pb2.Funnel) -> Funnel:
    """The funnel of a request."""
    last = len(message.steps)
    return Funnel(
        steps=tuple(
            events_of(step.filter, f"funnel.steps[{number}].filter") for number, step in enumerate(message.steps)
        ),
        window=micros(message.window) if message.HasField("window") else None,
        strict=message.order == funnel_pb2.FUNNEL_ORDER_STRICT,
        exclusions=tuple(
            Exclusion(
                events_of(each.filter, f"funnel.exclusions[{number}].filter"),
                (each.from_step or 1) - 1,
                (each.to_step or last) - 1,
            )
            for number, each in enumerate(message.exclusions)
        ),
        entered=window_of(message.entered, "funnel.entered"),
    )


def _steps(names: Sequence[str], steps: Sequence[StepResult]) -> list[funnel_pb2.FunnelStepResult]:
    first = steps[0].customer_count
    before = [first, *(step.customer_count for step in steps)]
    return [
        funnel_pb2.FunnelStepResult(
            name=name,
            customer_count=step.customer_count,
            conversion=share(step.customer_count, first),
            step_conversion=share(step.customer_count, earlier),
            median_time=duration(step.median_time),
            median_step_time=duration(step.median_step_time),
        )
        for name, step, earlier in zip(names, steps, before, strict=False)
    ]
