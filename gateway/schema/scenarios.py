"""Bundles, carts, repeats, given lists, and customers for a product in the schema."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry import Parent
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as service_pb
from tessera.recommendation.v1 import scenario_pb2 as pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, limited, page
from gateway.schema.global_ids import own_id as any_own_id
from gateway.schema.node import own_id
from gateway.schema.profiles import Customer
from gateway.schema.recommendation import Filter, Product
from gateway.schema.registry import edge, from_proto, query
from gateway.schema.shop_demand import days

SessionItems = Annotated[
    list[strawberry.ID] | None, strawberry.argument(description="Looked at in this session, oldest first.")
]


@from_proto(list_pb.Repeat, "last_purchase_time", "interval_duration", "due_time", "probability")
class Repeat: ...


@from_proto(pb.Bundle, "item_ids", "basket_count", "support", "confidence", "lift", "leverage")
class Bundle: ...


@from_proto(pb.FindBundlesResponse, "bundles", "basket_count", "empty_reason")
class BundleList: ...


@from_proto(pb.CustomerForItem, "score", "fit", "last_purchase_time")
class CustomerForProduct: ...


@query(by_rpc("recommendation.FindBundles"))
async def bundles(
    info: Info,
    id: Annotated[strawberry.ID | None, strawberry.argument(description="Sets that hold this product.")] = None,
    first: First = 10,
    filter: Filter = None,
    max_size: int = 3,
    min_basket_count: int = 5,
) -> pb.FindBundlesResponse | None:
    """Sets of products that are bought together, strongest first. Null if the product does not exist."""
    request = pb.FindBundlesRequest(
        item_id=own_id(Product, id or strawberry.ID("")),
        count=limited(first),
        filter=filter,
        max_size=max_size,
        min_basket_count=min_basket_count,
    )
    call = info.context.backends.recommendation.FindBundles(request, metadata=info.context.metadata)
    return await none_if_not_found(call)


@query(by_rpc("recommendation.FindComplements"))
async def complements(
    info: Info, cart_item_ids: list[strawberry.ID], first: First = 10, filter: Filter = None
) -> list_pb.RecommendationList:
    """What completes a cart: what others put beside it, not other versions of what it holds."""
    request = pb.FindComplementsRequest(
        cart_item_ids=[any_own_id(each) for each in cart_item_ids], count=limited(first), filter=filter
    )
    answer = await info.context.backends.recommendation.FindComplements(request, metadata=info.context.metadata)
    return answer.recommendations


@query(by_rpc("recommendation.RerankItems"))
async def rerank(
    info: Info,
    item_ids: list[strawberry.ID],
    customer_id: strawberry.ID | None = None,
    session_item_ids: SessionItems = None,
    filter: Filter = None,
) -> list_pb.RecommendationList:
    """A given list, of a search or a category, in the order in which it suits a person."""
    request = pb.RerankItemsRequest(
        customer_id=own_id(Customer, customer_id or strawberry.ID("")),
        session_item_ids=[any_own_id(each) for each in session_item_ids or ()],
        item_ids=[any_own_id(each) for each in item_ids],
        filter=filter,
    )
    answer = await info.context.backends.recommendation.RerankItems(request, metadata=info.context.metadata)
    return answer.recommendations


@query(by_rpc("recommendation.FindCustomersForItem"))
async def customers_for_product(
    info: Info, id: strawberry.ID, first: First = 20, after: After = None, exclude_buyers: bool = False
) -> Page[pb.CustomerForItem]:
    """The customers who would buy a product, best first."""
    item_id = own_id(Product, id)

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.CustomerForItem], str]:
        request = pb.FindCustomersForItemRequest(
            item_id=item_id, page_size=size, page_token=token, exclude_buyers=exclude_buyers
        )
        answer = await info.context.backends.recommendation.FindCustomersForItem(
            request, metadata=info.context.metadata
        )
        return answer.customers, answer.next_page_token

    return await page(fetch, first, after)


@edge(CustomerForProduct, by_rpc("profiles.BatchGetCustomers"))
async def customer(found: Parent[pb.CustomerForItem], info: Info) -> profiles_pb.Customer | None:
    """The customer; null if they were erased meanwhile."""
    return await loaders.customer(info.context, found.customer_id)


@edge(Bundle, by_rpc("recommendation.BatchGetItems"))
async def products(bundle: Parent[pb.Bundle], info: Info) -> list[item_pb.Item]:
    """The products, those that still exist."""
    return await loaders.all_of(loaders.item(info.context, each) for each in bundle.item_ids)


@edge(Product, by_rpc("recommendation.FindSimilarItems"))
async def similar(
    product: Parent[item_pb.Item], info: Info, first: First = 10, filter: Filter = None
) -> list_pb.RecommendationList:
    """Likely alternatives."""
    request = service_pb.FindSimilarItemsRequest(item_id=product.item_id, count=limited(first), filter=filter)
    answer = await info.context.backends.recommendation.FindSimilarItems(request, metadata=info.context.metadata)
    return answer.recommendations


@edge(Customer, by_rpc("recommendation.FindReplenishments"))
async def replenishments(
    customer: Parent[profiles_pb.Customer],
    info: Info,
    first: First = 10,
    filter: Filter = None,
    within_days: float = 7,
) -> list_pb.RecommendationList:
    """What the customer is about to need again, with how likely and when."""
    request = pb.FindReplenishmentsRequest(
        customer_id=customer.customer_id, count=limited(first), filter=filter, horizon_duration=days(within_days)
    )
    answer = await info.context.backends.recommendation.FindReplenishments(request, metadata=info.context.metadata)
    return answer.recommendations
