"""The rpcs of lots."""

from dataclasses import dataclass

from tessera.loyalty.v1 import lot_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.common.errors import InvalidCursor
from services.common.validation import FieldInvalid
from services.loyalty.domain.expiry import ChangeExpiry
from services.loyalty.domain.program import NEVER
from services.loyalty.domain.validity import ExpiryRounding, Validity, ValidityUnit
from services.loyalty.handlers.lots import change_expiry, list_lots
from services.loyalty.ports import Ledger, Members, Programs
from services.loyalty.servicer.calls import Context, named, page_size
from services.loyalty.servicer.carts import read_time, time_message

# The contract names its values as the domain does, behind the name of their enum.
_UNITS = {unit: pb.ValidityUnit.Value(f"VALIDITY_UNIT_{unit.name}") for unit in ValidityUnit}
_UNITS_ASKED = {number: unit for unit, number in _UNITS.items()}
_ROUNDINGS = {each: pb.ExpiryRounding.Value(f"EXPIRY_ROUNDING_{each.name}") for each in ExpiryRounding}
_ROUNDINGS_ASKED = {
    pb.EXPIRY_ROUNDING_UNSPECIFIED: ExpiryRounding.NONE,
    **{number: each for each, number in _ROUNDINGS.items()},
}


@dataclass(frozen=True, kw_only=True)
class LotRpcs(LoyaltyServiceServicer):
    """When points expire."""

    ledger: Ledger
    programs: Programs
    members: Members
    clock: Clock

    async def ChangeExpiry(self, request: pb.ChangeExpiryRequest, context: Context) -> pb.ChangeExpiryResponse:
        change = ChangeExpiry(
            program_id=request.program_id,
            member_id=request.member_id,
            expire_time=read_time(request, "expire_time", NEVER),
            extend_days=request.extend_days,
            until=read_time(request, "expiring_until_time", NEVER),
            reason=request.reason,
            request_id=request.request_id,
        )
        which = request.WhichOneof("change")
        if which is None or (which == "never_expire" and not request.never_expire):
            raise FieldInvalid("say what becomes of the expiry: a time, days more, or never", field="change")
        entry = await change_expiry(self.ledger, named(request), change)
        return pb.ChangeExpiryResponse(entry_id=entry.id, points=entry.points)

    async def ListLots(self, request: pb.ListLotsRequest, context: Context) -> pb.ListLotsResponse:
        now = to_micros(self.clock())
        tenant, size, after = principal().tenant, page_size(request), _cursor(request.page_token)
        lots = await list_lots(self.programs, self.members, tenant, request.program_id, request.member_id, now)
        left = [lot for lot in lots if lot.expire_time > after]
        return pb.ListLotsResponse(
            lots=[
                pb.PointsLot(expire_time=time_message(lot.expire_time, NEVER), points=lot.points) for lot in left[:size]
            ],
            next_page_token=str(left[size - 1].expire_time) if len(left) > size else "",
        )


def _cursor(token: str) -> int:
    """After which expiry the page begins."""
    if token and not (token.isascii() and token.isdigit() and len(token) < 20):
        raise InvalidCursor("page_token is not from ListLots", field="page_token")
    return int(token or 0)


def read_validity(told: pb.Validity) -> Validity:
    """A validity."""
    return Validity(told.count, _UNITS_ASKED[told.unit], _ROUNDINGS_ASKED[told.rounding], told.extended_by_activity)


def validity_message(validity: Validity) -> pb.Validity:
    """A validity."""
    return pb.Validity(
        count=validity.count,
        unit=_UNITS[validity.unit],
        rounding=_ROUNDINGS[validity.rounding],
        extended_by_activity=validity.extended_by_activity,
    )
