"""Making earning rules, reading them, and earning by them."""

from services.loyalty.domain.earning_operations import (
    CreateEarningRule,
    EarnByRules,
    EarnedByRules,
    Limits,
    SetEarningLimits,
    UpdateEarningRule,
)
from services.loyalty.domain.earning_rule import (
    Definition,
    EarningRule,
    PeriodLimit,
    ProgramUsage,
)
from services.loyalty.domain.orders import Event, Order
from services.loyalty.ports import EarningRules, Ledger, Programs, Request


async def create_earning_rule(
    ledger: Ledger, request: Request, *, program_id: str, rule_id: str, definition: Definition
) -> EarningRule:
    """Add a rule to a programme."""
    return await ledger.post(request, CreateEarningRule(program_id=program_id, rule_id=rule_id, definition=definition))


async def update_earning_rule(
    ledger: Ledger, request: Request, *, program_id: str, rule_id: str, definition: Definition, version: int
) -> EarningRule:
    """Make a new version of a rule."""
    updating = UpdateEarningRule(program_id=program_id, rule_id=rule_id, definition=definition, version=version)
    return await ledger.post(request, updating)


async def list_earning_rules(
    programs: Programs, rules: EarningRules, tenant: str, program_id: str, limit: int, after: str
) -> tuple[list[EarningRule], ProgramUsage, str]:
    """A page of a programme's rules by id, what each has given, and the token of the next; ``ProgramNotFound``."""
    await programs.get(tenant, program_id)
    book, usage = await rules.of_program(tenant, program_id)
    left = [rule for rule in book.rules if rule.rule_id > after]
    return left[:limit], usage, left[limit - 1].rule_id if len(left) > limit else ""


async def list_earning_rule_versions(
    programs: Programs, rules: EarningRules, tenant: str, program_id: str, rule_id: str, limit: int, after: str
) -> tuple[list[EarningRule], str]:
    """A page of a rule's versions, newest first; ``ProgramNotFound``."""
    await programs.get(tenant, program_id)
    return await rules.versions(tenant, program_id, rule_id, limit, after)


async def set_earning_limits(
    ledger: Ledger, request: Request, *, program_id: str, per_member: tuple[PeriodLimit, ...]
) -> Limits:
    """Set what may be earned in a programme."""
    return await ledger.post(request, SetEarningLimits(program_id=program_id, per_member=per_member))


async def get_earning_limits(programs: Programs, rules: EarningRules, tenant: str, program_id: str) -> Limits:
    """What may be earned in a programme; ``ProgramNotFound``."""
    await programs.get(tenant, program_id)
    book, _ = await rules.of_program(tenant, program_id)
    return Limits(program_id, book.limits, book.limits_version)


async def earn_by_rules(ledger: Ledger, request: Request, *, program_id: str, told: Order | Event) -> EarnedByRules:
    """Earn by what a caller tells."""
    return await ledger.post(request, EarnByRules(program_id=program_id, told=told, request_id=request.id))


async def simulate_earning(ledger: Ledger, tenant: str, *, program_id: str, told: Order | Event) -> EarnedByRules:
    """What something would earn; nothing is changed."""
    return await ledger.try_out(tenant, EarnByRules(program_id=program_id, told=told, request_id="", at_any_time=True))
