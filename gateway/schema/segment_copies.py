"""Segments made of definitions that a segment has or had."""

from strawberry import Parent
from tessera.segmentation.v1 import segment_copy_pb2 as pb
from tessera.segmentation.v1 import segmentation_service_pb2 as service_pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation


@input_from_proto(pb.CopySegmentRequest, "request_id", "segment_id", "version", "name")
class CopySegmentInput: ...


@from_proto(pb.CopySegmentResponse, "segment_id")
class CopySegmentPayload: ...


@input_from_proto(pb.RestoreSegmentVersionRequest, "request_id", "segment_id", "version", "current_version")
class RestoreSegmentVersionInput: ...


@from_proto(pb.RestoreSegmentVersionResponse, "segment_id", "version")
class RestoreSegmentVersionPayload: ...


@edge(CopySegmentPayload, by_rpc("segmentation.GetSegment"), name="segment")
async def segment_that_was_copied(made: Parent[pb.CopySegmentResponse], info: Info) -> service_pb.Segment:
    """The copy."""
    request = service_pb.GetSegmentRequest(segment_id=made.segment_id)
    return (await info.context.backends.segmentation.GetSegment(request, metadata=info.context.metadata)).segment


@edge(RestoreSegmentVersionPayload, by_rpc("segmentation.GetSegment"), name="segment")
async def segment_that_was_restored(made: Parent[pb.RestoreSegmentVersionResponse], info: Info) -> service_pb.Segment:
    """The segment as it is now."""
    request = service_pb.GetSegmentRequest(segment_id=made.segment_id)
    return (await info.context.backends.segmentation.GetSegment(request, metadata=info.context.metadata)).segment


@mutation(by_rpc("segmentation.CopySegment"))
async def copy_segment(info: Info, input: pb.CopySegmentRequest) -> pb.CopySegmentResponse:
    return await info.context.backends.segmentation.CopySegment(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.RestoreSegmentVersion"))
async def restore_segment_version(
    info: Info, input: pb.RestoreSegmentVersionRequest
) -> pb.RestoreSegmentVersionResponse:
    return await info.context.backends.segmentation.RestoreSegmentVersion(input, metadata=info.context.metadata)
