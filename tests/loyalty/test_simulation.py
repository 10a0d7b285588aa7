"""Ten thousand operations among crashes, duplicates, delays and retries: each once, none lost, the ledger sound."""

import os
import sys
from collections import Counter

from services.loyalty.domain.entry import Account, Entry, EntryKind
from services.loyalty.domain.redemption import Redemption
from tests.loyalty.simulation import STOCK, Outcome, simulate

SEED = 20261122
"""``SIMULATION_SEED`` in the environment makes it another day."""
OPERATIONS = 7_000
"""Of clients; the feed tells half as many events: more than ten thousand together."""


def _checked(seed: int, operations: int) -> Outcome:
    try:
        found = simulate(seed, operations)
        _check(found)
    except BaseException:
        sys.stderr.write(f"SIMULATION_SEED={seed} repeats this\n")
        raise
    return found


def _check(found: Outcome) -> None:
    assert found.audit.violations == []
    balances = found.audit.balances["club"]
    assert sum(balances.values()) == balances[Account.MERGED] == 0
    by_request = {entry.request_id: entry for entry in found.entries if entry.request_id}
    answered = {name: answer for name, answer in found.world.answers.items() if isinstance(answer, Entry | Redemption)}
    assert set(by_request) == set(answered)  # nothing acknowledged is lost, nothing is there that was refused
    assert all(by_request[name] == answer for name, answer in answered.items() if isinstance(answer, Entry))
    kinds = Counter(entry.kind for entry in found.entries)
    assert kinds[EntryKind.REDEMPTION] <= STOCK
    assert min(entry.balance for entry in found.entries) >= 0


def test_nothing_is_lost_or_doubled_whatever_goes_wrong() -> None:
    seed = int(os.environ.get("SIMULATION_SEED", SEED))
    found = _checked(seed, OPERATIONS)
    met, kinds = found.world.met, Counter(entry.kind for entry in found.entries)
    assert len(found.world.answers) + sum(found.world.refused.values()) >= OPERATIONS
    assert min(met["death"], met["crash"], met["UNAVAILABLE"], met["duplicate"]) > 10, met
    assert min(kinds[kind] for kind in (EntryKind.ORDER, EntryKind.REFUND, EntryKind.MERGE, EntryKind.UNMERGE)) > 10


def test_the_same_seed_is_the_same_day() -> None:
    one, other = _checked(7, 300), _checked(7, 300)
    assert one.entries == other.entries
    assert one.world.met == other.world.met
