"""How many rpcs a request costs: one for each BatchGet rpc, however many objects there are."""

from collections import Counter
from typing import Any

from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as recommendation
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation

from tests.gateway.platform import Backend, Client

WHOLE_PAGE = """
query ($first: Int!) {
  customers(first: $first) {
    nodes {
      customerId
      segments { name }
      rfm { cell monetary { amount } }
      loyalty { balancePoints tier { name } }
      recommendations(first: 2) { items { item { title } reasons { kind sourceItems { itemId } } } }
      messages(first: 3) { state }
    }
  }
}
"""


def _answer_for_everyone(backend: Backend) -> None:
    backend.on("profiles.ListCustomers", _customers)
    backend.on("segmentation.BatchGetMemberships", _memberships)
    backend.on(
        "segmentation.BatchGetSegments",
        lambda _: segmentation.BatchGetSegmentsResponse(
            segments=[segmentation.Segment(segment_id="s1", name="Lapsed")]
        ),
    )
    backend.on(
        "loyalty.ListPrograms", lambda _: loyalty.ListProgramsResponse(programs=[loyalty.Program(program_id="club")])
    )
    backend.on("loyalty.BatchGetMembers", _members)
    backend.on("recommendation.BatchRecommend", _recommended)
    backend.on("recommendation.BatchGetItems", _items)


def _customers(request: Any) -> profiles.ListCustomersResponse:
    return profiles.ListCustomersResponse(
        customers=[profiles.Customer(customer_id=f"c{n:03}") for n in range(request.page_size)]
    )


def _memberships(request: Any) -> segmentation.BatchGetMembershipsResponse:
    return segmentation.BatchGetMembershipsResponse(
        memberships=[segmentation.Memberships(customer_id=each, segment_ids=["s1"]) for each in request.customer_ids]
    )


def _members(request: Any) -> loyalty.BatchGetMembersResponse:
    return loyalty.BatchGetMembersResponse(
        members=[
            loyalty.Member(member_id=each, balance_points=7, tier=loyalty.Tier(name="Gold"))
            for each in request.member_ids
        ]
    )


def _recommended(request: Any) -> recommendation.BatchRecommendResponse:
    reason = list_pb.Reason(kind=list_pb.REASON_KIND_SIMILAR_TO_BOUGHT, source_item_ids=["i9"])
    return recommendation.BatchRecommendResponse(
        recommendations=[
            list_pb.RecommendationList(
                customer_id=each,
                items=[list_pb.Recommendation(item_id=f"i{n}", reasons=[reason]) for n in range(request.count)],
            )
            for each in request.customer_ids
        ]
    )


def _items(request: Any) -> recommendation.BatchGetItemsResponse:
    return recommendation.BatchGetItemsResponse(
        items=[item_pb.Item(item_id=each, title=f"Item {each}") for each in request.item_ids]
    )


async def test_a_page_of_fifty_customers_costs_one_call_for_each_rpc(client: Client, backend: Backend) -> None:
    _answer_for_everyone(backend)
    data = await client.data(WHOLE_PAGE, {"first": 50})
    nodes = data["customers"]["nodes"]
    assert len(nodes) == 50
    assert nodes[7]["segments"] == [{"name": "Lapsed"}]
    assert nodes[7]["loyalty"] == {"balancePoints": 7, "tier": {"name": "Gold"}}
    assert nodes[7]["recommendations"]["items"][1] == {
        "item": {"title": "Item i1"},
        "reasons": [{"kind": "SIMILAR_TO_BOUGHT", "sourceItems": [{"itemId": "i9"}]}],
    }
    counts = Counter(backend.names())
    items = counts.pop("recommendation.BatchGetItems")
    assert items <= 2  # items, and the items of reasons, which may be found in the next round
    assert counts == {
        "profiles.ListCustomers": 1,
        "segmentation.BatchGetMemberships": 1,
        "segmentation.BatchGetSegments": 1,
        "segmentation.BatchGetRfm": 1,
        "loyalty.ListPrograms": 1,
        "loyalty.BatchGetMembers": 1,
        "recommendation.BatchRecommend": 1,
        "crm.BatchGetCustomerMessages": 1,
    }
    (asked,) = backend.requests("loyalty.BatchGetMembers")
    assert len(asked.member_ids) == 50
    assert len(set(backend.requests("recommendation.BatchGetItems")[0].item_ids)) == len(
        backend.requests("recommendation.BatchGetItems")[0].item_ids
    )


async def test_the_lists_of_a_placement_are_asked_for_together(client: Client, backend: Backend) -> None:
    _answer_for_everyone(backend)
    asked = 'recommendations(first: 2, placementId: "mail", context: {hour: 9}) { items { itemId } }'
    await client.data(f"{{ customers(first: 5) {{ nodes {{ {asked} }} }} }}")
    (request,) = backend.requests("recommendation.BatchRecommend")
    assert (request.placement_id, dict(request.context), len(request.customer_ids)) == ("mail", {"hour": "9"}, 5)


async def test_the_same_customer_asked_for_twice_is_fetched_once(client: Client, backend: Backend) -> None:
    backend.on(
        "profiles.BatchGetCustomers",
        lambda request: profiles.BatchGetCustomersResponse(
            customers=[profiles.Customer(customer_id=each) for each in request.customer_ids]
        ),
    )
    data = await client.data('{ a: customer(id: "c1") { customerId } b: customer(id: "c1") { customerId } }')
    assert data == {"a": {"customerId": "c1"}, "b": {"customerId": "c1"}}
    (request,) = backend.requests("profiles.BatchGetCustomers")
    assert list(request.customer_ids) == ["c1"]


async def test_lists_for_other_arguments_are_other_calls(client: Client, backend: Backend) -> None:
    _answer_for_everyone(backend)
    await client.data(
        """{ customers(first: 3) { nodes {
               few: recommendations(first: 1) { items { itemId } }
               many: recommendations(first: 5) { items { itemId } } } } }"""
    )
    assert sorted(request.count for request in backend.requests("recommendation.BatchRecommend")) == [1, 5]


async def test_after_a_mutation_everything_is_asked_for_again(client: Client, backend: Backend) -> None:
    _answer_for_everyone(backend)
    entry = loyalty.Entry(program_id="club", member_id="c1")
    backend.on("loyalty.EarnPoints", lambda _: loyalty.EarnPointsResponse(entry=entry))
    earn = 'earnPoints(input: {programId: "club", memberId: "c1", points: 5}) { entry { member { balancePoints } } }'
    await client.data(f"mutation {{ a: {earn} b: {earn} }}")
    assert Counter(backend.names()) == {"loyalty.EarnPoints": 2, "loyalty.BatchGetMembers": 2}
