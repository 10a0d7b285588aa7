"""Models of category preferences and what they say of customers, as documents."""

import asyncio
from collections.abc import Mapping
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
    PreferenceQuality,
    Ranking,
    RankingMethod,
)

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
    flat = {"categories": [[liked.category, liked.probability, liked.share] for liked in it.categories]}
    return asdict(it) | flat | {"likeliest": first.category, "probability": first.probability}


def _preferences(body: Mapping[str, Any]) -> CategoryPreferences:
    return CategoryPreferences(
        version=body["version"],
        customer_id=body["customer_id"],
        as_of=body["as_of"],
        horizon_days=body["horizon_days"],
        categories=tuple(CategoryPreference(*liked) for liked in body["categories"]),
    )


def _model(body: dict[str, Any]) -> CategoryPreferenceModel:
    measured = body["quality"]
    rankings = tuple(Ranking(**it | {"method": RankingMethod(it["method"])}) for it in measured["rankings"])
    made = {
        "categories": tuple(body["categories"]),
        "quality": PreferenceQuality(**measured | {"rankings": rankings}),
        "warnings": tuple(body["warnings"]),
    }
    return CategoryPreferenceModel(**body | made)


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
