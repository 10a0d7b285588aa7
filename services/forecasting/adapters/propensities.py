"""Propensity models and what they say of customers, as documents."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from services.common.rules import Comparison, Instant, Operator
from services.common.store import Collection, Index, Store
from services.forecasting.adapters.fits import Kept, names_of
from services.forecasting.adapters.told_fits import ToldFits
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


class StoredPropensityModels(ToldFits[PropensityModel, Propensity]):
    """The port ``PropensityModels`` over the document store. Followers of predictions are told what the newest say."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, KEPT, UNTOLD_PROPENSITIES)


_TEXTS = ("categories", "product_ids", "store_ids", "channels")


def goal_of(body: Mapping[str, Any]) -> Goal:
    """The goal that ``asdict`` gave."""
    where = tuple(_comparison(it) for it in body.get("where", ()))
    return Goal(**dict(body) | {name: tuple(body[name]) for name in _TEXTS if name in body} | {"where": where})


def _comparison(body: Mapping[str, Any]) -> Comparison:
    values = (Instant(**it) if isinstance(it, dict) else it for it in body["values"])
    return Comparison(body["field"], Operator(body["operator"]), tuple(values))


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
