"""Following who comes into segments and who goes."""

from collections.abc import AsyncIterator

import grpc
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.common.feed import follow
from services.forecasting.adapters.memberships import ENTERED, FOLLOWER, LEFT, ColumnarMemberships, Move


async def follow_memberships(channel: grpc.aio.Channel, memberships: ColumnarMemberships) -> None:
    """Keep who came into which segment and who went, for ever."""
    stub = SegmentationServiceStub(channel)

    def stream(cursor: str) -> AsyncIterator[segmentation.FollowMembershipsResponse]:
        return aiter(stub.FollowMemberships(segmentation.FollowMembershipsRequest(after_cursor=cursor)))

    async def apply(batch: segmentation.FollowMembershipsResponse) -> None:
        await memberships.apply(moves(batch), batch.cursor)

    await follow(FOLLOWER, memberships.cursor, stream, apply)


def moves(batch: segmentation.FollowMembershipsResponse) -> list[Move]:
    """The transitions of a batch as rows."""
    return [_move(it) for it in batch.changes]


def _move(it: segmentation.MembershipChange) -> Move:
    micros = it.change_time.seconds * 1_000_000 + it.change_time.nanos // 1000
    change = ENTERED if it.transition == segmentation.TRANSITION_ENTERED else LEFT
    return Move(it.tenant_id, it.segment_id, it.customer_id, micros, it.cursor, change)
