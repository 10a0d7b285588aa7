"""What the writer holds of members never shows: another process, or an erasure, is met as if all were read anew."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.errors import Refusal
from services.common.idempotency import REQUESTS
from services.common.store import Delete, Insert, Put, Replace
from services.common.store.sqlite import SqliteStore
from services.loyalty.adapters.documents import (
    COLLECTIONS,
    ENTRIES,
    ERASED,
    ERASED_ID,
    MEMBERS,
    entry_body,
    key,
    member_body,
)
from services.loyalty.adapters.held import Held, HeldMembers
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.store import StoredEntries
from services.loyalty.domain.entry import Lot
from services.loyalty.domain.member import Member
from services.loyalty.domain.orders import ApplyOrderEvents
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import TENANT, burning, earning, order, program, request


@pytest.fixture
async def other(house: House, store_file: Path, clock: SetClock) -> AsyncIterator[StoredLedger]:
    """The ledger of another process on the same file."""
    store = await SqliteStore.open(store_file, COLLECTIONS)
    ledger = StoredLedger(store, clock)
    yield ledger
    await ledger.close()
    await store.close()


async def test_what_another_process_earned_can_be_spent_here(house: House, other: StoredLedger) -> None:
    await house.ledger.post(request("e1"), earning("e1", 10))
    await other.post(request("e2"), earning("e2", 90))
    assert (await house.ledger.post(request("b1"), burning("b1", 100))).balance == 0
    with pytest.raises(Refusal, match="100 points are needed and 0 are available"):
        await other.post(request("b2"), burning("b2", 100))
    assert (await house.audit()).violations == []


async def test_an_order_that_earns_nothing_rests_on_no_stale_member(house: House, other: StoredLedger) -> None:
    await house.ledger.post(request("e1"), earning("e1", 10))
    await other.post(request("e2"), earning("e2", 90))
    told = ApplyOrderEvents([order("o1", 0), order("o2", 700)])
    assert (await house.ledger.apply_order_events({TENANT: told}, "", "c1")).small == 1
    assert (await house.member("ann")).balance == 107
    assert (await house.audit()).violations == []


async def test_what_would_be_refused_now_is_answered_as_when_it_was_carried_out_elsewhere(
    house: House, other: StoredLedger
) -> None:
    await house.ledger.post(request("e1"), earning("e1", 10))
    burned = await other.post(request("b1"), burning("b1", 10))
    await house.ledger.post(request("e2"), earning("e2", 1))
    assert await house.ledger.post(request("b1"), burning("b1", 10)) == burned
    assert await house.ledger.post_all(TENANT, [(request("b1"), burning("b1", 10))] * 2) == [burned, burned]
    [reused] = await house.ledger.post_all(TENANT, [(request("b1", "other"), burning("b1", 99))])
    assert isinstance(reused, Refusal)
    assert reused.reason == "REQUEST_ID_REUSED"


async def test_nobody_who_was_erased_and_came_back_has_their_points_again(house: House, other: StoredLedger) -> None:
    await house.ledger.post(request("e1"), earning("e1", 500))
    first = await house.member("ann")
    [entry], _ = await StoredEntries(house.store).page(TENANT, "club", "ann", 10, "")
    await house.store.commit(
        [
            Put(TENANT, ERASED, ERASED_ID, {}),
            Delete(TENANT, MEMBERS, key("club", "ann")),
            Insert(TENANT, MEMBERS, key("club", "x"), member_body(replace(first, id="x"), program())),
            Replace(TENANT, ENTRIES, entry.id, entry_body(replace(entry, member_id="x")), 1),
        ]
    )
    await other.post(request("e2"), earning("e2", 1))  # the document is at version 1 again, after one entry, as before
    await house.ledger.post(request("e3"), earning("e3", 2))
    assert (await house.member("ann")).balance == 3
    assert (await house.audit()).violations == []


async def test_an_answer_that_was_kept_whole_is_still_given(house: House) -> None:
    entry = await house.ledger.post(request("e1"), earning("e1", 5))
    whole = {"kind": "entry", "id": entry.id, "body": entry_body(entry)}
    await house.store.commit([Put(TENANT, REQUESTS, "e1", {"fingerprint": "e1", "answer": whole})])
    assert await house.ledger.post(request("e1"), earning("e1", 5)) == entry


def test_no_more_is_held_than_fits_and_what_was_used_last_stays() -> None:
    held = HeldMembers(cost_max=100)
    for number in range(6):
        lots = tuple(Lot(expiry, 1) for expiry in range(10))
        held.keep("acme", ("club", str(number)), Held(Member("club", str(number), lots=lots), 1, 0))
        held.get("acme", ("club", "0"), 0)
    found = [number for number in range(6) if held.get("acme", ("club", str(number)), 0)]
    assert found == [0, 4, 5]
    assert held.get("other", ("club", "0"), 0) is None
