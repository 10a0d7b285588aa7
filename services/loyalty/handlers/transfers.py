"""Transfers between members, and the policy that limits them and all spending."""

from services.loyalty.domain.spending_policy import SetSpendingPolicy, SpendingPolicy
from services.loyalty.domain.transfer import Transfer, TransferPoints, Transferred
from services.loyalty.ports import Clubs, Ledger, Programs, Request


async def set_spending_policy(ledger: Ledger, request: Request, policy: SpendingPolicy) -> SpendingPolicy:
    """Set a programme's policy."""
    return await ledger.post(request, SetSpendingPolicy(policy=policy))


async def get_spending_policy(programs: Programs, clubs: Clubs, tenant: str, program_id: str) -> SpendingPolicy:
    """A programme's policy; ``ProgramNotFound``."""
    await programs.get(tenant, program_id)
    return await clubs.policy(tenant, program_id)


async def transfer_points(ledger: Ledger, request: Request, transfer: TransferPoints) -> Transferred:
    """Transfer points from one member to another."""
    return await ledger.post(request, transfer)


async def list_transfers(
    programs: Programs,
    clubs: Clubs,
    tenant: str,
    program_id: str,
    member_id: str,
    *,
    received: bool,
    limit: int,
    after: str,
) -> tuple[list[Transfer], str]:
    """A page of a member's transfers, latest first; ``ProgramNotFound``."""
    await programs.get(tenant, program_id)
    return await clubs.transfers(tenant, program_id, member_id, received=received, limit=limit, after=after)
