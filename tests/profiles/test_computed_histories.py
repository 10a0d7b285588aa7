"""Computed traits through events, merges, unmerges and time: what is read, and told, is what the raw events come to."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.jobs import COLLECTIONS as JOBS
from services.common.rules import Comparison, Operator
from services.common.store.sqlite import SqliteStore
from services.profiles.domain.computed_trait import ComputedTrait, Status
from services.profiles.domain.computing import ComputedTraitChanged
from services.profiles.domain.figures import Kind
from services.profiles.handlers.computed_traits import computed_values
from services.profiles.handlers.computing import Computing, backfill, tick
from services.profiles.handlers.get_customer import list_events
from services.profiles.ports import Recorded
from tests.profiles.histories import EVERYTHING, KEPT, STEPS, Join, Part, See, Shop

PAID = Comparison("amount", Operator.GREATER_THAN, (0.0,))
TRAITS = (
    ComputedTrait("events", Kind.EVENT_COUNTER, "n"),
    ComputedTrait("recent", Kind.EVENT_COUNTER, "n", window=4),
    ComputedTrait("spent", Kind.SUM, "n", "amount", where=(PAID,)),
    ComputedTrait("spent_recently", Kind.SUM, "n", "amount", where=(PAID,), window=3),
    ComputedTrait("amounts", Kind.UNIQUE_LIST, "n", "amount"),
    ComputedTrait("last", Kind.LAST, "n", "amount", window=6),
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Computer:
    """The computed traits of a shop, at a time that is set."""

    def __init__(self, shop: Shop, now: int) -> None:
        self.shop, self.now = shop, now
        self.computing = Computing(shop.profiles, shop.computed, lambda: EPOCH + timedelta(microseconds=self.now))

    async def define(self, status: Status) -> None:
        for trait in TRAITS:
            await self.shop.computed.define(None, self.shop.tenant, ComputedTrait(**_fields(trait, status)), None)

    async def backfill(self) -> None:
        for trait in TRAITS:
            await backfill(self.computing, self.shop.tenant, trait.name, 1, _ignore)

    async def settle(self) -> None:
        while await tick(self.computing, self.shop.tenant):
            pass

    async def check(self) -> None:
        """What customers have, and what the feed has told of them, is what their events come to now."""
        expected = {}
        customers = await self.shop.customers()
        for customer in customers:
            events, _ = await list_events(
                self.shop.profiles, self.shop.tenant, customer.customer_id, EVERYTHING, 1000, ""
            )
            if values := recomputed(events, self.now):
                expected[customer.customer_id] = values
        found = await computed_values(self.computing, self.shop.tenant, customers)
        shown = {key: {trait.name: value.value for trait, value in values} for key, values in found.items() if values}
        assert shown == expected
        assert await self.told() == expected

    async def told(self) -> dict[str, dict[str, Any]]:
        """What a follower knows of those who are customers."""
        known: dict[str, dict[str, Any]] = {}
        there = {customer.customer_id for customer in await self.shop.customers()}
        if not self.shop.seen:
            return {}
        async for batch in self.shop.profiles.changes("", self.shop.tenant):
            for change in batch.changes:
                if isinstance(change, ComputedTraitChanged) and change.customer_id in there:
                    values = known.setdefault(change.customer_id, {})
                    values[change.name] = json.loads(change.value_json)
            if batch.caught_up:
                break
        filled = {key: {name: it for name, it in values.items() if it is not None} for key, values in known.items()}
        return {key: values for key, values in filled.items() if values}


def _fields(trait: ComputedTrait, status: Status) -> dict[str, Any]:
    return {**{name: getattr(trait, name) for name in ComputedTrait.__slots__}, "status": status}


async def _ignore(share: float, message: str) -> None:
    pass


def recomputed(events: list[Recorded], now: int) -> dict[str, Any]:
    """The values, from the raw events of a customer."""
    counted = [(event.event_time, json.loads(event.json)) for event in events if event.name == "n"]
    amounts = [(time, content["amount"]) for time, content in counted if "amount" in content]
    paid = [(time, amount) for time, amount in amounts if amount > 0]
    recent = [time for time, _ in counted if now - 4 < time <= now]
    late = [(time, amount) for time, amount in amounts if now - 6 < time <= now]
    spent_recently = sum(amount for time, amount in paid if now - 3 < time <= now)
    values = {
        "events": len(counted),
        "recent": len(recent),
        "spent": sum(amount for _, amount in paid),
        "spent_recently": spent_recently,
        "amounts": sorted({amount for _, amount in amounts}),
        "last": max(late)[1] if late else None,
    }
    return {name: value for name, value in values.items() if value or (name == "last" and value is not None)}


HISTORIES = st.lists(STEPS, max_size=12)


@settings(max_examples=20)
@given(HISTORIES, st.sampled_from([Status.ACTIVE, Status.BACKFILLING]), st.lists(st.integers(0, 99), max_size=4))
def test_at_any_moment_traits_are_what_the_raw_events_come_to(
    steps: Sequence[See | Join | Part], status: Status, order: Sequence[int]
) -> None:
    """Defined before everything (ACTIVE), or in the middle of it and computed over history (BACKFILLING)."""

    async def live(folder: Path) -> None:
        store = await SqliteStore.open(folder / "profiles.db", (*KEPT, *JOBS))
        shop = Shop(store)
        computer, middle = Computer(shop, 5), len(steps) // 2
        if status is Status.ACTIVE:
            await computer.define(status)
        await shop.live(steps[:middle])
        if status is Status.BACKFILLING:
            await computer.define(status)
            await shop.live(steps[middle : middle + 2])
            await computer.backfill()
        await shop.live(steps[middle + 2 * (status is Status.BACKFILLING) :])
        for now in (5, 8, 11):
            computer.now = now
            await computer.settle()
            await computer.check()
        await shop.unmerge_all(order)
        await computer.settle()
        await computer.check()
        await store.close()

    with TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder)))
