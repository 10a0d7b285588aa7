"""Shared accounts: opening, joining, leaving, and who did what with them."""

from services.loyalty.domain.account_activity import AccountActivity
from services.loyalty.domain.shared_account import (
    PREFIX,
    AccountNotFound,
    JoinAccount,
    LeaveAccount,
    OpenAccount,
    SetAccountRole,
    SharedAccount,
)
from services.loyalty.ports import Clubs, Ledger, Programs, Request


async def change_account(
    ledger: Ledger, request: Request, change: OpenAccount | JoinAccount | LeaveAccount | SetAccountRole
) -> SharedAccount:
    """Open an account, or change who uses it."""
    return await ledger.post(request, change)


async def get_shared_account(
    programs: Programs, clubs: Clubs, tenant: str, program_id: str, account_id: str
) -> SharedAccount:
    """One account; ``ProgramNotFound``, ``AccountNotFound``."""
    await programs.get(tenant, program_id)
    found = await clubs.shared_account(tenant, program_id, account_id)
    if found is None:
        raise AccountNotFound(f"there is no shared account {account_id}", account_id=account_id)
    return found


async def list_account_activity(
    programs: Programs, clubs: Clubs, tenant: str, program_id: str, account_id: str, limit: int, after: str
) -> tuple[list[AccountActivity], str]:
    """A page of what users did with an account, latest first; ``ProgramNotFound``."""
    await programs.get(tenant, program_id)
    return await clubs.account_activity(tenant, program_id, PREFIX + account_id, limit, after)
