"""The rpcs that make segments of definitions that a segment has or had."""

import uuid
from dataclasses import dataclass

from google.protobuf.message import Message
from tessera.segmentation.v1 import segment_copy_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock
from services.common.idempotency import fingerprint
from services.segmentation.handlers.copy_segment import copy_segment, restore_segment
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.ports import Analytics, Request, Segments
from services.segmentation.servicer.context import Context


@dataclass(frozen=True, kw_only=True)
class SegmentCopyRpcs(SegmentationServiceServicer):
    """Copies of segments, and segments as they were."""

    segments: Segments
    analytics: Analytics
    evaluation: Evaluation
    clock: Clock

    async def CopySegment(self, request: pb.CopySegmentRequest, context: Context) -> pb.CopySegmentResponse:
        made = await copy_segment(
            self.segments,
            self.evaluation,
            self.analytics,
            self.clock,
            uuid.uuid4().hex,
            principal().tenant,
            _named(request, request.request_id),
            request.segment_id,
            request.version,
            request.name,
        )
        return pb.CopySegmentResponse(segment_id=made.segment_id)

    async def RestoreSegmentVersion(
        self, request: pb.RestoreSegmentVersionRequest, context: Context
    ) -> pb.RestoreSegmentVersionResponse:
        made = await restore_segment(
            self.segments,
            self.evaluation,
            self.analytics,
            self.clock,
            principal().tenant,
            _named(request, request.request_id),
            request.segment_id,
            request.version,
            request.current_version,
        )
        return pb.RestoreSegmentVersionResponse(segment_id=made.segment_id, version=made.version)


def _named(request: Message, request_id: str) -> Request:
    return Request(request_id, fingerprint(request), principal().subject)
