"""The gateway over real services: what goes in through it comes out of every service that learnt it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.loyalty.app import Settings as LoyaltySettings
from services.loyalty.app import serve as serve_loyalty
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from services.segmentation.app import Settings as SegmentationSettings
from services.segmentation.app import serve as serve_segmentation
from tests.conftest import Keyring
from tests.gateway.platform import Client, Configure, gateway_over

INGEST = "mutation ($events: [EventInput!]!) { ingestEvents(input: {events: $events}) { recordedCount } }"
CUSTOMER = """query ($userId: String!) { customer(userId: $userId) {
  id customerId
  traits { name value }
  lifetime { orderCount spend { amount currency } }
  timeline(first: 1, name: "Order Completed") { nodes { name properties } pageInfo { hasNextPage } }
  segments { name memberCount }
  rfm { frequency monetary { amount } cell }
  loyalty { balancePoints entries(first: 5) { nodes { kind points } } }
} }"""
BIG = {
    "event": {
        "event": "Order Completed",
        "aggregate": "SUM",
        "property": "total",
        "operator": "AT_LEAST",
        "values": [{"numberValue": 50}],
    }
}


@pytest.fixture
async def platform(configure: Configure, keyring: Keyring) -> AsyncIterator[Client]:
    async with serve_profiles(configure(ProfilesSettings)) as profiles:
        known = {"profiles_addr": profiles.address}
        async with (
            serve_segmentation(configure(SegmentationSettings, **known)) as segmentation,
            serve_loyalty(configure(LoyaltySettings, **known)) as loyalty,
            gateway_over(
                configure,
                keyring,
                {"profiles": profiles.address, "segmentation": segmentation.address, "loyalty": loyalty.address},
            ) as client,
        ):
            yield client


def _order(user: str, number: int, total: float) -> dict[str, Any]:
    product = {"product_id": "p1", "price": total, "quantity": 1}
    return {
        "messageId": f"{user}-{number}",
        "type": "TRACK",
        "name": "Order Completed",
        "userId": user,
        "eventTime": (datetime.now(UTC) - timedelta(days=3, minutes=number)).isoformat(),
        "properties": {"order_id": f"{user}-{number}", "currency": "USD", "total": total, "products": [product]},
    }


async def _until(client: Client, query: str, variables: dict[str, Any], learnt: Any) -> Any:
    """The customer, as soon as every follower has caught up."""
    async with asyncio.timeout(30):
        while True:
            customer = (await client.data(query, variables))["customer"]
            if learnt(customer):
                return customer
            await asyncio.sleep(0.05)


async def test_one_customer_is_seen_from_every_service_in_one_query(platform: Client) -> None:
    program = '{programId: "club", name: "Club", currency: "USD", pointsPer100Minor: 1, validityMonths: 12}'
    await platform.data(f"mutation {{ createProgram(input: {program}) {{ program {{ id }} }} }}")
    identify = {"messageId": "i1", "type": "IDENTIFY", "userId": "7", "traits": {"city": "Berlin"}}
    orders = [_order("7", 1, 40.5), _order("7", 2, 12.25), _order("8", 1, 9.99)]
    assert await platform.data(INGEST, {"events": [identify, *orders]}) == {"ingestEvents": {"recordedCount": 4}}
    create = 'mutation ($rule: RuleInput!) { createSegment(input: {name: "Big", rule: $rule}) { segment { id } } }'
    segment = (await platform.data(create, {"rule": BIG}))["createSegment"]["segment"]["id"]
    refresh = "mutation ($id: ID!) { refreshSegment(input: {segmentId: $id}) { segment { memberCount } } }"

    def learnt(seen: Any) -> Any:
        entries = seen["loyalty"]["entries"]["nodes"] if seen["loyalty"] else ()
        return len(entries) == 2 and seen["rfm"] is not None and seen["rfm"]["frequency"] == 2 and seen["segments"]

    customer = await _until(platform, CUSTOMER, {"userId": "7"}, learnt)
    assert (await platform.data(refresh, {"id": segment}))["refreshSegment"]["segment"]["memberCount"] == 1
    assert customer["traits"] == [{"name": "city", "value": "Berlin"}]
    assert customer["lifetime"] == {"orderCount": 2, "spend": [{"amount": "52.75", "currency": "USD"}]}
    assert customer["timeline"]["nodes"][0]["properties"]["total"] == 40.5
    assert customer["timeline"]["pageInfo"]["hasNextPage"] is True
    assert customer["segments"] == [{"name": "Big", "memberCount": 1}]
    assert customer["rfm"]["frequency"] == 2
    assert customer["rfm"]["monetary"] == {"amount": "52.75"}
    assert customer["loyalty"]["balancePoints"] == 40 + 12
    assert {entry["points"] for entry in customer["loyalty"]["entries"]["nodes"]} == {40, 12}

    other = 'query ($id: ID!) { node(id: $id) { id } segment(id: "x") { id } customers { nodes { id } } }'
    nothing = await platform.data(other, {"id": customer["id"]}, tenant="globex")
    assert nothing == {"node": None, "segment": None, "customers": {"nodes": []}}


async def test_a_reward_is_redeemed_once_however_often_it_is_asked_for(platform: Client) -> None:
    program = '{programId: "club", name: "Club", currency: "USD", pointsPer100Minor: 1}'
    reward = '{programId: "club", rewardId: "mug", name: "Mug", costPoints: 30}'
    earn = '{programId: "club", memberId: "c1", points: 50}'
    await platform.data(
        f"""mutation {{ createProgram(input: {program}) {{ program {{ id }} }}
                        createReward(input: {reward}) {{ reward {{ rewardId }} }}
                        earnPoints(input: {earn}) {{ entry {{ balancePoints }} }} }}"""
    )
    redeem = """mutation ($request: ID) { redeemReward(input: {requestId: $request, programId: "club", memberId: "c1",
                rewardId: "mug"}) { redemptionId balancePoints entry { kind member { availablePoints } } } }"""
    first = (await platform.data(redeem, {"request": "r1"}))["redeemReward"]
    assert first["balancePoints"] == 20
    assert first["entry"] == {"kind": "REDEMPTION", "member": {"availablePoints": 20}}
    assert (await platform.data(redeem, {"request": "r1"}))["redeemReward"] == first
    refused = await platform.error(redeem)
    assert refused["extensions"]["code"] == "INSUFFICIENT_POINTS"
    assert refused["extensions"]["service"] == "loyalty"
