"""Orders earn exactly once: whatever is delivered again, at whatever moment the process dies."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.common.errors import Unavailable
from services.common.store.sqlite import SqliteStore
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.events import OrderFollower, read_orders
from services.loyalty.adapters.ledger import OrdersApplied, StoredLedger
from services.loyalty.adapters.store import StoredEntries, StoredOrderFeed
from services.loyalty.domain.achievement_refunds import OrderUndone
from services.loyalty.domain.books import OrderCounts
from services.loyalty.domain.entry import EntryKind
from services.loyalty.domain.orders import ApplyOrderEvents, Event, Order
from services.loyalty.domain.referral_orders import ReferredOrderRefunded
from services.loyalty.domain.refunds import OrderRefund
from services.loyalty.domain.told_orders import CancelledOrder
from tests.loyalty.breaking import BreakingStore
from tests.loyalty.conftest import House
from tests.loyalty.making import NOW, TENANT, earning, opening, order, program, request, told_refund


def _event(properties: Any, member_id: str = "ann", name: str = "Order Completed", time: int = NOW) -> profiles.Change:
    change = profiles.Change(tenant_id=TENANT)
    event = change.event_recorded
    event.name, event.customer_id, event.properties_json = name, member_id, orjson.dumps(properties).decode()
    event.event_time.seconds, event.event_time.nanos = time // 1_000_000, time % 1_000_000 * 1000
    return change


def _order_event(id: str, total: float, **changed: Any) -> profiles.Change:
    return _event({"order_id": id, "currency": "USD", "total": total, "products": []}, **changed)


def _batch(cursor: str, *changes: profiles.Change) -> profiles.FollowChangesResponse:
    return profiles.FollowChangesResponse(changes=changes, cursor=cursor)


class Feed:
    """Profiles' feed as a list of batches; it begins behind the cursor that is asked for, and ends."""

    def __init__(self, *batches: profiles.FollowChangesResponse) -> None:
        self._batches = batches
        self.done = asyncio.Event()

    async def __call__(self, cursor: str) -> AsyncIterator[profiles.FollowChangesResponse]:
        cursors = [batch.cursor for batch in self._batches]
        start = cursors.index(cursor) + 1 if cursor else 0
        for batch in self._batches[start:]:
            yield batch
        self.done.set()
        await asyncio.Event().wait()


async def _follow(store: Any, ledger: StoredLedger, feed: Feed) -> None:
    """Follow until the feed has been read to its end."""
    follower = asyncio.create_task(OrderFollower(feed, StoredOrderFeed(store), ledger.apply_order_events).run())
    await feed.done.wait()
    follower.cancel()
    await asyncio.wait([follower])


def _bare(told: Order) -> Order:
    """The order without what only rules look at."""
    return replace(told, details=None)


def test_an_order_is_read_as_profiles_promises_it() -> None:
    lines = [
        {"product_id": "1", "price": 0.5, "quantity": 3},
        {"product_id": "2", "price": 9.99, "quantity": 2, "total": 15.1},
        {"product_id": "3", "price": 1.05},
    ]
    changes = [
        _event({"order_id": "a", "currency": "USD", "total": 12.34, "products": lines, "store_id": "330"}),
        _event({"order_id": "b", "currency": "USD", "products": lines}, "bob", time=NOW + 1),
        _event({"order_id": "c", "currency": "JPY", "total": 1200, "products": []}),
        _event({"order_id": "d"}, name="Product Viewed"),
    ]
    told = read_orders(changes)[TENANT].events
    orders = [each for each in told if isinstance(each, Order)]
    assert [_bare(each) for each in orders] == [
        order("a", 1234),
        order("b", 1765, "bob", time=NOW + 1),
        order("c", 1200, currency="JPY"),
    ]
    amounts = [[line.amount_minor for line in each.activity.lines] for each in orders]
    assert amounts == [[150, 1510, 105], [150, 1510, 105], []]
    assert [(each.name, each.activity.properties) for each in told if isinstance(each, Event)] == [
        ("Product Viewed", {"order_id": "d"})
    ]


@pytest.mark.parametrize(
    "properties",
    [
        {"currency": "USD", "total": 1, "products": []},
        {"order_id": 7, "currency": "USD", "total": 1, "products": []},
        {"order_id": "a", "currency": "USD", "total": "12", "products": []},
        {"order_id": "a", "currency": "USD", "products": [{"quantity": 1}]},
        [],
    ],
)
def test_an_order_that_cannot_be_read_is_counted_and_stops_nothing(properties: Any) -> None:
    told = read_orders([_event(properties), _order_event("b", 2)])[TENANT]
    assert told.unreadable_count == 1
    assert [_bare(each) for each in told.events if isinstance(each, Order)] == [order("b", 200)]


def test_refunds_and_cancellations_are_read_in_full_by_total_or_by_lines() -> None:
    lines = [{"product_id": "1", "price": 2, "quantity": 3}, {"product_id": "2", "price": 9, "total": 1.5}]
    changes = [
        _event({"order_id": "a"}, name="Order Refunded", time=NOW - 1),
        _event({"order_id": "a", "total": 3, "currency": "USD", "products": lines}, name="Order Refunded"),
        _event({"order_id": "a", "currency": "USD", "products": lines}, name="Order Refunded"),
        _event({"order_id": "a", "total": 3, "currency": "USD", "products": lines}, name="Order Cancelled"),
        _event({"total": 3}, name="Order Refunded"),
        _event({"order_id": "a", "total": "much"}, name="Order Cancelled"),
    ]
    refunds = [
        told_refund("a", currency="", time=NOW - 1),
        told_refund("a", 3),
        told_refund("a", 6, 1.5),
        told_refund("a"),
    ]
    read = read_orders(changes)[TENANT]
    assert [told for told in read.events if isinstance(told, OrderRefund)] == refunds
    assert (read.unreadable_count, read.unreadable_refund_count) == (0, 2)
    rest = [told for told in read.events if not isinstance(told, OrderRefund)]
    whole = [CancelledOrder("a"), ReferredOrderRefunded("a", None)]
    partly = [
        OrderUndone("a", whole=False, currency="USD", amounts=(3.0,)),
        ReferredOrderRefunded("a", 300),
        OrderUndone("a", whole=False, currency="USD", amounts=(6.0, 1.5)),
        ReferredOrderRefunded("a", 750),
    ]
    first, last = OrderUndone("a", whole=True), OrderUndone("a", whole=True, currency="USD")
    assert rest == [first, *whole, *partly, last, *whole]


async def test_refunds_that_cannot_be_read_are_counted_and_stop_nothing(house: House) -> None:
    changes = [
        _event([], name="Order Refunded"),
        _order_event("a", 5),
        _event({"order_id": "a"}, name="Order Cancelled"),
    ]
    outcome = await house.ledger.apply_order_events(read_orders(changes), "", "c1")
    assert outcome == OrderCounts(earned=1, refunds=1, invalid_refunds=1)
    assert (await house.audit()).violations == []


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_a_crash_around_a_commit_neither_loses_nor_doubles_a_refund(house: House, failure: str) -> None:
    refunds = [_event({"order_id": "a", "total": 1, "currency": "USD"}, name="Order Refunded") for _ in range(6)]
    batches = [_batch("c1", _order_event("a", 10)), *(_batch(f"c{n}", it) for n, it in enumerate(refunds, 2))]
    broken = BreakingStore(house.store)
    broken.failures = ["", failure, "", failure, failure, ""]
    await _follow(broken, StoredLedger(broken, house.clock), Feed(*batches))
    assert (await house.member("ann")).balance == 4
    assert await StoredOrderFeed(house.store).counts(TENANT) == OrderCounts(earned=1, refunds=6)
    assert (await house.audit()).violations == []


async def test_an_order_earns_at_its_own_time_in_every_programme_of_its_currency(house: House) -> None:
    await house.ledger.post(request("open-double"), opening("double", points_per_100_minor=2, validity_months=0))
    await house.ledger.post(request("open-euro"), opening("euro", currency="EUR"))
    time = NOW - 10**12
    changes = [_order_event("a", 12.34, time=time), _order_event("b", 0.99)]
    outcome = await house.ledger.apply_order_events(read_orders(changes), "", "c1")
    assert outcome == OrderCounts(earned=3, other_currency=2, small=1)
    assert (await house.member("ann")).balance == 12
    assert (await house.member("ann", "double")).balance == 25
    (entry,), _ = await StoredEntries(house.store).page(TENANT, "club", "ann", 10, "")
    assert (entry.kind, entry.order_id, entry.order_amount_minor) == (EntryKind.ORDER, "a", 1234)
    assert (entry.event_time, entry.record_time) == (time, NOW)
    assert await StoredOrderFeed(house.store).counts(TENANT) == outcome
    assert (await house.audit()).violations == []


async def test_a_batch_that_comes_again_is_turned_away(house: House) -> None:
    orders = read_orders([_order_event("a", 10)])
    await house.ledger.apply_order_events(orders, "", "c1")
    with pytest.raises(OrdersApplied):
        await house.ledger.apply_order_events(orders, "", "c1")
    assert (await house.member("ann")).balance == 10


async def test_an_order_that_comes_again_in_another_batch_or_twice_in_one_earns_nothing(house: House) -> None:
    first = read_orders([_order_event("a", 10), _order_event("a", 10), _order_event("b", 10, member_id="bob")])
    again = read_orders([_order_event("b", 10, member_id="bob"), _order_event("a", 99)])
    assert (await house.ledger.apply_order_events(first, "", "c1")).duplicate == 1
    assert await house.ledger.apply_order_events(again, "c1", "c2") == OrderCounts(duplicate=2)
    assert [(await house.member(who)).balance for who in ("ann", "bob")] == [10, 10]


async def test_orders_no_balance_could_hold_are_counted_and_stop_nothing(house: House) -> None:
    huge = [_order_event("a", 1e18), _order_event("b", 3)]
    outcome = await house.ledger.apply_order_events(read_orders(huge), "", "c1")
    assert outcome == OrderCounts(earned=1, invalid=1)


async def test_order_ids_of_any_text_earn_once(house: House) -> None:
    strange = ["\0", "é" * 500, "a/b", " ", "x\ny"]
    orders = read_orders([_order_event(text, 1) for text in strange * 2])
    outcome = await house.ledger.apply_order_events(orders, "", "c1")
    assert outcome == OrderCounts(earned=5, duplicate=5)
    assert (await house.audit()).violations == []


async def test_a_batch_without_orders_moves_the_cursor(house: House) -> None:
    await _follow(house.store, house.ledger, Feed(_batch("c1", _order_event("a", 5)), _batch("c2")))
    assert await StoredOrderFeed(house.store).cursor() == "c2"


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_a_crash_around_a_commit_neither_loses_nor_doubles_an_order(house: House, failure: str) -> None:
    batches = [_batch(f"c{n}", *(_order_event(f"{n}-{m}", 2) for m in range(5))) for n in range(1, 7)]
    broken = BreakingStore(house.store)
    broken.failures = ["", failure, "", failure, failure, ""]
    ledger = StoredLedger(broken, house.clock)
    await _follow(broken, ledger, Feed(*batches))
    assert (await house.member("ann")).balance == 60
    assert await StoredOrderFeed(house.store).counts(TENANT) == OrderCounts(earned=30)
    assert await StoredOrderFeed(house.store).cursor() == "c6"
    assert (await house.audit()).violations == []


async def test_two_processes_that_follow_the_same_feed_apply_each_order_once(house: House, store_file: Path) -> None:
    batches = [_batch(f"c{n}", *(_order_event(f"{n}-{m}", 2) for m in range(5))) for n in range(1, 9)]
    other_store = await SqliteStore.open(store_file, COLLECTIONS)
    other = StoredLedger(other_store, house.clock)
    await asyncio.gather(
        _follow(house.store, house.ledger, Feed(*batches)), _follow(other_store, other, Feed(*batches))
    )
    assert await StoredOrderFeed(house.store).counts(TENANT) == OrderCounts(earned=40)
    assert (await house.member("ann")).balance == 80
    assert (await house.audit()).violations == []
    await other.close()
    await other_store.close()


async def test_orders_and_calls_may_touch_one_member_at_the_same_moment(house: House) -> None:
    feed = Feed(*(_batch(f"c{n}", *(_order_event(f"{n}-{m}", 1) for m in range(10))) for n in range(1, 11)))
    calls = [house.ledger.post(request(f"e{n}"), earning(f"e{n}", 1)) for n in range(200)]
    await asyncio.gather(_follow(house.store, house.ledger, feed), *calls)
    assert (await house.member("ann")).balance == 300
    assert (await house.audit()).violations == []


async def test_what_is_not_applied_keeps_the_cursor_where_it_was(house: House) -> None:
    async def refuse(orders: Mapping[str, ApplyOrderEvents], after: str, cursor: str) -> OrderCounts:
        raise Unavailable("not now")

    follower = OrderFollower(Feed(), StoredOrderFeed(house.store), refuse)
    with pytest.raises(Unavailable):
        await follower.apply(_batch("c1", _order_event("a", 1)))
    assert await StoredOrderFeed(house.store).cursor() == ""


def test_the_needs_of_orders_name_only_programmes_of_their_currency() -> None:
    earned: Sequence[str] = list(
        ApplyOrderEvents([order("a", 100)])
        .needs({"club": program(), "euro": program("euro", currency="EUR")})
        .entry_ids
    )
    assert earned == ["club/order/a"]
