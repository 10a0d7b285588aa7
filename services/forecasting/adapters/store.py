"""Forecasts as documents, and the requests that were carried out."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from services.common import idempotency, jobs
from services.common.store import Collection, Document, Index, Put, Query, Store
from services.forecasting.domain.forecasts import Accuracy, Backtest, Forecast, ForecastKey, PanelKey
from services.forecasting.domain.measures import Dimension, Granularity, Hierarchy, Measure

FORECASTS = Collection("forecasts", (Index(("measure",)),))
COLLECTIONS = (FORECASTS, idempotency.REQUESTS, *jobs.COLLECTIONS)


class StoredForecasts:
    """The port ``Forecasts`` over the document store. A forecast's id is made of its key."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get_many(self, tenant: str, keys: Sequence[ForecastKey]) -> dict[ForecastKey, Forecast]:
        by_id = {key.id: key for key in keys}
        found = await self._store.get_many(tenant, FORECASTS, list(by_id))
        return {by_id[document.id]: _forecast(document) for document in found.values()}

    async def put(self, tenant: str, forecasts: Sequence[Forecast]) -> None:
        await self._store.commit([Put(tenant, FORECASTS, it.key.id, _body(it)) for it in forecasts])

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
        "hierarchy": int(panel.hierarchy),
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
    )


def _key(body: dict[str, Any]) -> ForecastKey:
    measure, dimension = Measure(body["measure"]), Dimension(body["dimension"])
    granularity = Granularity(body["granularity"])
    hierarchy = Hierarchy(body.get("hierarchy", 0))
    panel = PanelKey(
        measure, dimension, granularity, body["horizon"], body["key_currency"], body["time_zone"], hierarchy
    )
    return panel.key(body["value"])


def _backtest(body: dict[str, Any] | None) -> Backtest | None:
    if body is None:
        return None
    accuracy, naive = Accuracy(**body["accuracy"]), Accuracy(**body["seasonal_naive"])
    return Backtest(body["origin_count"], accuracy, naive, tuple(body["coverage"]))
