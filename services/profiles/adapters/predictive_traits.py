"""Predictive traits as documents: what is expected of each customer, and the models of purchases that say so.

The cursor of the feed is written with what it tells, against the version that was read: where several processes
follow, one applies a batch and the others resume behind it, so nothing older takes the place of something newer. Values
are sealed with the customer's key: who has none is erased, and nothing is kept of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from services.common.feed import CURSORS
from services.common.store import Collection, Delete, Document, Insert, Put, Replace, Store, Write
from services.profiles.adapters.customer_keys import CustomerKeys, seal_content, unseal_content
from services.profiles.domain.predictive_trait import (
    Expectation,
    ModelKind,
    PredictionQuality,
    PredictiveModel,
    PredictiveTraits,
    Saying,
)

PREDICTIONS = Collection("predictions")
PREDICTIVE_MODELS = Collection("predictive_models")
PREDICTIVE_COLLECTIONS = (PREDICTIONS, PREDICTIVE_MODELS, CURSORS)
FOLLOWER = "profiles.forecasting.2"
"""The number rises when more is kept of what the feed tells: it is read from its beginning then."""
MODELS_MAX = 1_000
"""How many models are kept in memory: they never change."""
_SAYINGS = "\0sayings"

Customer = tuple[str, str]
"""A tenant and an id."""


class StoredPredictiveTraits:
    """The port ``PredictiveBook``, and what the follower of forecasting writes."""

    def __init__(self, store: Store, keys: CustomerKeys) -> None:
        self._store, self._keys = store, keys
        self._models: dict[tuple[str, int], PredictiveModel] = {}
        self._cursor_version: int | None = None

    async def load_cursor(self) -> str:
        """How far the feed is applied, by whichever process."""
        document = await self._store.get("*", CURSORS, FOLLOWER)
        self._cursor_version = document.version if document else None
        return str(document.body["cursor"]) if document else ""

    async def begin_again(self) -> None:
        """Read the feed from its beginning, which replaces what is here: forecasting's data were lost or put back."""
        await self.load_cursor()
        await self.apply({}, [], "")

    async def apply(
        self,
        expected: Mapping[Customer, Expectation | None],
        models: Sequence[tuple[str, PredictiveModel]],
        cursor: str,
    ) -> None:
        """Keep what is expected, and forget where it is ``None``; with the cursor.

        ``Conflict`` or ``AlreadyExists`` if another process was faster: load the cursor and go on from there.
        """
        writes: list[Write] = [Put(tenant, PREDICTIVE_MODELS, str(it.version), asdict(it)) for tenant, it in models]
        by_tenant: dict[str, list[str]] = {}
        for tenant, customer_id in expected:
            by_tenant.setdefault(tenant, []).append(customer_id)
        for tenant, customer_ids in by_tenant.items():
            keys = await self._keys.read(tenant, customer_ids)
            writes += (_write(tenant, each, expected[tenant, each], keys.get(each)) for each in customer_ids)
        before, body = self._cursor_version, {"cursor": cursor}
        moved = partial(Replace, version=before) if before else Insert
        await self._store.commit([*writes, moved("*", CURSORS, FOLLOWER, body)])
        self._cursor_version = (before or 0) + 1

    async def of(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, PredictiveTraits]:
        """See the port."""
        found = await self._store.get_many(tenant, PREDICTIONS, list(dict.fromkeys(customer_ids)))
        keys = await self._keys.read(tenant, found)
        read = {key: _expectation(tenant, document, keys[key]) for key, document in found.items() if key in keys}
        models = await self._read_models(tenant, {it.model_version for it in read.values() if it.model_version})
        return {key: PredictiveTraits(it, models.get(it.model_version)) for key, it in read.items()}

    async def _read_models(self, tenant: str, versions: set[int]) -> dict[int, PredictiveModel]:
        missing = [str(version) for version in versions if (tenant, version) not in self._models]
        for document in (await self._store.get_many(tenant, PREDICTIVE_MODELS, missing) if missing else {}).values():
            while len(self._models) >= MODELS_MAX:
                del self._models[next(iter(self._models))]
            model = _model(document.body)
            self._models[tenant, model.version] = model
        known = ((version, self._models.get((tenant, version))) for version in versions)
        return {version: model for version, model in known if model is not None}


def _write(tenant: str, customer_id: str, it: Expectation | None, key: bytes | None) -> Write:
    if it is None or key is None:
        return Delete(tenant, PREDICTIONS, customer_id)
    place = _place(tenant, customer_id)
    body = {
        "version": it.model_version,
        "time": it.change_time,
        "count": it.count,
        "sealed": seal_content(key, dict(it.values), place),
        "sayings": seal_content(key, [_written(said) for said in it.sayings], place + _SAYINGS) if it.sayings else None,
    }
    return Put(tenant, PREDICTIONS, customer_id, body)


def _expectation(tenant: str, document: Document, key: bytes) -> Expectation:
    body = document.body
    place = _place(tenant, document.id)
    values, sealed = unseal_content(key, body["sealed"], place), body.get("sayings")
    sayings = unseal_content(key, sealed, place + _SAYINGS) if sealed else ()
    return Expectation(document.id, body["version"], values, body["time"], tuple(map(_saying, sayings)))


def _written(it: Saying) -> list[Any]:
    said = (it.kind, it.model, it.version, it.fit_time, it.as_of, it.horizon_days, it.currency)
    return [*said, dict(it.values)]


def _saying(read: list[Any]) -> Saying:
    kind, *rest = read
    return Saying(ModelKind(kind), *rest)


def _place(tenant: str, customer_id: str) -> str:
    return f"prediction\0{tenant}\0{customer_id}"


def _model(body: dict[str, object]) -> PredictiveModel:
    quality = body["quality"]
    told = PredictionQuality(**quality) if isinstance(quality, dict) else None
    return PredictiveModel(**{**body, "quality": told})  # type: ignore[arg-type]  # as it was written
