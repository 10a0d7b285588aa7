"""The rpcs of wheels of fortune."""

from collections.abc import Callable
from dataclasses import dataclass

from tessera.loyalty.v1 import wheel_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.common.validation import FieldInvalid
from services.loyalty.domain.reward import ALWAYS
from services.loyalty.domain.spin import Spin
from services.loyalty.domain.wheel import SEED_BYTES, Sector, Wheel
from services.loyalty.domain.zones import Period
from services.loyalty.handlers.wheels import create_wheel, list_spins, list_wheels, spin_wheel, update_wheel
from services.loyalty.ports import Ledger, Programs
from services.loyalty.ports.wheels import Wheels
from services.loyalty.servicer.calls import Context, named, page_size, timestamp
from services.loyalty.servicer.carts import read_time, time_message

_PERIODS = {
    Period.DAY: pb.WHEEL_PERIOD_DAY,
    Period.WEEK: pb.WHEEL_PERIOD_WEEK,
    Period.MONTH: pb.WHEEL_PERIOD_MONTH,
    Period.LIFETIME: pb.WHEEL_PERIOD_EVER,
}
_PERIODS_ASKED = {number: each for each, number in _PERIODS.items()}


@dataclass(frozen=True, kw_only=True)
class WheelRpcs(LoyaltyServiceServicer):
    """Members spin, and win."""

    ledger: Ledger
    programs: Programs
    wheels: Wheels
    clock: Clock
    draw: Callable[[int], bytes]

    async def CreateWheel(self, request: pb.CreateWheelRequest, context: Context) -> pb.CreateWheelResponse:
        told = _read(request.program_id, request.wheel, self.draw(SEED_BYTES).hex())
        return pb.CreateWheelResponse(wheel=wheel_message(await create_wheel(self.ledger, named(request), told)))

    async def UpdateWheel(self, request: pb.UpdateWheelRequest, context: Context) -> pb.UpdateWheelResponse:
        stocks = {each.sector: each.stock_count if each.HasField("stock_count") else None for each in request.stocks}
        if len(stocks) < len(request.stocks):
            raise FieldInvalid("stocks names a sector twice", field="stocks")
        made = await update_wheel(
            self.ledger,
            named(request),
            program_id=request.program_id,
            wheel_id=request.wheel_id,
            name=request.name,
            active=request.active,
            stocks=stocks,
        )
        return pb.UpdateWheelResponse(wheel=wheel_message(made))

    async def ListWheels(self, request: pb.ListWheelsRequest, context: Context) -> pb.ListWheelsResponse:
        now = to_micros(self.clock())
        tenant, member_id = principal().tenant, request.member_id
        found = await list_wheels(self.programs, self.wheels, tenant, request.program_id, member_id, now)
        answer = pb.ListWheelsResponse()
        for each in found:
            message = wheel_message(each.wheel)
            if now >= each.wheel.end_time:
                message.seed = each.wheel.seed
            if each.spins_left is not None:
                message.left_spin_count = each.spins_left
            answer.wheels.append(message)
        return answer

    async def SpinWheel(self, request: pb.SpinWheelRequest, context: Context) -> pb.SpinWheelResponse:
        spin, balance = await spin_wheel(
            self.ledger,
            self.wheels,
            named(request),
            program_id=request.program_id,
            wheel_id=request.wheel_id,
            member_id=request.member_id,
        )
        return pb.SpinWheelResponse(spin=spin_message(spin), balance_points=balance)

    async def ListSpins(self, request: pb.ListSpinsRequest, context: Context) -> pb.ListSpinsResponse:
        if bool(request.wheel_id) == bool(request.member_id):
            raise FieldInvalid("either wheel_id or member_id says whose spins", field="wheel_id")
        found, token = await list_spins(
            self.programs,
            self.wheels,
            principal().tenant,
            request.program_id,
            wheel_id=request.wheel_id,
            member_id=request.member_id,
            limit=page_size(request),
            after=request.page_token,
        )
        return pb.ListSpinsResponse(spins=map(spin_message, found), next_page_token=token)


def _read(program_id: str, told: pb.Wheel, seed: str) -> Wheel:
    return Wheel(
        program_id=program_id,
        wheel_id=told.wheel_id,
        name=told.name,
        sectors=tuple(
            Sector(
                each.label,
                each.weight,
                each.prize_points,
                each.stock_count if each.HasField("stock_count") else None,
            )
            for each in told.sectors
        ),
        seed=seed,
        cost=told.cost_points,
        limit=told.spin_limit,
        period=_PERIODS_ASKED.get(told.limit_period),
        start_time=read_time(told, "start_time", 0),
        end_time=read_time(told, "end_time", ALWAYS),
    )


def wheel_message(wheel: Wheel) -> pb.Wheel:
    """A wheel, without its seed."""
    total = sum(wheel.weights)
    return pb.Wheel(
        program_id=wheel.program_id,
        wheel_id=wheel.wheel_id,
        name=wheel.name,
        sectors=[_sector(each, total) for each in wheel.sectors],
        cost_points=wheel.cost,
        spin_limit=wheel.limit,
        limit_period=_PERIODS[wheel.period] if wheel.period else pb.WHEEL_PERIOD_UNSPECIFIED,
        start_time=time_message(wheel.start_time, 0),
        end_time=time_message(wheel.end_time, ALWAYS),
        active=wheel.active,
        create_time=timestamp(wheel.create_time),
        spin_count=wheel.spins,
        seed_hash=wheel.seed_hash,
    )


def _sector(sector: Sector, total: int) -> pb.WheelSector:
    return pb.WheelSector(
        label=sector.label,
        weight=sector.weight,
        prize_points=sector.points,
        stock_count=sector.stock,
        left_count=sector.left,
        won_count=sector.won,
        chance=sector.weight_now / total if total else 0.0,
    )


def spin_message(spin: Spin) -> pb.Spin:
    """A spin."""
    return pb.Spin(
        spin_id=spin.spin_id,
        program_id=spin.program_id,
        wheel_id=spin.wheel_id,
        member_id=spin.member_id,
        number=spin.number,
        spin_time=timestamp(spin.time),
        weights=spin.weights,
        drawn_number=spin.drawn,
        sector=spin.sector,
        label=spin.label,
        prize_points=spin.prize,
        cost_points=spin.cost,
        cost_entry_id=spin.cost_entry_id,
        prize_entry_id=spin.prize_entry_id,
    )
