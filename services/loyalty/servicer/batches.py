"""Many movements of points in one call."""

from dataclasses import dataclass

from tessera.loyalty.v1 import batch_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.errors import Refusal
from services.loyalty.domain.entry import Entry
from services.loyalty.domain.operations import BurnPoints, EarnPoints
from services.loyalty.handlers.batches import batch_move_points
from services.loyalty.ports import Ledger
from services.loyalty.servicer.calls import Context, named


@dataclass(frozen=True, kw_only=True)
class BatchRpcs(LoyaltyServiceServicer):
    """The rpcs that do many things at once."""

    ledger: Ledger

    async def BatchMovePoints(self, request: pb.BatchMovePointsRequest, context: Context) -> pb.BatchMovePointsResponse:
        movements = [(named(each), _operation(each)) for each in request.movements]
        found = await batch_move_points(self.ledger, principal().tenant, movements)
        return pb.BatchMovePointsResponse(results=map(_result, found))


def _operation(movement: pb.PointsMovement) -> EarnPoints | BurnPoints:
    if movement.kind == pb.MOVEMENT_KIND_BURN:
        return BurnPoints(
            program_id=movement.program_id,
            member_id=movement.member_id,
            points=movement.points,
            reason=movement.reason,
            request_id=movement.request_id,
        )
    return EarnPoints(
        program_id=movement.program_id,
        member_id=movement.member_id,
        points=movement.points,
        event_time=None,
        reason=movement.reason,
        request_id=movement.request_id,
    )


def _result(outcome: Entry | Refusal) -> pb.MovementResult:
    if isinstance(outcome, Refusal):
        return pb.MovementResult(refusal_reason=outcome.reason, refusal_message=outcome.message)
    return pb.MovementResult(entry_id=outcome.id, balance_points=outcome.balance)
