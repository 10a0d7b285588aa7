"""Ways of customers over the wire."""

from dataclasses import dataclass

from tessera.segmentation.v1 import path_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock
from services.segmentation.domain.funnel import share
from services.segmentation.domain.path import PATHS_DEFAULT, STEPS_DEFAULT, Paths
from services.segmentation.handlers.get_paths import get_paths
from services.segmentation.ports import Analytics, Segments
from services.segmentation.ports.paths import PathFinder
from services.segmentation.servicer.context import Context
from services.segmentation.servicer.insights import as_of, events_of, micros, timestamp, window_of


@dataclass(frozen=True, kw_only=True)
class PathRpcs(SegmentationServiceServicer):
    """The rpc of ways of customers."""

    segments: Segments
    analytics: Analytics
    path_finder: PathFinder
    clock: Clock

    async def GetPaths(self, request: pb.GetPathsRequest, context: Context) -> pb.GetPathsResponse:
        question = Paths(
            events_of(request.start, "start"),
            window_of(request.entered, "entered"),
            request.backwards,
            request.step_count or STEPS_DEFAULT,
            micros(request.gap) if request.HasField("gap") else None,
            tuple(dict.fromkeys(request.events)),
            request.path_count or PATHS_DEFAULT,
        )
        found, at = await get_paths(
            self.segments,
            self.path_finder,
            self.analytics.pattern_fault,
            self.clock,
            principal().tenant,
            question,
            request.segment_id,
            as_of(request),
        )
        return pb.GetPathsResponse(
            customer_count=found.customers,
            paths=[
                pb.CustomerPath(
                    events=it.events, customer_count=it.customers, share=share(it.customers, found.customers)
                )
                for it in found.paths
            ],
            links=[
                pb.PathLink(step=it.step, from_event=it.source, to_event=it.target, customer_count=it.customers)
                for it in found.links
            ],
            as_of_time=timestamp(at),
        )
