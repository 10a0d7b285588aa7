"""Members are merged, and merges are taken back, as profiles tells: what is told of either goes to the survivor."""

from typing import Any

import orjson
import pytest
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.common.errors import Refusal
from services.loyalty.adapters.events import read_orders
from services.loyalty.adapters.store import StoredEntries, StoredMembers, StoredPrograms
from services.loyalty.domain.earning_rule import Caps, PeriodLimit
from services.loyalty.domain.entry import EntryKind
from services.loyalty.domain.zones import Period
from services.loyalty.handlers.members import batch_get_members
from tests.loyalty.conftest import House
from tests.loyalty.making import (
    BONUS,
    NOW,
    ON_ACTION,
    TENANT,
    adding,
    burning,
    by_rules,
    earning,
    offering,
    opening,
    order,
    posting,
    redeeming,
    refunding,
    request,
)


def _merged(customer_id: str, merged_id: str) -> profiles.Change:
    merged = profiles.CustomersMerged(
        merge_id=f"{merged_id}-{customer_id}",
        customer_id=customer_id,
        merged_customer_id=merged_id,
        origin_customer_ids=[merged_id],
    )
    return profiles.Change(tenant_id=TENANT, customers_merged=merged)


def _parted(customer_id: str, restored_id: str, *origins: str) -> profiles.Change:
    parted = profiles.CustomersUnmerged(
        merge_id=f"{restored_id}-{customer_id}",
        customer_id=customer_id,
        restored_customer_id=restored_id,
        origin_customer_ids=[restored_id, *origins],
    )
    return profiles.Change(tenant_id=TENANT, customers_unmerged=parted)


def _ordered(order_id: str, customer_id: str, total: float, origin_id: str = "", **more: Any) -> profiles.Change:
    event = profiles.RecordedEvent(
        message_id=order_id,
        name=more.pop("name", "Order Completed"),
        customer_id=customer_id,
        origin_customer_id=origin_id or customer_id,
        properties_json=orjson.dumps({"order_id": order_id, "currency": "USD", "total": total, **more}).decode(),
    )
    event.event_time.FromMicroseconds(NOW)
    return profiles.Change(tenant_id=TENANT, event_recorded=event)


class Told:
    """Tells the ledger one change after another."""

    def __init__(self, house: House) -> None:
        self._house, self._number = house, 0

    async def __call__(self, *changes: profiles.Change) -> None:
        after = f"c{self._number}" if self._number else ""
        self._number += 1
        await self._house.ledger.apply_order_events(read_orders(changes), after, f"c{self._number}")


@pytest.fixture
def told(house: House) -> Told:
    return Told(house)


async def _balances(house: House, *member_ids: str) -> list[int]:
    found = await StoredMembers(house.store).get_many(TENANT, "club", member_ids)
    return [found[member_id].balance if member_id in found else 0 for member_id in member_ids]


async def test_the_survivor_has_everything_and_an_unmerge_gives_it_back(house: House, told: Told) -> None:
    await told(_ordered("o1", "ann", 100), _ordered("o2", "bob", 30))
    await told(_merged("ann", "bob"), _ordered("o3", "ann", 7, "bob"))
    ann = await house.member("ann")
    assert (ann.balance, ann.orders, ann.spend_minor, ann.tier_id) == (137, 3, 13_700, "silver")
    assert (await house.member("bob")).id == "ann"  # by the name of before
    await house.ledger.post(request("b1"), burning("b1", 17, "bob"))
    assert await _balances(house, "ann", "bob") == [120, 120]
    await told(_parted("ann", "bob"))
    ann, bob = await house.member("ann"), await house.member("bob")
    assert ann.balance + bob.balance == 120
    assert (ann.spend_minor, bob.spend_minor, ann.orders, bob.orders) == (10_000, 3_700, 1, 2)
    assert (bob.earned, ann.earned, ann.spent + bob.spent) == (37, 100, 17)
    audit = await house.audit()
    assert audit.violations == []
    assert sum(audit.balances["club"].values()) == 0


async def test_refunds_and_pending_points_go_to_whoever_has_the_order_now(house: House, told: Told) -> None:
    await house.ledger.post(request("open"), opening("wait", pending=ON_ACTION))
    await told(_ordered("o1", "bob", 80), _merged("ann", "bob"), _ordered("o2", "ann", 20))
    refunded = await house.ledger.post(request("r1"), refunding("r1", "o1", 4_000))
    assert (refunded.entry.member_id, refunded.entry.balance) == ("ann", 60)
    posted = await house.ledger.post(request("p1"), posting("p1", "o1", program_id="wait"))
    assert (posted.member_id, posted.points) == ("ann", 80)
    await told(_parted("ann", "bob"))
    assert await _balances(house, "ann", "bob") == [20, 40]
    await told(_ordered("o1", "bob", 80, name="Order Cancelled"))
    assert await _balances(house, "ann", "bob") == [20, 0]
    assert (await house.member("bob", "wait")).balance == 0
    assert (await house.member("ann", "wait")).pending_points == 20
    assert (await house.audit()).violations == []


async def test_what_was_one_before_it_came_parts_again_by_its_origins(house: House, told: Told) -> None:
    await told(_ordered("o1", "ann", 1), _ordered("o2", "bob", 20), _ordered("o3", "cid", 300))
    await told(_merged("bob", "cid"), _merged("ann", "bob"))
    assert await _balances(house, "ann", "bob", "cid") == [321, 321, 321]
    await told(_parted("ann", "cid"))  # the first of the two merges
    assert await _balances(house, "ann", "bob", "cid") == [21, 21, 300]
    await told(_merged("cid", "ann"))
    assert await _balances(house, "ann", "bob", "cid") == [321, 321, 321]
    await told(_parted("cid", "ann", "bob"), _parted("ann", "bob"))
    assert await _balances(house, "ann", "bob", "cid") == [1, 20, 300]
    assert (await house.audit()).violations == []


async def test_a_member_who_has_no_account_yet_gives_their_name_alone(house: House, told: Told) -> None:
    await told(_merged("ann", "bob"))
    await house.ledger.post(request("e1"), earning("e1", 5, "bob"))
    [entry], _ = await StoredEntries(house.store).page(TENANT, "club", "ann", 10, "")
    assert (entry.member_id, entry.origin_id, entry.kind) == ("ann", "bob", EntryKind.GRANT)
    await told(_parted("ann", "bob"))
    assert await _balances(house, "ann", "bob") == [0, 5]
    await house.ledger.post(request("e2"), earning("e2", 2, "bob"))
    assert await _balances(house, "ann", "bob") == [0, 7]
    assert (await house.audit()).violations == []


async def test_limits_count_what_both_had_and_part_again(house: House, told: Told) -> None:
    limited = Caps(per_member=(PeriodLimit(Period.LIFETIME, count=2),))
    await house.ledger.post(request("rule"), adding("twice", BONUS, caps=limited))
    await told(_ordered("o1", "ann", 1), _ordered("o2", "bob", 1), _merged("ann", "bob"))
    third = await house.ledger.post(request("t1"), by_rules(order("o3", 100, "bob"), "t1"))
    assert third.balance == 1 + 7 + 1 + 7 + 1
    await told(_parted("ann", "bob"))
    again = await house.ledger.post(request("t2"), by_rules(order("o4", 100, "ann"), "t2"))
    assert again.balance == 1 + 7 + 1 + 7
    assert (await house.audit()).violations == []


async def test_a_reward_is_redeemed_by_the_name_of_before_and_both_answer_once(house: House, told: Told) -> None:
    await house.ledger.post(request("mug"), offering("mug", 50, stock=1))
    await told(_ordered("o1", "ann", 30), _ordered("o2", "bob", 30), _merged("ann", "bob"))
    taken = await house.ledger.post(request("r1"), redeeming("r1", "mug", "bob"))
    assert (taken.member_id, taken.balance) == ("ann", 10)
    both = await batch_get_members(
        StoredPrograms(house.store), StoredMembers(house.store), TENANT, "club", ["ann", "bob", "cid"], NOW
    )
    assert [found.member.id for found in both] == ["ann"]
    with pytest.raises(Refusal, match="51 points are needed and 10 are available"):
        await house.ledger.post(request("b1"), burning("b1", 51, "bob"))
    assert (await house.audit()).violations == []
