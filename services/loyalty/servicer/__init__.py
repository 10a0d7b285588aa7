"""gRPC in, use case, gRPC out."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import ALL_TENANTS, principal
from services.common.clock import Clock, to_micros
from services.common.idempotency import fingerprint
from services.common.validation import FieldInvalid
from services.loyalty.domain.check import Audit
from services.loyalty.domain.entry import Account, Entry, EntryKind, Lot, PendingLot
from services.loyalty.domain.operations import CreateProgram
from services.loyalty.domain.pending_points import Source
from services.loyalty.domain.program import (
    NEVER,
    PendingRelease,
    PendingRule,
    Program,
    Qualification,
    RefundPolicy,
    Tier,
)
from services.loyalty.domain.reward import Reward
from services.loyalty.domain.standing import Standing
from services.loyalty.handlers.check_ledger import check_ledger
from services.loyalty.handlers.members import batch_get_members, get_member, list_entries
from services.loyalty.handlers.orders import get_status, refund_order
from services.loyalty.handlers.points import burn_points, earn_points, expire_points, post_pending, void_pending
from services.loyalty.handlers.programs import create_program, get_program, list_programs
from services.loyalty.handlers.rewards import create_reward, list_rewards, redeem_reward
from services.loyalty.ports import Entries, Ledger, Members, OrderFeed, Programs, Request, Rewards

Context = grpc.aio.ServicerContext[Any, Any]
PAGE_SIZE_DEFAULT = 100

# The contract names its values as the domain does, behind the name of their enum.
_KINDS = {kind: pb.EntryKind.Value(f"ENTRY_KIND_{kind.name}") for kind in EntryKind}
_ACCOUNTS = {account: pb.AccountKind.Value(f"ACCOUNT_KIND_{account.name}") for account in Account}
_QUALIFICATIONS = {each: pb.Qualification.Value(f"QUALIFICATION_{each.name}") for each in Qualification}
_RELEASES = {release: pb.PendingRelease.Value(f"PENDING_RELEASE_{release.name}") for release in PendingRelease}
_REFUND_POLICIES = {policy: pb.RefundPolicy.Value(f"REFUND_POLICY_{policy.name}") for policy in RefundPolicy}
_QUALIFICATIONS_ASKED = {
    pb.QUALIFICATION_UNSPECIFIED: Qualification.LIFETIME_POINTS,
    **{number: each for each, number in _QUALIFICATIONS.items()},
}
_RELEASES_ASKED = {
    pb.PENDING_RELEASE_UNSPECIFIED: PendingRelease.IMMEDIATE,
    **{number: release for release, number in _RELEASES.items()},
}
_REFUND_POLICIES_ASKED = {
    pb.REFUND_POLICY_UNSPECIFIED: RefundPolicy.WITHIN_BALANCE,
    **{number: policy for policy, number in _REFUND_POLICIES.items()},
}


@dataclass(frozen=True, slots=True)
class LoyaltyServicer(LoyaltyServiceServicer):
    """Answers ``tessera.loyalty.v1.LoyaltyService``."""

    ledger: Ledger
    programs: Programs
    members: Members
    entries: Entries
    rewards: Rewards
    orders: OrderFeed
    clock: Clock

    async def CreateProgram(self, request: pb.CreateProgramRequest, context: Context) -> pb.CreateProgramResponse:
        opening = CreateProgram(
            program_id=request.program_id,
            name=request.name,
            currency=request.currency,
            points_per_100_minor=request.points_per_100_minor,
            validity_months=request.validity_months,
            qualification=_QUALIFICATIONS_ASKED[request.qualification],
            tiers=tuple(Tier(tier.tier_id, tier.name, tier.threshold) for tier in request.tiers),
            pending=_pending_rule(request.pending),
            refund_policy=_REFUND_POLICIES_ASKED[request.refund_policy],
        )
        return pb.CreateProgramResponse(program=_program(await create_program(self.ledger, _named(request), opening)))

    async def GetProgram(self, request: pb.GetProgramRequest, context: Context) -> pb.GetProgramResponse:
        program = await get_program(self.programs, principal().tenant, request.program_id)
        return pb.GetProgramResponse(program=_program(program))

    async def ListPrograms(self, request: pb.ListProgramsRequest, context: Context) -> pb.ListProgramsResponse:
        found, token = await list_programs(self.programs, principal().tenant, _size(request), request.page_token)
        return pb.ListProgramsResponse(programs=map(_program, found), next_page_token=token)

    async def EarnPoints(self, request: pb.EarnPointsRequest, context: Context) -> pb.EarnPointsResponse:
        entry = await earn_points(
            self.ledger,
            _named(request),
            program_id=request.program_id,
            member_id=request.member_id,
            points=request.points,
            event_time=_micros(request.event_time) if request.HasField("event_time") else None,
            reason=request.reason,
            pending=request.pending,
        )
        return pb.EarnPointsResponse(entry=_entry(entry))

    async def BurnPoints(self, request: pb.BurnPointsRequest, context: Context) -> pb.BurnPointsResponse:
        entry = await burn_points(
            self.ledger,
            _named(request),
            program_id=request.program_id,
            member_id=request.member_id,
            points=request.points,
            reason=request.reason,
        )
        return pb.BurnPointsResponse(entry=_entry(entry))

    async def PostPending(self, request: pb.PostPendingRequest, context: Context) -> pb.PostPendingResponse:
        return pb.PostPendingResponse(entry=_entry(await post_pending(self.ledger, _named(request), _source(request))))

    async def VoidPending(self, request: pb.VoidPendingRequest, context: Context) -> pb.VoidPendingResponse:
        entry = await void_pending(self.ledger, _named(request), _source(request), request.reason)
        return pb.VoidPendingResponse(entry=_entry(entry))

    async def RefundOrder(self, request: pb.RefundOrderRequest, context: Context) -> pb.RefundOrderResponse:
        refunded = await refund_order(
            self.ledger,
            _named(request),
            program_id=request.program_id,
            order_id=request.order_id,
            amount_minor=request.amount_minor if request.HasField("amount_minor") else None,
            reason=request.reason,
        )
        return pb.RefundOrderResponse(entry=_entry(refunded.entry), left_amount_minor=refunded.left_minor)

    async def GetMember(self, request: pb.GetMemberRequest, context: Context) -> pb.GetMemberResponse:
        tenant, now = principal().tenant, to_micros(self.clock())
        found = await get_member(self.programs, self.members, tenant, request.program_id, request.member_id, now)
        return pb.GetMemberResponse(member=_member(found))

    async def BatchGetMembers(self, request: pb.BatchGetMembersRequest, context: Context) -> pb.BatchGetMembersResponse:
        tenant, now = principal().tenant, to_micros(self.clock())
        ids = request.member_ids
        found = await batch_get_members(self.programs, self.members, tenant, request.program_id, ids, now)
        return pb.BatchGetMembersResponse(members=map(_member, found))

    async def ListEntries(self, request: pb.ListEntriesRequest, context: Context) -> pb.ListEntriesResponse:
        tenant, size = principal().tenant, _size(request)
        found, token = await list_entries(
            self.entries, tenant, request.program_id, request.member_id, size, request.page_token
        )
        return pb.ListEntriesResponse(entries=map(_entry, found), next_page_token=token)

    async def CreateReward(self, request: pb.CreateRewardRequest, context: Context) -> pb.CreateRewardResponse:
        reward = await create_reward(
            self.ledger,
            _named(request),
            program_id=request.program_id,
            reward_id=request.reward_id,
            name=request.name,
            cost=request.cost_points,
            stock=request.stock_count if request.HasField("stock_count") else None,
        )
        return pb.CreateRewardResponse(reward=_reward(reward))

    async def ListRewards(self, request: pb.ListRewardsRequest, context: Context) -> pb.ListRewardsResponse:
        tenant, size = principal().tenant, _size(request)
        found, token = await list_rewards(self.rewards, tenant, request.program_id, size, request.page_token)
        return pb.ListRewardsResponse(rewards=map(_reward, found), next_page_token=token)

    async def RedeemReward(self, request: pb.RedeemRewardRequest, context: Context) -> pb.RedeemRewardResponse:
        entry = await redeem_reward(
            self.ledger,
            _named(request),
            program_id=request.program_id,
            member_id=request.member_id,
            reward_id=request.reward_id,
        )
        return pb.RedeemRewardResponse(redemption_id=entry.id, entry=_entry(entry), balance_points=entry.balance)

    async def ExpirePoints(self, request: pb.ExpirePointsRequest, context: Context) -> pb.ExpirePointsResponse:
        expired = await expire_points(
            self.ledger,
            self.members,
            _named(request),
            program_id=request.program_id,
            as_of=_micros(request.as_of_time) if request.HasField("as_of_time") else None,
            now=to_micros(self.clock()),
        )
        return pb.ExpirePointsResponse(
            member_count=expired.member_count,
            expired_points=expired.points,
            more_due=expired.more_due,
            posted_points=expired.posted_points,
        )

    async def CheckLedger(self, request: pb.CheckLedgerRequest, context: Context) -> pb.CheckLedgerResponse:
        tenant = principal().tenant
        audit = await check_ledger(self.programs, self.members, self.entries, self.rewards, self.orders, tenant)
        return _audit(audit)

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        status = await get_status(self.orders, self.entries, principal().tenant)
        return pb.GetStatusResponse(
            applied_cursor=status.applied_cursor,
            entry_count=status.entry_count,
            earned_order_count=status.orders.earned,
            other_currency_order_count=status.orders.other_currency,
            small_order_count=status.orders.small,
            duplicate_order_count=status.orders.duplicate,
            invalid_order_count=status.orders.invalid,
            refund_count=status.orders.refunds,
            waiting_refund_count=status.orders.waiting_refunds,
            empty_refund_count=status.orders.empty_refunds,
            invalid_refund_count=status.orders.invalid_refunds,
        )

    async def FollowEntries(
        self, request: pb.FollowEntriesRequest, context: Context
    ) -> AsyncIterator[pb.FollowEntriesResponse]:
        tenant = principal().tenant
        async for batch in self.entries.follow(request.after_cursor, None if tenant == ALL_TENANTS else tenant):
            entered = [pb.EnteredEntry(tenant_id=owner, entry=_entry(entry)) for owner, entry in batch.entries]
            yield pb.FollowEntriesResponse(entries=entered, cursor=batch.cursor, caught_up=batch.caught_up)


def _named(request: Any) -> Request:
    """The mutation as its caller named it. The type is part of the content: other rpcs have like fields."""
    message: Message = request
    content = message.DESCRIPTOR.full_name.encode() + b"\0" + message.SerializeToString(deterministic=True)
    return Request(principal().tenant, request.request_id, fingerprint(content))


def _size(request: Any) -> int:
    return request.page_size or PAGE_SIZE_DEFAULT


def _micros(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1000


def _timestamp(micros: int) -> Timestamp:
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def _source(request: pb.PostPendingRequest | pb.VoidPendingRequest) -> Source:
    source = Source(request.program_id, request.order_id, request.entry_id)
    if not source.order_id and not source.entry_id:
        raise FieldInvalid("order_id or entry_id must say which points are meant", field="source")
    return source


def _pending_rule(rule: pb.PendingRule) -> PendingRule:
    # In the unit of the domain; what is finer is left to it to refuse, not rounded away.
    duration = rule.duration.seconds * 1_000_000 + -(-rule.duration.nanos // 1000)
    return PendingRule(_RELEASES_ASKED[rule.release], duration)


def _tier(tier: Tier) -> pb.Tier:
    return pb.Tier(tier_id=tier.id, name=tier.name, threshold=tier.threshold)


def _program(program: Program) -> pb.Program:
    return pb.Program(
        program_id=program.id,
        name=program.name,
        currency=program.currency,
        points_per_100_minor=program.points_per_100_minor,
        validity_months=program.validity_months,
        qualification=_QUALIFICATIONS[program.qualification],
        tiers=map(_tier, program.tiers),
        create_time=_timestamp(program.create_time),
        pending=pb.PendingRule(release=_RELEASES[program.pending.release], duration=_duration(program.pending)),
        refund_policy=_REFUND_POLICIES[program.refund_policy],
    )


def _duration(rule: PendingRule) -> Duration | None:
    return Duration(seconds=rule.duration // 1_000_000) if rule.duration else None


def _reward(reward: Reward) -> pb.Reward:
    return pb.Reward(
        reward_id=reward.id,
        program_id=reward.program_id,
        name=reward.name,
        cost_points=reward.cost,
        stock_count=reward.stock,
        left_count=reward.left,
        redeemed_count=reward.redeemed,
        create_time=_timestamp(reward.create_time),
    )


def _lot(lot: Lot) -> pb.Lot:
    return pb.Lot(expire_time=None if lot.expire_time == NEVER else _timestamp(lot.expire_time), points=lot.points)


def _pending_lot(lot: PendingLot, program: Program) -> pb.PendingLot:
    due_time = None if lot.due_time == NEVER else _timestamp(lot.due_time)
    posts = program.pending.release is PendingRelease.AFTER_DURATION
    return pb.PendingLot(
        entry_id=lot.entry_id,
        order_id=lot.order_id,
        points=lot.points,
        post_time=due_time if posts else None,
        expire_time=None if posts else due_time,
    )


def _member(found: Standing) -> pb.Member:
    member = found.member
    return pb.Member(
        program_id=member.program_id,
        member_id=member.id,
        balance_points=member.balance,
        available_points=found.available,
        earned_points=member.earned,
        spent_points=member.spent,
        expired_points=member.expired,
        tier=_tier(found.tier) if found.tier else None,
        next_tier=_tier(found.next_tier) if found.next_tier else None,
        qualifying_amount=found.qualifying,
        next_tier_amount=found.next_tier_amount,
        expiring_points=found.expiring_points,
        expiring_lots=map(_lot, found.expiring),
        entry_count=member.entry_count,
        enroll_time=_timestamp(member.enroll_time),
        pending_points=member.pending_points,
        refunded_points=member.refunded,
        pending_lots=[_pending_lot(lot, found.program) for lot in member.pending],
    )


def _entry(entry: Entry) -> pb.Entry:
    return pb.Entry(
        entry_id=entry.id,
        program_id=entry.program_id,
        member_id=entry.member_id,
        sequence=entry.sequence,
        kind=_KINDS[entry.kind],
        debit=_ACCOUNTS[entry.debit],
        credit=_ACCOUNTS[entry.credit],
        points=entry.points,
        lots=map(_lot, entry.lots),
        balance_points=entry.balance,
        event_time=_timestamp(entry.event_time),
        record_time=_timestamp(entry.record_time),
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
    )


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
            )
            for program_id, accounts in sorted(audit.balances.items())
        ],
    )
