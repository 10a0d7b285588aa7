"""What members do together, through the gateway over real services: achievements, wallets, wheels, accounts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.loyalty.app import Settings as LoyaltySettings
from services.loyalty.app import serve as serve_loyalty
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from tests.conftest import Keyring
from tests.gateway.platform import Client, Configure, gateway_over

OPEN = """mutation {
  createProgram(input: {programId: "club", name: "Club", currency: "USD", pointsPer100Minor: 1}) { program { id } }
  createWallet(input: {programId: "club", walletId: "stars", name: "Stars", pointsPer100Minor: 2}) {
    wallet { walletProgramId } }
  createAchievement(input: {programId: "club", achievement: {achievementId: "spender", name: "Spender", badge: "coin",
    active: true, period: ONCE, rewardPoints: 5, revokedByRefund: true,
    steps: [{eventName: "Order Completed", measure: SUM, propertyName: "total", target: 100}]}}) {
    achievement { version badge steps { target measure } } }
  createLeaderboard(input: {programId: "club", leaderboard: {leaderboardId: "spent", name: "Spent",
    metric: ACHIEVEMENT, period: ALL_TIME, achievementId: "spender"}}) { leaderboard { active metric period } }
  setSpendingPolicy(input: {programId: "club", policy: {transfersAllowed: true,
    payment: {points: 1, amountMinor: 2}}}) { policy { transfersAllowed payment { points amountMinor } } }
}"""
SEEN = """query ($userId: String!) { customer(userId: $userId) { customerId loyalty {
  memberId balancePoints
  achievements { achievement { badge } steps { amount target } completedCount completions { rewardPoints revokeTime } }
  wallets { wallet { walletId } balancePoints }
  leaderboardStanding(leaderboardId: "spent", neighbours: 2) {
    standing { rank score memberId } ahead { rank score displayName memberId } behind { score } memberCount }
} } }"""
BOARD = """{ programs(first: 1) { nodes { programId achievements { achievementId } wallets { walletId }
  leaderboards { leaderboardId standings(first: 1) { nodes { rank tied score displayName memberId }
    pageInfo { hasNextPage } } } } } }"""
INGEST = "mutation ($events: [EventInput!]!) { ingestEvents(input: {events: $events}) { recordedCount } }"


@pytest.fixture
async def club(configure: Configure, keyring: Keyring) -> AsyncIterator[Client]:
    async with serve_profiles(configure(ProfilesSettings)) as profiles:
        known = {"profiles_addr": profiles.address}
        async with (
            serve_loyalty(configure(LoyaltySettings, **known)) as loyalty,
            gateway_over(configure, keyring, {"profiles": profiles.address, "loyalty": loyalty.address}) as client,
        ):
            await client.data(OPEN)
            yield client


def told(user: str, name: str, number: int, total: float) -> dict[str, Any]:
    product = {"product_id": "p1", "price": total, "quantity": 1}
    return {
        "messageId": f"{name.split()[1]}-{user}-{number}",
        "type": "TRACK",
        "name": name,
        "userId": user,
        "eventTime": (datetime.now(UTC) - timedelta(minutes=number)).isoformat(),
        "properties": {"order_id": f"{user}-{number}", "currency": "USD", "total": total, "products": [product]},
    }


async def seen(client: Client, user: str, learnt: Any) -> Any:
    """What there is of a customer, once loyalty has learnt it."""
    async with asyncio.timeout(30):
        while True:
            customer = (await client.data(SEEN, {"userId": user}))["customer"]
            if customer and customer["loyalty"] and learnt(customer["loyalty"]):
                return customer["loyalty"]
            await asyncio.sleep(0.05)


async def test_orders_complete_achievements_fill_wallets_and_rank_members(club: Client) -> None:
    orders = [
        told("7", "Order Completed", 1, total=80.0),
        told("7", "Order Completed", 2, total=40.0),
        told("8", "Order Completed", 1, total=90.0),
    ]
    assert await club.data(INGEST, {"events": orders}) == {"ingestEvents": {"recordedCount": 3}}
    first = await seen(club, "7", lambda loyalty: loyalty["balancePoints"] == 125)
    (done,) = first["achievements"]
    assert (done["achievement"]["badge"], done["completedCount"]) == ("coin", 1)
    assert (done["steps"], done["completions"]) == (
        [{"amount": 120.0, "target": 100.0}],
        [{"rewardPoints": 5, "revokeTime": None}],
    )
    balances = {each["wallet"]["walletId"]: each["balancePoints"] for each in first["wallets"]}
    assert balances == {"": 125, "stars": 240}
    second = await seen(club, "8", lambda loyalty: loyalty["balancePoints"] == 90)
    standing = second["leaderboardStanding"]
    assert standing["standing"] == {"rank": 2, "score": 90.0, "memberId": second["memberId"]}
    assert [(each["rank"], each["score"], each["memberId"]) for each in standing["ahead"]] == [
        (1, 120.0, first["memberId"])
    ]
    assert (standing["behind"], standing["memberCount"]) == ([], 2)
    (program,) = (await club.data(BOARD, scopes=["loyalty:read"]))["programs"]["nodes"]
    (board,) = program["leaderboards"]
    (best,) = board["standings"]["nodes"]
    assert (best["rank"], best["tied"], best["score"], best["memberId"]) == (1, False, 120.0, "")
    assert best["displayName"] == standing["ahead"][0]["displayName"]
    assert (board["standings"]["pageInfo"], len(program["achievements"])) == ({"hasNextPage": True}, 1)

    refund = told("7", "Order Refunded", 2, total=30.0)
    await club.data(INGEST, {"events": [{**refund, "messageId": "refund"}]})
    # Balance and achievements are read one after the other: the refund may come between.
    after = await seen(
        club, "7", lambda loyalty: (loyalty["achievements"][0]["completedCount"], loyalty["balancePoints"]) == (0, 90)
    )
    assert after["achievements"][0]["completions"][0]["revokeTime"] is not None
    naming = f'{{programId: "club", memberId: "{second["memberId"]}", hidden: true}}'
    await club.data(f"mutation {{ setLeaderboardName(input: {naming}) {{ name {{ hidden }} }} }}")
    alone = await seen(club, "7", lambda loyalty: loyalty["leaderboardStanding"]["memberCount"] == 1)
    assert (alone["leaderboardStanding"]["standing"]["rank"], alone["leaderboardStanding"]["standing"]["score"]) == (
        1,
        90.0,
    )


async def test_a_member_spins_a_wheel_until_the_limit(club: Client) -> None:
    await club.data(INGEST, {"events": [told("7", "Order Completed", 1, total=80.0)]})
    ann = (await seen(club, "7", lambda loyalty: loyalty["balancePoints"] == 80))["memberId"]
    wheel = (
        '{wheelId: "luck", name: "Luck", costPoints: 10, spinLimit: 2, limitPeriod: DAY, '
        'sectors: [{label: "nothing", weight: 3, stockCount: 0}, {label: "7 points", weight: 1, prizePoints: 7}]}'
    )
    create = f'mutation {{ createWheel(input: {{programId: "club", wheel: {wheel}}}) {{ wheel {{ seedHash seed }} }} }}'
    made = (await club.data(create))["createWheel"]["wheel"]
    assert (len(made["seedHash"]), made["seed"]) == (64, "")
    spinning = f'{{programId: "club", wheelId: "luck", memberId: "{ann}", requestId: "s1"}}'
    spin = f"mutation {{ spinWheel(input: {spinning}) {{ spin {{ label weights drawnNumber }} balancePoints }} }}"
    for _ in range(2):
        spun = (await club.data(spin))["spinWheel"]
        assert spun == {"spin": {"label": "7 points", "weights": [0, 1], "drawnNumber": 0}, "balancePoints": 77}
    await club.data(spin.replace('"s1"', '"s2"'))
    error = await club.error(spin.replace('"s1"', '"s3"'))
    assert error["extensions"]["code"] == "WHEEL_SPIN_LIMIT_REACHED"
    update = '{programId: "club", wheelId: "luck", active: true, stocks: [{sector: 0, stockCount: 1}]}'
    await club.data(f"mutation {{ updateWheel(input: {update}) {{ wheel {{ active }} }} }}")
    listing = f"""{{ programs(first: 1) {{ nodes {{ wheels(memberId: "{ann}") {{ leftSpinCount spinCount
        sectors {{ chance wonCount leftCount }} spins(first: 1) {{ nodes {{ number memberId }} }} }} }} }} }}"""
    ((listed,),) = [each["wheels"] for each in (await club.data(listing))["programs"]["nodes"][:1]]
    assert (listed["leftSpinCount"], listed["spinCount"]) == (0, 2)
    assert listed["sectors"] == [
        {"chance": 0.75, "wonCount": 0, "leftCount": 1},
        {"chance": 0.25, "wonCount": 2, "leftCount": None},
    ]
    assert listed["spins"]["nodes"] == [{"number": 2, "memberId": ann}]
    own = '{ customer(userId: "7") { loyalty { spins(first: 5) { nodes { number prizePoints } } } } }'
    found = (await club.data(own))["customer"]["loyalty"]["spins"]["nodes"]
    assert found == [{"number": 2, "prizePoints": 7}, {"number": 1, "prizePoints": 7}]


async def test_members_share_an_account_and_transfer_points(club: Client) -> None:
    orders = [told("7", "Order Completed", 1, total=80.0), told("8", "Order Completed", 1, total=60.0)]
    await club.data(INGEST, {"events": orders})
    ann = (await seen(club, "7", lambda loyalty: loyalty["balancePoints"] == 80))["memberId"]
    bob = (await seen(club, "8", lambda loyalty: loyalty["balancePoints"] == 60))["memberId"]
    sending = f'{{programId: "club", senderId: "{ann}", receiverId: "{bob}", points: 30, requestId: "t"}}'
    send = f"mutation {{ transferPoints(input: {sending}) {{ transfer {{ points }} senderBalancePoints }} }}"
    for _ in range(2):
        assert (await club.data(send))["transferPoints"] == {"transfer": {"points": 30}, "senderBalancePoints": 50}
    error = await club.error(send.replace('points: 30, requestId: "t"', 'points: 51, requestId: "more"'))
    assert error["extensions"]["code"] == "INSUFFICIENT_POINTS"
    opening = f'{{programId: "club", accountId: "home", name: "Home", usersMax: 2, ownerId: "{ann}"}}'
    joining = f'{{programId: "club", accountId: "home", customerId: "{bob}", role: SPENDER, bringPoints: true}}'
    await club.data(
        f"""mutation {{ openSharedAccount(input: {opening}) {{ account {{ memberId }} }}
            joinSharedAccount(input: {joining}) {{ account {{ users {{ customerId role }} }} }} }}"""
    )
    query = """query ($userId: String!) { customer(userId: $userId) { loyalty {
      transfers(received: true) { nodes { senderId points } }
      sharedAccount { accountId users { customerId role } history { change }
        member { balancePoints } activity { nodes { customerId points earned } } } } } }"""
    loyalty = (await club.data(query, {"userId": "8"}))["customer"]["loyalty"]
    assert {each["senderId"]: each["points"] for each in loyalty["transfers"]["nodes"]}[ann] == 30
    account = loyalty["sharedAccount"]
    assert account["users"] == [{"customerId": ann, "role": "OWNER"}, {"customerId": bob, "role": "SPENDER"}]
    assert (account["member"], [each["change"] for each in account["history"]]) == (
        {"balancePoints": 90},
        ["JOINED", "JOINED"],
    )
    await club.data(INGEST, {"events": [told("8", "Order Completed", 2, total=10.0)]})
    async with asyncio.timeout(30):
        while not account["activity"]["nodes"]:
            account = (await club.data(query, {"userId": "8"}))["customer"]["loyalty"]["sharedAccount"]
            await asyncio.sleep(0.05)
    assert account["activity"]["nodes"] == [{"customerId": bob, "points": 10, "earned": True}]


async def test_another_tenant_sees_nothing_of_a_club(club: Client) -> None:
    assert await club.data(BOARD, tenant="globex") == {"programs": {"nodes": []}}
