"""Wheels of fortune: making them, spinning, and who spun what."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.loyalty.domain.spin import Spin, SpinUsage, SpinWheel
from services.loyalty.domain.wheel import CreateWheel, UpdateWheel, Wheel, found_wheel
from services.loyalty.domain.zones import period_at
from services.loyalty.ports import Ledger, Programs, Request
from services.loyalty.ports.wheels import Wheels


@dataclass(frozen=True, slots=True)
class ListedWheel:
    """A wheel, and how many spins a member has left; ``None`` where nobody was named, or without limit."""

    wheel: Wheel
    spins_left: int | None = None


async def create_wheel(ledger: Ledger, request: Request, wheel: Wheel) -> Wheel:
    """Add a wheel."""
    return await ledger.post(request, CreateWheel(wheel=wheel))


async def update_wheel(
    ledger: Ledger,
    request: Request,
    *,
    program_id: str,
    wheel_id: str,
    name: str,
    active: bool,
    stocks: Mapping[int, int | None],
) -> Wheel:
    """Rename a wheel, let it rest, or change its stock."""
    updating = UpdateWheel(program_id=program_id, wheel_id=wheel_id, name=name, active=active, stocks=stocks)
    return await ledger.post(request, updating)


async def list_wheels(
    programs: Programs, wheels: Wheels, tenant: str, program_id: str, member_id: str, now: int
) -> list[ListedWheel]:
    """All wheels of a programme, and how many spins a member has left of each; ``ProgramNotFound``."""
    program = await programs.get(tenant, program_id)
    found = await wheels.all(tenant, program_id)
    if not member_id:
        return [ListedWheel(each) for each in found]
    used = await wheels.used(tenant, program_id, [each.wheel_id for each in found], member_id)
    return [ListedWheel(each, _left(each, used[each.wheel_id], program.time_zone, now)) for each in found]


async def spin_wheel(
    ledger: Ledger, wheels: Wheels, request: Request, *, program_id: str, wheel_id: str, member_id: str
) -> tuple[Spin, int]:
    """Spin a wheel; with the balance after it."""
    spinning = SpinWheel(program_id=program_id, wheel_id=wheel_id, member_id=member_id, request_id=request.id)
    spun = await ledger.post(request, spinning)
    spin = await wheels.spin(request.tenant, spun.spin_id)
    assert spin is not None  # it was kept in the commit that is answered
    return spin, spun.balance


async def list_spins(
    programs: Programs,
    wheels: Wheels,
    tenant: str,
    program_id: str,
    *,
    wheel_id: str,
    member_id: str,
    limit: int,
    after: str,
) -> tuple[list[Spin], str]:
    """A page of the spins of a wheel, or else of a member; ``WheelNotFound``, ``ProgramNotFound``."""
    await programs.get(tenant, program_id)
    if not wheel_id:
        return await wheels.of_member(tenant, program_id, member_id, limit, after)
    found_wheel(await wheels.get(tenant, program_id, wheel_id), program_id, wheel_id)
    return await wheels.of_wheel(tenant, program_id, wheel_id, limit, after)


def _left(wheel: Wheel, used: list[SpinUsage], zone: str, now: int) -> int | None:
    if wheel.period is None:
        return None
    key = period_at(wheel.period, now, zone).key
    return max(0, wheel.limit - sum(each.periods.get(key, 0) for each in used))
