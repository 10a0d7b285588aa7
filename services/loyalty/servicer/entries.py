"""Entries: the statement, the feed, and the running check."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tessera.loyalty.v1 import earning_pb2 as earning_pb
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1 import tier_pb2 as tier_pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import ALL_TENANTS, principal
from services.loyalty.domain.check import Audit
from services.loyalty.domain.earning import offer_of
from services.loyalty.domain.entry import MERGE_KINDS, Account, Entry, EntryKind, Lot, Part, Share, TierChange
from services.loyalty.domain.program import (
    NEVER,
)
from services.loyalty.handlers.check_ledger import check_ledger
from services.loyalty.handlers.members import list_entries
from services.loyalty.ports import EarningRules, Entries, Members, OrderFeed, Programs, Rewards
from services.loyalty.servicer.blocking import BLOCK_SCOPES
from services.loyalty.servicer.calls import Context, page_size, timestamp

# The contract names its values as the domain does, behind the name of their enum.
_KINDS = {kind: pb.EntryKind.Value(f"ENTRY_KIND_{kind.name}") for kind in EntryKind}
_ACCOUNTS = {account: pb.AccountKind.Value(f"ACCOUNT_KIND_{account.name}") for account in Account}

TIER_CHANGES = {
    "": tier_pb.TIER_CHANGE_UNSPECIFIED,
    **{change.value: tier_pb.TierChange.Value(f"TIER_CHANGE_{change.name}") for change in TierChange},
}


@dataclass(frozen=True, kw_only=True)
class EntryRpcs(LoyaltyServiceServicer):
    """The rpcs of entries."""

    programs: Programs
    members: Members
    entries: Entries
    rewards: Rewards
    orders: OrderFeed
    earning_rules: EarningRules

    async def ListEntries(self, request: pb.ListEntriesRequest, context: Context) -> pb.ListEntriesResponse:
        tenant, size = principal().tenant, page_size(request)
        found, token = await list_entries(
            self.entries, tenant, request.program_id, request.member_id, size, request.page_token
        )
        return pb.ListEntriesResponse(entries=map(entry_message, found), next_page_token=token)

    async def FollowEntries(
        self, request: pb.FollowEntriesRequest, context: Context
    ) -> AsyncIterator[pb.FollowEntriesResponse]:
        tenant = principal().tenant
        async for batch in self.entries.follow(request.after_cursor, None if tenant == ALL_TENANTS else tenant):
            entered = [pb.EnteredEntry(tenant_id=owner, entry=entry_message(entry)) for owner, entry in batch.entries]
            yield pb.FollowEntriesResponse(entries=entered, cursor=batch.cursor, caught_up=batch.caught_up)

    async def CheckLedger(self, request: pb.CheckLedgerRequest, context: Context) -> pb.CheckLedgerResponse:
        tenant = principal().tenant
        audit = await check_ledger(
            self.programs, self.members, self.entries, self.rewards, self.orders, self.earning_rules, tenant
        )
        return _audit(audit)


def lot_message(lot: Lot) -> pb.Lot:
    """A lot; one that does not expire has no time."""
    return pb.Lot(expire_time=None if lot.expire_time == NEVER else timestamp(lot.expire_time), points=lot.points)


def share_message(share: Share) -> earning_pb.EarningShare:
    """What a rule gave."""
    offer_id = offer_of(share.rule_id)
    return earning_pb.EarningShare(
        rule_id="" if offer_id else share.rule_id,
        rule_version=share.rule_version,
        points=share.points,
        offer_id=offer_id,
    )


def entry_message(entry: Entry) -> pb.Entry:
    """An entry."""
    return pb.Entry(
        entry_id=entry.id,
        program_id=entry.program_id,
        member_id=entry.member_id,
        sequence=entry.sequence,
        kind=_KINDS[entry.kind],
        debit=_ACCOUNTS[entry.debit],
        credit=_ACCOUNTS[entry.credit],
        points=entry.points,
        lots=map(lot_message, entry.lots),
        balance_points=entry.balance,
        event_time=timestamp(entry.event_time),
        record_time=timestamp(entry.record_time),
        order_id=entry.order_id,
        order_amount_minor=entry.order_amount_minor,
        reward_id=entry.reward_id,
        request_id=entry.request_id,
        reason=entry.reason,
        tier_id=entry.tier_id,
        previous_tier_id=entry.previous_tier_id,
        tier_changed=entry.tier_id != entry.previous_tier_id,
        pending_points=entry.pending,
        source_entry_id=entry.source_entry_id,
        debt_points=entry.debt,
        uncollected_points=entry.uncollected,
        refund_number=entry.refund_number,
        tier_change=TIER_CHANGES[entry.tier_change],
        shares=map(share_message, entry.shares),
        gained_lots=map(lot_message, entry.gained_lots),
        block=BLOCK_SCOPES[entry.block],
        account_id=entry.account_id,
        origin_customer_id=entry.origin_id,
        partner_member_id=entry.partner_id,
        merged_parts=map(_part, (*entry.came, *entry.went)),
        **{"merge_id" if entry.kind in MERGE_KINDS else "event_id": entry.event_id},
    )


def _part(part: Part) -> pb.MergedPart:
    pending = sum(lot.points for lot in part.pending)
    return pb.MergedPart(origin_customer_id=part.origin_id, balance_points=part.balance, pending_points=pending)


def _audit(audit: Audit) -> pb.CheckLedgerResponse:
    return pb.CheckLedgerResponse(
        member_count=audit.members,
        entry_count=audit.entries,
        violations=[
            pb.Violation(program_id=it.program_id, member_id=it.member_id, invariant=it.invariant, message=it.message)
            for it in audit.violations
        ],
        balances=[
            pb.ProgramBalances(
                program_id=program_id,
                issuance_points=accounts[Account.ISSUANCE],
                member_points=accounts[Account.MEMBER],
                spent_points=accounts[Account.SPENT],
                expired_points=accounts[Account.EXPIRED],
                pending_points=accounts[Account.PENDING],
                transfer_points=accounts[Account.TRANSFER],
            )
            for program_id, accounts in sorted(audit.balances.items())
        ],
    )
