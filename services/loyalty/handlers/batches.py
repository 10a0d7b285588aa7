"""Many movements of points at once."""

import asyncio
from collections.abc import Sequence
from typing import Any

from services.common.errors import Refusal
from services.loyalty.domain.entry import Entry
from services.loyalty.domain.operations import Operation
from services.loyalty.ports import Ledger, Request


async def batch_move_points(
    ledger: Ledger, movements: Sequence[tuple[Request, Operation[Entry]]]
) -> list[Entry | Refusal]:
    """Carry out each by itself, as the ledger groups them; what became of each, in the same order."""
    found: list[Any] = await asyncio.gather(
        *(ledger.post(request, operation) for request, operation in movements), return_exceptions=True
    )
    for outcome in found:
        if not isinstance(outcome, Entry | Refusal):
            raise outcome
    return found
