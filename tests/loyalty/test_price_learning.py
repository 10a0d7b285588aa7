"""Learning prices from what profiles tells: kept once, by consent, exact over merges, and forgotten with the person."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.profiles.v1 import consent_pb2, erasure_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.common.erasure import Acknowledgements
from services.common.errors import AlreadyExists, Conflict
from services.common.store import Query, Store
from services.common.store.mongo import MongoStore
from services.loyalty.adapters.clients import read_prices
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.erasures import Erasures, StoredPersonalData
from services.loyalty.adapters.events import read_orders
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.price_follower import PriceFollower
from services.loyalty.adapters.prices import StoredPrices
from services.loyalty.adapters.records import RECORDS
from services.loyalty.domain.customer import MembershipTold
from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.domain.orders import ApplyOrderEvents
from services.loyalty.domain.personal_price import Basis
from services.loyalty.domain.price_history import (
    WEEK_MICROS,
    OrderPriced,
    OrderReturned,
    PersonForgotten,
    PriceBatch,
    PricedLine,
    PricedOrder,
    PriceTold,
    Returned,
)
from services.loyalty.domain.price_model import PRICE_EVIDENCE, PriceConsent, knowledge_of
from services.loyalty.domain.price_sensitivity import PriceDataInsufficient
from services.loyalty.domain.pricing_policy import PricingNotEnabled, PricingPolicy
from services.loyalty.handlers.pricing import (
    estimate,
    estimate_all,
    sensitivity_of_customer,
    sensitivity_of_segment,
    set_pricing_policy,
)
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import NOW, TENANT, opening, request
from tests.loyalty.promoting import cart
from tests.loyalty.test_personal_prices import kept, personal
from tests.loyalty.test_price_sensitivity import market
from tests.loyalty.test_quotes import commit, put_up
from tests.mongodb import mongodb_url

__all__ = ["mongodb_url"]

POLICY = PricingPolicy(enabled=True, consent_purpose="profiling", segment_ids=("vip",))
LINES = (PricedLine("milk", 2, 500), PricedLine("bread", 1, 300))
TELLINGS: list[OrderPriced | OrderReturned] = [
    OrderPriced("o1", "ann", NOW, LINES),
    OrderReturned("o1", "r1", (Returned("milk", 1),)),
    OrderReturned("o1", "r2", (Returned("milk", 1), Returned("eggs", 4))),
]


@given(st.permutations(TELLINGS * 2))
def test_an_order_and_its_refunds_come_to_the_same_in_any_order_and_told_twice(
    told: list[OrderPriced | OrderReturned],
) -> None:
    order: PricedOrder | None = None
    for each in told:
        order = each.applied(order)
    assert order is not None
    assert order.bought == [LINES[1]]
    assert OrderReturned("o1", "r3", None).applied(order).bought == []


def event(name: str = "Order Completed", message_id: str = "e1", **properties: Any) -> profiles.Change:
    told = profiles.RecordedEvent(
        message_id=message_id,
        name=name,
        customer_id="anna",
        origin_customer_id="ann",
        properties_json=json.dumps(properties),
    )
    told.event_time.FromMicroseconds(NOW)
    return profiles.Change(tenant_id=TENANT, event_recorded=told)


def read(change: profiles.Change) -> PriceTold | None:
    return next((told for _, told in read_prices([change])), None)


def test_lines_are_read_with_what_was_paid_for_them() -> None:
    products = [
        {"product_id": "milk", "price": 2.5, "quantity": 2},
        {"sku": "bread", "price": 3, "discount": 0.5},
        {"product_id": "cheese", "price": 9, "quantity": 0.25, "total": 2.25},
        {"product_id": "gift", "price": 0},
        {"price": 5},
        {"product_id": "odd", "price": "5", "quantity": 1},
    ]
    told = read(event(order_id="o1", currency="USD", products=products))
    lines = (PricedLine("milk", 2, 500), PricedLine("bread", 1, 250), PricedLine("cheese", 1, 225))
    assert told == OrderPriced("o1", "ann", NOW, lines)


def test_refunds_are_read_by_items_as_a_whole_or_not_at_all() -> None:
    items = [{"product_id": "milk", "quantity": 2, "price": 1}]
    by_items = read(event("Order Refunded", "r1", order_id="o1", products=items, total=2))
    assert by_items == OrderReturned("o1", "r1", (Returned("milk", 2),))
    assert read(event("Order Refunded", "r1", order_id="o1", total=2)) is None
    assert read(event("Order Refunded", "r1", order_id="o1")) == OrderReturned("o1", "r1", None)
    assert read(event("Order Cancelled", "r1", order_id="o1")) == OrderReturned("o1", "r1", None)
    for unreadable in ({}, {"order_id": 7}, {"order_id": "o1", "products": "none"}):
        assert read(event(**unreadable)) is None


def test_consents_for_all_channels_and_erasures_are_read() -> None:
    said = profiles.ConsentChanged(
        customer_id="anna", origin_customer_id="ann", purpose="p", state=consent_pb2.CONSENT_STATE_GRANTED
    )
    said.change_time.FromMicroseconds(NOW)
    consent = read(profiles.Change(tenant_id=TENANT, consent_changed=said))
    assert consent == PriceConsent("ann", "p", True, NOW)
    said.channel = "email"
    assert read(profiles.Change(tenant_id=TENANT, consent_changed=said)) is None
    erased = profiles.CustomerErased(customer_id="anna", origin_customer_ids=["ann", "anna"])
    assert read(profiles.Change(tenant_id=TENANT, customer_erased=erased)) == PersonForgotten(("anna", "ann"))


async def _silent(_: str) -> AsyncIterator[PriceBatch]:
    nothing: list[PriceBatch] = []  # what is told comes from the test
    for batch in nothing:
        yield batch


class Shop:
    """Tells a follower what happened, one batch after another, as profiles would: from the beginning if asked."""

    def __init__(self, store: Store, ledger: StoredLedger) -> None:
        self.store, self.prices, self.ledger = store, StoredPrices(store), ledger
        self.follower = PriceFollower(store, _silent)
        self.told: list[tuple[str, PriceTold]] = []

    async def tell(self, *told: PriceTold, tenant: str = TENANT) -> None:
        self.told += [(tenant, each) for each in told]
        start = int(await self.follower.load_cursor() or 0)
        await self.follower.apply(PriceBatch(self.told[start:], str(len(self.told))))

    async def decide(self, policy: PricingPolicy = POLICY, name: str = "policy") -> None:
        await set_pricing_policy(self.ledger, self.prices, request(name), policy)

    async def everything(self) -> dict[str, Any]:
        names = ("priced_orders", "price_consents", "price_evidence")
        pages = {name: await self.store.find(TENANT, RECORDS[name], Query(limit=10_000)) for name in names}
        return {name: [(each.id, each.body) for each in page.documents] for name, page in pages.items()}


@pytest.fixture
def shop(house: House) -> Shop:
    return Shop(house.store, house.ledger)


def orders(elasticity: Any, prefix: str = "p") -> list[PriceTold]:
    """Orders of persons with these elasticities, one a person and week."""
    purchases = market(elasticity)
    lines: dict[tuple[int, int], list[PricedLine]] = {}
    rows = zip(purchases.person, purchases.item, purchases.week, purchases.price, strict=True)
    for person, item, week, price in rows:
        lines.setdefault((int(person), int(week)), []).append(PricedLine(f"i{item}", 1, round(price * 10_000)))
    return [
        OrderPriced(f"{prefix}{person}-{week}", f"{prefix}{person}", NOW - (52 - week) * WEEK_MICROS, tuple(bought))
        for (person, week), bought in lines.items()
    ]


def said(customer_id: str, granted: bool = True, time: int = NOW, expire_time: int = 0) -> PriceConsent:
    return PriceConsent(customer_id, "profiling", granted, time, expire_time)


async def test_what_was_told_before_is_read_once_prices_are_learnt_and_of_nobody_else(shop: Shop) -> None:
    await shop.tell(TELLINGS[0], said("ann"))
    assert await shop.everything() == {"priced_orders": [], "price_consents": [], "price_evidence": []}
    await shop.decide()
    await shop.tell(*TELLINGS[1:], PriceConsent("ann", "news", True, NOW))
    await shop.tell(TELLINGS[0], tenant="other")
    found = await shop.everything()
    assert [name for name, _ in found["priced_orders"]] == ["o1"]
    assert [body["purpose"] for _, body in found["price_consents"]] == ["profiling"]
    page = await shop.store.find("other", RECORDS["priced_orders"], Query())
    assert page.documents == ()
    await shop.decide(PricingPolicy(), "off")
    await shop.decide(name="on")
    await shop.tell()
    assert await shop.everything() == found


async def test_a_batch_that_was_read_before_the_policy_changed_is_not_kept(shop: Shop) -> None:
    await shop.decide()
    await shop.tell(said("ann"))
    await shop.decide(PricingPolicy(), "off")
    with pytest.raises(Conflict):
        await shop.follower.apply(PriceBatch([(TENANT, TELLINGS[0])], "9"))
    assert (await shop.everything())["priced_orders"] == []


async def test_only_those_who_consent_have_an_estimate_and_withdrawing_removes_it(shop: Shop, house: House) -> None:
    await shop.decide()
    rng = np.random.default_rng(3)
    await shop.tell(*orders(rng.normal(2.0, 0.5, 60)), said("p1"), said("p2"), said("p3", granted=False))
    model = await estimate(shop.prices, TENANT, NOW)
    assert (model.version, model.person_count) == (1, 2)
    assert 1.0 < model.population.elasticity < 3.0
    told = await sensitivity_of_customer(shop.prices, TENANT, "p1", NOW)
    assert told.sensitivity.event_count > 0
    nobody_special = (model.variance + model.population.standard_error**2) ** 0.5
    assert told.sensitivity.standard_error < nobody_special
    await shop.tell(said("p1", granted=False, time=NOW + 1))
    assert [name for name, _ in (await shop.everything())["price_evidence"]] == ["1/p2"]
    standing = await shop.prices.standing(TENANT, "p1", frozenset())
    assert knowledge_of(standing, NOW).basis is Basis.NO_CONSENT
    for version in (2, 3):
        assert (await estimate(shop.prices, TENANT, NOW)).version == version
    assert [name for name, _ in (await shop.everything())["price_evidence"]] == ["2/p2", "3/p2"]


async def test_a_withdrawal_of_long_ago_that_is_read_again_removes_nothing(shop: Shop, house: House) -> None:
    await shop.decide()
    await shop.tell(*orders([2.0] * 40), said("p1", granted=False), said("p1", time=NOW + 1))
    await estimate(shop.prices, TENANT, NOW)
    before = await shop.everything()
    assert [name for name, _ in before["price_evidence"]] == ["1/p1"]
    await set_pricing_policy(house.ledger, shop.prices, request("other", tenant="other"), POLICY)
    await shop.tell()
    assert await shop.everything() == before


async def test_a_consent_counts_until_it_expires(shop: Shop) -> None:
    await shop.decide()
    await shop.tell(said("ann", expire_time=NOW + 5))
    standing = await shop.prices.standing(TENANT, "ann", frozenset())
    assert [knowledge_of(standing, NOW + late).basis for late in (4, 5)] == [Basis.NO_MODEL, Basis.NO_CONSENT]


async def test_merged_customers_are_one_person_and_parted_ones_two_without_learning_anew(
    shop: Shop, house: House
) -> None:
    await shop.decide()
    await shop.tell(*orders([2.0] * 60), *(said(f"p{number}") for number in range(60)))
    await estimate(shop.prices, TENANT, NOW)

    async def events(customer_id: str) -> int:
        return (await sensitivity_of_customer(shop.prices, TENANT, customer_id, NOW)).sensitivity.event_count

    one, two, three = [await events(f"p{number}") for number in (1, 2, 3)]
    merged = (MergeTold("m1", "p1", "p2"), MergeTold("m2", "p3", "p1"))
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(merged)}, "", "c1")
    assert {await events(f"p{number}") for number in (1, 2, 3)} == {one + two + three}
    assert (await estimate(shop.prices, TENANT, NOW)).person_count == 58
    parted = (UnmergeTold("m2", "p3", "p1", ("p1", "p2")),)
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(parted)}, "c1", "c2")
    assert [await events(f"p{number}") for number in (1, 2, 3)] == [one + two, one + two, three]
    await shop.tell(said("p2", granted=False, time=NOW + 1))
    standing = await shop.prices.standing(TENANT, "p1", frozenset())
    assert knowledge_of(standing, NOW).basis is Basis.NO_CONSENT


async def test_a_share_that_was_kept_under_a_name_of_before_is_the_persons(shop: Shop, house: House) -> None:
    await shop.decide()
    await shop.tell(*orders([1.5] * 40), said("p1"), said("ann"))
    await estimate(shop.prices, TENANT, NOW)
    await put_up(house, personal())
    first = (await kept(house, "k1")).personal[0].discount
    merged = (MergeTold("m1", "p1", "ann"),)
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(merged)}, "", "c1")
    again = (await kept(house, "k2", cart(customer_id="p1"))).personal[0].discount
    assert again == first


async def test_segments_are_told_apart_and_their_people_are_expected_to_be_like_them(shop: Shop, house: House) -> None:
    await shop.decide()
    elasticity = np.repeat([1.0, 3.0], 60)
    await shop.tell(*orders(elasticity), *(said(f"p{number}") for number in range(120)), said("new"))
    members = [MembershipTold(name, "vip", True) for name in (*(f"p{number}" for number in range(60, 120)), "new")]
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(members)}, "", "c1")
    await set_pricing_policy(
        house.ledger,
        shop.prices,
        request("two"),
        PricingPolicy(enabled=True, consent_purpose="profiling", segment_ids=("vip", "rest")),
    )
    rest = [MembershipTold(f"p{number}", "rest", True) for number in range(60)]
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(rest)}, "c1", "c2")
    await estimate(shop.prices, TENANT, NOW)
    vip = await sensitivity_of_segment(shop.prices, TENANT, "vip")
    assert vip.sensitivity.elasticity > 2.3
    assert (await sensitivity_of_segment(shop.prices, TENANT, "rest")).sensitivity.elasticity < 1.7
    new = await sensitivity_of_customer(shop.prices, TENANT, "new", NOW)
    assert (new.pooled_segment_id, new.sensitivity.event_count) == ("vip", 0)
    assert new.sensitivity.elasticity == pytest.approx(vip.sensitivity.elasticity)


async def test_too_little_and_switched_off_are_refused_and_the_clock_goes_on(shop: Shop) -> None:
    with pytest.raises(PricingNotEnabled):
        await estimate(shop.prices, TENANT, NOW)
    await shop.decide()
    await shop.tell(TELLINGS[0])
    with pytest.raises(PriceDataInsufficient):
        await estimate(shop.prices, TENANT, NOW)
    await estimate_all(shop.prices, NOW, DAY_MICROS)
    await shop.tell(*orders([2.0] * 40))
    await estimate_all(shop.prices, NOW, DAY_MICROS)
    await estimate_all(shop.prices, NOW + DAY_MICROS - 1, DAY_MICROS)
    assert (model := await shop.prices.model(TENANT)) is not None
    assert model.version == 1
    await estimate_all(shop.prices, NOW + DAY_MICROS, DAY_MICROS)
    assert (model := await shop.prices.model(TENANT)) is not None
    assert model.version == 2


async def test_orders_that_are_too_old_are_dropped(shop: Shop) -> None:
    await shop.decide()
    await shop.tell(*orders([2.0] * 40), OrderPriced("old", "ann", NOW - 401 * DAY_MICROS, LINES))
    count = await shop.prices.order_count(TENANT)
    await estimate(shop.prices, TENANT, NOW)
    assert await shop.prices.order_count(TENANT) == count - 1


async def test_somebody_who_is_forgotten_does_not_come_back_by_what_was_learnt_meanwhile(shop: Shop) -> None:
    await shop.decide()
    await shop.tell(*orders([2.0] * 40), said("p1"), said("p2"))
    model = await estimate(shop.prices, TENANT, NOW)
    crowd = await shop.prices.crowd(TENANT, POLICY, ["p1", "p2"], NOW)
    found = await shop.store.get_many(TENANT, RECORDS[PRICE_EVIDENCE.name], ["1/p1"])
    assert found
    await shop.tell(PersonForgotten(("p1",)))
    kept_now = await shop.everything()
    assert "p1" not in {body["customer_id"] for bodies in kept_now.values() for _, body in bodies}
    with pytest.raises(Conflict):
        await shop.prices.keep(TENANT, crowd.epoch, model, [])
    assert (await estimate(shop.prices, TENANT, NOW)).person_count == 1


async def _unheard(*_: Any, **__: Any) -> None:
    raise AssertionError("nothing is sent in this test")


async def test_a_person_can_read_what_they_were_quoted_and_is_a_pseudonym_in_it_once_erased(
    shop: Shop, house: House
) -> None:
    await shop.decide()
    await shop.tell(*orders([2.0] * 40), OrderPriced("mine", "ann", NOW, LINES), said("ann"))
    await estimate(shop.prices, TENANT, NOW)
    await put_up(house, personal())
    await kept(house, "k1")
    await commit(house, "o1")
    told = [each async for page in StoredPersonalData(house.store).of(TENANT, "ann") for each in page]
    kinds = {kind for kind, _ in told}
    assert {"personal_price", "personal_discount", "priced_order", "price_consent"} <= kinds
    price = next(record for kind, record in told if kind == "personal_price")
    assert (price["basis"], price["list_minor"]) == ("estimated", 10_000)
    assert price["elasticity"] > 0
    change = profiles.Change(tenant_id=TENANT)
    change.customer_erased.CopyFrom(
        profiles.CustomerErased(
            erasure_id="x1", customer_id="ann", origin_customer_ids=["ann"], pseudonym="erased-1", erase_time=None
        )
    )
    await house.ledger.apply_order_events(read_orders([change]), "", "c1")
    acknowledgements = Acknowledgements(
        house.store, "loyalty", _unheard, erasure_pb2.AcknowledgeErasureRequest, house.clock
    )
    await Erasures(house.store, acknowledgements).carry_out()
    quoted, _ = await shop.prices.quoted_by(TENANT, "own", 10, "")
    assert [each.customer_id for each in quoted] == ["erased-1", "erased-1"]
    for collection in (*RECORDS.values(),):
        for document in (await house.store.find(TENANT, collection, Query(limit=10_000))).documents:
            assert '"ann"' not in json.dumps(document.body, default=repr), (collection.name, document.body)


async def test_two_services_on_one_database_quote_one_share_and_keep_each_order_once(mongodb_url: str) -> None:
    clock, database = SetClock(), f"loyalty_{uuid.uuid4().hex[:12]}"
    stores = [await MongoStore.open(mongodb_url, database, COLLECTIONS) for _ in range(2)]
    ledgers = [StoredLedger(store, clock) for store in stores]
    houses = [House(store, ledger, clock) for store, ledger in zip(stores, ledgers, strict=True)]
    shops = [Shop(store, ledger) for store, ledger in zip(stores, ledgers, strict=True)]
    await ledgers[0].post(request("open"), opening("club"))
    await shops[0].decide()
    batch = PriceBatch([(TENANT, TELLINGS[0]), (TENANT, TELLINGS[1])], "1")
    for each in shops:
        await each.follower.load_cursor()
    outcomes = await asyncio.gather(*(each.follower.apply(batch) for each in shops), return_exceptions=True)
    (lost,) = (outcome for outcome in outcomes if outcome is not None)
    assert isinstance(lost, (Conflict, AlreadyExists))
    assert await shops[1].prices.order_count(TENANT) == 1
    await put_up(houses[0], personal())
    found = await asyncio.gather(*(kept(houses[number % 2], f"k{number}") for number in range(8)))
    assert len({each.personal[0].discount for each in found}) == 1
    for ledger, store in zip(ledgers, stores, strict=True):
        await ledger.close()
        await store.close()
