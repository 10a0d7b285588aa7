"""A ledger over a real SQLite file, with a clock that tests set."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from services.common.clock import from_micros
from services.common.store import Store
from services.common.store.sqlite import SqliteStore
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.store import StoredEntries, StoredMembers, StoredOrderFeed, StoredPrograms, StoredRewards
from services.loyalty.adapters.stored_records import StoredEarningRules
from services.loyalty.domain.check import Audit
from services.loyalty.domain.member import Member
from services.loyalty.handlers.check_ledger import check_ledger
from tests.loyalty.making import NOW, TENANT, opening, request


@dataclass
class SetClock:
    """A clock that stands where it is set."""

    micros: int = NOW

    def __call__(self) -> datetime:
        return from_micros(self.micros)


@dataclass(frozen=True)
class House:
    """A ledger and everything that reads it."""

    store: Store
    ledger: StoredLedger
    clock: SetClock

    async def member(self, member_id: str, program_id: str = "club") -> Member:
        found = await StoredMembers(self.store).get_many(TENANT, program_id, [member_id])
        return found[member_id]

    async def audit(self) -> Audit:
        """The check's findings: every test that changes something ends with it."""
        return await check_ledger(
            StoredPrograms(self.store),
            StoredMembers(self.store),
            StoredEntries(self.store),
            StoredRewards(self.store),
            StoredOrderFeed(self.store),
            StoredEarningRules(self.store),
            TENANT,
        )


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store_file(tmp_path: Path) -> Path:
    return tmp_path / "loyalty.sqlite3"


@pytest.fixture
async def house(store_file: Path, clock: SetClock) -> AsyncIterator[House]:
    """A ledger with the programme ``club``."""
    store = await SqliteStore.open(store_file, COLLECTIONS)
    ledger = StoredLedger(store, clock)
    await ledger.post(request("open-club"), opening("club"))
    yield House(store, ledger, clock)
    await ledger.close()
    await store.close()
