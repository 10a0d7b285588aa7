"""Coupons over a real store: limits, reservations, combinations, guesses, and refusals in their order."""

import asyncio
import os
import re
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.common.clock import from_micros
from services.common.errors import Refusal
from services.common.jobs import Jobs, State
from services.common.store import Put
from services.common.store.mongo import MongoStore
from services.loyalty.adapters.coupons import StoredCoupons
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.records import RECORDS, record_body
from services.loyalty.domain.coupon import CAMPAIGNS, UseState
from services.loyalty.domain.coupon_operations import CouponCampaignInvalid
from services.loyalty.domain.guesses import CUSTOMER_MAX, WINDOW
from services.loyalty.handlers.coupons import (
    Asking,
    assign_coupon,
    expire_reservations,
    export_coupons,
    generate_coupons,
    roll_back_coupons,
    switch_coupon,
    validate_coupons,
)
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import DAY, NOW, TENANT, earning, opening, request
from tests.loyalty.promoting import campaign, cart, open_campaign, use, used, where
from tests.mongodb import mongodb_url
from tests.whole_platform import until

__all__ = ["mongodb_url"]

MINUTE = 60 * 1_000_000
CONTRACT = Path(__file__).parents[2] / "protos/tessera/loyalty/v1/coupon.proto"


def reason(outcome: object) -> str:
    return outcome.reason if isinstance(outcome, Refusal) else "used"


async def outcomes(*uses: Any) -> Counter[str]:
    return Counter(map(reason, await asyncio.gather(*uses, return_exceptions=True)))


async def test_a_public_code_is_used_as_often_as_it_may_be_under_parallel_load(house: House) -> None:
    await open_campaign(house, limits={"total": 30})
    uses = [use(house, f"o{n}", "Spring", customer_id=f"p{n}") for n in range(100)]
    assert await outcomes(*uses) == {"used": 30, "COUPON_CAMPAIGN_USED_UP": 70}
    assert await used(house) == (30, 0)


async def test_a_budget_is_never_exceeded_under_parallel_load(house: House) -> None:
    await open_campaign(house, limits={"budget_minor": 1000})
    uses = [use(house, f"o{n}", "spring", discount=70, customer_id=f"p{n}") for n in range(40)]
    assert await outcomes(*uses) == {"used": 14, "COUPON_BUDGET_SPENT": 26}
    assert await used(house) == (14, 980)


async def test_two_services_on_one_database_never_use_a_code_more_often_than_it_may_be(mongodb_url: str) -> None:
    database = f"loyalty_{uuid.uuid4().hex[:12]}"
    stores = [await MongoStore.open(mongodb_url, database, COLLECTIONS) for _ in range(2)]
    houses = [House(store, StoredLedger(store, clock := SetClock()), clock) for store in stores]
    await open_campaign(houses[0], limits={"per_code": 7, "budget_minor": 100_000})
    uses = [use(houses[n % 2], f"o{n}", "spring", discount=10, customer_id=f"p{n}") for n in range(40)]
    assert await outcomes(*uses) == {"used": 7, "COUPON_USED_UP": 33}
    assert await used(houses[1]) == (7, 70)
    for house in houses:
        await house.ledger.close()
        await house.store.close()


async def test_an_order_redeems_a_code_once_however_often_it_asks(house: House) -> None:
    await open_campaign(house, limits={"total": 5})
    for n in range(3):
        order = await use(house, f"r{n}", "spring", order_id="o1", discount=20)
        assert [use.state for use in order.uses] == [UseState.REDEEMED]
    assert await used(house) == (1, 20)


async def test_a_reservation_counts_is_kept_through_redemption_and_comes_back_when_its_time_has_passed(
    house: House,
) -> None:
    await open_campaign(house, limits={"per_code": 1})
    coupons = StoredCoupons(house.store)
    await use(house, "held", "spring", reserve_for=10 * MINUTE)
    with pytest.raises(Refusal, match="used"):
        await use(house, "late", "spring", customer_id="bob")
    house.clock.micros += 10 * MINUTE
    with pytest.raises(Refusal) as refused:
        await use(house, "too-late", "spring", order_id="held")
    assert refused.value.reason == "COUPON_RESERVATION_EXPIRED"
    assert await expire_reservations(house.ledger, coupons, house.clock.micros) == 1
    await use(house, "bob", "spring", customer_id="bob", reserve_for=10 * MINUTE)
    order = await use(house, "bob-pays", "spring", order_id="bob", customer_id="bob")
    assert [use.state for use in order.uses] == [UseState.REDEEMED]
    house.clock.micros += DAY
    assert await expire_reservations(house.ledger, coupons, house.clock.micros) == 0
    held = await coupons.order(TENANT, "held")
    assert held is not None
    assert [use.state for use in held.uses] == [UseState.EXPIRED]
    assert await used(house) == (1, 0)


async def test_a_rollback_gives_back_exactly_and_only_once(house: House) -> None:
    await open_campaign(house, limits={"per_customer": 1, "per_day": 1, "budget_minor": 50})
    coupons = StoredCoupons(house.store)
    await use(house, "o1", "spring", discount=50)
    for n in range(2):
        order = await roll_back_coupons(house.ledger, coupons, request(f"back{n}"), "o1", ["SPRING"])
        assert [use.state for use in order.uses] == [UseState.ROLLED_BACK]
    assert await used(house) == (0, 0)
    await use(house, "o2", "spring", discount=50)
    assert await used(house) == (1, 50)
    for order_id, codes in (("o9", []), ("o2", ["OTHER"])):
        with pytest.raises(Refusal) as refused:
            await roll_back_coupons(house.ledger, coupons, request(f"no-{order_id}"), order_id, codes)
        assert refused.value.reason == "COUPON_ORDER_NOT_FOUND"


async def test_codes_of_an_order_are_combined_only_where_both_allow_it(house: House) -> None:
    for name, group in (("one", "a"), ("two", "a"), ("three", "b"), ("alone", "")):
        await open_campaign(house, name, stackable=name != "alone", exclusivity_group=group)
    assert len((await use(house, "o1", "one", "three")).uses) == 2
    for n, codes in enumerate((("one", "two"), ("one", "alone"), ("alone", "one"))):
        with pytest.raises(Refusal) as refused:
            await use(house, f"x{n}", *codes)
        assert refused.value.reason == "COUPON_NOT_COMBINABLE"
        assert refused.value.metadata["code"] == codes[1].upper()
    with pytest.raises(Refusal):  # later requests of the same order too
        await use(house, "more", "two", order_id="o1")
    assert await used(house, "two") == (0, 0)


async def test_conditions_see_items_traits_segments_and_tiers(house: House) -> None:
    await house.ledger.post(request("e"), earning("e", 600))
    await open_campaign(house, "gold", condition=where("customer.tiers.club", "gold"))
    await open_campaign(house, "city", condition=where("customer.traits.city", "Graz"))
    await open_campaign(house, "shoes", condition=where("lines.categories", "shoes"))
    await use(house, "o1", "gold")
    await use(house, "o2", "city", traits={"city": "Graz"})
    for n, code in enumerate(("shoes", "city", "gold")):
        with pytest.raises(Refusal) as refused:
            await use(house, f"x{n}", code, customer_id="bob")
        assert refused.value.reason == "COUPON_NOT_ELIGIBLE"


async def test_validation_changes_nothing_but_the_count_of_guesses(house: House) -> None:
    await open_campaign(house, limits={"total": 1})
    coupons = StoredCoupons(house.store)
    asking = Asking("till", "", cart(), [("spring", 0), ("nothing", 0)])
    for _ in range(3):
        verdicts = await validate_coupons(house.ledger, coupons, TENANT, asking)
        assert [reason(verdict.refusal) for verdict in verdicts] == ["used", "COUPON_NOT_FOUND"]
    assert await used(house) == (0, 0)
    assert (await coupons.order(TENANT, "")) is None


async def test_whoever_guesses_too_often_is_told_nothing_even_of_good_codes_until_the_time_has_passed(
    house: House,
) -> None:
    await open_campaign(house)
    coupons = StoredCoupons(house.store)
    for n in range(CUSTOMER_MAX):
        with pytest.raises(Refusal) as refused:
            await use(house, f"g{n}", f"GUESS{n}")
        assert refused.value.reason == "COUPON_NOT_FOUND"
    for code in ("spring", "GUESS99"):
        with pytest.raises(Refusal) as refused:
            await use(house, f"after-{code}", code)
        assert refused.value.reason == "COUPON_GUESSES_EXCEEDED"
        with pytest.raises(Refusal):
            await validate_coupons(house.ledger, coupons, TENANT, Asking("till", "", cart(), [(code, 0)]))
    await use(house, "bob", "spring", customer_id="bob")
    house.clock.micros += WINDOW
    await use(house, "later", "spring")


async def test_a_code_that_is_off_or_anothers_is_answered_like_one_that_does_not_exist(house: House) -> None:
    await open_campaign(house, "mine", pattern="M-########")
    await open_campaign(house)
    coupons = StoredCoupons(house.store)
    await generate(house, "mine", 1)
    held = await assign_coupon(house.ledger, coupons, request("give"), "mine", "ann")
    await switch_coupon(house.ledger, request("off"), "spring", True)
    told = set()
    for n, (code, customer) in enumerate(((held.code, "bob"), ("spring", "ann"), ("nothing", "ann"), (" ", "ann"))):
        with pytest.raises(Refusal) as refused:
            await use(house, f"x{n}", code, customer_id=customer)
        told.add((refused.value.reason, refused.value.message))
    assert len(told) == 1
    await use(house, "ok", held.code.lower())


async def generate(house: House, campaign_id: str, count: int, id: str = "make") -> Any:
    coupons = StoredCoupons(house.store)
    jobs = Jobs(house.store, lambda: from_micros(NOW))
    job = await generate_coupons(house.ledger, coupons, jobs, os.urandom, request(id), campaign_id, count)

    async def done() -> bool:
        return (await jobs.get(TENANT, job.job_id)).state in (State.SUCCEEDED, State.FAILED)

    await until(done)
    return await jobs.get(TENANT, job.job_id)


async def test_codes_are_generated_once_a_request_exported_in_parts_and_given_to_one_customer_each(
    house: House,
) -> None:
    await open_campaign(house, "mine", pattern="M-##########", checksum=True)
    coupons = StoredCoupons(house.store)
    jobs = {(await generate(house, "mine", 12_000)).job_id for _ in range(2)}
    assert len(jobs) == 1
    assert (await coupons.usage(TENANT, "mine"))[0] == 12_000
    parts, token = [], ""
    while True:
        text, token = await export_coupons(coupons, TENANT, "mine", token)
        parts.append(text)
        if not token:
            break
    rows = "".join(parts).splitlines()
    assert len(parts) == 2
    assert len(rows) == 12_001 == len(set(rows))
    assert rows[0] == "code,holder_id,use_count,disabled,create_time"

    given = await asyncio.gather(
        *(assign_coupon(house.ledger, coupons, request(f"give{n}"), "mine", f"p{n}") for n in range(250))
    )
    assert len({coupon.code for coupon in given}) == 250
    assert len((await coupons.page(TENANT, "", "p7", 10, ""))[0]) == 1


async def test_an_empty_pool_says_so_and_a_public_campaign_has_none(house: House) -> None:
    await open_campaign(house, "mine", pattern="M-########")
    await open_campaign(house)
    with pytest.raises(Refusal) as refused:
        await assign_coupon(house.ledger, StoredCoupons(house.store), request("give"), "mine", "ann")
    assert refused.value.reason == "COUPON_POOL_EMPTY"
    with pytest.raises(CouponCampaignInvalid):
        await generate(house, "spring", 1)
    with pytest.raises(Refusal) as refused:
        await generate(house, "mine", 900_000, "too-many")
    assert refused.value.reason == "COUPON_PATTERN_INVALID"


def documented_order() -> list[str]:
    lines = re.findall(r"^// +(\d+)\. [A-Z_]+ +(.+)$", CONTRACT.read_text(), re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1))
    return [found for _, found in lines]


@dataclass(frozen=True)
class Case:
    """A use and every refusal that it deserves, first to last."""

    deserved: tuple[str, ...]
    of_campaign: dict[str, Any] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    """Orders of today that have used the code: of ann where they begin with `a`."""
    code: str = ""
    of_cart: dict[str, Any] = field(default_factory=dict)


LATE, EARLY = {"end_time": NOW - DAY}, {"start_time": NOW + DAY}
RULE = {"condition": where("channel", "web")}
EUROS = {"currency": "EUR"}
SMALL = {"min_order_minor": 10_001}
CASES = [
    Case(("COUPON_NOT_FOUND", "COUPON_NOT_STARTED"), EARLY, code="none"),
    Case(("COUPON_NOT_STARTED", "COUPON_OTHER_CURRENCY"), EARLY, of_cart=EUROS),
    Case(("COUPON_EXPIRED", "COUPON_OTHER_CURRENCY"), LATE, of_cart=EUROS),
    Case(("COUPON_OTHER_CURRENCY", "COUPON_ORDER_TOO_SMALL"), SMALL, of_cart=EUROS),
    Case(("COUPON_ORDER_TOO_SMALL", "COUPON_NOT_ELIGIBLE"), SMALL | RULE),
    Case(("COUPON_NOT_ELIGIBLE", "COUPON_USED_UP"), RULE | {"limits": {"per_code": 1}}, ("a1",)),
    Case(("COUPON_USED_UP", "COUPON_CUSTOMER_LIMIT_REACHED"), {"limits": {"per_code": 1, "per_customer": 1}}, ("a1",)),
    Case(
        ("COUPON_CUSTOMER_LIMIT_REACHED", "COUPON_CUSTOMER_DAY_LIMIT_REACHED"),
        {"limits": {"per_customer": 1, "per_customer_day": 1}},
        ("a1",),
    ),
    Case(
        ("COUPON_CUSTOMER_DAY_LIMIT_REACHED", "COUPON_DAY_LIMIT_REACHED"),
        {"limits": {"per_customer_day": 1, "per_day": 1}},
        ("a1",),
    ),
    Case(("COUPON_DAY_LIMIT_REACHED", "COUPON_CAMPAIGN_USED_UP"), {"limits": {"per_day": 1, "total": 1}}, ("b1",)),
    Case(("COUPON_CAMPAIGN_USED_UP", "COUPON_BUDGET_SPENT"), {"limits": {"total": 1, "budget_minor": 5}}, ("b1",)),
    Case(("COUPON_BUDGET_SPENT", "COUPON_NOT_COMBINABLE"), {"limits": {"budget_minor": 5}}, ("b1",)),
    Case(("COUPON_NOT_COMBINABLE",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.deserved[0])
async def test_each_use_gets_the_first_refusal_that_it_deserves(house: House, case: Case) -> None:
    await open_campaign(house, "other")
    await use(house, "now", "other")
    relaxed = {key: value for key, value in case.of_campaign.items() if key == "limits"}
    await open_campaign(house, **(relaxed if case.before else case.of_campaign))
    for order_id in case.before:
        await use(house, order_id, "spring", customer_id="ann" if order_id[0] == "a" else "bob", discount=5)
    if case.before and "condition" in case.of_campaign:
        await _tighten(house, case)
    with pytest.raises(Refusal) as refused:
        await use(house, "new", case.code or "spring", order_id="now", discount=5, **case.of_cart)
    assert refused.value.reason == min(case.deserved, key=documented_order().index) == case.deserved[0]


async def _tighten(house: House, case: Case) -> None:
    """Give a campaign that was used the condition that it should have had."""
    body = record_body(campaign(**case.of_campaign))
    await house.store.commit([Put(TENANT, RECORDS[CAMPAIGNS.name], "spring", body)])


async def test_what_comes_before_the_codes_themselves_is_refused_in_order(house: House) -> None:
    await open_campaign(house)
    await use(house, "o1", "spring")
    twice = cart().lines * 2
    asking = Asking("till", "o1", cart(*twice, customer_id="bob"), [("none", 0)])
    coupons = StoredCoupons(house.store)
    with pytest.raises(Refusal) as refused:
        await validate_coupons(house.ledger, coupons, TENANT, asking)
    assert refused.value.reason == "CART_INVALID"
    with pytest.raises(Refusal) as refused:
        await use(house, "x", "none", order_id="o1", customer_id="bob")
    assert refused.value.reason == "COUPON_ORDER_OF_ANOTHER"
    await house.ledger.post(request("club2", "a club"), opening("club2"))
    with pytest.raises(Refusal) as refused:
        await use(house, "club2", "none", order_id="o1", customer_id="bob")
    assert refused.value.reason == "REQUEST_ID_REUSED"
    tested = {case.deserved[0] for case in CASES}
    assert set(documented_order()) - tested == {
        "FIELD_INVALID",
        "REQUEST_ID_REUSED",
        "COUPON_GUESSES_EXCEEDED",
        "CART_INVALID",
        "COUPON_ORDER_OF_ANOTHER",
        "COUPON_RESERVATION_EXPIRED",
    }
