"""The model of category preferences is asked again of who is merged and parted; one that cannot be asked is carried."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.common.store.sqlite import SqliteStore
from services.forecasting.adapters import customer_models, preferences
from services.forecasting.adapters.preferences import StoredPreferenceModels
from services.forecasting.domain.preference import MODEL_ID, CategoryPreferences, Tastes
from services.forecasting.domain.propensity import Moment
from services.forecasting.handlers.fit_preferences import sayings
from services.forecasting.handlers.prefer_again import prefer_again
from services.forecasting.learning.preference import crowd, examples, load_crowd
from services.forecasting.learning.propensity import PropensityTrees, fit
from tests.forecasting.adapters.test_preference_models import MODEL
from tests.forecasting.learning.test_preference import HORIZON, NAMES, customers

COUNT = 20
WHOLE = customers(COUNT, 3)
ONE, OTHER = WHOLE.moment.ids[:2]
LIKE = replace(MODEL, horizon_days=HORIZON, categories=NAMES)


@dataclass
class Known:
    """What is known of the customers who are there now."""

    gone: frozenset[str] = frozenset()

    async def tastes(
        self,
        tenant: str,
        currency: str,
        horizon_days: int,
        at: int,
        names: tuple[str, ...] | None = None,
        customer_ids: Sequence[str] | None = None,
    ) -> Tastes:
        assert names == NAMES
        there = [it for it in WHOLE.moment.ids if it in (customer_ids or ()) and it not in self.gone]
        return some(there)


def some(ids: Sequence[str]) -> Tastes:
    """The tastes of these customers alone."""
    rows = [WHOLE.moment.ids.index(it) for it in ids]
    place = {row: number for number, row in enumerate(rows)}
    inside = np.isin(WHOLE.customers, rows)
    moment = Moment(list(ids), WHOLE.moment.features[rows], WHOLE.moment.reached[rows])
    values: dict[str, Any] = {
        name: getattr(WHOLE, name)[inside]
        for name in ("categories", "recency_days", "first_days", "days", "days_in_horizon", "days_in", "amount")
    }
    who = np.array([place[row] for row in WHOLE.customers[inside].tolist()], dtype=np.int64)
    return Tastes(moment, NAMES, customers=who, bought_later=np.zeros((0, 2), dtype=np.int64), **values)


@pytest.fixture(scope="module")
def trees() -> PropensityTrees:
    return fit([examples(customers(250, 1), HORIZON, 800)])


@pytest.fixture
async def models(tmp_path: Path) -> AsyncIterator[StoredPreferenceModels]:
    collections = (*customer_models.COLLECTIONS, *preferences.COLLECTIONS)
    store = await SqliteStore.open(tmp_path / "store.sqlite", collections)
    yield StoredPreferenceModels(store)
    await store.close()


async def publish(models: StoredPreferenceModels, trees: PropensityTrees, learnt: Mapping[str, Any]) -> None:
    model = replace(LIKE, version=await models.claim("acme", MODEL_ID), learnt=learnt)
    said = sayings(model, trees, WHOLE, crowd(WHOLE), slice(0, COUNT))
    await models.write("acme", [replace(it, horizon_days=1) for it in said])  # so that what is said anew differs
    await models.publish("acme", model)


async def said(models: StoredPreferenceModels) -> Mapping[str, CategoryPreferences]:
    return {it.customer_id: it for it in await models.of_customers("acme", WHOLE.moment.ids)}


async def test_who_is_touched_is_told_as_by_a_fit_and_nobody_else(
    models: StoredPreferenceModels, trees: PropensityTrees
) -> None:
    known = crowd(WHOLE)
    await publish(models, trees, trees.dump() | {"crowd": known.dump()})
    before = await said(models)
    for _ in range(2):  # a process that is killed does it again
        await prefer_again(Known(frozenset({OTHER})), models, "acme", [(OTHER, ONE), ("nobody", "c9")])
        now = await said(models)
        assert now.keys() == before.keys() - {OTHER}
        assert {who for who in now if now[who] != before[who]} == {ONE}
        assert now[ONE] == replace(before[ONE], horizon_days=HORIZON)
    await prefer_again(Known(), models, "acme", [(ONE, OTHER)])
    assert (await said(models))[OTHER] == replace(before[OTHER], horizon_days=HORIZON)


async def test_of_who_is_gone_altogether_nothing_is_said(
    models: StoredPreferenceModels, trees: PropensityTrees
) -> None:
    await publish(models, trees, trees.dump() | {"crowd": crowd(WHOLE).dump()})
    await prefer_again(Known(frozenset({ONE, OTHER})), models, "acme", [(ONE, OTHER)])
    assert (await said(models)).keys() == set(WHOLE.moment.ids) - {ONE, OTHER}


@pytest.mark.parametrize("kept", [False, True])
async def test_a_model_that_cannot_be_asked_says_of_who_is_left_what_it_said(
    models: StoredPreferenceModels, trees: PropensityTrees, *, kept: bool
) -> None:
    await publish(models, trees, trees.dump() if kept else {})
    before = await said(models)
    await prefer_again(Known(frozenset({OTHER})), models, "acme", [(OTHER, ONE)])
    assert await said(models) == {who: it for who, it in before.items() if who != OTHER}


def test_what_all_told_is_read_again() -> None:
    known = crowd(WHOLE)
    again = load_crowd(known.dump())
    for name in ("popularity", "popularity_in", "daily", "near"):
        assert np.array_equal(getattr(again, name), getattr(known, name))
