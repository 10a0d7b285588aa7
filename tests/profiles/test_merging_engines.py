"""Merges where it is hard: MongoDB, two services on one store, and a service that is killed in the middle."""

import asyncio
import os
import random
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import Refusal
from services.common.store import Store
from services.common.store.mongo import MongoStore
from services.common.store.sqlite import SqliteStore
from tests.mongodb import mongodb_url
from tests.profiles.histories import KEPT, PLACES, STEPS, Join, Part, See, Shop

__all__ = ["mongodb_url"]

ROOT = Path(__file__).parents[2]
KILLED_AFTER = 25


async def _open(engine: str, folder: Path, url: str) -> list[Store]:
    """Two stores on the same data, as two services have them."""
    if engine == "sqlite":
        return [await SqliteStore.open(folder / "profiles.db", KEPT) for _ in range(2)]
    database = f"profiles_{uuid.uuid4().hex[:12]}"
    return [await MongoStore.open(url, database, KEPT) for _ in range(2)]


@settings(max_examples=4)
@given(steps=st.lists(STEPS, max_size=15), order=st.lists(PLACES, max_size=5))
def test_on_mongodb_customers_are_what_the_raw_events_say(
    mongodb_url: str, steps: list[See | Join | Part], order: list[int]
) -> None:
    async def live() -> None:
        store, other = await _open("mongodb", Path(), mongodb_url)
        shop = Shop(store)
        await shop.live(steps)
        await shop.check()
        await shop.unmerge_all(order)
        await shop.check()
        await store.close()
        await other.close()

    asyncio.run(live())


@pytest.mark.parametrize("engine", ["sqlite", "mongodb"])
async def test_two_services_that_merge_unmerge_and_record_at_once_agree(
    engine: str, tmp_path: Path, mongodb_url: str
) -> None:
    stores = await _open(engine, tmp_path, mongodb_url)
    one = Shop(stores[0])
    other = Shop(stores[1], tenant=one.tenant, seen=one.seen, numbers=one.numbers)
    await one.see(*(See(user=f"u{n}") for n in range(6)), *(See(device=f"d{n}") for n in range(6)))
    customers = [customer.customer_id for customer in await one.customers()]
    chance = random.Random(7)

    async def act(shop: Shop) -> None:
        for _ in range(12):
            with suppress(Refusal):  # another one was faster: refused, and nothing happened
                await chance.choice((_merge_some, _unmerge_some, _see_some))(shop, customers, chance)

    await asyncio.gather(*(act(shop) for shop in (one, other, one, other)))
    await one.check()
    await other.unmerge_all([])
    await one.check()
    for store in stores:
        await store.close()


async def _merge_some(shop: Shop, customers: list[str], chance: random.Random) -> None:
    await shop.merge(*chance.sample(customers, 2))


async def _unmerge_some(shop: Shop, customers: list[str], chance: random.Random) -> None:
    if holds := await shop.log():
        await shop.unmerge(chance.choice(holds).merge_id)


async def _see_some(shop: Shop, customers: list[str], chance: random.Random) -> None:
    user, device = chance.randrange(6), chance.randrange(6)
    await shop.see(See(user=f"u{user}", device=f"d{device}"), See(device=f"d{device}", time=3))


async def test_a_service_that_is_killed_among_merges_has_done_each_whole_or_not_at_all(tmp_path: Path) -> None:
    acknowledged = await asyncio.to_thread(_merges_until_killed, tmp_path / "profiles.db")
    store = await SqliteStore.open(tmp_path / "profiles.db", KEPT)
    shop = Shop(store, tenant="t")
    async for batch in shop.profiles.changes("", "t"):
        told = [type(change).__name__ for change in batch.changes]
        break
    log, _ = await shop.merges.page("t", (), 1000, "")
    known = {merge.merge_id: merge for merge in log}
    for what, merge_id in acknowledged:
        assert what != "unmerged" or known[merge_id].unmerge_time
        assert merge_id in known
    assert told.count("CustomersMerged") == len(log)
    assert told.count("CustomersUnmerged") == sum(1 for merge in log if merge.unmerge_time)
    await _is_sound(shop)
    await store.close()


def _merges_until_killed(path: Path) -> list[list[str]]:
    command = [sys.executable, "-m", "tests.profiles.merging_writer", str(path)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
    writer = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    assert writer.stdout
    acknowledged = []
    try:
        for line in writer.stdout:
            acknowledged.append(line.decode().split())
            if len(acknowledged) == KILLED_AFTER:
                break
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert len(acknowledged) == KILLED_AFTER
    return acknowledged


async def _is_sound(shop: Shop) -> None:
    """The customers that are left are those that the log of merges leaves."""
    parents = {merge.merged_customer_id: merge.onto_customer_id for merge in await shop.log()}

    def top(customer_id: str) -> str:
        return top(parents[customer_id]) if customer_id in parents else customer_id

    customers = await shop.customers()
    everyone = {origin for each in customers for origin in (each.customer_id, *each.origins)}
    assert len(everyone) == sum(1 + len(each.origins) for each in customers)
    assert {each.customer_id: set(each.origins) for each in customers} == {
        name: {other for other in everyone if top(other) == name} - {name} for name in everyone if top(name) == name
    }
