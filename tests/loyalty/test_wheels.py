"""Wheels of fortune: never more than there is, never above the limit, and every spin can be recomputed."""

import asyncio
import hashlib
import hmac
import re
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from tessera.loyalty.v1 import personal_data_pb2
from tessera.loyalty.v1 import wheel_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub

from services.common.clock import system_clock, to_micros
from services.common.errors import Refusal
from services.common.store.mongo import MongoStore
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.events import read_orders
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.store import StoredEntries, StoredPrograms
from services.loyalty.adapters.wheels import StoredWheels
from services.loyalty.app import Settings, serve
from services.loyalty.domain.blocking import SetBlock
from services.loyalty.domain.earning_rule import PeriodLimit
from services.loyalty.domain.entry import Block
from services.loyalty.domain.member import EARNED_MAX
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.domain.operations import Operation
from services.loyalty.domain.orders import Told
from services.loyalty.domain.shared_account import OpenAccount
from services.loyalty.domain.spending_policy import SetSpendingPolicy, SpendingPolicy
from services.loyalty.domain.spin import Spin, SpinWheel
from services.loyalty.domain.wallet import CreateWallet
from services.loyalty.domain.wheel import WHEELS_MAX, CreateWheel, Sector, UpdateWheel, Wheel, draw
from services.loyalty.domain.zones import Period
from services.loyalty.handlers.wheels import list_wheels, spin_wheel
from tests.conftest import Keyring
from tests.loyalty.club import NOBODY, Club
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import DAY, NOW, TENANT, earning, opening, request
from tests.loyalty.test_club_rpcs import club, refusal
from tests.loyalty.test_erasure import ANN, _erased, _erasures, _everything
from tests.loyalty.test_referrals import tell
from tests.loyalty.test_shared_accounts import joining
from tests.mongodb import mongodb_url

__all__ = ["club", "mongodb_url"]

SEED = "5e" * 32
CONTRACT = (Path(__file__).parents[2] / "protos/tessera/loyalty/v1/wheel.proto").read_text()
_WHEEL_LINES, _SPIN_LINES = (
    {
        int(number): set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text))
        for number, text in re.findall(r"^// +(\d+)\. [A-Z_]+ +(.+)$", part, re.MULTILINE)
    }
    for part in CONTRACT.split("Why a spin")
)


def wheel(*sectors: Sector, **changed: Any) -> Wheel:
    return Wheel("club", **{"wheel_id": "luck", "name": "Luck", "sectors": sectors, "seed": SEED, **changed})


async def made(house: House, *sectors: Sector, **changed: Any) -> Wheel:
    told = wheel(*sectors, **changed)
    return await house.ledger.post(request(f"w-{told.wheel_id}"), CreateWheel(wheel=told))


async def spin(house: House, id: str, member_id: str = "ann", wheel_id: str = "luck") -> Spin:
    wheels = StoredWheels(house.store)
    spun, balance = await spin_wheel(
        house.ledger, wheels, request(id), program_id="club", wheel_id=wheel_id, member_id=member_id
    )
    assert spun.prize == 0 or balance >= spun.prize
    return spun


async def kept(house: House, wheel_id: str = "luck") -> tuple[Wheel, list[Spin]]:
    wheels = StoredWheels(house.store)
    found = await wheels.get(TENANT, "club", wheel_id)
    spins, token = await wheels.of_wheel(TENANT, "club", wheel_id, 1000, "")
    assert found
    assert not token
    return found, spins


async def entered(house: House, member_id: str) -> dict[str, int]:
    entries, _ = await StoredEntries(house.store).page(TENANT, "club", member_id, 1000, "")
    return {each.id: each.points for each in entries}


def recomputed(seed: str, number: int, weights: list[int]) -> tuple[int, int]:
    """What the contract says, in other words than the code."""
    total, attempt = sum(weights), 0
    while True:
        digest = hmac.new(bytes.fromhex(seed), f"{number}/{attempt}".encode(), hashlib.sha256).hexdigest()
        if int(digest, 16) < (2**256 // total) * total:
            drawn = int(digest, 16) % total
            return drawn, [at for at, weight in enumerate(weights) for _ in range(weight)][drawn]
        attempt += 1


SECTORS = st.lists(
    st.builds(
        Sector,
        st.just("x"),
        st.integers(1, 9),
        st.sampled_from([0, 0, 3, 10]),
        st.none() | st.integers(0, 3),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sectors=SECTORS,
    cost=st.sampled_from([0, 4]),
    limit=st.integers(0, 4),
    who=st.lists(st.sampled_from("abc"), max_size=20),
)
async def test_stock_limits_and_the_ledger_hold_for_any_wheel_and_spins(
    house: House, sectors: list[Sector], cost: int, limit: int, who: list[str]
) -> None:
    name = f"w{uuid.uuid4().hex}"
    people = {each: f"{name}-{each}" for each in "abc"}
    for person in people.values():
        await house.ledger.post(request(person), earning(person, 30, person))
    period = Period.DAY if limit else None
    await made(house, *sectors, wheel_id=name, cost=cost, limit=limit, period=period)
    posts = (spin(house, f"{name}-{at}", people[each], name) for at, each in enumerate(who))
    outcomes = await asyncio.gather(*posts, return_exceptions=True)
    assert all(isinstance(each, (Spin, Refusal)) for each in outcomes)
    spins = [each for each in outcomes if isinstance(each, Spin)]
    after, listed = await kept(house, name)
    assert sorted(listed, key=lambda each: each.number) == sorted(spins, key=lambda each: each.number)
    assert [each.number for each in listed] == list(range(len(spins), 0, -1))
    came = Counter(each.sector for each in spins)
    assert [each.won for each in after.sectors] == [came[at] for at in range(len(sectors))]
    assert all(each.left is None or each.left >= 0 for each in after.sectors)
    assert not limit or max(Counter(each.member_id for each in spins).values(), default=0) <= limit
    for each in listed:
        assert recomputed(SEED, each.number, list(each.weights)) == (each.drawn, each.sector)
    for person in people.values():
        own = [each for each in spins if each.member_id == person]
        entries = await entered(house, person)
        assert (await house.member(person)).balance == 30 + sum(each.prize - each.cost for each in own)
        assert len(entries) == 1 + sum(bool(each.prize) + bool(each.cost) for each in own)
        assert all(entries[each.prize_entry_id] == each.prize for each in own if each.prize)
        assert all(entries[each.cost_entry_id] == each.cost for each in own if each.cost)
    assert (await house.audit()).violations == []


def test_sectors_come_as_often_as_they_weigh_and_a_seed_decides_all() -> None:
    weights = (1, 2, 3, 10, 0, 84)
    came = Counter(draw(SEED, number, weights).sector for number in range(1, 20_001))
    assert came[4] == 0
    there = [at for at, weight in enumerate(weights) if weight]
    expected = [200 * weights[at] for at in there]
    assert chisquare([came[at] for at in there], expected).pvalue > 0.01
    assert draw(SEED, 7, weights) == draw(SEED, 7, weights)
    assert any(draw(SEED, at, weights) != draw("5f" * 32, at, weights) for at in range(1, 20))


def spinning(member_id: str = "ann", wheel_id: str = "luck", program_id: str = "club") -> SpinWheel:
    return SpinWheel(program_id=program_id, wheel_id=wheel_id, member_id=member_id, request_id="new")


WON, TWO = Sector("won", 1, 5), Sector("two", 1, 0, 2)
PAST, AHEAD = {"end_time": NOW - DAY}, {"start_time": NOW + DAY}
DEAR: dict[str, Any] = {"cost": 50, "limit": 1, "period": Period.LIFETIME}
GONE = (Sector("gone", 1, 5, 0),)
SPUN: list[tuple[tuple[Sector, ...], dict[str, Any], str, int]] = [
    # The sectors and the wheel, who spins, and the first line that it deserves; each case mends the one before.
    (GONE, {"program_id": "none"}, "nobody", 3),
    (GONE, {"wheel_id": "none"}, "nobody", 4),
    (GONE, DEAR | PAST | {"active": False}, "nobody", 5),
    (GONE, DEAR | PAST | {"active": False}, "eve", 7),
    (GONE, DEAR | PAST | {"active": False}, "kid", 8),
    (GONE, DEAR | PAST | {"active": False}, "ann", 9),
    (GONE, DEAR | AHEAD, "ann", 10),
    (GONE, DEAR | PAST, "ann", 11),
    (GONE, DEAR, "ann", 13),
    ((WON,), DEAR, "ann", 14),
    ((Sector("all", 1, EARNED_MAX),), {"cost": 11}, "bob", 15),
    ((Sector("all", 1, EARNED_MAX), Sector("nothing", 1_000_000)), {"cost": 1}, "bob", 16),
]


async def _people(house: House) -> None:
    for person in ("ann", "bob", "eve", "mum", "kid"):
        await house.ledger.post(request(person), earning(person, 10, person))
    block = SetBlock(program_id="club", member_id="eve", block=Block.SPENDING, reason="", request_id="block")
    await house.ledger.post(request("block"), block)
    home = OpenAccount(program_id="club", account_id="home", name="", users_max=2, owner_id="mum")
    await house.ledger.post(request("home"), home)
    await house.ledger.post(request("kid-joins"), joining("kid-joins", "kid"))
    policy = SpendingPolicy("club", spent=(PeriodLimit(Period.DAY, 40),))
    await house.ledger.post(request("policy"), SetSpendingPolicy(policy=policy))


async def refused(house: House, operation: Operation[Any], id: str = "new") -> str:
    with pytest.raises(Refusal) as found:
        await house.ledger.post(request(id, "other content"), operation)
    return found.value.reason


async def test_a_spin_gets_the_first_refusal_that_it_deserves_and_changes_nothing(house: House) -> None:
    await _people(house)
    assert await refused(house, spinning(program_id="none"), "ann") in _SPIN_LINES[2]
    first = {2}
    for at, (sectors, changed, who, line) in enumerate(SPUN):
        name = f"w{at}"
        told = {key: value for key, value in changed.items() if key not in ("program_id", "wheel_id", "active")}
        if told.get("end_time", NOW) < NOW:
            told["start_time"] = NOW - 2 * DAY
        await made(house, *sectors, wheel_id=name, **told)
        if changed.get("active") is False:
            await house.ledger.post(
                request(f"u{at}"), UpdateWheel(program_id="club", wheel_id=name, name="", active=False, stocks={})
            )
        operation = spinning(who, changed.get("wheel_id", name), changed.get("program_id", "club"))
        assert await refused(house, operation) in _SPIN_LINES[line], line
        first.add(line)
        assert (await kept(house, name))[1] == []
    await made(house, TWO, wheel_id="once", limit=1, period=Period.LIFETIME)
    await spin(house, "s1", "ann", "once")
    assert await refused(house, spinning(wheel_id="once")) in _SPIN_LINES[12]
    medals = CreateWallet(
        program_id="club", wallet_id="m", name="M", unit="m", redeemable=False, points_per_100_minor=0, validity=None
    )
    await house.ledger.post(request("medals"), medals)
    await house.ledger.post(request("m-eve"), earning("m-eve", 1, "eve", program_id="club.m"))
    blocked = SetBlock(program_id="club.m", member_id="eve", block=Block.EVERYTHING, reason="", request_id="b2")
    await house.ledger.post(request("b2"), blocked)
    dear = CreateWheel(wheel=replace(wheel(WON, cost=5), program_id="club.m"))
    await house.ledger.post(request("w-m"), dear)
    assert await refused(house, spinning("eve", program_id="club.m")) in _SPIN_LINES[6]
    assert first | {1, 6, 12} == set(_SPIN_LINES)  # 1 is the guard's
    assert await entered(house, "bob") == {"_request/bob": 10}
    assert (await house.audit()).violations == []


async def test_a_wheel_gets_the_first_refusal_that_it_deserves(house: House) -> None:
    await house.ledger.post(request("used"), earning("used", 1))
    backwards = wheel(TWO, start_time=NOW, end_time=NOW)
    nowhere = replace(backwards, program_id="none")
    update = UpdateWheel(program_id="club", wheel_id="none", name="", active=True, stocks={5: 1})
    assert await refused(house, CreateWheel(wheel=nowhere), "used") in _WHEEL_LINES[2]
    assert await refused(house, CreateWheel(wheel=nowhere)) in _WHEEL_LINES[3]
    assert await refused(house, CreateWheel(wheel=wheel(TWO, limit=1))) in _WHEEL_LINES[3]
    assert await refused(house, CreateWheel(wheel=replace(nowhere, start_time=0))) in _WHEEL_LINES[4]
    assert await refused(house, replace(update, program_id="none")) in _WHEEL_LINES[4]
    for at in range(WHEELS_MAX):
        await made(house, TWO, wheel_id=f"w{at}")
    assert await refused(house, CreateWheel(wheel=wheel(TWO, wheel_id="w0"))) in _WHEEL_LINES[5]
    assert await refused(house, update) in _WHEEL_LINES[5]
    assert await refused(house, CreateWheel(wheel=wheel(TWO))) in _WHEEL_LINES[6]
    await spin(house, "s1", wheel_id="w0")
    for stocks in ({1: 1}, {0: 0}):
        assert await refused(house, replace(update, wheel_id="w0", stocks=stocks)) in _WHEEL_LINES[7]
    await house.ledger.post(request("more"), replace(update, wheel_id="w0", stocks={0: None}))
    assert (await kept(house, "w0"))[0].sectors[0].left is None


async def test_merged_customers_have_one_limit_a_period_of_the_programmes_zone(house: House) -> None:
    await made(house, WON, limit=2, period=Period.DAY)
    await spin(house, "s1", "bob")
    await spin(house, "s2", "ann")
    merged: Told = MergeTold("m1", "bob", "ann")
    await tell(house, merged)
    assert await refused(house, spinning("bob")) == "WHEEL_SPIN_LIMIT_REACHED"

    async def left(member_id: str) -> int | None:
        programs, wheels = StoredPrograms(house.store), StoredWheels(house.store)
        (found,) = await list_wheels(programs, wheels, TENANT, "club", member_id, house.clock.micros)
        return found.spins_left

    assert (await left("ann"), await left("bob"), await left("cid")) == (0, 0, 2)
    found, _ = await StoredWheels(house.store).of_member(TENANT, "club", "bob", 10, "")
    assert {each.spin_id for each in found} == {"club/luck/1", "club/luck/2"}
    await tell(house, UnmergeTold("m1", "bob", "ann", ("ann",)))
    assert (await left("ann"), await left("bob")) == (1, 1)
    house.clock.micros += DAY
    assert await left("ann") == 2
    await spin(house, "s3", "ann")
    assert await left("ann") == 1
    assert (await house.audit()).violations == []


async def test_whoever_is_erased_leaves_spins_that_can_still_be_recomputed(house: House) -> None:
    await made(house, WON, limit=5, period=Period.LIFETIME)
    await spin(house, "s1", ANN)
    await tell(house)
    await house.ledger.apply_order_events(read_orders([_erased()]), "c1", "c2")
    await _erasures(house).carry_out()
    for collection in COLLECTIONS:
        for name, body in await _everything(house, collection):
            assert ANN not in f"{name} {orjson.dumps(body, default=repr).decode()}", (collection.name, name)
    _, (spun,) = await kept(house)
    assert spun.member_id.startswith("nobody-1")
    assert recomputed(SEED, spun.number, list(spun.weights)) == (spun.drawn, spun.sector)
    assert (await house.audit()).violations == []


async def test_two_services_on_one_database_never_sell_more_than_there_is(mongodb_url: str) -> None:
    database = f"loyalty_{uuid.uuid4().hex[:12]}"
    stores = [await MongoStore.open(mongodb_url, database, COLLECTIONS) for _ in range(2)]
    clock = SetClock()
    houses = [House(store, StoredLedger(store, clock), clock) for store in stores]
    try:
        await houses[0].ledger.post(request("open"), opening("club"))
        await made(houses[0], Sector("won", 1, 5, 6))
        posts = (spin(houses[at % 2], f"s{at}", f"m{at}") for at in range(20))
        outcomes = await asyncio.gather(*posts, return_exceptions=True)
        assert Counter(type(each).__name__ for each in outcomes) == {"Spin": 6, "WheelEmpty": 14}
        after, spins = await kept(houses[1])
        assert (after.sectors[0].left, [each.number for each in spins]) == (0, [6, 5, 4, 3, 2, 1])
        assert (await houses[0].audit()).violations == []
    finally:
        for house in houses:
            await house.ledger.close()
        for store in stores:
            await store.close()


async def test_fifty_spins_at_once_over_grpc_win_what_ten_there_are(club: Club) -> None:
    await club.open()
    told = pb.Wheel(
        wheel_id="luck",
        name="Luck",
        sectors=[pb.WheelSector(label="5 points", weight=1, prize_points=5, stock_count=10)],
        cost_points=2,
        spin_limit=3,
        limit_period=pb.WHEEL_PERIOD_EVER,
    )
    asked = pb.CreateWheelRequest(program_id="club", wheel=told, request_id="w")
    created = (await club.stub.CreateWheel(asked, metadata=club.metadata)).wheel
    assert (created.seed, len(created.seed_hash), created.sectors[0].chance, created.active) == ("", 64, 1.0, True)
    for at in range(25):
        await club.earn(10, f"m{at}")

    def spin_request(at: int) -> pb.SpinWheelRequest:
        return pb.SpinWheelRequest(program_id="club", wheel_id="luck", member_id=f"m{at % 25}", request_id=f"s{at}")

    calls = (club.stub.SpinWheel(spin_request(at), metadata=club.metadata) for at in range(50))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    won = {at: each for at, each in enumerate(outcomes) if isinstance(each, pb.SpinWheelResponse)}
    assert len(won) == 10
    at, first = next(iter(won.items()))
    assert await club.stub.SpinWheel(spin_request(at), metadata=club.metadata) == first
    other = spin_request(at)
    other.member_id = "m24"
    other.wheel_id = "other"
    assert await refusal(club.stub.SpinWheel(other, metadata=club.metadata)) == "REQUEST_ID_REUSED"
    listing = pb.ListWheelsRequest(program_id="club", member_id=first.spin.member_id)
    (listed,) = (await club.stub.ListWheels(listing, metadata=club.metadata)).wheels
    assert (listed.sectors[0].left_count, listed.sectors[0].won_count, listed.sectors[0].chance) == (0, 10, 0.0)
    own = sum(each.spin.member_id == first.spin.member_id for each in won.values())
    assert (listed.left_spin_count, listed.spin_count, listed.seed) == (3 - own, 10, "")
    spins = pb.ListSpinsRequest(program_id="club", wheel_id="luck", page_size=4)
    numbers: list[int] = []
    while True:
        page = await club.stub.ListSpins(spins, metadata=club.metadata)
        numbers += [each.number for each in page.spins]
        spins.page_token = page.next_page_token
        if not spins.page_token:
            break
    assert numbers == list(range(10, 0, -1))
    spins.member_id = "m1"
    assert await refusal(club.stub.ListSpins(spins, metadata=club.metadata)) == "FIELD_INVALID"
    assert not (await club.check()).violations


async def test_the_seed_is_promised_from_the_start_and_shown_when_the_wheel_is_over(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    clock = SetClock(to_micros(system_clock()))
    up = serve(configure(Settings, profiles_addr=NOBODY), clock)
    async with up as served, grpc.aio.insecure_channel(served.address) as channel:
        await _seed_is_shown(Club(LoyaltyServiceStub(channel), keyring.header()), clock)


async def _seed_is_shown(club: Club, clock: SetClock) -> None:
    await club.open()
    ending = pb.Wheel(wheel_id="luck", name="Luck", sectors=[pb.WheelSector(label="nothing", weight=3)])
    ending.end_time.FromMicroseconds(clock.micros + DAY)
    asked = pb.CreateWheelRequest(program_id="club", wheel=ending, request_id="w")
    promised = (await club.stub.CreateWheel(asked, metadata=club.metadata)).wheel.seed_hash
    asked = pb.CreateWheelRequest(program_id="club", wheel=ending, request_id="w2")
    asked.wheel.wheel_id = "other"
    assert (await club.stub.CreateWheel(asked, metadata=club.metadata)).wheel.seed_hash != promised
    spinning = pb.SpinWheelRequest(program_id="club", wheel_id="luck", member_id="new", request_id="s")
    spun = (await club.stub.SpinWheel(spinning, metadata=club.metadata)).spin
    listing = pb.ListWheelsRequest(program_id="club")
    (before, _) = (await club.stub.ListWheels(listing, metadata=club.metadata)).wheels
    assert (before.seed, before.seed_hash) == ("", promised)
    clock.micros += DAY
    (listed, _) = (await club.stub.ListWheels(listing, metadata=club.metadata)).wheels
    assert hashlib.sha256(bytes.fromhex(listed.seed)).hexdigest() == promised == listed.seed_hash
    assert recomputed(listed.seed, spun.number, list(spun.weights)) == (spun.drawn_number, spun.sector)
    spinning.request_id = "late"
    assert await refusal(club.stub.SpinWheel(spinning, metadata=club.metadata)) == "WHEEL_ENDED"
    exported = [
        record.kind
        async for page in club.stub.ExportCustomerData(
            personal_data_pb2.ExportCustomerDataRequest(customer_id="new"), metadata=club.metadata
        )
        for record in page.records
    ]
    assert exported == ["wheel_spin"]
