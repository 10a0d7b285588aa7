"""What propensity models say, on the feed of predictions: whoever follows holds what the newest versions say."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from services.common.store import Store
from services.common.store.sqlite import SqliteStore
from services.forecasting.adapters import customer_models, preferences, propensities, uplifts
from services.forecasting.adapters.customer_models import StoredCustomerModels
from services.forecasting.adapters.propensities import StoredPropensityModels
from services.forecasting.domain.propensity import Goal, Propensity, PropensityModel, PropensityModelNotFound, Quality

COLLECTIONS = (
    *customer_models.COLLECTIONS,
    *propensities.COLLECTIONS,
    *preferences.COLLECTIONS,
    *uplifts.COLLECTIONS,
)
QUALITY = Quality(0, 1, 0.5, None, None, 0.2, 0.25, 0.6, 0.0, ())
Said = Mapping[str, float]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    kept = await SqliteStore.open(tmp_path / "store.sqlite", COLLECTIONS)
    yield kept
    await kept.close()


async def publish(models: StoredPropensityModels, name: str, said: Said, tenant: str = "acme") -> None:
    version = await models.claim(tenant, name)
    rows = [Propensity(name, version, who, likely, 1, 0, 30, ()) for who, likely in said.items()]
    await models.write(tenant, rows)
    await models.publish(tenant, made(version, name))


def made(version: int, name: str = "food") -> PropensityModel:
    return PropensityModel(name, version, Goal(30), "USD", 0, 0, 1, 1, 1, 1, QUALITY, {}, {}, ())


class Follower:
    """Holds what the feed says, by customer and model."""

    def __init__(self, store: Store) -> None:
        self._models, self._store = StoredCustomerModels(store), store
        self._cursor, self.held = "", dict[str, dict[str, float]]()

    async def holds(self) -> dict[str, dict[str, float]]:
        """After all that was told."""
        end = await self._store.end_of_feed()
        if end and await self._store.feed_position(end) > await self._store.feed_position(self._cursor):
            async for batch in self._models.changes(self._cursor, "acme"):
                for change in batch.changes:
                    self.held[change.customer_id] = {it.model_id: it.probability for it in change.propensities}
                self._cursor = batch.cursor
                if batch.caught_up:
                    break
        return {who: said for who, said in self.held.items() if said}


async def test_followers_hold_what_the_newest_version_of_each_model_says(store: Store) -> None:
    models, follower = StoredPropensityModels(store), Follower(store)
    await publish(models, "food", {"c1": 0.9}, tenant="rival")
    await publish(models, "food", {"c1": 0.1, "c2": 0.2})
    assert await follower.holds() == {"c1": {"food": 0.1}, "c2": {"food": 0.2}}
    await publish(models, "toys", {"c2": 0.5})
    await publish(models, "food", {"c2": 0.3, "c3": 0.4})
    expected = {"c2": {"food": 0.3, "toys": 0.5}, "c3": {"food": 0.4}}
    assert await follower.holds() == expected
    assert await Follower(store).holds() == expected


async def test_what_goes_with_a_model_or_a_person_is_taken_back(store: Store) -> None:
    models, follower = StoredPropensityModels(store), Follower(store)
    await publish(models, "food", {"c1": 0.1, "c2": 0.2})
    await publish(models, "toys", {"c1": 0.6})
    await follower.holds()
    assert await models.forget("acme", ["c2", "c9"]) == 1
    assert await follower.holds() == {"c1": {"food": 0.1, "toys": 0.6}}
    await models.delete("acme", "food")
    assert await follower.holds() == {"c1": {"toys": 0.6}}


async def test_what_was_said_of_who_is_merged_goes_and_of_who_is_left_one_thing_is_said(store: Store) -> None:
    models, follower = StoredPropensityModels(store), Follower(store)
    await publish(models, "food", {"c1": 0.1, "c2": 0.2, "c3": 0.3, "c6": 0.6})
    await publish(models, "toys", {"c1": 0.7, "c5": 0.5}, tenant="acme")
    await publish(models, "food", {"c1": 0.9}, tenant="rival")
    for _ in range(2):  # a process that is killed does it again
        await models.carry("acme", "food", [("c1", "c2"), ("c3", "c4"), ("c4", "c5"), ("c8", "c9")])
    assert await follower.holds() == {"c1": {"toys": 0.7}, "c2": {"food": 0.2}, "c5": {"food": 0.3, "toys": 0.5}} | {
        "c6": {"food": 0.6}
    }
    found, token = await models.page("acme", "food", 1, 10, "")
    assert ([it.customer_id for it in found], token) == (["c6", "c5", "c2"], "")
    assert [it.probability for it in await models.of_customers("rival", ["c1"])] == [0.9]
    below = [await models.below("acme", "food", 1, value) for value in (0.15, 0.2, 0.59)]
    assert [it and it.customer_id for it in below] == [None, "c2", "c5"]


class Killed(StoredPropensityModels):
    """Is stopped as soon as a version is read."""

    async def _settle(self, tenant: str, model_id: str, first: int, current: int) -> None:
        raise ConnectionError


async def test_what_a_process_did_not_come_to_is_told_after_the_next_start(store: Store) -> None:
    follower = Follower(store)
    await publish(StoredPropensityModels(store), "food", {"c1": 0.1, "c2": 0.2})
    await follower.holds()
    for said in ({"c2": 0.3}, {"c3": 0.4}):
        with pytest.raises(ConnectionError):
            await publish(Killed(store), "food", said)
    again = StoredPropensityModels(store)
    await again.settle()
    assert await follower.holds() == {"c3": {"food": 0.4}}
    assert [page async for page in again.pages("acme", "food", 1)] == [[]]
    await again.settle()
    await again.delete("acme", "food")
    assert await follower.holds() == {}


class BrokenOff(StoredPropensityModels):
    """Is stopped as soon as a name is closed."""

    async def _drop_fit(self, tenant: str, model_id: str, version: int, *, tell: bool = False) -> None:
        raise ConnectionError


async def test_a_deletion_that_was_broken_off_shows_nothing_and_is_finished_when_asked_again(store: Store) -> None:
    models, follower = StoredPropensityModels(store), Follower(store)
    await publish(models, "food", {"c1": 0.1, "c2": 0.2})
    await follower.holds()
    at_work = await models.claim("acme", "food")
    with pytest.raises(ConnectionError):
        await BrokenOff(store).delete("acme", "food")
    assert (await models.newest("acme"), await models.get("acme", "food", 1)) == ([], None)
    assert await models.of_customers("acme", ["c1", "c2"]) == []
    assert await models.forget("acme", ["c1"]) == 1  # who is erased meanwhile leaves nothing
    with pytest.raises(PropensityModelNotFound):
        await models.publish("acme", made(at_work))
    await publish(models, "food", {"c3": 0.3})
    await models.delete("acme", "food")
    assert (await models.names("acme"), await follower.holds()) == ([], {})
    assert [[page async for page in models.pages("acme", "food", version)] for version in (1, 2, 3)] == [[[]]] * 3


async def test_a_deletion_that_was_broken_off_is_finished_by_the_next_start(store: Store) -> None:
    models, follower = StoredPropensityModels(store), Follower(store)
    await publish(models, "food", {"c1": 0.1, "c2": 0.2})
    await publish(models, "toys", {"c2": 0.7})
    await follower.holds()
    for name in ("food", "toys"):
        with pytest.raises(ConnectionError):
            await BrokenOff(store).delete("acme", name)
    await publish(models, "toys", {"c3": 0.9})  # fitted anew before anything is taken back
    await StoredPropensityModels(store).settle()
    assert await follower.holds() == {"c3": {"toys": 0.9}}
    assert await models.names("acme") == ["toys"]
    assert [page async for page in models.pages("acme", "food", 1)] == [[]]
    await BrokenOff(store).settle()  # nothing is left to do


async def test_a_name_that_is_fitted_while_it_is_deleted_keeps_what_came_after(store: Store) -> None:
    models, follower = StoredPropensityModels(store), Follower(store)

    class Meanwhile(StoredPropensityModels):
        async def _drop_fit(self, tenant: str, model_id: str, version: int, *, tell: bool = False) -> None:
            await super()._drop_fit(tenant, model_id, version, tell=tell)
            await publish(models, "food", {"c2": 0.4})

    await publish(models, "food", {"c1": 0.1, "c2": 0.2})
    await Meanwhile(store).delete("acme", "food")
    assert await follower.holds() == {"c2": {"food": 0.4}}
    assert [it.version for it in await models.newest("acme")] == [2]
