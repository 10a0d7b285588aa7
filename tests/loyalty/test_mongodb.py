"""The ledger on MongoDB: two services on one database share a hot member and a reward."""

import asyncio
import uuid
from collections import Counter

from services.common.errors import Refusal
from services.common.store.mongo import MongoStore
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.domain.orders import ApplyOrderEvents
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import burning, earning, offering, opening, order, redeeming, request
from tests.mongodb import mongodb_url

__all__ = ["mongodb_url"]


async def test_two_services_share_a_hot_member_without_losing_or_doubling(mongodb_url: str) -> None:
    database = f"loyalty_{uuid.uuid4().hex[:12]}"
    clock = SetClock()
    stores = [await MongoStore.open(mongodb_url, database, COLLECTIONS) for _ in range(2)]
    ledgers = [StoredLedger(store, clock) for store in stores]
    house = House(stores[0], ledgers[0], clock)
    await ledgers[0].post(request("open"), opening("club"))
    await ledgers[0].post(request("start"), earning("start", 40))
    await ledgers[1].post(request("mug"), offering("mug", 1, stock=5))

    posts = [ledgers[n % 2].post(request(f"e{n}"), earning(f"e{n}", 3)) for n in range(60)]
    posts += [ledgers[n % 2].post(request(f"b{n}"), burning(f"b{n}", 2)) for n in range(20)]
    posts += [ledgers[n % 2].post(request(f"r{n}"), redeeming(f"r{n}", "mug")) for n in range(8)]
    posts += [ledgers[n % 2].post(request("same"), earning("same", 100)) for n in range(6)]
    outcomes = await asyncio.gather(*posts, return_exceptions=True)

    refused = Counter(outcome.reason for outcome in outcomes if isinstance(outcome, Refusal))
    assert refused == {"OUT_OF_STOCK": 3}
    assert len([outcome for outcome in outcomes if isinstance(outcome, Exception)]) == 3
    assert (await house.member("ann")).balance == 40 + 60 * 3 - 20 * 2 - 5 + 100
    assert (await house.audit()).violations == []
    for ledger, store in zip(ledgers, stores, strict=True):
        await ledger.close()
        await store.close()


async def test_orders_earn_once_where_two_services_follow(mongodb_url: str) -> None:
    clock = SetClock()
    store = await MongoStore.open(mongodb_url, f"loyalty_{uuid.uuid4().hex[:12]}", COLLECTIONS)
    ledgers = [StoredLedger(store, clock), StoredLedger(store, clock)]
    await ledgers[0].post(request("open"), opening("club"))
    batch = {"acme": ApplyOrderEvents([order(f"o{n}", 200, f"p{n % 5}") for n in range(50)])}
    outcomes = await asyncio.gather(
        *(ledger.apply_order_events(batch, "", "c1") for ledger in ledgers), return_exceptions=True
    )
    assert [getattr(outcome, "reason", "applied") for outcome in outcomes].count("ORDERS_APPLIED") == 1
    house = House(store, ledgers[0], clock)
    assert (await house.member("p0")).balance == 20
    assert (await house.audit()).violations == []
    await store.close()
