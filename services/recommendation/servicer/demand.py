"""Demand: what is popular, what trends and what is new; and what counts in it, on the wire."""

from collections.abc import Iterable

from tessera.recommendation.v1 import demand_pb2 as pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import scenario_pb2 as scenario_pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.recommendation.domain.demand import HOUR, checked_half_life
from services.recommendation.domain.newest import checked_max_age
from services.recommendation.domain.replenishment import DAY
from services.recommendation.domain.tally import DemandOptions, InteractionKind, InteractionWeight
from services.recommendation.handlers.recommend import Sources, Wish
from services.recommendation.handlers.scenarios import DemandWish, find_newest, find_popular, find_trending
from services.recommendation.ports import Buyers
from services.recommendation.servicer.messages import (
    COUNT_DEFAULT,
    Context,
    duration,
    known,
    list_message,
    micros,
    read_filter,
)

YEAR = 365 * DAY


class DemandRpcs(RecommendationServiceServicer):
    """What many want, and what is new."""

    _sources: Sources
    _clock: Clock

    async def FindPopular(
        self, request: scenario_pb.FindPopularRequest, context: Context
    ) -> scenario_pb.FindPopularResponse:
        asked = _asked(request, 14 * DAY, 10 * YEAR)
        found = await find_popular(self._sources, principal().tenant, _wish(request), asked)
        return scenario_pb.FindPopularResponse(recommendations=list_message(found))

    async def FindTrending(
        self, request: scenario_pb.FindTrendingRequest, context: Context
    ) -> scenario_pb.FindTrendingResponse:
        asked = _asked(request, 3 * DAY, YEAR)
        found, weighed = await find_trending(self._sources, principal().tenant, _wish(request), asked)
        return scenario_pb.FindTrendingResponse(recommendations=list_message(found), item_count=weighed)

    async def FindNewest(self, request: pb.FindNewestRequest, context: Context) -> pb.FindNewestResponse:
        # A duration of nothing is out of range, one that is not set is any.
        given = micros(request.max_age_duration) or -1
        max_age = checked_max_age(given if request.HasField("max_age_duration") else 0)
        now = to_micros(self._clock())
        found = await find_newest(self._sources, principal().tenant, _wish(request), now, max_age)
        return pb.FindNewestResponse(recommendations=list_message(found))


def _wish(request: scenario_pb.FindPopularRequest | scenario_pb.FindTrendingRequest | pb.FindNewestRequest) -> Wish:
    return Wish(request.count or COUNT_DEFAULT, read_filter(request.filter))


def _asked(
    request: scenario_pb.FindPopularRequest | scenario_pb.FindTrendingRequest, usual: int, longest: int
) -> DemandWish:
    given = micros(request.half_life_duration) if request.HasField("half_life_duration") else usual
    buyers = Buyers(request.segment_id, tuple(request.customer_ids))
    weights = _read_weights(request.interactions, "interactions")
    return DemandWish(checked_half_life(given, HOUR, longest), buyers, weights)


def read_demand(message: pb.DemandOptions) -> DemandOptions:
    """By what a placement counts."""
    interactions = _read_weights(message.interactions, "placement.demand.interactions")
    half_life, max_age = micros(message.half_life_duration), micros(message.max_age_duration)
    return DemandOptions(interactions, half_life, message.segment_id, max_age)


def demand_message(demand: DemandOptions) -> pb.DemandOptions | None:
    """The same as a message; ``None`` where nothing is said."""
    if demand == DemandOptions():
        return None
    return pb.DemandOptions(
        interactions=map(_weight_message, demand.interactions),
        half_life_duration=duration(demand.half_life) if demand.half_life else None,
        segment_id=demand.segment_id,
        max_age_duration=duration(demand.max_age) if demand.max_age else None,
    )


def _read_weights(messages: Iterable[pb.InteractionWeight], at: str) -> tuple[InteractionWeight, ...]:
    return tuple(
        InteractionWeight(
            known(InteractionKind, each.kind, f"{at}[{index}].kind"),
            each.weight,
            micros(each.half_life_duration),
            micros(each.window_duration),
        )
        for index, each in enumerate(messages)
    )


def _weight_message(weight: InteractionWeight) -> pb.InteractionWeight:
    return pb.InteractionWeight(
        kind=list_pb.InteractionKind.ValueType(weight.kind),
        weight=weight.weight,
        half_life_duration=duration(weight.half_life) if weight.half_life else None,
        window_duration=duration(weight.window) if weight.window else None,
    )
