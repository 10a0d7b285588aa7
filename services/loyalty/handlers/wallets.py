"""Wallets of a programme, and what a member has in them."""

from services.loyalty.domain.program import Program
from services.loyalty.domain.standing import Standing, standing
from services.loyalty.domain.wallet import CreateWallet
from services.loyalty.ports import Ledger, Members, Programs, Request


async def create_wallet(ledger: Ledger, request: Request, creating: CreateWallet) -> Program:
    """Open a wallet."""
    return await ledger.post(request, creating)


async def list_wallets(
    programs: Programs, members: Members, tenant: str, program_id: str, member_id: str, now: int
) -> list[tuple[Program, Standing | None]]:
    """The programme and its wallets, each with what the member has in it; ``ProgramNotFound``."""
    program = await programs.get(tenant, program_id)
    others = [each for each in (await programs.all(tenant)).values() if each.wallet_of == program.id]
    found: list[tuple[Program, Standing | None]] = []
    for wallet in (program, *others):
        member = (await members.get_many(tenant, wallet.id, [member_id])).get(member_id) if member_id else None
        found.append((wallet, standing(member, wallet, now) if member else None))
    return found
