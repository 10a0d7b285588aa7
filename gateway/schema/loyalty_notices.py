"""What happens to customers in loyalty, live."""

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

import strawberry
from strawberry import Parent
from tessera.loyalty.v1 import loyalty_service_pb2
from tessera.loyalty.v1 import notice_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.access import by_rpc
from gateway.schema.following import resumed
from gateway.schema.node import own_id
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query, subscription


@from_proto(
    pb.Notice,
    "notice_id",
    "customer_id",
    "kind",
    "notice_time",
    "cursor",
    "program_id",
    "entry_id",
    "points",
    "balance_points",
    "pending_points",
    "expire_time",
    "lead_days",
    "tier_id",
    "previous_tier_id",
    "tier_change",
    "reward_id",
    "redemption_id",
    "order_id",
    "code",
    "campaign_id",
    "offer_id",
    "discount_minor",
    "currency",
)
class LoyaltyNotice: ...


@from_proto(pb.ExpiryNotices, "program_id", "lead_days")
class ExpiryNotices: ...


@input_from_proto(pb.ExpiryNotices, "program_id", "lead_days")
class ExpiryNoticesInput: ...


@input_from_proto(pb.SetExpiryNoticesRequest, "request_id", "notices")
class SetExpiryNoticesInput: ...


@from_proto(pb.SetExpiryNoticesResponse, "notices")
class SetExpiryNoticesPayload: ...


@query(by_rpc("loyalty.GetExpiryNotices"))
async def expiry_notices(info: Info, program_id: strawberry.ID) -> pb.ExpiryNotices:
    """How many days before points of a programme expire its members hear of it."""
    request = pb.GetExpiryNoticesRequest(program_id=program_id)
    answer = await info.context.backends.loyalty.GetExpiryNotices(request, metadata=info.context.metadata)
    return answer.notices


@mutation(by_rpc("loyalty.SetExpiryNotices"))
async def set_expiry_notices(info: Info, input: pb.SetExpiryNoticesRequest) -> pb.SetExpiryNoticesResponse:
    return await info.context.backends.loyalty.SetExpiryNotices(input, metadata=info.context.metadata)


@subscription(by_rpc("loyalty.FollowNotices"))
async def loyalty_account_changed(
    info: Info,
    customers: list[strawberry.ID] | None = None,
    program_id: strawberry.ID | None = None,
    after: str | None = None,
) -> AsyncGenerator[pb.Notice, None]:
    """What happens to balances, tiers, rewards and coupons of all customers or of up to 100, from now on or after the
    `cursor` of a notice: each once, in order. Several notices of one entry have one cursor."""
    ids = [own_id(Customer, each) for each in customers or ()]

    def opened(cursor: str) -> AsyncIterable[pb.FollowNoticesResponse]:
        request = pb.FollowNoticesRequest(
            after_cursor=cursor, customer_ids=ids, program_id=program_id or "", from_now=True
        )
        return info.context.backends.loyalty.FollowNotices(request, metadata=info.context.metadata)

    async with aclosing(resumed(opened, after or "")) as batches:
        async for batch in batches:
            for notice in batch.notices:
                yield notice


@edge(LoyaltyNotice, by_rpc("loyalty.BatchGetMembers"), name="member")
async def member_of_notice(notice: Parent[pb.Notice], info: Info) -> loyalty_service_pb2.Member | None:
    """The member's standing now; null where the notice is of no programme."""
    return await loaders.member(info.context, notice.program_id, notice.customer_id) if notice.program_id else None


@edge(LoyaltyNotice, by_rpc("profiles.BatchGetCustomers"), name="customer")
async def customer_of_notice(notice: Parent[pb.Notice], info: Info) -> profiles_pb.Customer | None:
    """The customer."""
    return await loaders.customer(info.context, notice.customer_id)
