"""Uplift models are asked again of who is merged and parted, by what their newest version learnt."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.common.columnar import open_columnar
from services.common.store import Store
from services.common.store.sqlite import SqliteStore
from services.forecasting.adapters import customer_models, preferences, propensities, uplifts
from services.forecasting.adapters.customer_models import StoredCustomerModels
from services.forecasting.adapters.lines import ORDER_LINES, ColumnarLines
from services.forecasting.adapters.propensities import StoredPropensityModels
from services.forecasting.adapters.uplifts import StoredUpliftModels
from services.forecasting.app import Settings
from services.forecasting.domain.propensity import FEATURES as FEATURE_NAMES
from services.forecasting.domain.propensity import Goal, Moment
from services.forecasting.domain.uplift import Figure, Outcome, Uplift, UpliftGroup, UpliftModel, UpliftQuality
from services.forecasting.handlers.predict_again import PredictingAgain
from services.forecasting.learning.uplift import UpliftTrees, fit
from services.forecasting.learning.uplift_kept import UpliftMeans, dump
from tests.forecasting.learning.test_uplift import experiment

NONE = Figure(0.0, 0.0, 0.0)
QUALITY = UpliftQuality(2, 1, 0.5, 0.5, NONE, NONE, None, (NONE,), (), None)
COLLECTIONS = (
    *customer_models.COLLECTIONS,
    *propensities.COLLECTIONS,
    *preferences.COLLECTIONS,
    *uplifts.COLLECTIONS,
)
CUSTOMERS = {"c1": [0.5, 0.2, 1.0, 0.1], "c2": [-0.5, 0.9, -1.0, 0.3], "c3": [0.0, -0.4, 0.3, 2.0]}
MERGED = [1.5, -0.8, 0.4, 0.0]


@dataclass
class Known:
    """What is known of customers now."""

    features: dict[str, list[float]] = field(default_factory=lambda: dict(CUSTOMERS))

    async def moment(
        self, tenant: str, currency: str, goal: Goal, at: int, customer_ids: Sequence[str] | None = None
    ) -> Moment:
        ids = sorted(it for it in customer_ids or () if it in self.features)
        rows = np.array([self.features[it] for it in ids]).reshape(len(ids), 4)
        return Moment(ids, rows, np.zeros(len(ids), dtype=np.bool_))


@pytest.fixture(scope="module")
def trees() -> UpliftTrees:
    return fit(experiment(400, 4, differing=4.0)[0])[0]


@dataclass
class Platform:
    """A model of three customers, and who asks it again."""

    models: StoredUpliftModels
    known: Known
    again: PredictingAgain

    async def publish(self, trees: UpliftTrees | None, model_id: str = "mail", **changed: object) -> None:
        version = await self.models.claim("acme", model_id)
        if trees:
            means = UpliftMeans.of(trees, np.array(list(CUSTOMERS.values())))
            await self.models.keep("acme", model_id, version, dump(trees, means) | changed)
        rows = [
            Uplift(
                model_id, version, who, Figure(place / 10, 0, 1), 0.5, 10 * place, UpliftGroup.SURE_THING, 0, (),
                Outcome.REACHED,
            )
            for place, who in enumerate(CUSTOMERS, 1)
        ]  # fmt: skip
        await self.models.write("acme", rows)
        made = UpliftModel(model_id, version, "mail", Goal(30), "USD", 0, 0, 3, QUALITY, {}, None, ())
        await self.models.publish("acme", made)

    async def said(self, model_id: str = "mail") -> Mapping[str, Uplift]:
        return {it.customer_id: it for it in await self.models.of_customers("acme", list(CUSTOMERS), [model_id])}


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    store: Store = await SqliteStore.open(tmp_path / "store.sqlite", COLLECTIONS)
    settings: Any = Settings(data_dir=tmp_path, _env_file=None)
    async with open_columnar(settings, [ORDER_LINES]) as columnar:
        models, known = StoredUpliftModels(store), Known()
        likely = StoredPropensityModels(store)
        liked = preferences.StoredPreferenceModels(store, likely.turn)
        customers = StoredCustomerModels(store, likely, liked)
        lines = ColumnarLines(columnar)
        again = PredictingAgain(lines, known, customers, likely, models, lines, liked)
        yield Platform(models, known, again)
    await store.close()


async def test_who_is_merged_and_parted_is_told_by_what_the_newest_version_learnt(
    platform: Platform, trees: UpliftTrees
) -> None:
    await platform.publish(trees)
    before = await platform.said()
    platform.known.features = {"c1": MERGED, "c3": CUSTOMERS["c3"]}
    for _ in range(2):  # a process that is killed does it again
        await platform.again("acme", [("c2", "c1")])
        now = await platform.said()
        assert now.keys() == {"c1", "c3"}
        assert now["c3"] == before["c3"]
        (uplift,), (half,) = trees.uplift(np.array([MERGED]))
        assert now["c1"].uplift == Figure(uplift, uplift - half, uplift + half)
        assert now["c1"].base_probability == trees.control(np.array([MERGED]))[0]
        assert now["c1"].percentile in (1, 10, 30)
        assert [why.value for why in now["c1"].reasons if why.feature == FEATURE_NAMES[2]] == [MERGED[2]]
    platform.known.features = dict(CUSTOMERS)
    await platform.again("acme", [("c1", "c2")])
    parted = await platform.said()
    for who in ("c1", "c2"):
        assert parted[who].uplift.value == pytest.approx(trees.uplift(np.array([CUSTOMERS[who]]))[0][0], rel=1e-9)


@pytest.mark.parametrize("form", [0, None])
async def test_a_model_that_cannot_be_asked_says_of_who_is_left_what_it_said(
    platform: Platform, trees: UpliftTrees, form: int | None
) -> None:
    await platform.publish(None if form is None else trees, form=form)
    before = await platform.said()
    platform.known.features = {"c1": MERGED, "c3": CUSTOMERS["c3"]}
    await platform.again("acme", [("c2", "c1")])
    assert await platform.said() == {who: before[who] for who in ("c1", "c3")}


async def test_what_was_learnt_is_kept_of_the_newest_version_and_goes_with_the_model(
    platform: Platform, trees: UpliftTrees
) -> None:
    await platform.publish(trees)
    kept = await platform.models.learnt("acme", "mail", 1)
    assert kept is not None
    assert kept["control"] == [it.model_to_string() for it in trees.control.boosters]
    await platform.publish(trees)
    assert await platform.models.learnt("acme", "mail", 1) is None
    assert await platform.models.learnt("acme", "mail", 2) == kept
    assert await platform.models.learnt("rival", "mail", 2) is None
    await platform.models.delete("acme", "mail")
    assert await platform.models.learnt("acme", "mail", 2) is None
