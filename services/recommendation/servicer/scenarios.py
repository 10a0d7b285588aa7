"""The rpcs of bundles, carts, repeats, given lists, and customers of an item."""

from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import scenario_pb2 as pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.recommendation.domain.demand import checked_half_life
from services.recommendation.domain.replenishment import DAY
from services.recommendation.handlers.find_customers_for_item import (
    AudienceWish,
    CustomerForItem,
    find_customers_for_item,
)
from services.recommendation.handlers.recommend import Asker, Sources, Wish
from services.recommendation.handlers.rerank_items import rerank_items
from services.recommendation.handlers.scenarios import (
    find_bundles,
    find_complements,
    find_replenishments,
)
from services.recommendation.servicer.messages import (
    COUNT_DEFAULT,
    Context,
    list_message,
    micros,
    page_size,
    read_filter,
    timestamp,
)

YEAR = 365 * DAY
SIZE_DEFAULT, BASKETS_DEFAULT = 3, 5


class ScenarioRpcs(RecommendationServiceServicer):
    """Scenarios beyond recommending to a person."""

    _sources: Sources
    _clock: Clock

    async def FindBundles(self, request: pb.FindBundlesRequest, context: Context) -> pb.FindBundlesResponse:
        max_size = max(request.max_size or SIZE_DEFAULT, 2)
        least = max(request.min_basket_count or BASKETS_DEFAULT, 2)
        bundles, baskets, reason = await find_bundles(
            self._sources, principal().tenant, _wish(request), request.item_id, max_size, least
        )
        return pb.FindBundlesResponse(
            bundles=(
                pb.Bundle(
                    item_ids=bundle.item_ids,
                    basket_count=bundle.basket_count,
                    support=bundle.support,
                    confidence=bundle.confidence,
                    lift=bundle.lift,
                    leverage=bundle.leverage,
                )
                for bundle in bundles
            ),
            basket_count=baskets,
            empty_reason=list_pb.EmptyReason.ValueType(reason),
        )

    async def FindComplements(self, request: pb.FindComplementsRequest, context: Context) -> pb.FindComplementsResponse:
        found = await find_complements(self._sources, principal().tenant, _wish(request), request.cart_item_ids)
        return pb.FindComplementsResponse(recommendations=list_message(found))

    async def FindReplenishments(
        self, request: pb.FindReplenishmentsRequest, context: Context
    ) -> pb.FindReplenishmentsResponse:
        horizon = micros(request.horizon_duration) if request.HasField("horizon_duration") else 7 * DAY
        found = await find_replenishments(
            self._sources, principal().tenant, _wish(request), request.customer_id, to_micros(self._clock()), horizon
        )
        return pb.FindReplenishmentsResponse(recommendations=list_message(found))

    async def RerankItems(self, request: pb.RerankItemsRequest, context: Context) -> pb.RerankItemsResponse:
        asker = Asker(request.customer_id, tuple(request.session_item_ids))
        wanted = read_filter(request.filter)
        found = await rerank_items(self._sources, principal().tenant, asker, request.item_ids, wanted)
        return pb.RerankItemsResponse(recommendations=list_message(found))

    async def FindCustomersForItem(
        self, request: pb.FindCustomersForItemRequest, context: Context
    ) -> pb.FindCustomersForItemResponse:
        given = micros(request.half_life_duration) if request.HasField("half_life_duration") else 90 * DAY
        half_life = checked_half_life(given, DAY, 100 * YEAR)
        wish = AudienceWish(
            request.item_id, half_life, request.exclude_buyers, page_size(request.page_size), request.page_token
        )
        page = await find_customers_for_item(self._sources, principal().tenant, wish, to_micros(self._clock()))
        return pb.FindCustomersForItemResponse(
            customers=map(_customer, page.customers),
            next_page_token=page.next_token,
            model_version=page.model_version,
        )


_Wished = pb.FindBundlesRequest | pb.FindComplementsRequest | pb.FindReplenishmentsRequest


def _wish(request: _Wished) -> Wish:
    return Wish(request.count or COUNT_DEFAULT, read_filter(request.filter))


def _customer(customer: CustomerForItem) -> pb.CustomerForItem:
    return pb.CustomerForItem(
        customer_id=customer.customer_id,
        score=customer.score,
        fit=customer.fit,
        last_purchase_time=timestamp(customer.last_time),
    )
