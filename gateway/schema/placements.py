"""Placements of lists and their rules in the schema."""

from collections.abc import Sequence
from typing import Any

import strawberry
from tessera.recommendation.v1 import exploration_pb2 as exploration_pb
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import placement_pb2 as pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.forms import input_form
from gateway.schema.registry import computed, from_proto, input_from_proto, mutation, query
from gateway.schema.scalars import JSON

_WEIGHTS = (
    "diversity_bp",
    "min_relevance_bp",
    "freshness_bp",
    "freshness_half_life",
    "margin_bp",
    "stock_bp",
    "rotation_bp",
    "rotation_half_life",
)
_CONTROL = ("control_id", "effect", "factor", "position", "start_time", "end_time")
_PLACEMENT = (
    "placement_id",
    "title",
    "scenario",
    "exclude_bought",
    "exclude_bought_within",
    "controls",
    "quotas",
    "weights",
    "exploration",
    "demand",
)
_EXPLORATION = ("slot_count", "share_bp", "impression_goal", "position")


@from_proto(item_pb.PriceRange, "currency", "min_minor", "max_minor")
class PriceRange: ...


@from_proto(item_pb.AttributeValues, "name", "values")
class AttributeValues: ...


@from_proto(
    item_pb.ItemFilter,
    "categories",
    "brands",
    "item_ids",
    "excluded_item_ids",
    "include_out_of_stock",
    "price",
    "attributes",
)
class ProductFilter: ...


@from_proto(pb.Weights, *_WEIGHTS)
class PlacementWeights: ...


@from_proto(exploration_pb.Exploration, *_EXPLORATION)
class PlacementExploration: ...


@from_proto(pb.Quota, "field", "max_items")
class PlacementQuota: ...


@from_proto(pb.Control, *_CONTROL, "items")
class PlacementControl: ...


@computed(PlacementControl, JSON | None)
def when(control: pb.Control) -> dict[str, Any] | None:
    """When it holds, in the form of `RuleInput`; null: always."""
    return input_form(control.when) if control.HasField("when") else None


@from_proto(pb.Placement, *_PLACEMENT, "filter", "version", "update_time")
class Placement: ...


@input_from_proto(pb.Weights, *_WEIGHTS)
class PlacementWeightsInput: ...


@input_from_proto(exploration_pb.Exploration, *_EXPLORATION)
class PlacementExplorationInput: ...


@input_from_proto(pb.Quota, "field", "max_items")
class PlacementQuotaInput: ...


@input_from_proto(pb.Control, *_CONTROL, "items", "when")
class PlacementControlInput: ...


@input_from_proto(pb.Placement, *_PLACEMENT, "filter")
class PlacementInput: ...


@input_from_proto(pb.SavePlacementRequest, "request_id", "placement", "expected_version")
class SavePlacementInput: ...


@from_proto(pb.SavePlacementResponse, "placement")
class SavePlacementPayload: ...


@input_from_proto(pb.DeletePlacementRequest, "request_id", "placement_id")
class DeletePlacementInput: ...


@query(by_rpc("recommendation.GetPlacement"))
async def placement(info: Info, placement_id: str, version: int = 0) -> pb.Placement | None:
    """A placement in use, or one of its versions; null if there is none."""
    request = pb.GetPlacementRequest(placement_id=placement_id, version=version)
    call = info.context.backends.recommendation.GetPlacement(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.placement if answer else None


@query(by_rpc("recommendation.ListPlacements"))
async def placements(info: Info, first: First = 20, after: After = None) -> Page[pb.Placement]:
    """The placements in use, by id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Placement], str]:
        request = pb.ListPlacementsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.recommendation.ListPlacements(request, metadata=info.context.metadata)
        return answer.placements, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("recommendation.SavePlacement"))
async def save_placement(info: Info, input: pb.SavePlacementRequest) -> pb.SavePlacementResponse:
    return await info.context.backends.recommendation.SavePlacement(input, metadata=info.context.metadata)


@mutation(by_rpc("recommendation.DeletePlacement"))
async def delete_placement(info: Info, input: pb.DeletePlacementRequest) -> strawberry.ID:
    """Deletes a placement, and answers its own id."""
    await info.context.backends.recommendation.DeletePlacement(input, metadata=info.context.metadata)
    return strawberry.ID(input.placement_id)
