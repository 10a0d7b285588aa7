"""What was found out about customers, kept as segments."""

from strawberry import Parent
from tessera.segmentation.v1 import saved_segment_pb2 as pb
from tessera.segmentation.v1 import segmentation_service_pb2 as service_pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation


@input_from_proto(pb.FunnelDropOff, "funnel", "step")
class FunnelDropOffInput: ...


@input_from_proto(pb.PersonaSource, "clustering_id", "cluster")
class PersonaSourceInput: ...


@input_from_proto(pb.LookalikeSource, "lookalike_id", "share")
class LookalikeSourceInput: ...


@input_from_proto(pb.SaveAsSegmentRequest, "request_id", "name", "description", "drop_off", "persona", "lookalike")
class SaveAsSegmentInput: ...


@from_proto(pb.SaveAsSegmentResponse, "segment_id", "list_id")
class SaveAsSegmentPayload: ...


@input_from_proto(pb.ReassignClustersRequest, "request_id", "clustering_id")
class ReassignClustersInput: ...


@from_proto(pb.ReassignClustersResponse, "job")
class ReassignClustersPayload: ...


@edge(SaveAsSegmentPayload, by_rpc("segmentation.GetSegment"), name="segment")
async def segment_that_was_saved(saved: Parent[pb.SaveAsSegmentResponse], info: Info) -> service_pb.Segment:
    """The new segment."""
    request = service_pb.GetSegmentRequest(segment_id=saved.segment_id)
    return (await info.context.backends.segmentation.GetSegment(request, metadata=info.context.metadata)).segment


@mutation(by_rpc("segmentation.SaveAsSegment"))
async def save_as_segment(info: Info, input: pb.SaveAsSegmentRequest) -> pb.SaveAsSegmentResponse:
    return await info.context.backends.segmentation.SaveAsSegment(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.ReassignClusters"))
async def reassign_clusters(info: Info, input: pb.ReassignClustersRequest) -> pb.ReassignClustersResponse:
    return await info.context.backends.segmentation.ReassignClusters(input, metadata=info.context.metadata)
