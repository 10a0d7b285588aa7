"""Models of category preferences and what they say of customers, as documents."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.common.store import Collection, Index, Query, Store
from services.forecasting.adapters.fits import Kept, fit_id, names_of
from services.forecasting.adapters.told_fits import ToldFits
from services.forecasting.domain.preference import (
    MODEL_ID,
    CategoryPreference,
    CategoryPreferenceModel,
    CategoryPreferenceModelNotFound,
    CategoryPreferences,
    CategoryQuality,
    PreferenceQuality,
    Ranking,
    RankingMethod,
)
from services.forecasting.domain.propensity import Decile, Reason

UNTOLD_PREFERENCES = Collection("untold_category_preferences")


class StoredPreferenceModels(ToldFits[CategoryPreferenceModel, CategoryPreferences]):
    """The port ``PreferenceModels`` over the document store. Followers of predictions are told what the newest say."""

    def __init__(self, store: Store, turn: asyncio.Lock | None = None) -> None:
        super().__init__(store, KEPT, UNTOLD_PREFERENCES, turn)

    async def page_of(
        self, tenant: str, version: int, category: str, limit: int, after: str
    ) -> tuple[list[CategoryPreferences], str]:
        where = {"fit": fit_id(MODEL_ID, version)} | ({"likeliest": category} if category else {})
        query = Query(where=where, order_by="probability", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, KEPT.sayings, query)
        return [_preferences(document.body) for document in page.documents], page.next_cursor


def _body(it: CategoryPreferences) -> dict[str, Any]:
    first = it.categories[0]
    flat = {"categories": [_liked(each) for each in it.categories]}
    return asdict(it) | flat | {"likeliest": first.category, "probability": first.probability}


def _liked(it: CategoryPreference) -> list[Any]:
    reasons = [[why.feature, why.value, why.contribution] for why in it.reasons]
    return [it.category, it.probability, it.share, *reasons]


def _preference(category: str, probability: float, share: float, *reasons: Sequence[Any]) -> CategoryPreference:
    return CategoryPreference(category, probability, share, tuple(Reason(*why) for why in reasons))


def _preferences(body: Mapping[str, Any]) -> CategoryPreferences:
    return CategoryPreferences(
        version=body["version"],
        customer_id=body["customer_id"],
        as_of=body["as_of"],
        horizon_days=body["horizon_days"],
        categories=tuple(_preference(*liked) for liked in body["categories"]),
        fit_time=body.get("fit_time", 0),
    )


def _model(body: dict[str, Any]) -> CategoryPreferenceModel:
    measured = body["quality"]
    rankings = tuple(Ranking(**it | {"method": RankingMethod(it["method"])}) for it in measured["rankings"])
    made = {
        "categories": tuple(body["categories"]),
        "quality": PreferenceQuality(**measured | {"rankings": rankings, **_measured(measured)}),
        "warnings": tuple(body["warnings"]),
    }
    return CategoryPreferenceModel(**body | made)


def _measured(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is not known of models of before it was measured."""
    found = [it | {"deciles": _deciles(it)} for it in body.get("categories", ())]
    return {"deciles": _deciles(body), "categories": tuple(CategoryQuality(**it) for it in found)}


def _deciles(body: Mapping[str, Any]) -> tuple[Decile, ...]:
    return tuple(Decile(**it) for it in body.get("deciles", ()))


def _deleted(model_id: str) -> CategoryPreferenceModelNotFound:
    return CategoryPreferenceModelNotFound("the model was deleted while it was fitted", model_id=model_id)


KEPT = Kept(
    names_of("category_preference_names"),
    Collection("category_preference_models"),
    Collection("category_preferences", (Index(("fit", "probability")), Index(("fit", "likeliest", "probability")))),
    order="probability",
    model=_model,
    saying=_preferences,
    body=_body,
    deleted=_deleted,
)
COLLECTIONS = (*KEPT.collections, UNTOLD_PREFERENCES)
