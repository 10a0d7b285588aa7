"""Notices: each thing that happens is told once, in order; points that expire are told in time, whatever crashes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1 import notice_pb2
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub

from services.common.clock import system_clock, to_micros
from services.common.errors import InvalidCursor
from services.common.store.sqlite import SqliteStore
from services.loyalty.adapters.coupons import StoredCoupons
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.notices import StoredNotices
from services.loyalty.adapters.store import StoredEntries, StoredMembers, StoredPrograms
from services.loyalty.app import Settings, serve
from services.loyalty.domain.coupon import UseState
from services.loyalty.domain.days import HOUR_MICROS
from services.loyalty.domain.expiry import ChangeExpiry
from services.loyalty.domain.notice import AnnounceExpiring, ExpiryNotices, Notice, NoticeKind, Sweep
from services.loyalty.domain.program import NEVER
from services.loyalty.handlers.coupons import roll_back_coupons
from services.loyalty.handlers.expire_due_points import expire_due_points
from services.loyalty.handlers.notices import announce_expiring, forget_notices, set_expiry_notices
from services.loyalty.ports import Request
from tests.conftest import Keyring
from tests.loyalty.club import NOBODY, Club
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import DAY, NOW, TENANT, burning, earning, offering, redeeming, request
from tests.loyalty.promoting import open_campaign, use

SECONDS_MAX = 30


async def told(house: House, after: str = "") -> list[Notice]:
    """Everything that was told so far."""
    end = await house.store.end_of_feed()
    found: list[Notice] = []
    async for batch in StoredNotices(house.store).follow(after, TENANT):
        found += [notice for _, notice, _ in batch.notices]
        if batch.cursor == end:
            return found
    raise AssertionError("the feed ended")


async def sweep(house: House, store: Any = None) -> int:
    """The clock's look at who has to hear of points that expire."""
    used = store or house.store
    ledger = house.ledger if store is None else StoredLedger(store, house.clock)
    programs, members, notices = StoredPrograms(used), StoredMembers(used), StoredNotices(used)
    return await announce_expiring(programs, members, notices, ledger, house.clock.micros)


async def ask(house: House, *lead_days: int, id: str = "leads") -> None:
    await set_expiry_notices(house.ledger, request(id), ExpiryNotices("club", lead_days))


async def test_a_follower_goes_on_behind_each_notice_of_an_entry(house: House) -> None:
    await house.ledger.post(request("mug"), offering("mug", 40))
    await house.ledger.post(request("e"), earning("e", 120))
    await house.ledger.post(request("r"), redeeming("r", "mug"))
    await house.ledger.post(request("b"), burning("b", 20))
    all_of_it = await told(house)
    assert len({each.entry_id for each in all_of_it}) < len(all_of_it)
    cursors = []
    async for batch in StoredNotices(house.store).follow("", TENANT):
        cursors += [cursor for _, _, cursor in batch.notices]
        if len(cursors) == len(all_of_it):
            break
    assert len(set(cursors)) == len(cursors)
    for at, cursor in enumerate(cursors[:-1]):
        assert await told(house, cursor) == all_of_it[at + 1 :]
    for wrong in (f"{cursors[-1]}.x", "nothing.1", ".1"):
        with pytest.raises(InvalidCursor):
            await told(house, wrong)


async def test_what_entries_say_is_told_in_their_order(house: House) -> None:
    await house.ledger.post(request("mug"), offering("mug", 40))
    await house.ledger.post(request("e"), earning("e", 120))
    await house.ledger.post(request("b"), burning("b", 20))
    await house.ledger.post(request("r"), redeeming("r", "mug"))
    notices = await told(house)
    assert [(each.kind, each.points, each.balance) for each in notices] == [
        (NoticeKind.BALANCE_CHANGED, 120, 120),
        (NoticeKind.TIER_CHANGED, 0, 120),
        (NoticeKind.BALANCE_CHANGED, -20, 100),
        (NoticeKind.BALANCE_CHANGED, -40, 60),
        (NoticeKind.REWARD_REDEEMED, 40, 60),
        (NoticeKind.REWARD_FULFILLED, 40, 0),
    ]
    assert (notices[1].tier_id, notices[1].tier_change, notices[4].reward_id) == ("silver", "joined", "mug")
    assert len({each.notice_id for each in notices}) == len(notices)
    # The feed of entries goes on over notices that are none of its own.
    async for batch in StoredEntries(house.store).follow("", TENANT):
        assert [entry.kind.value for _, entry in batch.entries] == ["grant", "burn", "redemption"]
        assert batch.caught_up
        break


async def test_codes_are_told_once_when_they_are_used_and_once_when_that_is_taken_back(house: House) -> None:
    await open_campaign(house, "spring")
    order = await use(house, "o1", "spring", discount=250)
    await use(house, "o1-again", "spring", order_id="o1", discount=250)
    reserved = await use(house, "o2", "spring", reserve_for=DAY)
    assert reserved.uses[0].state is UseState.RESERVED  # which nobody has to hear
    await roll_back_coupons(house.ledger, StoredCoupons(house.store), request("back"), order.order_id, ())
    await roll_back_coupons(house.ledger, StoredCoupons(house.store), request("back-again"), order.order_id, ())
    await use(house, "o1-anew", "spring", order_id="o1", discount=300)
    notices = await told(house)
    assert [(each.kind, each.code, each.order_id, each.discount_minor, each.currency) for each in notices] == [
        (NoticeKind.COUPON_REDEEMED, "SPRING", "o1", 250, "USD"),
        (NoticeKind.COUPON_ROLLED_BACK, "SPRING", "o1", 250, "USD"),
        (NoticeKind.COUPON_REDEEMED, "SPRING", "o1", 300, "USD"),
    ]


async def test_points_that_expire_are_told_once_for_each_lead_time(house: House) -> None:
    await ask(house, 30, 7)
    await house.ledger.post(request("e"), earning("e", 50))
    lot = (await house.member("ann")).lots[0]
    seen: list[tuple[int, int]] = []
    for days in (40, 31, 30, 29, 8, 7, 6, 1):
        house.clock.micros = lot.expire_time - days * DAY + HOUR_MICROS // 2
        for _ in range(2):
            if await sweep(house):
                seen.append((days, (await told(house))[-1].lead_days))
    assert seen == [(30, 30), (7, 7)]
    last = (await told(house))[-1]
    assert (last.kind, last.points, last.balance, last.expire_time) == (
        NoticeKind.POINTS_EXPIRING,
        50,
        50,
        lot.expire_time,
    )


async def test_of_lead_times_that_come_together_the_shortest_is_told_and_an_extension_begins_anew(house: House) -> None:
    await ask(house, 30, 7)
    await house.ledger.post(request("e"), earning("e", 50))
    lot = (await house.member("ann")).lots[0]
    house.clock.micros = lot.expire_time - 3 * DAY
    assert (await sweep(house), (await told(house))[-1].lead_days) == (1, 7)
    extending = ChangeExpiry(
        program_id="club",
        member_id="ann",
        expire_time=NEVER,
        extend_days=20,
        until=NEVER,
        reason="",
        request_id="x",
    )
    await house.ledger.post(request("x"), extending)
    house.clock.micros += HOUR_MICROS
    assert (await sweep(house), (await told(house))[-1].lead_days) == (1, 30)


async def test_nobody_is_told_where_no_lead_time_is_set(house: House) -> None:
    await house.ledger.post(request("e"), earning("e", 50))
    house.clock.micros = (await house.member("ann")).lots[0].expire_time - DAY
    assert await sweep(house) == 0
    await ask(house, 7)
    assert await sweep(house) == 1
    await ask(house, id="none")
    house.clock.micros += HOUR_MICROS
    assert await sweep(house) == 0


class Crashing:
    """A ledger whose process dies before, or after, some of its commits."""

    def __init__(self, ledger: StoredLedger, crashes: set[tuple[int, bool]]) -> None:
        self._ledger, self._crashes, self._calls = ledger, crashes, 0

    async def post(self, asked: Request, operation: Any) -> Any:
        self._calls += 1
        if (self._calls, False) in self._crashes:
            raise ConnectionError("killed before the commit")
        answer = await self._ledger.post(asked, operation)
        if (self._calls, True) in self._crashes:
            raise ConnectionError("killed after the commit")
        return answer


async def test_a_sweep_that_dies_anywhere_goes_on_and_tells_everybody_once(house: House, store_file: Path) -> None:
    await ask(house, 7)
    for at in range(450):  # three pages of members
        await house.ledger.post(request(f"e{at}"), earning(f"e{at}", 10, f"m{at}"))
    house.clock.micros = (await house.member("m0")).lots[0].expire_time - 5 * DAY
    other = await SqliteStore.open(store_file, COLLECTIONS)  # another process
    try:
        for crash in ((1, False), (1, True), (2, False), (1, True)):
            crashing: Any = Crashing(house.ledger, {crash})
            with pytest.raises(ConnectionError):
                await announce_expiring(
                    StoredPrograms(house.store),
                    StoredMembers(house.store),
                    StoredNotices(house.store),
                    crashing,
                    house.clock.micros,
                )
        await asyncio.gather(sweep(house), sweep(house, other))
    finally:
        await other.close()
    notices = [each for each in await told(house) if each.kind is NoticeKind.POINTS_EXPIRING]
    assert Counter(each.customer_id for each in notices) == {f"m{at}": 1 for at in range(450)}


async def test_what_is_spent_before_it_is_told_is_not_told(house: House) -> None:
    await ask(house, 7)
    await house.ledger.post(request("e"), earning("e", 50))
    house.clock.micros = (await house.member("ann")).lots[0].expire_time - DAY
    announcing = AnnounceExpiring(
        program_id="club", member_ids=["ann", "nobody"], lead_days=[7], sweep=Sweep("club", 0, done=True)
    )
    burned = house.ledger.post(request("b"), burning("b", 50))
    announced = house.ledger.post(request("a", tenant=TENANT), announcing)
    assert (await asyncio.gather(burned, announced))[1] == 0


async def test_points_are_told_before_they_expire_and_not_afterwards(house: House) -> None:
    await ask(house, 7)
    await house.ledger.post(request("e"), earning("e", 50))
    house.clock.micros = (await house.member("ann")).lots[0].expire_time
    assert await sweep(house) == 0
    await expire_due_points(StoredPrograms(house.store), StoredMembers(house.store), house.ledger, house.clock.micros)
    assert (await told(house))[-1].points == -50


async def test_old_notices_are_dropped_and_entries_are_not(house: House) -> None:
    await open_campaign(house, "spring")
    await use(house, "o1", "spring")
    await house.ledger.post(request("e"), earning("e", 5))
    notices, programs = StoredNotices(house.store), StoredPrograms(house.store)
    assert await forget_notices(programs, notices, house.ledger, NOW) == 0
    assert await forget_notices(programs, notices, house.ledger, NOW + 1) == 1
    assert {each.kind for each in await told(house)} == {NoticeKind.BALANCE_CHANGED, NoticeKind.TIER_CHANGED}


@pytest.fixture
def now() -> SetClock:
    return SetClock(to_micros(system_clock()))


@pytest.fixture
async def club(configure: Callable[..., Any], keyring: Keyring, now: SetClock) -> AsyncIterator[Club]:
    settings = configure(Settings, profiles_addr=NOBODY, expiry_interval_seconds=0.05)
    async with serve(settings, now) as up, grpc.aio.insecure_channel(up.address) as channel:
        client = Club(LoyaltyServiceStub(channel), keyring.header())
        await client.open()
        yield client
        assert list((await client.check()).violations) == []


async def test_notices_are_followed_live_by_customer_and_resumed_after_any(club: Club, now: SetClock) -> None:
    await club.earn(5, "bob")
    asked = notice_pb2.FollowNoticesRequest(customer_ids=["ann"], from_now=True)
    feed: Any = club.stub.FollowNotices(asked, metadata=club.metadata)
    assert (await feed.read()).caught_up
    setting = notice_pb2.SetExpiryNoticesRequest(
        notices=notice_pb2.ExpiryNotices(program_id="club", lead_days=[14, 3, 14]), request_id="leads"
    )
    kept = await club.stub.SetExpiryNotices(setting, metadata=club.metadata)
    assert list(kept.notices.lead_days) == [3, 14]
    await club.earn(7, "bob")
    entry = await club.earn(10, "ann")
    now.micros = entry.lots[0].expire_time.seconds * 1_000_000 - 2 * DAY
    found: list[notice_pb2.Notice] = []
    async with asyncio.timeout(SECONDS_MAX):
        while len(found) < 3:
            found += (await feed.read()).notices
    feed.cancel()
    assert [(each.kind, each.customer_id, each.points) for each in found] == [
        (notice_pb2.NOTICE_KIND_BALANCE_CHANGED, "ann", 10),
        (notice_pb2.NOTICE_KIND_TIER_CHANGED, "ann", 0),
        (notice_pb2.NOTICE_KIND_POINTS_EXPIRING, "ann", 10),
    ]
    assert (found[2].lead_days, found[2].tenant_id) == (3, "acme")
    again: Any = club.stub.FollowNotices(
        notice_pb2.FollowNoticesRequest(customer_ids=["ann"], after_cursor=found[1].cursor), metadata=club.metadata
    )
    resumed: list[notice_pb2.Notice] = []
    async with asyncio.timeout(SECONDS_MAX):
        while not resumed:
            resumed += (await again.read()).notices
    again.cancel()
    assert resumed == [found[2]]
    asked_again = notice_pb2.GetExpiryNoticesRequest(program_id="club")
    assert (await club.stub.GetExpiryNotices(asked_again, metadata=club.metadata)).notices == kept.notices
    entries: Any = club.stub.FollowEntries(pb.FollowEntriesRequest(), metadata=club.metadata)
    async with asyncio.timeout(SECONDS_MAX):
        while not (await entries.read()).caught_up:
            pass
    entries.cancel()
