"""Opening and reading programmes."""

from services.loyalty.domain.operations import CreateProgram
from services.loyalty.domain.program import Program
from services.loyalty.ports import Ledger, Programs, Request


async def create_program(ledger: Ledger, request: Request, opening: CreateProgram) -> Program:
    """Open a programme."""
    return await ledger.post(request, opening)


async def get_program(programs: Programs, tenant: str, program_id: str) -> Program:
    """One programme, or ``ProgramNotFound``."""
    return await programs.get(tenant, program_id)


async def list_programs(programs: Programs, tenant: str, limit: int, after: str) -> tuple[list[Program], str]:
    """A page of programmes by id."""
    return await programs.page(tenant, limit, after)
