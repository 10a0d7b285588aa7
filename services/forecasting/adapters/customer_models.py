"""Customer models and predictions as documents.

Each fit claims a version and writes its predictions under it; one document says which version is read. So readers see
the whole of one fit, and a fit that breaks off leaves nothing that is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.common.errors import AlreadyExists, Conflict
from services.common.store import Collection, Delete, Document, Index, Insert, Put, Query, Replace, Store, Write
from services.forecasting.domain.customers import (
    CustomerModel,
    Decile,
    Holdout,
    ModelError,
    ModelName,
    Prediction,
    PredictionOrder,
)

CUSTOMER_MODELS = Collection("customer_models")
CUSTOMER_PREDICTIONS = Collection(
    "customer_predictions", (Index(("version", "expected_revenue")), Index(("version", "churn_probability")))
)
COLLECTIONS = (CUSTOMER_MODELS, CUSTOMER_PREDICTIONS)

_VERSIONS = "versions"
_WRITES_MAX = 2_000
_ORDERS = {
    PredictionOrder.EXPECTED_REVENUE: "expected_revenue",
    PredictionOrder.CHURN_PROBABILITY: "churn_probability",
}


class StoredCustomerModels:
    """The port ``CustomerModels`` over the document store."""

    def __init__(self, store: Store) -> None:
        self._store = store

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
        """Remove what any version says of these customers, one that is being written too; how many there were."""
        versions = await self._store.get(tenant, CUSTOMER_MODELS, _VERSIONS)
        if versions is None:
            return 0
        span = range(max(versions.body["current"], 1), versions.body["claimed"] + 1)
        ids = [_id(version, customer_id) for version in span for customer_id in customer_ids]
        found = list(await self._store.get_many(tenant, CUSTOMER_PREDICTIONS, ids))
        await self._store.commit([Delete(tenant, CUSTOMER_PREDICTIONS, it) for it in found])
        return len(found)

    async def publish(self, tenant: str, model: CustomerModel) -> None:
        before = await self._publish(tenant, model)
        for version in range(max(before, 1), model.version):
            await self._drop(tenant, version)

    async def _publish(self, tenant: str, model: CustomerModel) -> int:
        while True:
            versions = await self._store.get(tenant, CUSTOMER_MODELS, _VERSIONS)
            if versions is None:
                raise ValueError("a version is claimed before it is published")
            before: int = versions.body["current"]
            body = versions.body | {"current": max(before, model.version)}
            writes: list[Write] = [
                Put(tenant, CUSTOMER_MODELS, str(model.version), asdict(model)),
                Replace(tenant, CUSTOMER_MODELS, _VERSIONS, body, versions.version),
            ]
            try:
                await self._store.commit(writes)
            except Conflict:
                continue  # another fit claimed its version meanwhile
            return before

    async def _drop(self, tenant: str, version: int) -> None:
        query = Query(where={"version": version}, order_by="expected_revenue", limit=1000)
        while found := (await self._store.find(tenant, CUSTOMER_PREDICTIONS, query)).documents:
            await self._store.commit([Delete(tenant, CUSTOMER_PREDICTIONS, document.id) for document in found])

    async def get(self, tenant: str, version: int = 0) -> CustomerModel | None:
        number = version or await self._current(tenant)
        found = await self._store.get(tenant, CUSTOMER_MODELS, str(number)) if number else None
        return _model(found.body) if found else None

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


def _prediction(body: Mapping[str, Any]) -> Prediction:
    return Prediction(**body)


def _model(body: dict[str, Any]) -> CustomerModel:
    body = body | {"model": ModelName(body["model"]), "warnings": tuple(body["warnings"])}
    return CustomerModel(**body | {"holdout": body["holdout"] and _holdout(body["holdout"])})


def _holdout(body: dict[str, Any]) -> Holdout:
    deciles = tuple(Decile(**it) for it in body["deciles"])
    errors = tuple(ModelError(**it | {"model": ModelName(it["model"])}) for it in body["errors"])
    return Holdout(**body | {"deciles": deciles, "errors": errors})
