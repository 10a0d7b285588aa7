"""A person who is erased leaves a ledger that balances and nothing that leads to them."""

import json
from collections.abc import Callable
from typing import Any

import grpc
import orjson
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1 import personal_data_pb2
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.common.erasure import ACKNOWLEDGEMENTS, Acknowledgements
from services.common.store import Query
from services.common.store.port import Collection
from services.loyalty.adapters.documents import COLLECTIONS, ERASURES
from services.loyalty.adapters.erasures import ENTRIES_MAX, Erasures
from services.loyalty.adapters.events import read_orders
from services.loyalty.adapters.store import StoredPrograms
from services.loyalty.adapters.stored_records import StoredEarningRules, StoredOccasions
from services.loyalty.app import Settings, serve
from services.loyalty.domain.customer import MembershipTold, TraitsTold
from services.loyalty.domain.earning_rule import Caps, PeriodLimit, Trigger
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.domain.orders import ApplyOrderEvents, Told
from services.loyalty.domain.zones import Period
from services.loyalty.handlers.celebrate_occasions import Celebrations
from tests.conftest import Keyring
from tests.loyalty.club import NOBODY, Club
from tests.loyalty.conftest import House
from tests.loyalty.making import (
    NOW,
    ON_ACTION,
    TENANT,
    adding,
    burning,
    earning,
    offering,
    opening,
    order,
    posting,
    redeeming,
    refunding,
    request,
)

ANN = "ann-7f31"


async def _unheard(*_: Any, **__: Any) -> None:
    raise AssertionError("nothing is sent in this test")


async def test_whoever_was_merged_once_leaves_no_name_in_the_other_account(house: House) -> None:
    told = (MergeTold("m1", "bob", ANN), order("o2", 500, "bob"), UnmergeTold("m1", "bob", ANN, (ANN,)))
    await house.ledger.post(request("e1"), earning("e1", 50, ANN))
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(told)}, "", "c1")
    await house.ledger.apply_order_events(read_orders([_erased()]), "c1", "c2")
    await _erasures(house).carry_out()
    for collection in COLLECTIONS:
        for name, body in await _everything(house, collection):
            assert ANN not in f"{name} {orjson.dumps(body, default=repr).decode()}", (collection.name, name)
    assert (await house.member("bob")).balance == 5
    assert (await house.audit()).violations == []


def _erasures(house: House) -> Erasures:
    told = Acknowledgements(house.store, "loyalty", _unheard, erasure_pb2.AcknowledgeErasureRequest, house.clock)
    return Erasures(house.store, told)


def _erased(*origins: str) -> profiles.Change:
    change = profiles.Change(tenant_id=TENANT)
    erased = change.customer_erased
    erased.erasure_id, erased.customer_id, erased.pseudonym = "x1", ANN, "nobody-1"
    erased.origin_customer_ids.extend([ANN, *origins])
    return change


async def _everything(house: House, collection: Collection) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for tenant in (TENANT, "*"):
        after = ""
        while True:
            page = await house.store.find(tenant, collection, Query(limit=1000, after=after))
            found += [(each.id, each.body) for each in page.documents]
            after = page.next_cursor
            if not after:
                break
    return found


async def _live(house: House) -> None:
    """A life in the club: rules, caps, pending points, an expiry, a birthday, a refund, a redemption."""
    post = house.ledger.post
    await post(request("rule"), adding("r", caps=Caps(per_member=(PeriodLimit(Period.DAY, 100),))))
    await post(request("birthday"), adding("b", trigger=Trigger.BIRTHDAY))
    await post(request("open-2"), opening("wait", pending=ON_ACTION))
    told: list[Told] = [
        TraitsTold(ANN, NOW, "03-15", None),
        MembershipTold(ANN, "s1", entered=True),
        *(order(f"o{number}", 1000, ANN) for number in range(ENTRIES_MAX + 20)),
        order("b1", 500, "bob"),
    ]
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(told)}, "", "c1")
    await post(request("e1"), earning("e1", 50, ANN, reason=f"for {ANN}"))
    await post(request("e2"), earning("e2", 5, ANN, event_time=NOW - 400 * 86_400_000_000))
    await post(request("burn"), burning("burn", 10, ANN))
    await post(request("mug"), offering("mug", 3, 9))
    await post(request("redeem"), redeeming("redeem", "mug", ANN))
    await post(request("back"), refunding("back", "o1", 400))
    celebrations = Celebrations(
        StoredPrograms(house.store), StoredEarningRules(house.store), StoredOccasions(house.store), house.ledger
    )
    assert await celebrations.tick(NOW) == 1


async def test_an_erased_member_is_a_pseudonym_and_the_ledger_still_balances(house: House) -> None:
    await _live(house)
    before = await house.member(ANN)
    await house.ledger.apply_order_events(read_orders([_erased("other-id")]), "c1", "c2")
    await _erasures(house).carry_out()
    for collection in COLLECTIONS:
        for name, body in await _everything(house, collection):
            if collection is not ACKNOWLEDGEMENTS:
                assert ANN not in f"{name} {orjson.dumps(body, default=repr).decode()}", (collection.name, name)
    after = await house.member("nobody-1")
    assert (after.balance, after.entry_count, after.lots) == (before.balance, before.entry_count, before.lots)
    audit = await house.audit()
    assert (audit.violations, audit.members) == ([], 4)
    assert await _everything(house, ERASURES) == []
    [(_, told)] = await _everything(house, ACKNOWLEDGEMENTS)
    removed = {kind: count for kind, count, _ in told["removed"]}
    assert removed["ledger_entry"] > ENTRIES_MAX
    assert (removed["loyalty_account"], removed["customer_traits"], removed["segment_memberships"]) == (2, 1, 1)
    assert told["due"] is not None


async def test_the_accounts_of_a_pseudonym_go_on(house: House) -> None:
    await _live(house)
    await house.ledger.apply_order_events(read_orders([_erased()]), "c1", "c2")
    await _erasures(house).carry_out()
    await house.ledger.post(request("late"), refunding("late", "o2", 1000))
    await house.ledger.post(request("post"), posting("post", "o3", program_id="wait"))
    replayed = await house.ledger.post(request("burn"), burning("burn", 10, ANN))
    assert replayed.member_id == "nobody-1"
    await _erasures(house).carry_out()
    assert (await house.audit()).violations == []


async def test_somebody_unknown_is_acknowledged_too(house: House) -> None:
    await house.ledger.apply_order_events(read_orders([_erased()]), "", "c1")
    await _erasures(house).carry_out()
    [(_, told)] = await _everything(house, ACKNOWLEDGEMENTS)
    assert (told["removed"], told["due"] is not None) == ([], True)


async def test_a_person_may_read_everything_that_is_kept(configure: Callable[..., Any], keyring: Keyring) -> None:
    settings = configure(Settings, profiles_addr=NOBODY, segmentation_addr=NOBODY)
    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        club = Club(LoyaltyServiceStub(channel), keyring.header())
        await club.open()
        await club.earn(20, reason="welcome")
        await club.earn(5, "bob")
        await club.burn(7)
        asked = personal_data_pb2.ExportCustomerDataRequest(customer_id="ann", origin_customer_ids=["ann", "anna"])
        records = [
            (record.kind, json.loads(record.json))
            async for batch in club.stub.ExportCustomerData(asked, metadata=club.metadata)
            for record in batch.records
        ]
        assert [kind for kind, _ in records] == ["loyalty_account", "ledger_entry", "ledger_entry"]
        assert (records[0][1]["balance_points"], records[1][1]["reason"]) == (13, "welcome")
        assert records[1][1]["event_time"].startswith("20")
        nobody = personal_data_pb2.ExportCustomerDataRequest(customer_id="nobody")
        assert [each async for each in club.stub.ExportCustomerData(nobody, metadata=club.metadata)] == []
        assert isinstance(await club.check(), pb.CheckLedgerResponse)
