"""Propensity models and what they say of customers, as documents."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.common.store import Collection, Delete, Index, Put, Query, Store, Write
from services.forecasting.adapters.fits import Kept, StoredFits, names_of
from services.forecasting.adapters.prediction_changes import telling
from services.forecasting.domain.propensity import (
    Decile,
    Goal,
    Propensity,
    PropensityModel,
    PropensityModelNotFound,
    Quality,
    Reason,
)

UNTOLD_PROPENSITIES = Collection("untold_propensities")
"""Under the tenant ``*``: models whose newest version has still to be told, and from which version on."""
_MARKS_MAX = 100_000


class StoredPropensityModels(StoredFits[PropensityModel, Propensity]):
    """The port ``PropensityModels`` over the document store. Followers of predictions are told what the newest say."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, KEPT)

    async def settle(self) -> None:
        """Tell what a process before this one did not come to."""
        for mark in (await self._store.find("*", UNTOLD_PROPENSITIES, Query(limit=_MARKS_MAX))).documents:
            tenant, model_id, first = mark.body["tenant"], mark.body["model_id"], mark.body["first"]
            newest = await self.get(tenant, model_id)
            if newest is None:
                await self._store.commit([Delete("*", UNTOLD_PROPENSITIES, mark.id)])
            else:
                await self._settle(tenant, model_id, first, newest.version)

    async def _marking(self, tenant: str, model_id: str, before: int) -> Sequence[Write]:
        mark = await self._store.get("*", UNTOLD_PROPENSITIES, _mark(tenant, model_id))
        first = min(max(before, 1), mark.body["first"] if mark else max(before, 1))
        body = {"tenant": tenant, "model_id": model_id, "first": first}
        return [Put("*", UNTOLD_PROPENSITIES, _mark(tenant, model_id), body)]

    async def _telling(self, tenant: str, customer_ids: Sequence[str]) -> Sequence[Write]:
        return await telling(self._store, tenant, customer_ids)

    async def _told(self, tenant: str, model_id: str, first: int, current: int) -> None:
        for version in range(current, first - 1, -1):
            async for customer_ids in self.pages(tenant, model_id, version):
                async with self.turn:
                    await self._store.commit(await telling(self._store, tenant, customer_ids))
        await self._store.commit([Delete("*", UNTOLD_PROPENSITIES, _mark(tenant, model_id))])


def _mark(tenant: str, model_id: str) -> str:
    return f"{tenant}/{model_id}"


def goal_of(body: Mapping[str, Any]) -> Goal:
    """The goal that ``asdict`` gave."""
    return Goal(**dict(body) | {name: tuple(body[name]) for name in ("categories", "product_ids", "store_ids")})


def _deleted(model_id: str) -> PropensityModelNotFound:
    return PropensityModelNotFound("the model was deleted while it was fitted", model_id=model_id)


def _body(it: Propensity) -> dict[str, Any]:
    return asdict(it) | {"reasons": [[why.feature, why.value, why.contribution] for why in it.reasons]}


def _propensity(body: Mapping[str, Any]) -> Propensity:
    return Propensity(**dict(body) | {"reasons": tuple(Reason(*why) for why in body["reasons"])})


def _model(body: dict[str, Any]) -> PropensityModel:
    measured = body["quality"] | {"deciles": tuple(Decile(**it) for it in body["quality"]["deciles"])}
    made = {"goal": goal_of(body["goal"]), "quality": Quality(**measured), "warnings": tuple(body["warnings"])}
    return PropensityModel(**body | made)


KEPT = Kept(
    names_of("propensity_names"),
    Collection("propensity_models"),
    Collection("propensities", (Index(("fit", "probability")),)),
    order="probability",
    model=_model,
    saying=_propensity,
    body=_body,
    deleted=_deleted,
)
COLLECTIONS = (*KEPT.collections, UNTOLD_PROPENSITIES)
