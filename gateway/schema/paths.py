"""Ways that customers take."""

from tessera.segmentation.v1 import path_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.registry import from_proto, input_from_proto, query


@input_from_proto(
    pb.GetPathsRequest,
    "start",
    "entered",
    "backwards",
    "step_count",
    "gap",
    "events",
    "path_count",
    "segment_id",
    "as_of_time",
)
class PathsInput: ...


@from_proto(pb.CustomerPath, "events", "customer_count", "share")
class CustomerPath: ...


@from_proto(pb.PathLink, "step", "from_event", "to_event", "customer_count")
class PathLink: ...


@from_proto(pb.GetPathsResponse, "customer_count", "paths", "links", "as_of_time")
class Paths: ...


@query(by_rpc("segmentation.GetPaths"))
async def paths(info: Info, input: pb.GetPathsRequest) -> pb.GetPathsResponse:
    """Which ways customers take from an event on, or to it."""
    return await info.context.backends.segmentation.GetPaths(input, metadata=info.context.metadata)
