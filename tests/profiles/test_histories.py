"""Whatever happens, customers are what their events say, and merges that are taken back leave no trace."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.store.sqlite import SqliteStore
from tests.profiles.histories import KEPT, PLACES, STEPS, Join, Part, See, Shop

HISTORIES = st.lists(STEPS, max_size=20)


@settings(max_examples=40)
@given(HISTORIES, st.lists(PLACES, max_size=8))
def test_at_any_moment_customers_are_what_the_raw_events_say(
    steps: Sequence[See | Join | Part], order: Sequence[int]
) -> None:
    async def live(folder: Path) -> None:
        store = await SqliteStore.open(folder / "profiles.db", KEPT)
        shop = Shop(store)
        middle = len(steps) // 2
        for some in (steps[:middle], steps[middle:]):
            await shop.live(some)
            await shop.check()
        await shop.unmerge_all(order)
        await shop.check()
        assert all(not customer.origins for customer in await shop.customers())
        await store.close()

    with TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder)))


@settings(max_examples=40)
@given(HISTORIES, st.lists(PLACES, max_size=8))
def test_after_all_unmerges_it_is_as_if_nobody_had_ever_asked_for_a_merge(
    steps: Sequence[See | Join | Part], order: Sequence[int]
) -> None:
    async def live(folder: Path) -> None:
        store = await SqliteStore.open(folder / "profiles.db", KEPT)
        shop, other = Shop(store), Shop(store)
        await shop.live(steps, people_only=True)
        await shop.unmerge_all(order, requested_only=True)
        await other.live([step for step in steps if isinstance(step, See)])
        assert await shop.state() == await other.state()
        await store.close()

    with TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder)))
