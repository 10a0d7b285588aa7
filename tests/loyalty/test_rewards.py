"""Rewards: reserved, fulfilled, given back, never more than there are, and never to whom they are not for."""

import asyncio
import os
import re
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services.common.clock import from_micros
from services.common.errors import Refusal
from services.common.jobs import Jobs, State
from services.common.store.mongo import MongoStore
from services.loyalty.adapters.coupons import StoredCoupons
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.store import StoredRedemptions, StoredRewards
from services.loyalty.domain.operations import CreateReward
from services.loyalty.domain.redemption import Redemption, RedemptionState, TakeReward
from services.loyalty.domain.reward import RewardTerms
from services.loyalty.handlers.coupons import generate_coupons
from services.loyalty.handlers.rewards import (
    cancel_redemption,
    create_reward,
    expire_redemptions,
    fulfil_redemption,
    redeem_reward,
    reserve_reward,
)
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import DAY, NOW, TENANT, earning, opening, request
from tests.loyalty.promoting import open_campaign, use, where
from tests.mongodb import mongodb_url
from tests.whole_platform import until

__all__ = ["mongodb_url"]

CONTRACT = Path(__file__).parents[2] / "protos/tessera/loyalty/v1/reward.proto"


async def offer(house: House, reward_id: str = "mug", stock: int | None = None, cost: int = 10, **terms: Any) -> None:
    made = CreateReward(
        program_id="club", reward_id=reward_id, name="Mug", cost=cost, stock=stock, terms=RewardTerms(**terms)
    )
    await create_reward(house.ledger, StoredCoupons(house.store), request(f"offer-{reward_id}"), made)


async def reserve(house: House, id: str, member_id: str = "ann", reward_id: str = "mug") -> Redemption:
    taking = TakeReward(program_id="club", member_id=member_id, reward_id=reward_id, request_id=id, reserve_for=DAY)
    return await reserve_reward(
        house.ledger, StoredCoupons(house.store), StoredRewards(house.store), request(id), taking
    )


async def redeem(house: House, id: str, reward_id: str = "mug") -> Redemption:
    entry = await redeem_reward(
        house.ledger,
        StoredRewards(house.store),
        StoredCoupons(house.store),
        request(id),
        program_id="club",
        member_id="ann",
        reward_id=reward_id,
    )
    found = await StoredRedemptions(house.store).get(TENANT, entry.id)
    assert found is not None
    return found


async def fulfil(house: House, redemption_id: str, id: str) -> Redemption:
    rewards, coupons, redemptions = (
        StoredRewards(house.store),
        StoredCoupons(house.store),
        StoredRedemptions(house.store),
    )
    return await fulfil_redemption(house.ledger, rewards, coupons, redemptions, request(id), redemption_id)


async def cancel(house: House, redemption_id: str, id: str) -> Redemption:
    return await cancel_redemption(house.ledger, StoredRedemptions(house.store), request(id), redemption_id)


async def left(house: House, reward_id: str = "mug") -> int | None:
    reward = await StoredRewards(house.store).get(TENANT, "club", reward_id)
    assert reward is not None
    return reward.left


async def give(house: House, points: int = 100, member_id: str = "ann") -> None:
    await house.ledger.post(request(f"give-{member_id}"), earning(f"give-{member_id}", points, member_id))


async def test_points_and_stock_are_set_aside_and_come_back_exactly_and_once(house: House) -> None:
    await give(house)
    await offer(house, stock=1)
    before = await house.member("ann")
    held = await reserve(house, "r1")
    assert (held.state, held.next_expire_time) == (RedemptionState.RESERVED, NOW + DAY)
    assert ((await house.member("ann")).balance, await left(house)) == (90, 0)
    for n in range(2):
        assert (await cancel(house, held.redemption_id, f"c{n}")).state is RedemptionState.CANCELLED
    after = await house.member("ann")
    assert (after.lots, after.spent, await left(house)) == (before.lots, 0, 1)
    with pytest.raises(Refusal) as refused:
        await fulfil(house, held.redemption_id, "too-late")
    assert refused.value.reason == "REDEMPTION_ENDED"
    assert (await house.audit()).violations == []


async def test_what_is_fulfilled_stays_until_it_is_rolled_back(house: House) -> None:
    await give(house)
    await offer(house, stock=1)
    held = await reserve(house, "r1")
    for n in range(2):
        assert (await fulfil(house, held.redemption_id, f"f{n}")).state is RedemptionState.FULFILLED
    house.clock.micros += 2 * DAY
    coupons, redemptions = StoredCoupons(house.store), StoredRedemptions(house.store)
    assert await expire_redemptions(house.ledger, redemptions, coupons, house.clock.micros) == 0
    assert (await cancel(house, held.redemption_id, "c")).state is RedemptionState.ROLLED_BACK
    assert ((await house.member("ann")).balance, await left(house)) == (100, 1)
    entries = (await house.audit()).entries
    assert entries == 3
    found, _ = await redemptions.page(TENANT, "club", "ann", 10, "")
    assert [each.state for each in found] == [RedemptionState.ROLLED_BACK]


async def test_a_reservation_ends_with_its_time(house: House) -> None:
    await give(house)
    await offer(house, stock=1)
    held = await reserve(house, "r1")
    coupons, redemptions = StoredCoupons(house.store), StoredRedemptions(house.store)
    assert await expire_redemptions(house.ledger, redemptions, coupons, NOW + DAY - 1) == 0
    house.clock.micros += DAY
    with pytest.raises(Refusal) as refused:
        await fulfil(house, held.redemption_id, "late")
    assert refused.value.reason == "REDEMPTION_ENDED"
    assert await expire_redemptions(house.ledger, redemptions, coupons, house.clock.micros) == 1
    found = await redemptions.get(TENANT, held.redemption_id)
    assert found is not None
    assert found.state is RedemptionState.EXPIRED
    assert ((await house.member("ann")).balance, await left(house)) == (100, 1)
    assert (await house.audit()).violations == []


async def _storm(houses: list[House]) -> Counter[str]:
    """Reserve, and cancel every other reservation, all at once; each then tries again."""

    async def take(n: int) -> str:
        house = houses[n % len(houses)]
        try:
            held = await reserve(house, f"r{n}", f"p{n % 6}")
        except Refusal as refusal:
            return refusal.reason
        if n % 2:
            return "held"
        await cancel(house, held.redemption_id, f"c{n}")
        return "given back"

    return Counter(await asyncio.gather(*(take(n) for n in range(40))))


async def _check_storm(house: House, outcome: Counter[str]) -> None:
    assert set(outcome) <= {"held", "given back", "OUT_OF_STOCK"}
    assert await left(house) == 5 - outcome["held"]
    assert outcome["held"] <= 5
    members = [await house.member(f"p{n}") for n in range(6)]
    assert sum(member.balance for member in members) == 6 * 100 - 10 * outcome["held"]
    assert (await house.audit()).violations == []


async def test_stock_is_never_oversold_under_parallel_load(house: House) -> None:
    for n in range(6):
        await give(house, member_id=f"p{n}")
    await offer(house, stock=5)
    await _check_storm(house, await _storm([house]))


async def test_stock_is_never_oversold_where_two_services_share_a_database(mongodb_url: str) -> None:
    database = f"loyalty_{uuid.uuid4().hex[:12]}"
    stores = [await MongoStore.open(mongodb_url, database, COLLECTIONS) for _ in range(2)]
    houses = [House(store, StoredLedger(store, clock := SetClock()), clock) for store in stores]
    await houses[0].ledger.post(request("open"), opening("club"))
    for n in range(6):
        await give(houses[0], member_id=f"p{n}")
    await offer(houses[0], stock=5)
    await _check_storm(houses[1], await _storm(houses))
    for house in houses:
        await house.ledger.close()
        await house.store.close()


async def test_a_member_has_as_many_as_it_may_have_in_all_and_in_a_time(house: House) -> None:
    await give(house)
    await offer(house, member_limit=3, period_limit=2, period=7 * DAY)
    first = await redeem(house, "a")
    await redeem(house, "b")
    with pytest.raises(Refusal) as refused:
        await redeem(house, "c")
    assert refused.value.reason == "REWARD_PERIOD_LIMIT_REACHED"
    await cancel(house, first.redemption_id, "back")
    await redeem(house, "d")
    house.clock.micros += 7 * DAY
    await redeem(house, "e")
    with pytest.raises(Refusal) as refused:
        await redeem(house, "f")
    assert refused.value.reason == "REWARD_MEMBER_LIMIT_REACHED"
    assert (await house.member("ann")).balance == 70


async def test_a_reward_can_give_a_code_that_goes_when_it_is_rolled_back_unless_it_was_used(house: House) -> None:
    await give(house)
    await open_campaign(house, "gifts", pattern="G-########")
    await offer(house, coupon_campaign_id="gifts")
    with pytest.raises(Refusal) as refused:
        await redeem(house, "early")
    assert refused.value.reason == "COUPON_POOL_EMPTY"
    jobs, coupons = Jobs(house.store, lambda: from_micros(NOW)), StoredCoupons(house.store)
    job = await generate_coupons(house.ledger, coupons, jobs, os.urandom, request("make"), "gifts", 3)

    async def done() -> bool:
        return (await jobs.get(TENANT, job.job_id)).state is State.SUCCEEDED

    await until(done)
    kept = await redeem(house, "a")
    back = await redeem(house, "b")
    held = await reserve(house, "c")
    assert (held.code, len({kept.code, back.code})) == ("", 2)
    assert (await fulfil(house, held.redemption_id, "f")).code not in ("", kept.code, back.code)
    await cancel(house, back.redemption_id, "back")
    with pytest.raises(Refusal) as refused:
        await use(house, "gone", back.code)
    assert refused.value.reason == "COUPON_NOT_FOUND"
    await use(house, "used", kept.code)
    with pytest.raises(Refusal) as refused:
        await cancel(house, kept.redemption_id, "used-back")
    assert refused.value.reason == "REWARD_CODE_USED"
    assert (await house.audit()).violations == []


def documented_order() -> list[str]:
    return re.findall(r"^// +\d+\. [A-Z_]+ +([A-Z_]+)$", CONTRACT.read_text(), re.MULTILINE)


SOON, OVER = {"start_time": NOW + DAY}, {"end_time": NOW - DAY}
CASES: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("REWARD_NOT_STARTED", "REWARD_NOT_ELIGIBLE"), SOON | {"tier_ids": ("gold",)}),
    (("REWARD_ENDED", "REWARD_NOT_ELIGIBLE"), OVER | {"condition": where("customer.id", "bob")}),
    (("REWARD_NOT_ELIGIBLE", "OUT_OF_STOCK"), {"tier_ids": ("gold",), "stock": 0}),
    (("REWARD_NOT_ELIGIBLE", "INSUFFICIENT_POINTS"), {"condition": where("customer.id", "bob"), "cost": 999}),
    (
        ("REWARD_MEMBER_LIMIT_REACHED", "REWARD_PERIOD_LIMIT_REACHED"),
        {"member_limit": 1, "period_limit": 1, "period": DAY},
    ),
    (("REWARD_PERIOD_LIMIT_REACHED", "OUT_OF_STOCK"), {"period_limit": 1, "period": DAY, "stock": 1}),
    (("OUT_OF_STOCK", "COUPON_POOL_EMPTY"), {"stock": 0, "coupon_campaign_id": "gifts"}),
    (("COUPON_POOL_EMPTY", "INSUFFICIENT_POINTS"), {"cost": 999, "coupon_campaign_id": "gifts"}),
    (("INSUFFICIENT_POINTS",), {"cost": 999}),
]


@pytest.mark.parametrize(("deserved", "terms"), CASES, ids=lambda value: value[0] if isinstance(value, tuple) else "")
async def test_each_redemption_gets_the_first_refusal_that_it_deserves(
    house: House, deserved: tuple[str, ...], terms: dict[str, Any]
) -> None:
    await give(house)
    await open_campaign(house, "gifts", pattern="G-########")
    await offer(house, **terms)
    if "LIMIT" in deserved[0]:
        await redeem(house, "before")
    before = await house.member("ann")
    with pytest.raises(Refusal) as refused:
        await redeem(house, "now")
    assert refused.value.reason == min(deserved, key=documented_order().index) == deserved[0]
    assert await house.member("ann") == before


async def test_every_documented_refusal_of_rewards_is_tested_and_bad_terms_are_refused(house: House) -> None:
    assert {deserved[0] for deserved, _ in CASES} == set(documented_order())
    wrong: list[dict[str, Any]] = [{"start_time": 5, "end_time": 5}, {"period_limit": 1}, {"period": DAY}]
    for n, terms in enumerate(wrong):
        with pytest.raises(Refusal) as refused:
            await offer(house, f"r{n}", **terms)
        assert refused.value.reason == "REWARD_TERMS_INVALID"
