"""Propensity models and what they say of customers, as documents.

Each fit claims a version of its name and writes under it; the name says which version is read. So readers see the whole
of one fit, and a fit that breaks off leaves nothing that is read. The newest models are kept, to be compared with what
came; what they say of customers is kept of the newest one only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.common.errors import AlreadyExists, Conflict
from services.common.store import Collection, Delete, Document, Index, Insert, Put, Query, Replace, Store
from services.forecasting.domain.propensity import (
    MODELS_MAX,
    Decile,
    Goal,
    Propensity,
    PropensityModel,
    PropensityModelNotFound,
    Quality,
    Reason,
)

PROPENSITY_NAMES = Collection("propensity_names", (Index(("model_id",)),))
PROPENSITY_MODELS = Collection("propensity_models")
PROPENSITIES = Collection("propensities", (Index(("fit", "probability")),))
COLLECTIONS = (PROPENSITY_NAMES, PROPENSITY_MODELS, PROPENSITIES)

_WRITES_MAX = 2_000
_VERSIONS_KEPT = 20


class StoredPropensityModels:
    """The port ``PropensityModels`` over the document store."""

    kept = _VERSIONS_KEPT

    def __init__(self, store: Store) -> None:
        self._store = store

    async def names(self, tenant: str) -> list[str]:
        return [it.id for it in await self._names(tenant)]

    async def claim(self, tenant: str, model_id: str) -> int:
        while True:
            name = await self._store.get(tenant, PROPENSITY_NAMES, model_id)
            try:
                if name is None:
                    body = {"model_id": model_id, "claimed": 1, "current": 0}
                    await self._store.commit([Insert(tenant, PROPENSITY_NAMES, model_id, body)])
                    return 1
                claimed: int = name.body["claimed"] + 1
                body = name.body | {"claimed": claimed}
                await self._store.commit([Replace(tenant, PROPENSITY_NAMES, model_id, body, name.version)])
                return claimed
            except (Conflict, AlreadyExists):
                continue  # another process claimed one first

    async def write(self, tenant: str, propensities: Sequence[Propensity]) -> None:
        for begin in range(0, len(propensities), _WRITES_MAX):
            part = propensities[begin : begin + _WRITES_MAX]
            await self._store.commit(
                [
                    Put(tenant, PROPENSITIES, f"{_fit(it.model_id, it.version)}/{it.customer_id}", _body(it))
                    for it in part
                ]
            )

    async def drop(self, tenant: str, model_id: str, version: int, customer_ids: Sequence[str]) -> None:
        for begin in range(0, len(customer_ids), _WRITES_MAX):
            part = customer_ids[begin : begin + _WRITES_MAX]
            await self._store.commit([Delete(tenant, PROPENSITIES, f"{_fit(model_id, version)}/{it}") for it in part])

    async def publish(self, tenant: str, model: PropensityModel) -> None:
        before = await self._publish(tenant, model)
        for version in range(max(before, 1), model.version):
            await self._drop_fit(tenant, model.model_id, version)
        if (old := model.version - _VERSIONS_KEPT) > 0:
            await self._store.commit([Delete(tenant, PROPENSITY_MODELS, _fit(model.model_id, old))])

    async def _publish(self, tenant: str, model: PropensityModel) -> int:
        while True:
            name = await self._store.get(tenant, PROPENSITY_NAMES, model.model_id)
            if name is None or name.body["claimed"] < model.version:
                await self._drop_fit(tenant, model.model_id, model.version)
                raise PropensityModelNotFound("the model was deleted while it was fitted", model_id=model.model_id)
            before: int = name.body["current"]
            body = name.body | {"current": max(before, model.version)}
            try:
                await self._store.commit(
                    [
                        Put(tenant, PROPENSITY_MODELS, _fit(model.model_id, model.version), asdict(model)),
                        Replace(tenant, PROPENSITY_NAMES, model.model_id, body, name.version),
                    ]
                )
            except Conflict:
                continue  # another fit claimed its version meanwhile
            return before

    async def _drop_fit(self, tenant: str, model_id: str, version: int) -> None:
        query = Query(where={"fit": _fit(model_id, version)}, order_by="probability", limit=1000)
        while found := (await self._store.find(tenant, PROPENSITIES, query)).documents:
            await self._store.commit([Delete(tenant, PROPENSITIES, document.id) for document in found])

    async def delete(self, tenant: str, model_id: str) -> None:
        name = await self._store.get(tenant, PROPENSITY_NAMES, model_id)
        if name is None:
            return
        claimed: int = name.body["claimed"]
        oldest = max(claimed - _VERSIONS_KEPT, 1)
        versions = range(oldest, claimed + 1)
        models = [Delete(tenant, PROPENSITY_MODELS, _fit(model_id, version)) for version in versions]
        await self._store.commit([Delete(tenant, PROPENSITY_NAMES, model_id), *models])
        for version in versions:
            await self._drop_fit(tenant, model_id, version)

    async def forget(self, tenant: str, customer_ids: Sequence[str]) -> int:
        """Remove what any model says of these customers, one that is being fitted too; how many there were."""
        found: list[str] = []
        for name in await self._names(tenant):
            span = range(max(name.body["current"], 1), name.body["claimed"] + 1)
            ids = [f"{_fit(name.id, version)}/{it}" for version in span for it in customer_ids]
            found.extend(await self._store.get_many(tenant, PROPENSITIES, ids))
        for begin in range(0, len(found), _WRITES_MAX):
            part = found[begin : begin + _WRITES_MAX]
            await self._store.commit([Delete(tenant, PROPENSITIES, it) for it in part])
        return len(found)

    async def get(self, tenant: str, model_id: str, version: int = 0) -> PropensityModel | None:
        if not version:
            name = await self._store.get(tenant, PROPENSITY_NAMES, model_id)
            version = name.body["current"] if name else 0
        found = await self._store.get(tenant, PROPENSITY_MODELS, _fit(model_id, version)) if version else None
        return _model(found.body) if found else None

    async def newest(self, tenant: str) -> list[PropensityModel]:
        current = [(it.id, it.body["current"]) for it in await self._names(tenant) if it.body["current"]]
        ids = [_fit(*each) for each in current]
        found = await self._store.get_many(tenant, PROPENSITY_MODELS, ids)
        return [_model(found[it].body) for it in ids if it in found]

    async def page(
        self, tenant: str, model_id: str, version: int, limit: int, after: str
    ) -> tuple[list[Propensity], str]:
        query = Query(
            where={"fit": _fit(model_id, version)}, order_by="probability", descending=True, limit=limit, after=after
        )
        page = await self._store.find(tenant, PROPENSITIES, query)
        return [_propensity(document.body) for document in page.documents], page.next_cursor

    async def of_customers(
        self, tenant: str, customer_ids: Sequence[str], model_ids: Sequence[str] = ()
    ) -> list[Propensity]:
        read: list[tuple[str, int]] | None = None
        found: dict[str, Document] = {}
        while (current := await self._current(tenant, model_ids)) != read:  # else a fit was published in between
            ids = [f"{_fit(*each)}/{it}" for it in dict.fromkeys(customer_ids) for each in current]
            found = await self._store.get_many(tenant, PROPENSITIES, ids)
            read = current
        ids = [f"{_fit(*each)}/{it}" for it in dict.fromkeys(customer_ids) for each in read or ()]
        return [_propensity(found[it].body) for it in ids if it in found]

    async def _current(self, tenant: str, model_ids: Sequence[str]) -> list[tuple[str, int]]:
        names = [(it.id, it.body["current"]) for it in await self._names(tenant)]
        return [(name, version) for name, version in names if version and (not model_ids or name in model_ids)]

    async def _names(self, tenant: str) -> list[Document]:
        query = Query(where={}, order_by="model_id", limit=2 * MODELS_MAX)
        return list((await self._store.find(tenant, PROPENSITY_NAMES, query)).documents)


def _fit(model_id: str, version: int) -> str:
    return f"{model_id}/{version}"


def _body(it: Propensity) -> dict[str, Any]:
    reasons = [[why.feature, why.value, why.contribution] for why in it.reasons]
    return asdict(it) | {"fit": _fit(it.model_id, it.version), "reasons": reasons}


def _propensity(body: Mapping[str, Any]) -> Propensity:
    fields = {name: value for name, value in body.items() if name != "fit"}
    return Propensity(**fields | {"reasons": tuple(Reason(*why) for why in body["reasons"])})


def _model(body: dict[str, Any]) -> PropensityModel:
    goal = body["goal"] | {name: tuple(body["goal"][name]) for name in ("categories", "product_ids", "store_ids")}
    measured = body["quality"] | {"deciles": tuple(Decile(**it) for it in body["quality"]["deciles"])}
    made = {"goal": Goal(**goal), "quality": Quality(**measured), "warnings": tuple(body["warnings"])}
    return PropensityModel(**body | made)
