"""The running check goes through all members, a part at a time, and says what it finds."""

from dataclasses import replace

from services.common.store import Put
from services.loyalty.adapters.checks import StoredChecks
from services.loyalty.adapters.documents import MEMBERS, key, member_body
from services.loyalty.adapters.store import StoredEntries, StoredPrograms
from services.loyalty.domain.running_check import CheckRound
from services.loyalty.handlers.running_check import RunningCheck
from tests.loyalty.conftest import House
from tests.loyalty.making import NOW, TENANT, earning, program, request


def _check(house: House) -> RunningCheck:
    programs, entries, checks = StoredPrograms(house.store), StoredEntries(house.store), StoredChecks(house.store)
    return RunningCheck(programs, entries, checks, members_max=3, entries_max=6)


async def _earned(house: House, count: int) -> None:
    await house.ledger.post_all(
        TENANT, [(request(f"e{number}"), earning(f"e{number}", 5, f"p{number:02}")) for number in range(count)]
    )


async def test_rounds_go_on_where_they_were_and_say_what_they_found(house: House) -> None:
    await _earned(house, 10)
    wrong = replace(await house.member("p04"), balance=7)
    await house.store.commit([Put(TENANT, MEMBERS, key("club", "p04"), member_body(wrong, program()))])
    check, states = _check(house), StoredChecks(house.store)
    await check.tick(NOW)
    state = await states.state(TENANT)
    assert (state.going.members, state.going.entries, state.last) == (6, 6, CheckRound())
    assert state.going.violations > 0
    assert state.going.first.startswith("BALANCE_DIFFERS of p04 in club")
    await _check(house).tick(NOW + 1)  # another process, or this one after a restart
    state = await states.state(TENANT)
    assert (state.last.time, state.last.members, state.going) == (NOW + 1, 10, CheckRound())
    assert state.last.first.startswith("BALANCE_DIFFERS of p04")


async def test_of_two_processes_one_counts(house: House) -> None:
    await _earned(house, 2)
    states = StoredChecks(house.store)
    before = await states.state(TENANT)
    await _check(house).tick(NOW)
    assert not await states.keep(TENANT, before, before)
    assert (await states.state(TENANT)).last.members == 2
