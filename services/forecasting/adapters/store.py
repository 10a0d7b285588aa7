"""Forecasts as documents, and the requests that were carried out."""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from services.common import idempotency, jobs
from services.common.store import Collection, Delete, Document, Index, Put, Query, Store
from services.forecasting.domain.forecasts import (
    Accuracy,
    Backtest,
    DriverState,
    Forecast,
    ForecastKey,
    PanelKey,
    StoredModel,
)
from services.forecasting.domain.measures import Dimension, Granularity, Hierarchy, Measure, TimeHierarchy

FORECASTS = Collection("forecasts", (Index(("measure",)), Index(("model_id",))))
MODELS = Collection("forecast_models")
_ARRAYS = ("around", "lowest", "highest", "coefficients", "covariance")
COLLECTIONS = (FORECASTS, MODELS, idempotency.REQUESTS, *jobs.COLLECTIONS)


class StoredForecasts:
    """The port ``Forecasts`` over the document store. A forecast's id is made of its key."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get_many(self, tenant: str, keys: Sequence[ForecastKey]) -> dict[ForecastKey, Forecast]:
        by_id = {key.id: key for key in keys}
        found = await self._store.get_many(tenant, FORECASTS, list(by_id))
        return {by_id[document.id]: _forecast(document) for document in found.values()}

    async def put(self, tenant: str, forecasts: Sequence[Forecast], models: Sequence[StoredModel] = ()) -> None:
        before = await self._store.get_many(tenant, FORECASTS, [it.key.id for it in forecasts])
        named = {document.body.get("model_id", "") for document in before.values()} - {""}
        kept = [Put(tenant, MODELS, it.model_id, {"boosters": [*map(_packed, it.boosters)]}) for it in models]
        await self._store.commit([*kept, *(Put(tenant, FORECASTS, it.key.id, _body(it)) for it in forecasts)])
        for model_id in sorted(named):
            if not await self._store.count(tenant, FORECASTS, Query(where={"model_id": model_id})):
                await self._store.commit([Delete(tenant, MODELS, model_id)])

    async def model(self, tenant: str, model_id: str) -> StoredModel | None:
        found = await self._store.get(tenant, MODELS, model_id)
        return StoredModel(model_id, tuple(map(_unpacked, found.body["boosters"]))) if found else None

    async def page(self, tenant: str, measure: Measure | None, limit: int, after: str) -> tuple[list[Forecast], str]:
        where = {} if measure is None else {"measure": int(measure)}
        page = await self._store.find(tenant, FORECASTS, Query(where=where, limit=limit, after=after))
        return [_forecast(document) for document in page.documents], page.next_cursor


class StoredRequests:
    """The port ``Requests`` over the document store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def replayed(self, tenant: str, request_id: str, fingerprint: str) -> dict[str, Any] | None:
        return await idempotency.replayed(self._store, tenant, request_id, fingerprint)

    async def remember(self, tenant: str, request_id: str, fingerprint: str, answer: dict[str, Any]) -> None:
        await self._store.commit(idempotency.remember(tenant, request_id, fingerprint, answer))


def _body(it: Forecast) -> dict[str, Any]:
    panel = it.key.panel
    return {
        "measure": int(panel.measure),
        "dimension": int(panel.dimension),
        "granularity": int(panel.granularity),
        "horizon": panel.horizon,
        "key_currency": panel.currency,
        "time_zone": panel.time_zone,
        "event_name": panel.event_name,
        "hierarchy": int(panel.hierarchy),
        "time_hierarchy": int(panel.time_hierarchy),
        "as_of": panel.as_of,
        "value": it.key.value,
        "currency": it.currency,
        "starts": list(it.starts),
        "values": list(it.values),
        "scale": list(it.scale),
        "quantiles": list(it.quantiles),
        "non_negative": it.non_negative,
        "model": it.model,
        "history": [it.history_start, it.history_end, it.history_count],
        "backtest": it.backtest and asdict(it.backtest) | {"coverage": list(it.backtest.coverage)},
        "warnings": list(it.warnings),
        "fit_time": it.fit_time,
        "version": it.version,
        "parts": {name: list(part) for name, part in it.parts.items()},
        "model_id": it.drivers.model_id if it.drivers else "",
        "drivers": it.drivers and _state_body(it.drivers),
    }


def _forecast(document: Document) -> Forecast:
    body = document.body
    start, end, count = body["history"]
    return Forecast(
        key=_key(body),
        currency=body["currency"],
        starts=tuple(body["starts"]),
        values=tuple(body["values"]),
        scale=tuple(body["scale"]),
        quantiles=tuple(body["quantiles"]),
        non_negative=body["non_negative"],
        model=body["model"],
        history_start=start,
        history_end=end,
        history_count=count,
        backtest=_backtest(body["backtest"]),
        warnings=tuple(body["warnings"]),
        fit_time=body["fit_time"],
        version=body["version"],
        parts={name: tuple(part) for name, part in body.get("parts", {}).items()},
        drivers=_state(body["drivers"], body["model_id"]) if body.get("drivers") else None,
    )


def _state_body(it: DriverState) -> dict[str, Any]:
    return {
        "names": list(it.names),
        "weights": [it.regression_weight, it.boosting_weight, it.level],
        **{name: getattr(it, name).tolist() for name in _ARRAYS},
        "shape": list(it.features.shape),
        "features": _packed_bytes(it.features.astype(np.float32).tobytes()),
    }


def _state(body: dict[str, Any], model_id: str) -> DriverState:
    regression, boosting, level = body["weights"]
    features = np.frombuffer(_unpacked_bytes(body["features"]), dtype=np.float32).reshape(body["shape"])
    arrays = {name: np.array(body[name], dtype=np.float64) for name in _ARRAYS}
    return DriverState(
        names=tuple(body["names"]),
        regression_weight=regression,
        boosting_weight=boosting,
        level=level,
        features=features.astype(np.float64),
        model_id=model_id,
        **arrays,
    )


def _packed(text: str) -> str:
    return _packed_bytes(text.encode())


def _unpacked(text: str) -> str:
    return _unpacked_bytes(text).decode()


def _packed_bytes(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def _unpacked_bytes(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def _key(body: dict[str, Any]) -> ForecastKey:
    measure, dimension = Measure(body["measure"]), Dimension(body["dimension"])
    granularity = Granularity(body["granularity"])
    hierarchy = Hierarchy(body.get("hierarchy", 0))
    panel = PanelKey(
        measure,
        dimension,
        granularity,
        body["horizon"],
        body["key_currency"],
        body["time_zone"],
        hierarchy,
        body.get("event_name", ""),
        TimeHierarchy(body.get("time_hierarchy", 0)),
        body.get("as_of"),
    )
    return panel.key(body["value"])


def _backtest(body: dict[str, Any] | None) -> Backtest | None:
    if body is None:
        return None
    accuracy, naive = Accuracy(**body["accuracy"]), Accuracy(**body["seasonal_naive"])
    before = body.get("unreconciled")
    unreconciled = Accuracy(**before) if before else None
    return Backtest(body["origin_count"], accuracy, naive, tuple(body["coverage"]), unreconciled)
