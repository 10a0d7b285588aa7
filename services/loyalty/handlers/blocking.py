"""Blocking members."""

from services.loyalty.domain.blocking import SetBlock
from services.loyalty.domain.entry import Entry
from services.loyalty.ports import Ledger, Request


async def set_block(ledger: Ledger, request: Request, setting: SetBlock) -> Entry:
    """Block a member, or unblock one."""
    return await ledger.post(request, setting)
