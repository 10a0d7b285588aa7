"""Who enters and leaves segments, live."""

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

import strawberry
from strawberry import Parent
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.segmentation.v1 import segmentation_service_pb2 as pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.access import by_rpc
from gateway.schema.following import resumed
from gateway.schema.node import own_id
from gateway.schema.registry import edge, from_proto, subscription
from gateway.schema.segmentation import Segment


@from_proto(pb.MembershipChange, "segment_id", "customer_id", "transition", "change_time", "cursor")
class SegmentMembershipChange: ...


@subscription(by_rpc("segmentation.FollowMemberships"))
async def segment_membership_changed(
    info: Info, segment_ids: list[strawberry.ID] | None = None, after: str | None = None
) -> AsyncGenerator[pb.MembershipChange, None]:
    """Who enters and leaves segments, of all of them or of up to 100, from now on or after the `cursor` of a change:
    each change once, those of one customer in order."""
    ids = [own_id(Segment, each) for each in segment_ids or ()]

    def opened(cursor: str) -> AsyncIterable[pb.FollowMembershipsResponse]:
        request = pb.FollowMembershipsRequest(after_cursor=cursor, segment_ids=ids, from_now=True)
        return info.context.backends.segmentation.FollowMemberships(request, metadata=info.context.metadata)

    async with aclosing(resumed(opened, after or "")) as batches:
        async for batch in batches:
            for change in batch.changes:
                yield change


@edge(SegmentMembershipChange, by_rpc("segmentation.BatchGetSegments"), name="segment")
async def segment_of_change(change: Parent[pb.MembershipChange], info: Info) -> pb.Segment | None:
    """The segment; null once it is deleted."""
    return await loaders.segment(info.context, change.segment_id)


@edge(SegmentMembershipChange, by_rpc("profiles.BatchGetCustomers"), name="customer")
async def customer_of_change(change: Parent[pb.MembershipChange], info: Info) -> profiles_pb.Customer | None:
    """The customer."""
    return await loaders.customer(info.context, change.customer_id)
