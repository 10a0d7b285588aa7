"""Customer models and predictions as documents.

Each fit claims a version and writes its predictions under it; one document says which version is read. So readers see
the whole of one fit, and a fit that breaks off leaves nothing that is read. The predictions of the model before stay
until followers have been told what the newest says otherwise.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from services.common.errors import AlreadyExists, Conflict
from services.common.store import Collection, Delete, Document, Index, Insert, Put, Query, Replace, Store, Write
from services.forecasting.adapters.fits import grouped
from services.forecasting.adapters.prediction_changes import PREDICTION_CHANGES, UNTOLD, telling
from services.forecasting.adapters.preferences import StoredPreferenceModels
from services.forecasting.adapters.propensities import StoredPropensityModels
from services.forecasting.adapters.uplifts import StoredUpliftModels
from services.forecasting.domain.customers import (
    CustomerModel,
    Decile,
    Holdout,
    MethodScore,
    ModelError,
    ModelName,
    Prediction,
    PredictionOrder,
    ValueMethod,
)
from services.forecasting.ports import PredictionChange, PredictionChanges

CUSTOMER_MODELS = Collection("customer_models")
CUSTOMER_PREDICTIONS = Collection(
    "customer_predictions", (Index(("version", "expected_revenue")), Index(("version", "churn_probability")))
)
COLLECTIONS = (CUSTOMER_MODELS, CUSTOMER_PREDICTIONS, PREDICTION_CHANGES, UNTOLD)

_VERSIONS = "versions"
_WRITES_MAX = 2_000
_TOLD_AT_ONCE = 500
FEED_BATCH_MAX = 1_000
TENANTS_MAX = 100_000
LEARNT_KEPT = 20
"""Of how many of a tenant's last versions the trees are kept, which take a megabyte; the models themselves stay."""
_ORDERS = {
    PredictionOrder.EXPECTED_REVENUE: "expected_revenue",
    PredictionOrder.CHURN_PROBABILITY: "churn_probability",
}


class StoredCustomerModels:
    """The port ``CustomerModels`` over the document store."""

    def __init__(
        self,
        store: Store,
        propensities: StoredPropensityModels | None = None,
        preferences: StoredPreferenceModels | None = None,
        uplifts: StoredUpliftModels | None = None,
    ) -> None:
        self._store = store
        self._propensities = propensities or StoredPropensityModels(store)
        self._turn = self._propensities.turn
        self._preferences = preferences or StoredPreferenceModels(store, self._turn)
        self._uplifts = uplifts or StoredUpliftModels(store, self._turn)

    def turn(self) -> asyncio.Lock:
        return self._turn

    async def claim(self, tenant: str) -> int:
        while True:
            versions = await self._store.get(tenant, CUSTOMER_MODELS, _VERSIONS)
            try:
                if versions is None:
                    body = {"claimed": 1, "current": 0}
                    await self._store.commit([Insert(tenant, CUSTOMER_MODELS, _VERSIONS, body)])
                    return 1
                claimed: int = versions.body["claimed"] + 1
                body = versions.body | {"claimed": claimed}
                await self._store.commit([Replace(tenant, CUSTOMER_MODELS, _VERSIONS, body, versions.version)])
                return claimed
            except (Conflict, AlreadyExists):
                continue  # another process claimed one first

    async def write(self, tenant: str, predictions: Sequence[Prediction]) -> None:
        for begin in range(0, len(predictions), _WRITES_MAX):
            part = predictions[begin : begin + _WRITES_MAX]
            await self._store.commit(
                [Put(tenant, CUSTOMER_PREDICTIONS, _id(it.version, it.customer_id), asdict(it)) for it in part]
            )

    async def drop(self, tenant: str, version: int, customer_ids: Sequence[str]) -> None:
        for begin in range(0, len(customer_ids), _WRITES_MAX):
            part = customer_ids[begin : begin + _WRITES_MAX]
            await self._store.commit([Delete(tenant, CUSTOMER_PREDICTIONS, _id(version, it)) for it in part])

    async def forget(self, tenant: str, customer_ids: Sequence[str]) -> int:
        """Remove what any version says of these customers, one that is being written too, and take back what followers
        were told; how many there were."""
        async with self._turn:
            return await self._forget(tenant, customer_ids)

    async def _forget(self, tenant: str, customer_ids: Sequence[str]) -> int:
        versions = await self._store.get(tenant, CUSTOMER_MODELS, _VERSIONS)
        if versions is None:
            return 0
        span = range(max(versions.body.get("told", 0), 1), versions.body["claimed"] + 1)
        ids = [_id(version, customer_id) for version in span for customer_id in customer_ids]
        found = await self._store.get_many(tenant, CUSTOMER_PREDICTIONS, ids)
        told = await telling(self._store, tenant, [document.body["customer_id"] for document in found.values()])
        await self._store.commit([*(Delete(tenant, CUSTOMER_PREDICTIONS, it) for it in found), *told])
        return len(found)

    async def publish(self, tenant: str, model: CustomerModel, learnt: Mapping[str, object] | None = None) -> None:
        while True:
            versions = await self._store.get(tenant, CUSTOMER_MODELS, _VERSIONS)
            if versions is None:
                raise ValueError("a version is claimed before it is published")
            body = versions.body | {"current": max(versions.body["current"], model.version)}
            writes: list[Write] = [
                Put(tenant, CUSTOMER_MODELS, str(model.version), asdict(model)),
                Replace(tenant, CUSTOMER_MODELS, _VERSIONS, body, versions.version),
                Put("*", UNTOLD, tenant, {}),
                Delete(tenant, CUSTOMER_MODELS, _learnt(model.version - LEARNT_KEPT)),
            ]
            if learnt is not None:
                writes.append(Put(tenant, CUSTOMER_MODELS, _learnt(model.version), dict(learnt)))
            try:
                await self._store.commit(writes)
            except Conflict:
                continue  # another fit claimed its version meanwhile
            return

    async def untold(self) -> list[str]:
        return [each.id for each in (await self._store.find("*", UNTOLD, Query(limit=TENANTS_MAX))).documents]

    async def tell(self, tenant: str) -> int:
        versions = await self._store.get(tenant, CUSTOMER_MODELS, _VERSIONS)
        if versions is None:
            return 0
        current, told = versions.body["current"], versions.body.get("told", 0)
        count = 0
        if told < current:
            async for page in self._pages(tenant, current):
                before = await self._of(tenant, told, list(page))
                count += await self._tell(tenant, [it for it in page if page[it] != before.get(it)])
            async for page in self._pages(tenant, told):  # who is not expected to do anything any more
                now = await self._of(tenant, current, list(page))
                count += await self._tell(tenant, [it for it in page if it not in now])
            for version in range(max(told, 1), current):
                await self._drop(tenant, version)
        await self._told(tenant, current)
        return count

    async def _tell(self, tenant: str, customer_ids: Sequence[str]) -> int:
        async with self._turn:
            await self._store.commit(await telling(self._store, tenant, customer_ids))
        return len(customer_ids)

    async def _told(self, tenant: str, version: int) -> None:
        while True:
            versions = await self._store.get(tenant, CUSTOMER_MODELS, _VERSIONS)
            if versions is None:
                return
            body = versions.body | {"told": version}
            writes: list[Write] = [Replace(tenant, CUSTOMER_MODELS, _VERSIONS, body, versions.version)]
            if versions.body["current"] == version:  # else a newer one is to be told
                writes.append(Delete("*", UNTOLD, tenant))
            try:
                await self._store.commit(writes)
            except Conflict:
                continue  # a fit claimed or published its version meanwhile
            return

    async def correct(self, tenant: str, predictions: Sequence[Prediction], gone: Sequence[str]) -> None:
        version = await self._current(tenant)
        for begin in range(0, len(predictions), _TOLD_AT_ONCE):
            part = {it.customer_id: it for it in predictions[begin : begin + _TOLD_AT_ONCE]}
            before = await self._of(tenant, version, list(part))
            differing = [who for who, it in part.items() if replace(it, version=0) != before.get(who)]
            puts = [Put(tenant, CUSTOMER_PREDICTIONS, _id(version, who), asdict(part[who])) for who in differing]
            await self._store.commit([*puts, *await telling(self._store, tenant, differing)])
        for begin in range(0, len(gone), _TOLD_AT_ONCE):
            there = list(await self._of(tenant, version, gone[begin : begin + _TOLD_AT_ONCE]))
            deletes = [Delete(tenant, CUSTOMER_PREDICTIONS, _id(version, it)) for it in there]
            await self._store.commit([*deletes, *await telling(self._store, tenant, there)])

    async def changes(self, after: str, tenant: str | None) -> AsyncIterator[PredictionChanges]:
        async for batch in self._store.changes(after, tenant=tenant, limit=FEED_BATCH_MAX):
            named: dict[str, list[str]] = {}
            for entry in batch:
                named.setdefault(entry.tenant, []).append(entry.body["customer_id"])
            changes, models = [], []
            for owner, customer_ids in named.items():
                found = {it.customer_id: it for it in await self.predictions(owner, customer_ids)}
                likely = grouped(await self._propensities.of_customers(owner, customer_ids))
                liked = {it.customer_id: it for it in await self._preferences.of_customers(owner, customer_ids)}
                moved = grouped(await self._uplifts.of_customers(owner, customer_ids))
                changes += [
                    PredictionChange(owner, it, found.get(it), likely.get(it, ()), liked.get(it), moved.get(it, ()))
                    for it in dict.fromkeys(customer_ids)
                ]
                for version in sorted({it.version for it in found.values()}):
                    if model := await self.get(owner, version):
                        models.append((owner, model))
            cursor = batch[-1].cursor
            yield PredictionChanges(changes, models, cursor, cursor == await self._store.end_of_feed())

    async def _pages(self, tenant: str, version: int) -> AsyncIterator[dict[str, Prediction]]:
        """The predictions of a version by customer, some hundreds at a time, as if they were of none."""
        after, more = "", version > 0
        while more:
            query = Query(where={"version": version}, order_by="expected_revenue", limit=_TOLD_AT_ONCE, after=after)
            page = await self._store.find(tenant, CUSTOMER_PREDICTIONS, query)
            yield _by_customer(page.documents)
            after = page.next_cursor
            more = bool(after)

    async def _of(self, tenant: str, version: int, customer_ids: Sequence[str]) -> dict[str, Prediction]:
        """What a version says of these customers, as if it were none."""
        ids = [_id(version, it) for it in customer_ids]
        return _by_customer((await self._store.get_many(tenant, CUSTOMER_PREDICTIONS, ids)).values())

    async def _drop(self, tenant: str, version: int) -> None:
        query = Query(where={"version": version}, order_by="expected_revenue", limit=1000)
        while found := (await self._store.find(tenant, CUSTOMER_PREDICTIONS, query)).documents:
            await self._store.commit([Delete(tenant, CUSTOMER_PREDICTIONS, document.id) for document in found])

    async def get(self, tenant: str, version: int = 0) -> CustomerModel | None:
        number = version or await self._current(tenant)
        found = await self._store.get(tenant, CUSTOMER_MODELS, str(number)) if number else None
        return _model(found.body) if found else None

    async def learnt(self, tenant: str, version: int) -> Mapping[str, Any] | None:
        found = await self._store.get(tenant, CUSTOMER_MODELS, _learnt(version))
        return found.body if found else None

    async def predictions(self, tenant: str, customer_ids: Sequence[str]) -> list[Prediction]:
        found: dict[str, Document] = {}
        version, read = await self._current(tenant), 0
        while version != read:  # else a fit was published, and the predictions before it dropped, in between
            ids = [_id(version, customer_id) for customer_id in dict.fromkeys(customer_ids)]
            found = await self._store.get_many(tenant, CUSTOMER_PREDICTIONS, ids)
            read, version = version, await self._current(tenant)
        by_customer = {document.body["customer_id"]: document for document in found.values()}
        return [_prediction(by_customer[it].body) for it in dict.fromkeys(customer_ids) if it in by_customer]

    async def page(self, tenant: str, order: PredictionOrder, limit: int, after: str) -> tuple[list[Prediction], str]:
        where = {"version": await self._current(tenant)}
        query = Query(where=where, order_by=_ORDERS[order], descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, CUSTOMER_PREDICTIONS, query)
        return [_prediction(document.body) for document in page.documents], page.next_cursor

    async def _current(self, tenant: str) -> int:
        versions = await self._store.get(tenant, CUSTOMER_MODELS, _VERSIONS)
        return versions.body["current"] if versions else 0


def _id(version: int, customer_id: str) -> str:
    return f"{version}/{customer_id}"


def _learnt(version: int) -> str:
    return f"{version}/learnt"


def _by_customer(documents: Iterable[Document]) -> dict[str, Prediction]:
    found = (replace(_prediction(document.body), version=0) for document in documents)
    return {it.customer_id: it for it in found}


def _prediction(body: Mapping[str, Any]) -> Prediction:
    return Prediction(**body)


def _model(body: dict[str, Any]) -> CustomerModel:
    body = body | {"model": ModelName(body["model"]), "warnings": tuple(body["warnings"])}
    body["method"] = ValueMethod(body.get("method", ValueMethod.PROBABILISTIC))  # models of before have none
    return CustomerModel(**body | {"holdout": body["holdout"] and _holdout(body["holdout"])})


def _holdout(body: dict[str, Any]) -> Holdout:
    deciles = tuple(Decile(**it) for it in body["deciles"])
    errors = tuple(ModelError(**it | {"model": ModelName(it["model"])}) for it in body["errors"])
    methods = tuple(MethodScore(**it | {"method": ValueMethod(it["method"])}) for it in body.get("methods", ()))
    return Holdout(**body | {"deciles": deciles, "errors": errors, "methods": methods})
