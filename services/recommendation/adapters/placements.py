"""Placements as documents: the one in use, and every version; those in use are kept in memory for some seconds."""

import asyncio
from collections import OrderedDict
from dataclasses import asdict, replace
from typing import Any

from tessera.common.v1 import rule_pb2

from services.common.idempotency import remember
from services.common.rules import wire
from services.common.rules.condition import Condition
from services.common.store import Collection, Delete, Insert, Query, Replace, Store
from services.common.store.port import Write
from services.recommendation.domain.exploration import Exploration
from services.recommendation.domain.item import ItemFilter, PriceRange
from services.recommendation.domain.placement import (
    Control,
    Effect,
    Placement,
    Quota,
    QuotaField,
    Scenario,
    Weights,
)
from services.recommendation.domain.tally import DemandOptions, InteractionKind, InteractionWeight
from services.recommendation.ports import Request

PLACEMENTS = Collection("placements")
VERSIONS = Collection("placement_versions")
COLLECTIONS = (PLACEMENTS, VERSIONS)
FRESH_SECONDS = 5.0
"""How long another process may go on with the version before."""
KEPT_MAX = 10_000


class StoredPlacements:
    """The port ``Placements``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[str, str], tuple[float, Placement | None]] = OrderedDict()
        self._versions: OrderedDict[tuple[str, str, int], Placement] = OrderedDict()

    async def in_use(self, tenant: str, placement_id: str) -> Placement | None:
        now = asyncio.get_running_loop().time()
        known = self._kept.get((tenant, placement_id))
        if known is None or known[0] < now:
            known = now + FRESH_SECONDS, await self.get(tenant, placement_id)
            self._keep(tenant, placement_id, known)
        return known[1]

    async def get(self, tenant: str, placement_id: str, version: int = 0) -> Placement | None:
        if version:
            document = await self._store.get(tenant, VERSIONS, _version_id(placement_id, version))
        else:
            document = await self._store.get(tenant, PLACEMENTS, placement_id)
        return _read(document.body) if document else None

    async def at(self, tenant: str, placement_id: str, version: int) -> Placement | None:
        key = tenant, placement_id, version
        if key not in self._versions:
            if (found := await self.get(tenant, placement_id, version)) is None:
                return None
            self._versions[key] = found
            while len(self._versions) > KEPT_MAX:
                self._versions.popitem(last=False)
        return self._versions[key]

    async def next_version(self, tenant: str, placement_id: str) -> int:
        version = 1
        known = await self.get(tenant, placement_id)
        if known:
            return known.version + 1
        # One that was deleted goes on counting: a version is never used twice.
        while await self._store.get(tenant, VERSIONS, _version_id(placement_id, version)):
            version += 1
        return version

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Placement], str]:
        page = await self._store.find(tenant, PLACEMENTS, Query(limit=limit, after=after))
        return [_read(document.body) for document in page.documents], page.next_cursor

    async def put(self, request: Request, placement: Placement, expected: int) -> None:
        tenant, placement_id, body = request.tenant, placement.placement_id, _body(placement)
        known = await self._store.get(tenant, PLACEMENTS, placement_id)
        in_use: Write = (
            Replace(tenant, PLACEMENTS, placement_id, body, known.version if known.body["version"] == expected else 0)
            if known
            else Insert(tenant, PLACEMENTS, placement_id, body)
        )
        answer = {"version": placement.version}
        await self._store.commit(
            [
                in_use,
                Insert(tenant, VERSIONS, _version_id(placement_id, placement.version), body),
                *remember(tenant, request.id, request.fingerprint, answer),
            ]
        )
        self._kept.pop((tenant, placement_id), None)

    async def delete(self, request: Request, placement_id: str) -> None:
        remembered = remember(request.tenant, request.id, request.fingerprint, {})
        await self._store.commit([Delete(request.tenant, PLACEMENTS, placement_id), *remembered])
        self._kept.pop((request.tenant, placement_id), None)

    def _keep(self, tenant: str, placement_id: str, known: tuple[float, Placement | None]) -> None:
        self._kept[tenant, placement_id] = known
        self._kept.move_to_end((tenant, placement_id))
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)


def _version_id(placement_id: str, version: int) -> str:
    return f"{placement_id} {version}"


def _body(placement: Placement) -> dict[str, Any]:
    return {
        "placement_id": placement.placement_id,
        "title": placement.title,
        "scenario": int(placement.scenario),
        "filter": filter_body(placement.filter),
        "exclude_bought": placement.exclude_bought,
        "exclude_bought_within": placement.exclude_bought_within,
        "controls": [_control_body(control) for control in placement.controls],
        "quotas": [[int(quota.field), quota.max_items] for quota in placement.quotas],
        "weights": asdict(placement.weights),
        "exploration": asdict(placement.exploration),
        "demand": asdict(placement.demand),
        "version": placement.version,
        "updated": placement.update_time,
    }


def _control_body(control: Control) -> dict[str, Any]:
    return {
        "control_id": control.control_id,
        "effect": int(control.effect),
        "items": filter_body(control.items),
        "factor": control.factor,
        "position": control.position,
        "when": wire.write(control.when.rule).SerializeToString() if control.when else None,
        "start": control.start_time,
        "end": control.end_time,
    }


def filter_body(wanted: ItemFilter) -> dict[str, Any]:
    """A filter as it is stored."""
    price = wanted.price
    return {
        "categories": sorted(wanted.categories),
        "brands": sorted(wanted.brands),
        "item_ids": sorted(wanted.item_ids),
        "excluded_item_ids": sorted(wanted.excluded_item_ids),
        "include_out_of_stock": wanted.include_out_of_stock,
        "price": [price.currency, price.least, price.most] if price else None,
        "attributes": [[name, sorted(values)] for name, values in wanted.attributes],
    }


def _read(body: dict[str, Any]) -> Placement:
    return Placement(
        placement_id=body["placement_id"],
        title=body["title"],
        scenario=Scenario(body["scenario"]),
        filter=filter_of(body["filter"]),
        exclude_bought=body["exclude_bought"],
        exclude_bought_within=body.get("exclude_bought_within", 0),
        controls=tuple(_read_control(each) for each in body["controls"]),
        quotas=tuple(Quota(QuotaField(field), most) for field, most in body["quotas"]),
        weights=Weights(**body["weights"]),
        exploration=Exploration(**body.get("exploration", {})),
        demand=_read_demand(body.get("demand", {})),
        version=body["version"],
        update_time=body["updated"],
    )


def _read_demand(body: dict[str, Any]) -> DemandOptions:
    told = (InteractionWeight(**each) for each in body.get("interactions", ()))
    interactions = tuple(replace(each, kind=InteractionKind(each.kind)) for each in told)
    return DemandOptions(**{**body, "interactions": interactions})


def _read_control(body: dict[str, Any]) -> Control:
    when = body["when"]
    return Control(
        control_id=body["control_id"],
        effect=Effect(body["effect"]),
        items=filter_of(body["items"]),
        factor=body["factor"],
        position=body["position"],
        when=Condition(wire.read(rule_pb2.Rule.FromString(when))) if when else None,
        start_time=body["start"],
        end_time=body["end"],
    )


def filter_of(body: dict[str, Any]) -> ItemFilter:
    """The filter that was stored."""
    return ItemFilter(
        categories=frozenset(body["categories"]),
        brands=frozenset(body["brands"]),
        item_ids=frozenset(body["item_ids"]),
        excluded_item_ids=frozenset(body["excluded_item_ids"]),
        include_out_of_stock=body["include_out_of_stock"],
        price=PriceRange(*body["price"]) if body["price"] else None,
        attributes=tuple((name, frozenset(values)) for name, values in body["attributes"]),
    )
