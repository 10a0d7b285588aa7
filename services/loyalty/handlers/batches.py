"""Many movements of points at once."""

from collections.abc import Sequence

from services.common.errors import Refusal
from services.loyalty.domain.entry import Entry
from services.loyalty.domain.operations import Operation
from services.loyalty.ports import Ledger, Request


async def batch_move_points(
    ledger: Ledger, tenant: str, movements: Sequence[tuple[Request, Operation[Entry]]]
) -> list[Entry | Refusal]:
    """Carry out each by itself, in their order; what became of each."""
    return await ledger.post_all(tenant, movements)
