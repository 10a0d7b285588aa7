"""What wheels of fortune need of the outside."""

from collections.abc import Sequence
from typing import Protocol

from services.loyalty.domain.spin import Spin, SpinUsage
from services.loyalty.domain.wheel import Wheel


class Wheels(Protocol):
    """Wheels and their spins, to read."""

    async def get(self, tenant: str, program_id: str, wheel_id: str) -> Wheel | None:
        """One wheel."""
        ...

    async def all(self, tenant: str, program_id: str) -> list[Wheel]:
        """All wheels of a programme, by id."""
        ...

    async def used(
        self, tenant: str, program_id: str, wheel_ids: Sequence[str], member_id: str
    ) -> dict[str, list[SpinUsage]]:
        """How often a person spun each wheel, under each of their names."""
        ...

    async def spin(self, tenant: str, spin_id: str) -> Spin | None:
        """One spin."""
        ...

    async def of_wheel(
        self, tenant: str, program_id: str, wheel_id: str, limit: int, after: str
    ) -> tuple[list[Spin], str]:
        """A page of a wheel's spins, latest first, and the token of the next; ``InvalidCursor``."""
        ...

    async def of_member(
        self, tenant: str, program_id: str, member_id: str, limit: int, after: str
    ) -> tuple[list[Spin], str]:
        """A page of a person's spins, latest first under each of their names, and the token of the next."""
        ...
