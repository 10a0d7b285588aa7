"""Wheels of fortune in the schema."""

from collections.abc import Sequence

from strawberry import Parent
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty_pb
from tessera.loyalty.v1 import wheel_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.loyalty import Member, Program
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation

_SECTOR = ("label", "weight", "prize_points", "stock_count")
_WHEEL = (
    "wheel_id",
    "name",
    "sectors",
    "cost_points",
    "spin_limit",
    "limit_period",
    "start_time",
    "end_time",
)


@from_proto(pb.WheelSector, *_SECTOR, "left_count", "won_count", "chance")
class WheelSector: ...


@from_proto(
    pb.Wheel, "program_id", *_WHEEL, "active", "create_time", "spin_count", "seed_hash", "seed", "left_spin_count"
)
class Wheel: ...


@from_proto(
    pb.Spin,
    "spin_id",
    "program_id",
    "wheel_id",
    "member_id",
    "number",
    "spin_time",
    "weights",
    "drawn_number",
    "sector",
    "label",
    "prize_points",
    "cost_points",
    "cost_entry_id",
    "prize_entry_id",
)
class Spin: ...


@input_from_proto(pb.WheelSector, *_SECTOR)
class WheelSectorInput: ...


@input_from_proto(pb.Wheel, *_WHEEL)
class WheelInput: ...


@input_from_proto(pb.CreateWheelRequest, "request_id", "program_id", "wheel")
class CreateWheelInput: ...


@from_proto(pb.CreateWheelResponse, "wheel")
class CreateWheelPayload: ...


@input_from_proto(pb.SectorStock, "sector", "stock_count")
class SectorStockInput: ...


@input_from_proto(pb.UpdateWheelRequest, "request_id", "program_id", "wheel_id", "name", "active", "stocks")
class UpdateWheelInput: ...


@from_proto(pb.UpdateWheelResponse, "wheel")
class UpdateWheelPayload: ...


@input_from_proto(pb.SpinWheelRequest, "request_id", "program_id", "wheel_id", "member_id")
class SpinWheelInput: ...


@from_proto(pb.SpinWheelResponse, "spin", "balance_points")
class SpinWheelPayload: ...


@edge(Program, by_rpc("loyalty.ListWheels"))
async def wheels(program: Parent[loyalty_pb.Program], info: Info, member_id: str | None = None) -> list[pb.Wheel]:
    """What members can spin, by id, with how many spins a member has left."""
    request = pb.ListWheelsRequest(program_id=program.program_id, member_id=member_id or "")
    answer = await info.context.backends.loyalty.ListWheels(request, metadata=info.context.metadata)
    return list(answer.wheels)


@edge(Wheel, by_rpc("loyalty.ListSpins"))
async def spins(wheel: Parent[pb.Wheel], info: Info, first: First = 20, after: After = None) -> Page[pb.Spin]:
    """The wheel's spins, latest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Spin], str]:
        request = pb.ListSpinsRequest(
            program_id=wheel.program_id, wheel_id=wheel.wheel_id, page_size=size, page_token=token
        )
        answer = await info.context.backends.loyalty.ListSpins(request, metadata=info.context.metadata)
        return answer.spins, answer.next_page_token

    return await page(fetch, first, after)


@edge(Member, by_rpc("loyalty.ListSpins"), name="spins")
async def member_spins(
    member: Parent[loyalty_pb.Member], info: Info, first: First = 20, after: After = None
) -> Page[pb.Spin]:
    """What the member spun, latest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Spin], str]:
        request = pb.ListSpinsRequest(
            program_id=member.program_id, member_id=member.member_id, page_size=size, page_token=token
        )
        answer = await info.context.backends.loyalty.ListSpins(request, metadata=info.context.metadata)
        return answer.spins, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("loyalty.CreateWheel"))
async def create_wheel(info: Info, input: pb.CreateWheelRequest) -> pb.CreateWheelResponse:
    return await info.context.backends.loyalty.CreateWheel(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.UpdateWheel"))
async def update_wheel(info: Info, input: pb.UpdateWheelRequest) -> pb.UpdateWheelResponse:
    return await info.context.backends.loyalty.UpdateWheel(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.SpinWheel"))
async def spin_wheel(info: Info, input: pb.SpinWheelRequest) -> pb.SpinWheelResponse:
    return await info.context.backends.loyalty.SpinWheel(input, metadata=info.context.metadata)
