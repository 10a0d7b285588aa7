"""Models of category preferences in the document store: all of them is read again, and those of before too."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.common.clock import system_clock
from services.common.jobs import Jobs
from services.common.store import Put, Store
from services.common.store.sqlite import SqliteStore
from services.forecasting.adapters import customer_models, preferences
from services.forecasting.adapters.fits import VERSIONS_KEPT
from services.forecasting.adapters.preferences import KEPT, StoredPreferenceModels
from services.forecasting.adapters.store import StoredRequests
from services.forecasting.domain.preference import (
    MODEL_ID,
    CategoryPreference,
    CategoryPreferenceModel,
    CategoryPreferences,
    CategoryQuality,
    ModelNotKept,
    PreferenceQuality,
    Ranking,
    RankingMethod,
)
from services.forecasting.domain.propensity import Decile, Reason
from services.forecasting.domain.series import Extent
from services.forecasting.handlers.fit_preferences import PreferenceFitting
from services.forecasting.handlers.get_preferences import monitor_preferences

DECILES = (Decile(10, 0.4, 0.5, 2.0), Decile(10, 0.1, 0.0, None))
QUALITY = PreferenceQuality(
    start=5,
    customer_count=20,
    buyer_count=9,
    base_rate=0.25,
    calibration_error=0.1,
    rankings=(Ranking(RankingMethod.MODEL, 0.5, 0.9, 0.4, 0.3),),
    base_log_loss=0.6,
    deciles=DECILES,
    categories=(CategoryQuality("FOOD", 0.2, 0.3, 0.4, 0.5, 0.6, None, 0.1, 7, 0.5, 9, None, DECILES),),
)
MODEL = CategoryPreferenceModel(
    version=1,
    horizon_days=28,
    currency="USD",
    fit_time=3,
    as_of=2,
    customer_count=20,
    categories=("FOOD", "TOYS"),
    moment_count=8,
    quality=QUALITY,
    importance={"category_days": 1.0},
    warnings=("Few.",),
    kept=2,
    learnt={"trees": "t", "slope": 1.0, "shift": 0.0},
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    kept = await SqliteStore.open(tmp_path / "store.sqlite", (*customer_models.COLLECTIONS, *preferences.COLLECTIONS))
    yield kept
    await kept.close()


async def publish(models: StoredPreferenceModels, count: int) -> None:
    for _ in range(count):
        await models.publish("acme", replace(MODEL, version=await models.claim("acme", MODEL_ID)))


async def test_what_is_kept_is_read_again(store: Store) -> None:
    models = StoredPreferenceModels(store)
    why = (Reason("category_days", 3.0, 0.5), Reason("category_gap_days", None, -0.25))
    both = (CategoryPreference("FOOD", 0.5, 0.75, why), CategoryPreference("TOYS", 0.2, 0.25))
    said = CategoryPreferences(await models.claim("acme", MODEL_ID), "c1", 2, 28, both)
    await models.write("acme", [said])
    await models.publish("acme", MODEL)
    assert await models.get("acme", MODEL_ID) == MODEL
    assert await models.of_customers("acme", ["c1"]) == [said]


async def test_the_versions_that_are_kept_are_listed_the_newest_first(store: Store) -> None:
    models = StoredPreferenceModels(store)
    assert await models.versions("acme", MODEL_ID) == []
    await publish(models, 22)
    await models.claim("acme", MODEL_ID)  # one that is being fitted is not there
    assert [it.version for it in await models.versions("acme", MODEL_ID)] == list(range(22, 22 - VERSIONS_KEPT, -1))
    assert await models.versions("rival", MODEL_ID) == []


class UpToNow:
    """Lines that reach beyond every horizon."""

    async def extent(self, tenant: str) -> Extent:
        return Extent(0, 10**15, ("USD",))


async def test_models_of_before_are_read_and_refuse_to_be_asked_again(store: Store) -> None:
    models = StoredPreferenceModels(store)
    await publish(models, 1)
    document = await store.get("acme", KEPT.models, f"{MODEL_ID}/1")
    assert document is not None
    body = {name: value for name, value in document.body.items() if name not in ("kept", "learnt")}
    measured = ("base_log_loss", "deciles", "categories")
    body["quality"] = {name: value for name, value in body["quality"].items() if name not in measured}
    await store.commit([Put("acme", KEPT.models, document.id, body)])
    plain = replace(QUALITY, base_log_loss=None, deciles=(), categories=())
    assert await models.get("acme", MODEL_ID) == replace(MODEL, kept=5, learnt={}, quality=plain)
    lines: Any = UpToNow()
    fitting = PreferenceFitting(lines, lines, models, StoredRequests(store), Jobs(store, system_clock), system_clock)
    with pytest.raises(ModelNotKept, match="before its trees were kept"):
        await monitor_preferences(fitting, "acme", 0)
