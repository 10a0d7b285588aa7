"""Lots of points, and members who are blocked, in the schema."""

from collections.abc import Sequence

from strawberry import Parent
from tessera.loyalty.v1 import block_pb2 as block_pb
from tessera.loyalty.v1 import lot_pb2 as pb
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty_pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.loyalty import Member
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation


@from_proto(pb.PointsLot, "expire_time", "points")
class PointsLot: ...


@input_from_proto(
    pb.ChangeExpiryRequest,
    "request_id",
    "program_id",
    "member_id",
    "expire_time",
    "extend_days",
    "never_expire",
    "expiring_until_time",
    "reason",
)
class ChangeExpiryInput: ...


@from_proto(pb.ChangeExpiryResponse, "entry_id", "points")
class ChangeExpiryPayload: ...


@input_from_proto(block_pb.BlockMemberRequest, "request_id", "program_id", "member_id", "scope", "reason")
class BlockMemberInput: ...


@from_proto(block_pb.BlockMemberResponse, "entry_id")
class BlockMemberPayload: ...


@input_from_proto(block_pb.UnblockMemberRequest, "request_id", "program_id", "member_id", "reason")
class UnblockMemberInput: ...


@from_proto(block_pb.UnblockMemberResponse, "entry_id")
class UnblockMemberPayload: ...


@edge(Member, by_rpc("loyalty.ListLots"))
async def lots(
    member: Parent[loyalty_pb.Member], info: Info, first: First = 20, after: After = None
) -> Page[pb.PointsLot]:
    """What the member can spend, by when it expires, soonest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.PointsLot], str]:
        request = pb.ListLotsRequest(
            program_id=member.program_id, member_id=member.member_id, page_size=size, page_token=token
        )
        answer = await info.context.backends.loyalty.ListLots(request, metadata=info.context.metadata)
        return answer.lots, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("loyalty.ChangeExpiry"))
async def change_expiry(info: Info, input: pb.ChangeExpiryRequest) -> pb.ChangeExpiryResponse:
    return await info.context.backends.loyalty.ChangeExpiry(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.BlockMember"))
async def block_member(info: Info, input: block_pb.BlockMemberRequest) -> block_pb.BlockMemberResponse:
    return await info.context.backends.loyalty.BlockMember(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.UnblockMember"))
async def unblock_member(info: Info, input: block_pb.UnblockMemberRequest) -> block_pb.UnblockMemberResponse:
    return await info.context.backends.loyalty.UnblockMember(input, metadata=info.context.metadata)
