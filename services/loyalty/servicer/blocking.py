"""The rpcs that block members."""

from dataclasses import dataclass

from tessera.loyalty.v1 import block_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.loyalty.domain.blocking import SetBlock
from services.loyalty.domain.entry import Block
from services.loyalty.handlers.blocking import set_block
from services.loyalty.ports import Ledger
from services.loyalty.servicer.calls import Context, named

BLOCK_SCOPES = {
    "": pb.BLOCK_SCOPE_UNSPECIFIED,
    Block.SPENDING.value: pb.BLOCK_SCOPE_SPENDING,
    Block.EVERYTHING.value: pb.BLOCK_SCOPE_EVERYTHING,
}
_ASKED = {number: Block(value) for value, number in BLOCK_SCOPES.items()}


@dataclass(frozen=True, kw_only=True)
class BlockRpcs(LoyaltyServiceServicer):
    """Blocking and unblocking."""

    ledger: Ledger

    async def BlockMember(self, request: pb.BlockMemberRequest, context: Context) -> pb.BlockMemberResponse:
        entry = await set_block(self.ledger, named(request), _setting(request, _ASKED[request.scope]))
        return pb.BlockMemberResponse(entry_id=entry.id)

    async def UnblockMember(self, request: pb.UnblockMemberRequest, context: Context) -> pb.UnblockMemberResponse:
        entry = await set_block(self.ledger, named(request), _setting(request, Block.NOTHING))
        return pb.UnblockMemberResponse(entry_id=entry.id)


def _setting(request: pb.BlockMemberRequest | pb.UnblockMemberRequest, block: Block) -> SetBlock:
    return SetBlock(
        program_id=request.program_id,
        member_id=request.member_id,
        block=block,
        reason=request.reason,
        request_id=request.request_id,
    )
