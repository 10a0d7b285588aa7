"""The feed of predictions over real documents: whoever follows holds what is predicted, however fits are broken off."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.store import Store
from services.common.store.sqlite import SqliteStore
from services.forecasting.adapters import customer_models, preferences, propensities, uplifts
from services.forecasting.adapters.customer_models import StoredCustomerModels
from services.forecasting.domain.customers import CustomerModel, ModelName, Prediction
from services.forecasting.handlers.tell_predictions import PredictionTelling

COLLECTIONS = (
    *customer_models.COLLECTIONS,
    *propensities.COLLECTIONS,
    *preferences.COLLECTIONS,
    *uplifts.COLLECTIONS,
)
PEOPLE = [f"c{number}" for number in range(6)]
Said = dict[str, int]
"""Expected revenue by customer: what tells predictions apart here."""


def model(version: int) -> CustomerModel:
    return CustomerModel(
        version=version, fit_time=0, model=ModelName.BG_NBD, purchase_parameters={}, purchase_log_likelihood=0.0,
        spending_parameters={}, spending_log_likelihood=0.0, currency="USD", start=0, as_of=0, customer_count=1,
        repeat_customer_count=1, frequency_amount_correlation=None, horizon_days=91, lifetime_days=1, discount_rate=0.1,
        holdout=None, warnings=(),
    )  # fmt: skip


def predictions(version: int, said: Said) -> list[Prediction]:
    like = Prediction("", version, 0, 91, "USD", 1, 0, 1.0, 0.1, 1.0, 100, 0, None, 100)
    return [replace(like, customer_id=who, expected_revenue=revenue) for who, revenue in said.items()]


async def publish(models: StoredCustomerModels, said: Said, tenant: str = "acme") -> int:
    version = await models.claim(tenant)
    await models.write(tenant, predictions(version, said))
    async with models.turn():
        await models.publish(tenant, model(version))
    return version


class Follower:
    """Applies the feed of one tenant, or of all."""

    def __init__(self, models: StoredCustomerModels, store: Store, tenant: str | None = None) -> None:
        self._models, self._store, self._tenant = models, store, tenant
        self.cursor, self.held, self.told = "", dict[tuple[str, str], int](), 0

    async def catch_up(self) -> None:
        """Up to the newest entry there is."""
        end = await self._store.end_of_feed()
        if not end or await self._store.feed_position(end) <= await self._store.feed_position(self.cursor):
            return
        async for batch in self._models.changes(self.cursor, self._tenant):
            for change in batch.changes:
                self.held.pop((change.tenant, change.customer_id), None)
                if change.prediction is not None:
                    self.held[change.tenant, change.customer_id] = change.prediction.expected_revenue
                self.told += 1
            self.cursor = batch.cursor
            if batch.caught_up:
                return


said = st.dictionaries(st.sampled_from(PEOPLE), st.integers(1, 3))
steps = st.one_of(
    st.tuples(st.just("fit"), said),
    st.tuples(st.just("break off"), said),
    st.tuples(st.just("correct"), said),
    st.tuples(st.just("forget"), st.sets(st.sampled_from(PEOPLE))),
    st.tuples(st.sampled_from(["tell", "follow"]), st.none()),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, max_size=12))
def test_whoever_follows_holds_what_the_newest_model_says(history: Sequence[tuple[str, Any]]) -> None:
    asyncio.run(lived(history))


async def lived(history: Sequence[tuple[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder) / "store.sqlite", COLLECTIONS)
        try:
            models = StoredCustomerModels(store)
            follower, expected = Follower(models, store), Said()
            for step, content in history:
                expected = await walked(models, follower, expected, step, content)
            await PredictionTelling(models).tell()
            assert await models.untold() == []
            await follower.catch_up()
            newcomer = Follower(models, store)
            await newcomer.catch_up()
            kept = {("acme", who): revenue for who, revenue in expected.items()}
            assert follower.held == newcomer.held == kept
            assert newcomer.told <= len(PEOPLE)
        finally:
            await store.close()


async def walked(models: StoredCustomerModels, follower: Follower, expected: Said, step: str, content: Any) -> Said:
    match step:
        case "fit":
            await publish(models, content)
            return dict(content)
        case "break off":
            await models.write("acme", predictions(await models.claim("acme"), content))
        case "correct" if await models.get("acme"):
            async with models.turn():
                gone = sorted(set(PEOPLE[:3]) - set(content))
                await models.correct("acme", predictions((await newest(models)).version, content), gone)
            return {who: revenue for who, revenue in (expected | content).items() if who not in gone}
        case "forget":
            await models.forget("acme", sorted(content))
            return {who: revenue for who, revenue in expected.items() if who not in content}
        case "tell":
            await models.tell("acme")
        case "follow":
            await follower.catch_up()
    return expected


async def newest(models: StoredCustomerModels) -> CustomerModel:
    found = await models.get("acme")
    assert found is not None
    return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await SqliteStore.open(tmp_path / "store.sqlite", COLLECTIONS)
    yield opened
    await opened.close()


async def test_what_a_process_did_not_come_to_tell_the_next_one_tells(store: Store) -> None:
    await publish(StoredCustomerModels(store), {"c1": 1, "c2": 2})
    restarted = StoredCustomerModels(store)
    telling = PredictionTelling(restarted)
    at_work = asyncio.create_task(telling.run())
    try:
        async with asyncio.timeout(30):
            async for batch in restarted.changes("", None):
                assert {it.customer_id for it in batch.changes} == {"c1", "c2"}
                assert [owner for owner, _ in batch.models] == ["acme"]
                break
    finally:
        at_work.cancel()


async def test_tenants_share_a_feed_and_none_hears_of_another(store: Store) -> None:
    models = StoredCustomerModels(store)
    for tenant, revenue in (("acme", 1), ("rival", 2)):
        await publish(models, {"c1": revenue}, tenant)
    assert await models.untold() == ["acme", "rival"]
    await PredictionTelling(models).tell()
    everybody, acme = Follower(models, store), Follower(models, store, "acme")
    await everybody.catch_up()
    assert everybody.held == {("acme", "c1"): 1, ("rival", "c1"): 2}
    async for batch in models.changes(acme.cursor, "acme"):
        assert {(it.tenant, it.customer_id) for it in batch.changes} == {("acme", "c1")}
        break


async def test_what_is_predicted_in_thousands_is_told_in_pages(store: Store) -> None:
    models = StoredCustomerModels(store)
    everybody = {f"c{number:05}": number % 7 + 1 for number in range(2_300)}
    await publish(models, everybody)
    assert await models.tell("acme") == 2_300
    assert await models.tell("acme") == 0
    follower = Follower(models, store)
    await follower.catch_up()
    assert follower.held == {("acme", who): revenue for who, revenue in everybody.items()}
