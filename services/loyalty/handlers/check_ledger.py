"""The running check: everything recomputed from entries."""

from collections.abc import Sequence

from services.loyalty.domain.check import Audit, Violation
from services.loyalty.domain.entry import Entry
from services.loyalty.domain.member import EARNED_MAX, Member
from services.loyalty.ports import EarningRules, Entries, Members, OrderFeed, Programs, Rewards


async def check_ledger(
    programs: Programs,
    members: Members,
    entries: Entries,
    rewards: Rewards,
    orders: OrderFeed,
    rules: EarningRules,
    tenant: str,
) -> Audit:
    """Check the tenant's ledger beside live traffic.

    The order of reading makes it exact: entries are counted before members are read, so each counted entry must
    belong to a member; a member is compared with the entries up to its own count; a reward's stock and an order's
    refunds, read before and after, enclose the redemptions and refunds read between; and the usage of earning rules is
    compared where nothing was earned by them meanwhile.
    """
    audit = Audit()
    entry_count = await entries.count(tenant)
    stock_before, refunded_before = await rewards.all(tenant), await orders.refunded(tenant)
    known = await programs.all(tenant)
    usage_before = {program_id: await rules.of_program(tenant, program_id) for program_id in known}
    async for page in members.everyone(tenant):
        for member in page:
            program = known.get(member.program_id) or (await programs.all(tenant)).get(member.program_id)
            if program is None:
                found = f"member {member.id} is in a programme that does not exist"
                audit.report(Violation(member.program_id, member.id, "ACCOUNTS_INVALID", found))
                continue
            own = await entries.of_member(tenant, member)
            audit.check_member(member, program, own, await family_of(entries, tenant, member, own))
    stock_after, refunded_after = await rewards.all(tenant), await orders.refunded(tenant)
    for program_id, (book, usage) in usage_before.items():
        audit.check_usage(book, usage, (await rules.of_program(tenant, program_id))[1])
    for key, before in stock_before.items():
        audit.check_stock(before, stock_after[key])
    for key in {**refunded_after, **audit.refunds}:
        audit.check_refunds(key, refunded_before.get(key), refunded_after.get(key))
    audit.check_count(entry_count)
    if entry_count == await entries.count(tenant):
        audit.check_transfers()
    return audit


async def family_of(entries: Entries, tenant: str, member: Member, own: Sequence[Entry]) -> list[Entry]:
    """The entries of everybody with whom the member was merged, and of those who had been merged with them."""
    family: dict[str, list[Entry]] = {member.id: [*own]}
    waiting = _partners(own)
    while waiting:
        partner_id = waiting.pop()
        if partner_id not in family:
            partner = Member(member.program_id, partner_id, entry_count=EARNED_MAX)
            family[partner_id] = await entries.of_member(tenant, partner)
            waiting |= _partners(family[partner_id])
    return [entry for partner_id, each in family.items() if partner_id != member.id for entry in each]


def _partners(entries: Sequence[Entry]) -> set[str]:
    return {entry.partner_id for entry in entries if entry.partner_id}
