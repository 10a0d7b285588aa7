"""After a merge two customers are one for every limit, and after its undoing each has used what was told of them."""

import pytest

from services.common.errors import Refusal
from services.loyalty.adapters.offers import StoredOffers
from services.loyalty.adapters.store import StoredRedemptions
from services.loyalty.domain.earning_rule import PeriodLimit
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.domain.offer import ActionKind
from services.loyalty.domain.operations import CreateReward
from services.loyalty.domain.redemption import EndRedemption, Redemption
from services.loyalty.domain.referral import ReferralState
from services.loyalty.domain.reward import RewardTerms
from services.loyalty.domain.spending_policy import SetSpendingPolicy, SpendingPolicy
from services.loyalty.domain.transfer import TransferPoints
from services.loyalty.domain.zones import Period
from tests.loyalty.conftest import House
from tests.loyalty.making import DAY, TENANT, burning, earning, redeeming, request
from tests.loyalty.promoting import cart, open_campaign, use
from tests.loyalty.test_offers import offer
from tests.loyalty.test_quotes import commit, put_up, roll_back
from tests.loyalty.test_referrals import bring, campaign, issue, ordered, settle, state, tell

MERGE = MergeTold("m", "ann", "bob")
UNMERGE = UnmergeTold("m", "ann", "bob", ("bob",))


async def merge(house: House) -> None:
    await tell(house, MERGE)


async def unmerge(house: House) -> None:
    await tell(house, UNMERGE)


async def refused(house: House, doing: object) -> str:
    with pytest.raises(Refusal) as caught:
        await doing  # type: ignore[misc]
    return caught.value.reason


async def applied(house: House, order_id: str, customer_id: str) -> int:
    return len((await commit(house, order_id, of=cart(customer_id=customer_id))).quote.applied)


async def test_an_offers_limit_of_a_customer_is_one_persons(house: House) -> None:
    await put_up(house, offer(ActionKind.ORDER_SHARE, "twice", share=1000, customer_limit=2))
    assert [await applied(house, "o1", "ann"), await applied(house, "o2", "bob")] == [1, 1]
    await merge(house)
    assert [await applied(house, "o3", "ann"), await applied(house, "o4", "bob")] == [0, 0]
    await roll_back(house, "o2")
    assert await applied(house, "o5", "bob") == 1
    await unmerge(house)
    assert [await applied(house, f"o6-{n}", "bob") for n in range(2)] == [1, 0]
    assert [await applied(house, f"o7-{n}", "ann") for n in range(2)] == [1, 0]
    assert (await StoredOffers(house.store).get(TENANT, "twice"))[1].uses == 4


async def test_a_coupons_limits_of_a_customer_and_its_holder_are_one_persons(house: House) -> None:
    await open_campaign(house, limits={"per_customer": 2, "per_customer_day": 2})
    await use(house, "o1", "SPRING", customer_id="ann")
    await use(house, "o2", "SPRING", customer_id="bob", reserve_for=DAY)
    await merge(house)
    for who in ("ann", "bob"):
        reason = await refused(house, use(house, f"x-{who}", "SPRING", customer_id=who))
        assert reason == "COUPON_CUSTOMER_LIMIT_REACHED"
    redeemed = await use(house, "redeem", "SPRING", order_id="o2", customer_id="ann")
    assert redeemed.customer_id == "bob"
    await unmerge(house)
    await use(house, "o3", "SPRING", customer_id="ann")
    await use(house, "o4", "SPRING", customer_id="bob")
    for who in ("ann", "bob"):
        reason = await refused(house, use(house, f"y-{who}", "SPRING", customer_id=who))
        assert reason == "COUPON_CUSTOMER_LIMIT_REACHED"


async def test_limits_of_spending_and_transfers_are_one_persons(house: House) -> None:
    policy = SpendingPolicy(
        "club", spent=(PeriodLimit(Period.DAY, 10),), sent=(PeriodLimit(Period.DAY, 0, 1),), transfers_allowed=True
    )
    await house.ledger.post(request("policy"), SetSpendingPolicy(policy=policy))
    for who in ("ann", "bob", "cid"):
        await house.ledger.post(request(f"e-{who}"), earning(f"e-{who}", 50, who))
        await house.ledger.post(request(f"b-{who}"), burning(f"b-{who}", 6, who))
    sent = TransferPoints(program_id="club", sender_id="bob", receiver_id="cid", points=5, reason="", request_id="sent")
    await house.ledger.post(request("sent"), sent)
    await merge(house)
    for who in ("ann", "bob"):
        over = burning(f"over-{who}", 1, who)
        assert await refused(house, house.ledger.post(request(f"over-{who}"), over)) == "SPENDING_LIMIT_REACHED"
    more = TransferPoints(program_id="club", sender_id="ann", receiver_id="cid", points=5, reason="", request_id="more")
    assert await refused(house, house.ledger.post(request("more"), more)) == "SPENDING_LIMIT_REACHED"
    await unmerge(house)
    for who in ("ann", "bob"):
        await house.ledger.post(request(f"left-{who}"), burning(f"left-{who}", 4, who))
        over = burning(f"end-{who}", 1, who)
        assert await refused(house, house.ledger.post(request(f"end-{who}"), over)) == "SPENDING_LIMIT_REACHED"
    await house.ledger.post(request("more"), more)
    assert (await house.audit()).violations == []


async def test_a_rewards_limit_is_one_persons_and_the_list_has_what_either_name_took(house: House) -> None:
    terms = RewardTerms(member_limit=2)
    mug = CreateReward(program_id="club", reward_id="mug", name="Mug", cost=1, stock=None, terms=terms)
    await house.ledger.post(request("mug"), mug)
    for who in ("ann", "bob"):
        await house.ledger.post(request(f"e-{who}"), earning(f"e-{who}", 50, who))
        await house.ledger.post(request(f"r-{who}"), redeeming(f"r-{who}", "mug", who))
    await merge(house)
    redemptions = StoredRedemptions(house.store)
    for who in ("ann", "bob"):
        over = house.ledger.post(request(f"over-{who}"), redeeming(f"over-{who}", "mug", who))
        assert await refused(house, over) == "REWARD_MEMBER_LIMIT_REACHED"
        assert [each.member_id for each in await listed(redemptions, who)] == ["ann", "bob"]
    taken = await redemptions.get(TENANT, (await listed(redemptions, "bob"))[1].redemption_id)
    assert taken is not None
    await house.ledger.post(request("back"), EndRedemption(known=taken))
    await house.ledger.post(request("again"), redeeming("again", "mug", "bob"))
    await unmerge(house)
    assert [each.member_id for each in await listed(redemptions, "bob")] == ["bob"]
    assert sorted(each.told_id for each in await listed(redemptions, "ann")) == ["", "bob"]
    for who in ("ann", "bob"):
        await house.ledger.post(request(f"z-{who}"), redeeming(f"z-{who}", "mug", who))
        over = house.ledger.post(request(f"end-{who}"), redeeming(f"end-{who}", "mug", who))
        assert await refused(house, over) == "REWARD_MEMBER_LIMIT_REACHED"
    assert (await house.audit()).violations == []


async def listed(redemptions: StoredRedemptions, member_id: str) -> list[Redemption]:
    found: list[Redemption] = []
    token = ""
    while True:
        page, token = await redemptions.page(TENANT, "club", member_id, 1, token)
        found += page
        if not token:
            return found


async def test_referrals_know_a_person_by_all_names(house: House) -> None:
    await campaign(house, advocate_limit=1)
    ann, bob, cid = await issue(house, "ann"), await issue(house, "bob"), await issue(house, "cid")
    await bring(house, cid.code, "bob")
    await bring(house, bob.code, "dan")
    await merge(house)
    assert await refused(house, bring(house, ann.code, "bob", id="self")) == "REFERRAL_OF_ONESELF"
    assert await refused(house, bring(house, ann.code, "cid", id="loop")) == "REFERRAL_LOOP"
    assert (await bring(house, cid.code, "ann", id="same")).friend_id == "bob"
    await tell(house, *ordered("o1", "ann", 5000))
    assert await state(house, "bob") is ReferralState.QUALIFIED
    await bring(house, ann.code, "eve")
    for order_id, friend_id in (("o2", "dan"), ("o3", "eve")):
        await tell(house, *ordered(order_id, friend_id, 5000))
    house.clock.micros += 15 * DAY
    await settle(house)
    assert {await state(house, "dan"), await state(house, "eve")} == {ReferralState.REWARDED, ReferralState.LIMITED}
    await unmerge(house)
    assert (await house.audit()).violations == []


async def test_a_person_of_three_names_is_parted_name_by_name(house: House) -> None:
    await put_up(house, offer(ActionKind.ORDER_SHARE, "thrice", share=1000, customer_limit=3))
    for at, who in enumerate(("ann", "bob", "cid")):
        assert await applied(house, f"o{at}", who) == 1
    await tell(house, MergeTold("m1", "bob", "cid"), MergeTold("m2", "ann", "bob"))
    assert [await applied(house, f"p-{who}", who) for who in ("ann", "bob", "cid")] == [0, 0, 0]
    await tell(house, UnmergeTold("m2", "ann", "bob", ("bob", "cid")))
    assert [await applied(house, f"q-{n}", "cid") for n in range(2)] == [1, 0]
    assert await applied(house, "q-bob", "bob") == 0
    assert [await applied(house, f"r-{n}", "ann") for n in range(3)] == [1, 1, 0]
    await tell(house, UnmergeTold("m1", "bob", "cid", ("cid",)))
    assert [await applied(house, f"s-{who}", who) for who in ("bob", "cid")] == [1, 1]
