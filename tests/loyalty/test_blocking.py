"""Blocked members: refused what the scope says, audited by entries, and nothing else of theirs stands still."""

import pytest

from services.common.errors import Refusal
from services.loyalty.adapters.store import StoredEntries
from services.loyalty.domain.blocking import SetBlock
from services.loyalty.domain.earning_operations import EarnByRules
from services.loyalty.domain.entry import Block, Entry, EntryKind
from services.loyalty.domain.operations import ExpirePoints, Operation
from services.loyalty.domain.orders import ApplyOrderEvents
from tests.loyalty.conftest import House
from tests.loyalty.making import (
    DAY,
    TENANT,
    burning,
    by_rules,
    earning,
    offering,
    order,
    redeeming,
    request,
    told_refund,
)


async def block(house: House, id: str, scope: Block, member_id: str = "ann") -> Entry:
    setting = SetBlock(program_id="club", member_id=member_id, block=scope, reason="odd", request_id=id)
    return await house.ledger.post(request(id), setting)


async def refusal(house: House, operation: Operation[object]) -> str:
    with pytest.raises(Refusal) as refused:
        await house.ledger.post(request("refused"), operation)
    return refused.value.reason


async def test_who_is_blocked_from_spending_still_earns(house: House) -> None:
    await house.ledger.post(request("e"), earning("e", 50))
    await house.ledger.post(request("r"), offering("mug", 5))
    entry = await block(house, "b", Block.SPENDING)
    assert (entry.kind, entry.points, entry.balance, entry.reason) == (EntryKind.BLOCK, 0, 50, "odd")
    assert await refusal(house, burning("x", 1)) == "MEMBER_BLOCKED"
    assert await refusal(house, redeeming("x", "mug")) == "MEMBER_BLOCKED"
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents([order("o1", 1000)])}, "", "c1")
    assert (await house.member("ann")).balance == 60
    await block(house, "u", Block.NOTHING)
    await house.ledger.post(request("x"), burning("x", 60))
    assert (await house.audit()).violations == []


async def test_who_is_blocked_from_everything_earns_nothing_and_it_is_counted(house: House) -> None:
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents([order("o1", 1000)])}, "", "c1")
    await block(house, "b", Block.EVERYTHING)
    assert await refusal(house, earning("x", 1)) == "MEMBER_BLOCKED"
    told: EarnByRules = by_rules(order("o2", 1000), "x")
    assert await refusal(house, told) == "MEMBER_BLOCKED"
    counts = await house.ledger.apply_order_events(
        {TENANT: ApplyOrderEvents([order("o2", 1000), told_refund("o1", 5.0)])}, "c1", "c2"
    )
    assert (counts.blocked, counts.earned, counts.refunds) == (1, 0, 1)
    assert (await house.member("ann")).balance == 5
    house.clock.micros += 900 * DAY
    expired = await house.ledger.post(
        request("t"), ExpirePoints(program_id="club", member_ids=["ann"], as_of=None, more_due=False)
    )
    assert expired.points == 5
    assert (await house.audit()).violations == []


async def test_the_statement_tells_every_block_and_its_end(house: House) -> None:
    await house.ledger.post(request("e"), earning("e", 1))
    assert (
        await refusal(
            house, SetBlock(program_id="club", member_id="ann", block=Block.NOTHING, reason="", request_id="u0")
        )
        == "MEMBER_NOT_BLOCKED"
    )
    await block(house, "b1", Block.SPENDING)
    await block(house, "b2", Block.EVERYTHING)
    await block(house, "u", Block.NOTHING)
    again = await block(house, "b1", Block.SPENDING)
    entries, _ = await StoredEntries(house.store).page(TENANT, "club", "ann", 10, "")
    assert [(each.kind, each.block) for each in entries] == [
        (EntryKind.UNBLOCK, ""),
        (EntryKind.BLOCK, "everything"),
        (EntryKind.BLOCK, "spending"),
        (EntryKind.GRANT, ""),
    ]
    assert again == entries[2]
    assert (await house.member("ann")).block == ""
    assert (await house.audit()).violations == []
