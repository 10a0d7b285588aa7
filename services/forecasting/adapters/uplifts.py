"""Uplift models and what they say of customers, as documents."""

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from services.common.store import Collection, Delete, Index, Put, Store
from services.forecasting.adapters.fits import Kept, fit_id, names_of
from services.forecasting.adapters.propensities import goal_of
from services.forecasting.adapters.told_fits import ToldFits
from services.forecasting.domain.propensity import Reason
from services.forecasting.domain.uplift import (
    Figure,
    Outcome,
    Recommendation,
    Uplift,
    UpliftDecile,
    UpliftGroup,
    UpliftModel,
    UpliftModelNotFound,
    UpliftQuality,
    Worth,
)

LEARNT = Collection("uplift_learnt")
"""What a version that says something of customers learnt."""
UNTOLD_UPLIFTS = Collection("untold_uplifts")


class StoredUpliftModels(ToldFits[UpliftModel, Uplift]):
    """The port ``UpliftModels`` over the document store. Followers of predictions are told what the newest say."""

    def __init__(self, store: Store, turn: asyncio.Lock | None = None) -> None:
        super().__init__(store, KEPT, UNTOLD_UPLIFTS, turn)

    async def keep(self, tenant: str, model_id: str, version: int, learnt: Mapping[str, object]) -> None:
        packed = await asyncio.to_thread(_packed, learnt)
        await self._store.commit([Put(tenant, LEARNT, fit_id(model_id, version), {"packed": packed})])

    async def learnt(self, tenant: str, model_id: str, version: int) -> Mapping[str, Any] | None:
        found = await self._store.get(tenant, LEARNT, fit_id(model_id, version))
        return await asyncio.to_thread(_unpacked, found.body["packed"]) if found else None

    async def _drop_fit(self, tenant: str, model_id: str, version: int, *, tell: bool = False) -> None:
        await self._store.commit([Delete(tenant, LEARNT, fit_id(model_id, version))])
        await super()._drop_fit(tenant, model_id, version, tell=tell)


def _packed(learnt: Mapping[str, object]) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(learnt))


def _unpacked(packed: bytes) -> dict[str, Any]:
    return msgspec.msgpack.decode(zlib.decompress(packed), type=dict[str, Any])


def _deleted(model_id: str) -> UpliftModelNotFound:
    return UpliftModelNotFound("the model was deleted while it was fitted", model_id=model_id)


def _body(it: Uplift) -> dict[str, Any]:
    said = {"uplift": it.uplift.value, "low": it.uplift.low, "high": it.uplift.high, "group": int(it.group)}
    said["outcome"] = int(it.outcome)
    return asdict(it) | said | {"reasons": [[why.feature, why.value, why.contribution] for why in it.reasons]}


def _uplift(body: Mapping[str, Any]) -> Uplift:
    rest = {name: value for name, value in body.items() if name not in ("low", "high")}
    said = Figure(body["uplift"], body["low"], body["high"])
    reasons = tuple(Reason(*why) for why in body["reasons"])
    made = {"uplift": said, "group": UpliftGroup(body["group"]), "reasons": reasons, "outcome": _outcome(body)}
    return Uplift(**rest | made)


def _outcome(body: Mapping[str, Any]) -> Outcome:
    return Outcome(body.get("outcome", Outcome.REACHED))


def _model(body: dict[str, Any]) -> UpliftModel:
    advice = body["recommendation"]
    made = {
        "goal": goal_of(body["goal"]),
        "quality": _quality(body["quality"]),
        "recommendation": advice and Recommendation(**advice | {"worth": Worth(**advice["worth"])}),
        "warnings": tuple(body["warnings"]),
        "outcome": _outcome(body),
    }
    return UpliftModel(**body | made)


def _quality(body: dict[str, Any]) -> UpliftQuality:
    made = {
        "effect": Figure(**body["effect"]),
        "qini": Figure(**body["qini"]),
        "curve": tuple(Figure(**it) for it in body["curve"]),
        "deciles": tuple(UpliftDecile(**it | {"measured": Figure(**it["measured"])}) for it in body["deciles"]),
        "heterogeneity": body["heterogeneity"] and Figure(**body["heterogeneity"]),
    }
    return UpliftQuality(**body | made)


KEPT = Kept(
    names_of("uplift_names"),
    Collection("uplift_models"),
    Collection("uplifts", (Index(("fit", "uplift")),)),
    order="uplift",
    model=_model,
    saying=_uplift,
    body=_body,
    deleted=_deleted,
)
COLLECTIONS = (*KEPT.collections, LEARNT, UNTOLD_UPLIFTS)
