"""Loyalty over real gRPC, following a real profiles."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.clock import from_micros, system_clock, to_micros
from services.common.grpc_errors import error_info
from services.loyalty.app import Settings, serve
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from tests.conftest import Keyring
from tests.loyalty.club import NOBODY, Club
from tests.loyalty.conftest import SetClock
from tests.loyalty.making import DAY

NEVER = Timestamp(seconds=2**60)


@pytest.fixture
def now() -> SetClock:
    return SetClock(to_micros(system_clock()))


@pytest.fixture
async def club(configure: Callable[..., Any], keyring: Keyring, now: SetClock) -> AsyncIterator[Club]:
    """A server with the programme; when the test is over its ledger is checked."""
    settings = configure(Settings, profiles_addr=NOBODY, expiry_interval_seconds=0.05)
    async with serve(settings, now) as up, grpc.aio.insecure_channel(up.address) as channel:
        client = Club(LoyaltyServiceStub(channel), keyring.header())
        await client.open()
        yield client
        assert list((await client.check()).violations) == []


async def test_what_is_earned_and_burned_is_in_the_answer_the_balance_and_the_statement(club: Club) -> None:
    earned = await club.earn(120, reason="welcome")
    burned = await club.burn(20, reason="parking")
    assert (earned.balance_points, burned.balance_points) == (120, 100)
    assert (earned.kind, earned.debit, earned.credit) == (
        pb.ENTRY_KIND_GRANT,
        pb.ACCOUNT_KIND_ISSUANCE,
        pb.ACCOUNT_KIND_MEMBER,
    )
    assert (earned.tier_id, earned.tier_changed, burned.tier_changed) == ("gold", True, False)
    member = await club.member()
    assert (member.balance_points, member.available_points, member.earned_points, member.spent_points) == (
        100,
        100,
        120,
        20,
    )
    assert (member.tier.name, member.HasField("next_tier"), member.entry_count) == ("Gold", False, 2)
    listed = await club.stub.ListEntries(
        pb.ListEntriesRequest(program_id="club", member_id="ann"), metadata=club.metadata
    )
    assert list(listed.entries) == [burned, earned]


async def test_a_statement_comes_in_pages(club: Club) -> None:
    entries = [await club.earn(number) for number in range(1, 6)]
    found: list[pb.Entry] = []
    token = ""
    while True:
        request = pb.ListEntriesRequest(program_id="club", member_id="ann", page_size=2, page_token=token)
        page = await club.stub.ListEntries(request, metadata=club.metadata)
        found += page.entries
        token = page.next_page_token
        if not token:
            break
    assert found == entries[::-1]


async def test_a_thousand_calls_at_once_on_one_member_are_all_applied(club: Club) -> None:
    await club.earn(1000)
    await asyncio.gather(*(club.earn(3) if number % 2 else club.burn(2) for number in range(1000)))
    member = await club.member()
    assert (member.balance_points, member.entry_count) == (1500, 1001)


async def test_a_redemption_answers_with_its_id_and_the_balance_after(club: Club) -> None:
    await club.earn(50)
    offered = await club.reward("mug", 20, 2)
    assert (offered.stock_count, offered.left_count) == (2, 2)
    redeemed = await club.redeem("mug")
    assert (redeemed.redemption_id, redeemed.balance_points) == (redeemed.entry.entry_id, 30)
    await club.reward("hug", 1, None)
    listed = await club.stub.ListRewards(pb.ListRewardsRequest(program_id="club"), metadata=club.metadata)
    assert [(it.reward_id, it.HasField("left_count"), it.left_count, it.redeemed_count) for it in listed.rewards] == [
        ("hug", False, 0, 0),
        ("mug", True, 1, 1),
    ]


async def test_points_expire_by_the_clock(club: Club, now: SetClock) -> None:
    await club.earn(30, event_time=_at(now.micros - 300 * DAY))
    await club.earn(12)
    member = await club.member()
    assert (member.expiring_points, member.balance_points) == (0, 42)
    now.micros += 50 * DAY
    assert (await club.member()).expiring_points == 30
    now.micros += 20 * DAY
    follow = club.stub.FollowEntries(pb.FollowEntriesRequest(), metadata=club.metadata)
    async for batch in follow:
        if any(entered.entry.kind == pb.ENTRY_KIND_EXPIRY for entered in batch.entries):
            break
    follow.cancel()
    member = await club.member()
    assert (member.balance_points, member.available_points, member.expired_points) == (12, 12, 30)


async def test_points_expire_on_demand_for_a_moment_once(
    configure: Callable[..., Any], keyring: Keyring, now: SetClock
) -> None:
    settings = configure(Settings, profiles_addr=NOBODY, expiry_interval_seconds=3600)
    async with serve(settings, now) as up, grpc.aio.insecure_channel(up.address) as channel:
        club = Club(LoyaltyServiceStub(channel), keyring.header())
        await club.open()
        await asyncio.gather(*(club.earn(5, f"p{n}", event_time=_at(now.micros - 400 * DAY)) for n in range(4)))
        await club.earn(5, "p0", event_time=_at(now.micros - 100 * DAY))
        early = pb.ExpirePointsRequest(program_id="club", as_of_time=_at(now.micros - 300 * DAY), request_id="x1")
        assert (await club.stub.ExpirePoints(early, metadata=club.metadata)).member_count == 0
        due = pb.ExpirePointsRequest(program_id="club", request_id="x2")
        first = await club.stub.ExpirePoints(due, metadata=club.metadata)
        assert (first.member_count, first.expired_points, first.more_due) == (4, 20, False)
        assert await club.stub.ExpirePoints(due, metadata=club.metadata) == first
        assert (await club.member("p0")).balance_points == 5
        assert list((await club.check()).violations) == []


async def test_members_are_read_many_at_once_without_those_who_are_none(club: Club) -> None:
    await club.earn(1, "ann")
    await club.earn(2, "bob")
    request = pb.BatchGetMembersRequest(program_id="club", member_ids=["ann", "bob", "ann", "nobody"])
    found = await club.stub.BatchGetMembers(request, metadata=club.metadata)
    assert {member.member_id: member.balance_points for member in found.members} == {"ann": 1, "bob": 2}


async def test_programmes_are_listed_in_pages_by_id(club: Club) -> None:
    await club.open("airline")
    first = await club.stub.ListPrograms(pb.ListProgramsRequest(page_size=1), metadata=club.metadata)
    second = await club.stub.ListPrograms(
        pb.ListProgramsRequest(page_size=1, page_token=first.next_page_token), metadata=club.metadata
    )
    assert [program.program_id for program in (*first.programs, *second.programs)] == ["airline", "club"]
    assert second.next_page_token == ""
    one = await club.stub.GetProgram(pb.GetProgramRequest(program_id="club"), metadata=club.metadata)
    assert one.program == second.programs[0]


@pytest.mark.parametrize(
    ("call", "code", "reason"),
    [
        (lambda club: club.earn(0), grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"),
        (lambda club: club.earn(1, request_id=""), grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"),
        (lambda club: club.earn(1, request_id="used"), grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
        (lambda club: club.burn(5, request_id="used"), grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
        (lambda club: club.earn(0, request_id="used"), grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"),
        (lambda club: club.earn(1, event_time=NEVER), grpc.StatusCode.INVALID_ARGUMENT, "EVENT_TIME_INVALID"),
        (lambda club: club.open(), grpc.StatusCode.ALREADY_EXISTS, "PROGRAM_EXISTS"),
        (lambda club: club.member("nobody"), grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND"),
        (lambda club: club.redeem("nothing"), grpc.StatusCode.NOT_FOUND, "REWARD_NOT_FOUND"),
        (lambda club: club.burn(6), grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_POINTS"),
    ],
)  # fmt: skip
async def test_a_refusal_has_its_code_and_its_reason(
    club: Club, call: Callable[[Club], Any], code: grpc.StatusCode, reason: str
) -> None:
    await club.earn(5, request_id="used")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(club)
    info = error_info(refused.value)
    assert info is not None
    assert (refused.value.code(), info.reason, info.domain) == (code, reason, "loyalty.tessera")


async def test_points_wait_are_posted_voided_and_refunded_by_calls(club: Club) -> None:
    rule = pb.PendingRule(release=pb.PENDING_RELEASE_ON_ACTION, duration=Duration(seconds=86400))
    opening = pb.CreateProgramRequest(
        program_id="held",
        name="Held",
        currency="USD",
        points_per_100_minor=1,
        pending=rule,
        refund_policy=pb.REFUND_POLICY_ALLOW_NEGATIVE,
        request_id="held",
    )
    opened = (await club.stub.CreateProgram(opening, metadata=club.metadata)).program
    assert (opened.pending, opened.refund_policy) == (rule, pb.REFUND_POLICY_ALLOW_NEGATIVE)
    sources = []
    for number in range(2):
        asked = pb.EarnPointsRequest(
            program_id="held", member_id="ann", points=10, pending=True, request_id=f"held{number}"
        )
        sources.append((await club.stub.EarnPoints(asked, metadata=club.metadata)).entry)
    assert [entry.credit for entry in sources] == [pb.ACCOUNT_KIND_PENDING] * 2
    shown = pb.GetMemberRequest(program_id="held", member_id="ann")
    member = (await club.stub.GetMember(shown, metadata=club.metadata)).member
    assert (member.balance_points, member.pending_points, member.available_points) == (0, 20, 0)
    assert [(lot.HasField("post_time"), lot.HasField("expire_time")) for lot in member.pending_lots] == [
        (False, True)
    ] * 2
    posting = pb.PostPendingRequest(program_id="held", entry_id=sources[0].entry_id, request_id="p")
    posted = (await club.stub.PostPending(posting, metadata=club.metadata)).entry
    voiding = pb.VoidPendingRequest(program_id="held", entry_id=sources[1].entry_id, request_id="v", reason="fraud")
    voided = (await club.stub.VoidPending(voiding, metadata=club.metadata)).entry
    assert (posted.kind, posted.balance_points, posted.pending_points) == (pb.ENTRY_KIND_POST, 10, 10)
    assert (voided.kind, voided.reason, voided.pending_points) == (pb.ENTRY_KIND_VOID, "fraud", 0)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await club.stub.PostPending(pb.PostPendingRequest(program_id="held", request_id="n"), metadata=club.metadata)
    info = error_info(refused.value)
    assert info is not None
    assert info.reason == "FIELD_INVALID"


async def test_another_tenant_sees_nothing_of_it(club: Club, keyring: Keyring) -> None:
    await club.earn(5)
    other = Club(club.stub, keyring.header("other"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await other.member()
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    request = pb.ListEntriesRequest(program_id="club", member_id="ann")
    assert list((await club.stub.ListEntries(request, metadata=other.metadata)).entries) == []
    assert (await other.check()).entry_count == 0


async def test_entries_are_followed_from_a_cursor_on_and_live(club: Club, keyring: Keyring) -> None:
    first = await club.earn(1)
    follow = club.stub.FollowEntries(pb.FollowEntriesRequest(), metadata=keyring.header("*"))
    batch = await _read(follow)
    assert [(it.tenant_id, it.entry) for it in batch.entries] == [("acme", first)]
    assert batch.caught_up
    second = await club.earn(2)
    assert [it.entry for it in (await _read(follow)).entries] == [second]
    follow.cancel()
    resumed = club.stub.FollowEntries(pb.FollowEntriesRequest(after_cursor=batch.cursor), metadata=club.metadata)
    assert [it.entry for it in (await _read(resumed)).entries] == [second]
    resumed.cancel()


async def test_orders_that_profiles_records_earn_and_the_status_says_how_far(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with (
        serve_profiles(configure(ProfilesSettings)) as source,
        serve(configure(Settings, profiles_addr=source.address)) as up,
        grpc.aio.insecure_channel(source.address) as there,
        grpc.aio.insecure_channel(up.address) as here,
    ):
        club = Club(LoyaltyServiceStub(here), keyring.header())
        await club.open()
        shop = ProfilesServiceStub(there)
        events = [_order("o1", 12.34), _order("o2", 0.5), _order("o3", 3, "EUR"), _order("o4", 107)]
        ingested = await shop.IngestEvents(profiles.IngestEventsRequest(events=events), metadata=club.metadata)
        assert ingested.recorded_count == 4
        follow = club.stub.FollowEntries(pb.FollowEntriesRequest(), metadata=club.metadata)
        earned: list[pb.Entry] = []
        while len(earned) < 2:
            earned += [it.entry for it in (await _read(follow)).entries]
        follow.cancel()
        end = (await shop.GetStatistics(profiles.GetStatisticsRequest(), metadata=club.metadata)).end_cursor
        status = await club.stub.GetStatus(pb.GetStatusRequest(), metadata=club.metadata)
        assert (status.applied_cursor, status.entry_count) == (end, 2)
        assert (status.earned_order_count, status.small_order_count, status.other_currency_order_count) == (2, 1, 1)
        assert [(entry.order_id, entry.points) for entry in earned] == [("o1", 12), ("o4", 107)]
        member = await club.member(earned[0].member_id)
        assert (member.balance_points, member.tier.tier_id) == (119, "gold")
        back = [_order("o4", 7, name="Order Refunded"), _order("o1", 0, name="Order Cancelled")]
        await shop.IngestEvents(profiles.IngestEventsRequest(events=back), metadata=club.metadata)
        follow = club.stub.FollowEntries(pb.FollowEntriesRequest(), metadata=club.metadata)
        refunds: list[pb.Entry] = []
        while len(refunds) < 2:
            entered = (await _read(follow)).entries
            refunds += [it.entry for it in entered if it.entry.kind == pb.ENTRY_KIND_REFUND]
        follow.cancel()
        assert [(entry.order_id, entry.points) for entry in refunds] == [("o4", 7), ("o1", 12)]
        rest = pb.RefundOrderRequest(program_id="club", order_id="o4", amount_minor=5000, request_id="back")
        refunded = await club.stub.RefundOrder(rest, metadata=club.metadata)
        assert (refunded.entry.points, refunded.left_amount_minor, refunded.entry.balance_points) == (50, 5000, 50)
        member = await club.member(earned[0].member_id)
        assert (member.refunded_points, member.tier.tier_id) == (69, "basic")
        status = await club.stub.GetStatus(pb.GetStatusRequest(), metadata=club.metadata)
        assert (status.refund_count, status.waiting_refund_count) == (2, 0)
        assert list((await club.check()).violations) == []


async def _read(follow: Any) -> pb.FollowEntriesResponse:
    batch = await follow.read()
    assert isinstance(batch, pb.FollowEntriesResponse)
    return batch


def _at(micros: int) -> Timestamp:
    time = Timestamp()
    time.FromDatetime(from_micros(micros))
    return time


def _order(order_id: str, total: float, currency: str = "USD", name: str = "Order Completed") -> profiles.Event:
    properties = {"order_id": order_id, "currency": currency, "total": total, "products": []}
    event = profiles.Event(
        message_id=f"{name} {order_id}",
        type=profiles.EVENT_TYPE_TRACK,
        name=name,
        user_id="ann",
        properties_json=json.dumps(properties),
    )
    event.event_time.FromDatetime(system_clock() - timedelta(days=1))
    return event
