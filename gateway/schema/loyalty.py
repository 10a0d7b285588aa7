"""Programmes, members, statements and rewards in the schema."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry import Parent
from tessera.loyalty.v1 import earning_pb2 as earning_pb
from tessera.loyalty.v1 import lot_pb2 as lot_pb
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1 import tier_pb2 as tier_pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Context, Info
from gateway.schema import loaders
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.node import as_node, own_id
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, query
from services.common.errors import InvalidArgument

ProgramId = Annotated[
    strawberry.ID | None, strawberry.argument(description="Which programme; not needed where there is only one.")
]


class ProgramAmbiguous(InvalidArgument):
    """The tenant has several programmes and none was named."""


@from_proto(pb.Tier, "tier_id", "name", "threshold", "perks")
class Tier: ...


@from_proto(tier_pb.TierPolicy, "measure", "period", "downgrade", "grace_days")
class TierPolicy: ...


@from_proto(tier_pb.TierStep, "time", "change", "tier_id")
class TierStep: ...


@from_proto(lot_pb.Validity, "count", "unit", "rounding", "extended_by_activity")
class Validity: ...


@from_proto(pb.PendingRule, "release", "duration")
class PendingRule: ...


@from_proto(
    pb.Program,
    "program_id",
    "name",
    "currency",
    "points_per_100_minor",
    "validity_months",
    "qualification",
    "tiers",
    "pending",
    "refund_policy",
    "time_zone",
    "tier_policy",
    "validity",
    "wallet_of_program_id",
    "create_time",
)
class Program: ...


@from_proto(pb.Lot, "expire_time", "points")
class Lot: ...


@from_proto(pb.PendingLot, "entry_id", "order_id", "points", "post_time", "expire_time")
class PendingLot: ...


@from_proto(
    pb.Member,
    "program_id",
    "member_id",
    "balance_points",
    "available_points",
    "earned_points",
    "spent_points",
    "expired_points",
    "refunded_points",
    "pending_points",
    "pending_lots",
    "tier",
    "next_tier",
    "qualifying_amount",
    "next_tier_amount",
    "tier_since_time",
    "tier_until_time",
    "tier_lapse_time",
    "tier_keep_amount",
    "tier_history",
    "expiring_points",
    "expiring_lots",
    "entry_count",
    "enroll_time",
    "block",
    "sent_points",
    "received_points",
    "account_id",
    "account_role",
)
class Member: ...


@from_proto(earning_pb.EarningShare, "rule_id", "rule_version", "points", "offer_id")
class EarningShare: ...


@from_proto(
    pb.Entry,
    "entry_id",
    "program_id",
    "member_id",
    "sequence",
    "kind",
    "debit",
    "credit",
    "points",
    "lots",
    "balance_points",
    "event_time",
    "record_time",
    "order_id",
    "order_amount_minor",
    "reward_id",
    "reason",
    "tier_id",
    "previous_tier_id",
    "tier_changed",
    "pending_points",
    "source_entry_id",
    "debt_points",
    "uncollected_points",
    "refund_number",
    "event_id",
    "shares",
    "tier_change",
    "gained_lots",
    "block",
    "account_id",
)
class LedgerEntry: ...


@from_proto(
    pb.Reward,
    "reward_id",
    "program_id",
    "name",
    "cost_points",
    "stock_count",
    "left_count",
    "redeemed_count",
    "terms",
    "create_time",
)
class Reward: ...


@from_proto(pb.Violation, "program_id", "member_id", "invariant", "message")
class LedgerViolation: ...


@from_proto(
    pb.ProgramBalances,
    "program_id",
    "issuance_points",
    "member_points",
    "pending_points",
    "spent_points",
    "expired_points",
    "transfer_points",
)
class ProgramBalances: ...


@from_proto(pb.CheckLedgerResponse, "member_count", "entry_count", "violations", "balances")
class LedgerCheck: ...


@from_proto(
    pb.GetStatusResponse,
    "entry_count",
    "earned_order_count",
    "other_currency_order_count",
    "refund_count",
    "waiting_refund_count",
    "limited_order_count",
    "blocked_order_count",
    "earned_event_count",
)
class LoyaltyStatus: ...


@as_node(Program, pb.Program, "program_id", access=by_rpc("loyalty.ListPrograms"))
async def _program(context: Context, program_id: str) -> pb.Program | None:
    return await loaders.program(context, program_id)


@as_node(Member, pb.Member, "program_id", "member_id", access=by_rpc("loyalty.BatchGetMembers"))
async def _member(context: Context, program_id: str, member_id: str) -> pb.Member | None:
    return await loaders.member(context, program_id, member_id)


@query(by_rpc("loyalty.ListPrograms"))
async def program(info: Info, id: strawberry.ID) -> pb.Program | None:
    """One programme; null if there is none."""
    return await loaders.program(info.context, own_id(Program, id))


@query(by_rpc("loyalty.ListPrograms"))
async def programs(info: Info, first: First = 20, after: After = None) -> Page[pb.Program]:
    """All programmes, by id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Program], str]:
        request = pb.ListProgramsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.loyalty.ListPrograms(request, metadata=info.context.metadata)
        return answer.programs, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("loyalty.ListRewards"))
async def rewards(info: Info, program_id: ProgramId = None, first: First = 20, after: After = None) -> Page[pb.Reward]:
    """The rewards of a programme, by id."""
    return await _rewards(info.context, await _chosen(info.context, program_id), first, after)


@query(by_rpc("loyalty.BatchGetMembers"))
async def member(info: Info, customer_id: strawberry.ID, program_id: ProgramId = None) -> pb.Member | None:
    """A customer's standing in a programme; null for someone who is no member."""
    chosen = await _chosen(info.context, program_id)
    return await loaders.member(info.context, chosen, own_id(Customer, customer_id)) if chosen else None


@query(by_rpc("loyalty.CheckLedger"))
async def check_ledger(info: Info) -> pb.CheckLedgerResponse:
    return await info.context.backends.loyalty.CheckLedger(pb.CheckLedgerRequest(), metadata=info.context.metadata)


@query(by_rpc("loyalty.GetStatus"))
async def loyalty_status(info: Info) -> pb.GetStatusResponse:
    return await info.context.backends.loyalty.GetStatus(pb.GetStatusRequest(), metadata=info.context.metadata)


@edge(Customer, by_rpc("loyalty.BatchGetMembers"))
async def loyalty(customer: Parent[profiles_pb.Customer], info: Info, program_id: ProgramId = None) -> pb.Member | None:
    """The customer's points and tier; null for someone who is no member."""
    chosen = await _chosen(info.context, program_id)
    return await loaders.member(info.context, chosen, customer.customer_id) if chosen else None


@edge(Member, by_rpc("loyalty.ListPrograms"), name="program")
async def program_of_member(member: Parent[pb.Member], info: Info) -> pb.Program | None:
    """The programme."""
    return await loaders.program(info.context, member.program_id)


@edge(Member, by_rpc("profiles.BatchGetCustomers"))
async def customer(member: Parent[pb.Member], info: Info) -> profiles_pb.Customer | None:
    """The customer."""
    return await loaders.customer(info.context, member.member_id)


@edge(Member, by_rpc("loyalty.ListEntries"))
async def entries(member: Parent[pb.Member], info: Info, first: First = 20, after: After = None) -> Page[pb.Entry]:
    """The statement: every movement of the member's points, newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Entry], str]:
        request = pb.ListEntriesRequest(
            program_id=member.program_id, member_id=member.member_id, page_size=size, page_token=token
        )
        answer = await info.context.backends.loyalty.ListEntries(request, metadata=info.context.metadata)
        return answer.entries, answer.next_page_token

    return await page(fetch, first, after)


@edge(Program, by_rpc("loyalty.ListRewards"), name="rewards")
async def rewards_of_program(
    program: Parent[pb.Program], info: Info, first: First = 20, after: After = None
) -> Page[pb.Reward]:
    """What points can buy, by id."""
    return await _rewards(info.context, program.program_id, first, after)


async def _rewards(context: Context, program_id: str, first: int, after: str | None) -> Page[pb.Reward]:
    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Reward], str]:
        if not program_id:
            return [], ""
        request = pb.ListRewardsRequest(program_id=program_id, page_size=size, page_token=token)
        answer = await context.backends.loyalty.ListRewards(request, metadata=context.metadata)
        return answer.rewards, answer.next_page_token

    return await page(fetch, first, after)


async def _chosen(context: Context, program_id: str | None) -> str:
    """The programme that is meant; empty where the tenant has none."""
    if program_id is not None:
        return own_id(Program, program_id)
    known = [each for each in await loaders.programs(context) if not each.wallet_of_program_id]
    if len(known) > 1:
        names = ", ".join(each.program_id for each in known[:5])
        raise ProgramAmbiguous(f"there are several programmes; name one in `programId`: {names}", field="program_id")
    return known[0].program_id if known else ""
