"""Lots, blocks and what members do together, over real gRPC."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from tessera.common.v1 import rule_pb2
from tessera.loyalty.v1 import achievement_pb2 as achievement_pb
from tessera.loyalty.v1 import block_pb2 as block_pb
from tessera.loyalty.v1 import earning_pb2 as earning_pb
from tessera.loyalty.v1 import lot_pb2 as lot_pb
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1 import shared_account_pb2 as account_pb
from tessera.loyalty.v1 import transfer_pb2 as transfer_pb
from tessera.loyalty.v1 import wallet_pb2 as wallet_pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub

from services.common.grpc_errors import error_info
from services.loyalty.app import Settings, serve
from tests.conftest import Keyring
from tests.loyalty.club import NOBODY, Club


@pytest.fixture
async def club(configure: Callable[..., Any], keyring: Keyring) -> AsyncIterator[Club]:
    settings = configure(Settings, profiles_addr=NOBODY, expiry_interval_seconds=0.05)
    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        yield Club(LoyaltyServiceStub(channel), keyring.header())


async def refusal(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_info(caught.value)
    return info.reason if info else ""


async def test_lots_are_listed_by_page_and_extended(club: Club) -> None:
    validity = lot_pb.Validity(
        count=2, unit=lot_pb.VALIDITY_UNIT_YEAR, rounding=lot_pb.EXPIRY_ROUNDING_QUARTER, extended_by_activity=False
    )
    opening = pb.CreateProgramRequest(
        program_id="club", name="Club", currency="USD", points_per_100_minor=1, validity=validity, request_id="o"
    )
    opened = await club.stub.CreateProgram(opening, metadata=club.metadata)
    assert opened.program.validity == validity
    await club.earn(10)
    whole = lot_pb.ListLotsRequest(program_id="club", member_id="ann", page_size=1)
    (lot,) = (await club.stub.ListLots(whole, metadata=club.metadata)).lots
    change = lot_pb.ChangeExpiryRequest(
        program_id="club", member_id="ann", extend_days=365, reason="a gesture", request_id="c"
    )
    assert (await club.stub.ChangeExpiry(change, metadata=club.metadata)).points == 10
    await club.earn(5)
    first = await club.stub.ListLots(whole, metadata=club.metadata)
    assert [(each.points, each.expire_time) for each in first.lots] == [(5, lot.expire_time)]
    whole.page_token = first.next_page_token
    second = await club.stub.ListLots(whole, metadata=club.metadata)
    assert [each.points for each in second.lots] == [10]
    assert second.next_page_token == ""
    whole.page_token = "?"
    assert await refusal(club.stub.ListLots(whole, metadata=club.metadata)) == "INVALID_CURSOR"
    change = lot_pb.ChangeExpiryRequest(program_id="club", member_id="ann", reason="nothing", request_id="n")
    assert await refusal(club.stub.ChangeExpiry(change, metadata=club.metadata)) == "FIELD_INVALID"
    assert not (await club.check()).violations


async def test_a_blocked_member_is_refused_until_unblocked(club: Club) -> None:
    await club.open()
    await club.earn(10)
    scope = block_pb.BLOCK_SCOPE_SPENDING
    blocking = block_pb.BlockMemberRequest(
        program_id="club", member_id="ann", scope=scope, reason="stolen card", request_id="b"
    )
    entry_id = (await club.stub.BlockMember(blocking, metadata=club.metadata)).entry_id
    assert (await club.stub.BlockMember(blocking, metadata=club.metadata)).entry_id == entry_id
    assert (await club.member()).block == scope
    assert await refusal(club.burn(1)) == "MEMBER_BLOCKED"
    statement = pb.ListEntriesRequest(program_id="club", member_id="ann")
    newest = (await club.stub.ListEntries(statement, metadata=club.metadata)).entries[0]
    assert (newest.kind, newest.block, newest.reason) == (pb.ENTRY_KIND_BLOCK, scope, "stolen card")
    unblocking = block_pb.UnblockMemberRequest(program_id="club", member_id="ann", reason="card found", request_id="u")
    await club.stub.UnblockMember(unblocking, metadata=club.metadata)
    assert (await club.burn(1)).balance_points == 9
    assert not (await club.check()).violations


async def test_points_go_from_member_to_member_within_the_policy(club: Club) -> None:
    await club.open()
    await club.earn(10)
    await club.earn(1, "bob")
    transfer = transfer_pb.TransferPointsRequest(
        program_id="club", sender_id="ann", receiver_id="bob", points=4, request_id="t"
    )
    assert await refusal(club.stub.TransferPoints(transfer, metadata=club.metadata)) == "TRANSFERS_NOT_ALLOWED"
    daily = earning_pb.PeriodLimit(period=earning_pb.LIMIT_PERIOD_DAY, points=5)
    policy = transfer_pb.SpendingPolicy(transfers_allowed=True, transfer_min_points=2, sent=[daily], spent=[daily])
    setting = transfer_pb.SetSpendingPolicyRequest(program_id="club", policy=policy, request_id="p")
    kept = (await club.stub.SetSpendingPolicy(setting, metadata=club.metadata)).policy
    asked = transfer_pb.GetSpendingPolicyRequest(program_id="club")
    assert (await club.stub.GetSpendingPolicy(asked, metadata=club.metadata)).policy == kept
    assert (kept.version, list(kept.sent)) == (1, [daily])

    done = await club.stub.TransferPoints(transfer, metadata=club.metadata)
    assert (done.sender_balance_points, done.receiver_balance_points) == (6, 5)
    assert await club.stub.TransferPoints(transfer, metadata=club.metadata) == done
    transfer.request_id = "t2"
    assert await refusal(club.stub.TransferPoints(transfer, metadata=club.metadata)) == "SPENDING_LIMIT_REACHED"
    for member_id, received in (("ann", False), ("bob", True)):
        listing = transfer_pb.ListTransfersRequest(program_id="club", member_id=member_id, received=received)
        assert list((await club.stub.ListTransfers(listing, metadata=club.metadata)).transfers) == [done.transfer]
    assert ((await club.member()).sent_points, (await club.member("bob")).received_points) == (4, 4)
    await club.burn(5)
    assert await refusal(club.burn(1)) == "SPENDING_LIMIT_REACHED"
    checked = await club.check()
    assert not checked.violations
    assert checked.balances[0].transfer_points == 0


async def test_an_achievement_is_kept_as_it_was_made_and_shows_how_far_a_customer_is(club: Club) -> None:
    await club.open()
    exists = rule_pb2.Rule(field=rule_pb2.Comparison(field="coupon", operator=rule_pb2.OPERATOR_EXISTS))
    told = achievement_pb.Achievement(
        achievement_id="spender",
        name="Spender",
        badge="star",
        steps=[
            achievement_pb.AchievementStep(
                event_name="Order Completed",
                measure=achievement_pb.ACHIEVEMENT_MEASURE_SUM,
                property_name="total",
                target=99.5,
                condition=exists,
            )
        ],
        period=achievement_pb.ACHIEVEMENT_PERIOD_MONTH,
        reward_points=50,
        active=True,
    )
    creating = achievement_pb.CreateAchievementRequest(program_id="club", achievement=told, request_id="c")
    made = (await club.stub.CreateAchievement(creating, metadata=club.metadata)).achievement
    assert (made.version, made.program_id, made.steps[0]) == (1, "club", told.steps[0])
    told.reward_points = 60
    updating = achievement_pb.UpdateAchievementRequest(program_id="club", achievement=told, version=1, request_id="u")
    made = (await club.stub.UpdateAchievement(updating, metadata=club.metadata)).achievement
    asked = achievement_pb.ListAchievementsRequest(program_id="club")
    assert list((await club.stub.ListAchievements(asked, metadata=club.metadata)).achievements) == [made]
    member = achievement_pb.ListMemberAchievementsRequest(program_id="club", member_id="ann")
    (reached,) = (await club.stub.ListMemberAchievements(member, metadata=club.metadata)).achievements
    assert [(step.amount, step.target) for step in reached.steps] == [(0, 99.5)]
    told.steps[0].target = 0.5
    told.steps[0].measure = achievement_pb.ACHIEVEMENT_MEASURE_COUNT
    updating = achievement_pb.UpdateAchievementRequest(program_id="club", achievement=told, version=2, request_id="h")
    assert await refusal(club.stub.UpdateAchievement(updating, metadata=club.metadata)) == "FIELD_INVALID"


async def test_customers_share_an_account_and_its_activity_says_who_did_what(club: Club) -> None:
    await club.open()
    await club.earn(7, "bob")
    opening = account_pb.OpenSharedAccountRequest(
        program_id="club", account_id="home", name="Home", users_max=2, owner_id="ann", request_id="o"
    )
    opened = (await club.stub.OpenSharedAccount(opening, metadata=club.metadata)).account
    assert (opened.member_id, opened.users[0].role) == ("account/home", account_pb.ACCOUNT_ROLE_OWNER)
    joining = account_pb.JoinSharedAccountRequest(
        program_id="club", account_id="home", customer_id="bob", bring_points=True, request_id="j"
    )
    joined = (await club.stub.JoinSharedAccount(joining, metadata=club.metadata)).account
    assert [user.role for user in joined.users] == [account_pb.ACCOUNT_ROLE_OWNER, account_pb.ACCOUNT_ROLE_EARNER]
    assert (await club.earn(5, "bob")).member_id == opened.member_id
    assert await refusal(club.burn(1, "bob")) == "ACCOUNT_ROLE_INSUFFICIENT"
    role = account_pb.SetAccountRoleRequest(
        program_id="club",
        account_id="home",
        customer_id="bob",
        role=account_pb.ACCOUNT_ROLE_SPENDER,
        request_id="r",
    )
    await club.stub.SetAccountRole(role, metadata=club.metadata)
    assert (await club.burn(2, "bob")).balance_points == 10
    bob = await club.member("bob")
    assert (bob.account_id, bob.account_role, bob.balance_points) == (
        "account/home",
        account_pb.ACCOUNT_ROLE_SPENDER,
        0,
    )
    asked = account_pb.ListAccountActivityRequest(program_id="club", account_id="home")
    found = (await club.stub.ListAccountActivity(asked, metadata=club.metadata)).activities
    assert [(each.customer_id, each.earned, each.points) for each in found] == [("bob", False, 2), ("bob", True, 5)]
    leaving = account_pb.LeaveSharedAccountRequest(
        program_id="club", account_id="home", customer_id="bob", request_id="l"
    )
    left = (await club.stub.LeaveSharedAccount(leaving, metadata=club.metadata)).account
    getting = account_pb.GetSharedAccountRequest(program_id="club", account_id="home")
    assert (await club.stub.GetSharedAccount(getting, metadata=club.metadata)).account == left
    assert left.history[0].change == account_pb.ACCOUNT_CHANGE_LEFT
    assert not (await club.check()).violations


async def test_a_programme_has_several_wallets_and_orders_earn_in_each(club: Club) -> None:
    await club.open()
    validity = lot_pb.Validity(count=7, unit=lot_pb.VALIDITY_UNIT_DAY, rounding=lot_pb.EXPIRY_ROUNDING_DAY)
    creating = wallet_pb.CreateWalletRequest(
        program_id="club",
        wallet_id="stars",
        name="Stars",
        unit="stars",
        points_per_100_minor=3,
        validity=validity,
        request_id="w",
    )
    made = (await club.stub.CreateWallet(creating, metadata=club.metadata)).wallet
    assert (made.wallet_program_id, made.redeemable, made.validity) == ("club.stars", True, validity)
    assert (await club.stub.CreateWallet(creating, metadata=club.metadata)).wallet == made
    for wallet_id in ("club", "club.stars"):
        told = earning_pb.EarningOrder(order_id="o1", currency="USD", total_minor=1000)
        order = earning_pb.EarnByRulesRequest(
            program_id=wallet_id, member_id="ann", order=told, request_id=club.new_id()
        )
        await club.stub.EarnByRules(order, metadata=club.metadata)
    asked = wallet_pb.ListWalletsRequest(program_id="club", member_id="ann")
    found = (await club.stub.ListWallets(asked, metadata=club.metadata)).wallets
    assert [(each.wallet.wallet_id, each.balance_points, each.expiring_points) for each in found] == [
        ("", 10, 0),
        ("stars", 30, 30),
    ]
    nested = wallet_pb.CreateWalletRequest(program_id="club.stars", wallet_id="x", name="X", request_id="n")
    assert await refusal(club.stub.CreateWallet(nested, metadata=club.metadata)) == "PROGRAM_NOT_FOUND"
    medals = wallet_pb.CreateWalletRequest(
        program_id="club", wallet_id="medals", name="Medals", not_redeemable=True, request_id="m"
    )
    await club.stub.CreateWallet(medals, metadata=club.metadata)
    giving = pb.EarnPointsRequest(program_id="club.medals", member_id="ann", points=1, request_id="g")
    await club.stub.EarnPoints(giving, metadata=club.metadata)
    spending = pb.BurnPointsRequest(program_id="club.medals", member_id="ann", points=1, request_id="s")
    assert await refusal(club.stub.BurnPoints(spending, metadata=club.metadata)) == "WALLET_NOT_REDEEMABLE"
    assert not (await club.check()).violations
