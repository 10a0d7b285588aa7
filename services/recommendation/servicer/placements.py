"""The rpcs of placements."""

from google.protobuf.duration_pb2 import Duration
from tessera.recommendation.v1 import exploration_pb2 as exploration_pb
from tessera.recommendation.v1 import placement_pb2 as pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.common.rules import wire
from services.common.rules.condition import Condition
from services.recommendation.domain.exploration import Exploration
from services.recommendation.domain.placement import (
    Control,
    Effect,
    Placement,
    Quota,
    QuotaField,
    Scenario,
    Weights,
)
from services.recommendation.handlers.placements import Placing, delete_placement, get_placement, save_placement
from services.recommendation.ports import Requests
from services.recommendation.servicer.demand import demand_message, read_demand
from services.recommendation.servicer.messages import (
    Context,
    duration,
    filter_message,
    known,
    micros,
    named,
    page_size,
    read_filter,
    timestamp,
)

WHOLE = 10_000
"""Basis points of 1."""


class PlacementRpcs(RecommendationServiceServicer):
    """Where lists are shown, and by which rules."""

    _placing: Placing
    _requests: Requests
    _clock: Clock

    async def SavePlacement(self, request: pb.SavePlacementRequest, context: Context) -> pb.SavePlacementResponse:
        now, placement = to_micros(self._clock()), read_placement(request.placement)
        saved = await save_placement(
            self._placing.placements, self._requests, named(request), placement, request.expected_version, now
        )
        return pb.SavePlacementResponse(placement=placement_message(saved))

    async def GetPlacement(self, request: pb.GetPlacementRequest, context: Context) -> pb.GetPlacementResponse:
        placements = self._placing.placements
        found = await get_placement(placements, principal().tenant, request.placement_id, request.version)
        return pb.GetPlacementResponse(placement=placement_message(found))

    async def ListPlacements(self, request: pb.ListPlacementsRequest, context: Context) -> pb.ListPlacementsResponse:
        size = page_size(request.page_size)
        found, token = await self._placing.placements.page(principal().tenant, size, request.page_token)
        return pb.ListPlacementsResponse(placements=map(placement_message, found), next_page_token=token)

    async def DeletePlacement(self, request: pb.DeletePlacementRequest, context: Context) -> pb.DeletePlacementResponse:
        await delete_placement(self._placing.placements, self._requests, named(request), request.placement_id)
        return pb.DeletePlacementResponse()


def read_placement(message: pb.Placement) -> Placement:
    """The placement of a message; its version and time are the service's to say. ``RuleInvalid``."""
    weights = message.weights
    return Placement(
        placement_id=message.placement_id,
        title=message.title,
        scenario=known(Scenario, message.scenario, "placement.scenario"),
        filter=read_filter(message.filter),
        exclude_bought=message.exclude_bought,
        exclude_bought_within=micros(message.exclude_bought_within),
        controls=tuple(_read_control(index, control) for index, control in enumerate(message.controls)),
        quotas=tuple(
            Quota(known(QuotaField, quota.field, f"placement.quotas[{index}].field"), quota.max_items)
            for index, quota in enumerate(message.quotas)
        ),
        weights=Weights(
            diversity=weights.diversity_bp / WHOLE,
            min_relevance=weights.min_relevance_bp / WHOLE,
            freshness=weights.freshness_bp / WHOLE,
            freshness_half_life=micros(weights.freshness_half_life),
            margin=weights.margin_bp / WHOLE,
            stock=weights.stock_bp / WHOLE,
            rotation=weights.rotation_bp / WHOLE,
            rotation_half_life=micros(weights.rotation_half_life),
        ),
        exploration=_read_exploration(message.exploration),
        demand=read_demand(message.demand),
    )


def _read_exploration(message: exploration_pb.Exploration) -> Exploration:
    return Exploration(message.slot_count, message.share_bp / WHOLE, message.impression_goal, message.position)


def _exploration_message(exploration: Exploration) -> exploration_pb.Exploration | None:
    if exploration == Exploration():
        return None
    return exploration_pb.Exploration(
        slot_count=exploration.slots,
        share_bp=round(exploration.share * WHOLE),
        impression_goal=exploration.impression_goal,
        position=exploration.position,
    )


def _read_control(index: int, message: pb.Control) -> Control:
    return Control(
        control_id=message.control_id,
        effect=known(Effect, message.effect, f"placement.controls[{index}].effect"),
        items=read_filter(message.items),
        factor=message.factor,
        position=message.position,
        when=Condition(wire.read(message.when)) if message.HasField("when") else None,
        start_time=micros(message.start_time) if message.HasField("start_time") else 0,
        end_time=micros(message.end_time) if message.HasField("end_time") else 0,
    )


def placement_message(placement: Placement) -> pb.Placement:
    """A placement as a message."""
    weights = placement.weights
    half_life: Duration | None = duration(weights.freshness_half_life) if weights.freshness_half_life else None
    return pb.Placement(
        placement_id=placement.placement_id,
        title=placement.title,
        scenario=pb.Scenario.ValueType(placement.scenario),
        filter=filter_message(placement.filter),
        exclude_bought=placement.exclude_bought,
        exclude_bought_within=duration(within) if (within := placement.exclude_bought_within) else None,
        controls=map(_control_message, placement.controls),
        quotas=[pb.Quota(field=pb.QuotaField.ValueType(it.field), max_items=it.max_items) for it in placement.quotas],
        weights=pb.Weights(
            diversity_bp=round(weights.diversity * WHOLE),
            min_relevance_bp=round(weights.min_relevance * WHOLE),
            freshness_bp=round(weights.freshness * WHOLE),
            freshness_half_life=half_life,
            margin_bp=round(weights.margin * WHOLE),
            stock_bp=round(weights.stock * WHOLE),
            rotation_bp=round(weights.rotation * WHOLE),
            rotation_half_life=duration(weights.rotation_half_life) if weights.rotation_half_life else None,
        ),
        exploration=_exploration_message(placement.exploration),
        demand=demand_message(placement.demand),
        version=placement.version,
        update_time=timestamp(placement.update_time),
    )


def _control_message(control: Control) -> pb.Control:
    return pb.Control(
        control_id=control.control_id,
        effect=pb.ControlEffect.ValueType(control.effect),
        items=filter_message(control.items),
        factor=control.factor,
        position=control.position,
        when=wire.write(control.when.rule) if control.when else None,
        start_time=timestamp(control.start_time) if control.start_time else None,
        end_time=timestamp(control.end_time) if control.end_time else None,
    )
