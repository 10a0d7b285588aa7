"""Merges in the schema: who became one with whom, why, and how it is taken back."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry import Parent
from tessera.profiles.v1 import merge_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.node import own_id
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query


@from_proto(
    pb.Merge,
    "merge_id",
    "customer_id",
    "merged_customer_id",
    "origin_customer_ids",
    "merge_time",
    "rule",
    "reason",
    "actor",
    "message_id",
    "unmerge_time",
    "unmerge_reason",
    "unmerge_actor",
)
class Merge: ...


@input_from_proto(pb.MergeCustomersRequest, "request_id", "customer_id", "merged_customer_ids", "reason")
class MergeCustomersInput: ...


@from_proto(pb.MergeCustomersResponse, "merges")
class MergeCustomersPayload: ...


@input_from_proto(pb.UnmergeCustomerRequest, "request_id", "merge_id", "reason")
class UnmergeCustomerInput: ...


@from_proto(pb.UnmergeCustomerResponse, "merge")
class UnmergeCustomerPayload: ...


async def _page(info: Info, customer_id: str, first: int, after: str | None) -> Page[pb.Merge]:
    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Merge], str]:
        request = pb.ListMergesRequest(customer_id=customer_id, page_size=size, page_token=token)
        answer = await info.context.backends.profiles.ListMerges(request, metadata=info.context.metadata)
        return answer.merges, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("profiles.ListMerges"))
async def merges(
    info: Info,
    first: First = 20,
    after: After = None,
    customer_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only this customer's.")] = None,
) -> Page[pb.Merge]:
    """The merge log, newest first, with what was taken back."""
    return await _page(info, own_id(Customer, customer_id) if customer_id else "", first, after)


@edge(Customer, by_rpc("profiles.ListMerges"))
async def merge_history(
    customer: Parent[profiles_pb.Customer], info: Info, first: First = 20, after: After = None
) -> Page[pb.Merge]:
    """The merges in which the customer took part, newest first, with what was taken back."""
    return await _page(info, customer.customer_id, first, after)


@edge(Merge, by_rpc("profiles.BatchGetCustomers"), name="customer")
async def surviving_customer(merge: Parent[pb.Merge], info: Info) -> profiles_pb.Customer | None:
    """Who was left, as they are now; null if they are gone."""
    return await loaders.customer(info.context, merge.customer_id)


@edge(Merge, by_rpc("profiles.BatchGetCustomers"))
async def merged_customer(merge: Parent[pb.Merge], info: Info) -> profiles_pb.Customer | None:
    """Who was merged: the customer that they are part of, or are again; null if they are gone."""
    return await loaders.customer(info.context, merge.merged_customer_id)


@mutation(by_rpc("profiles.MergeCustomers"))
async def merge_customers(info: Info, input: pb.MergeCustomersRequest) -> pb.MergeCustomersResponse:
    return await info.context.backends.profiles.MergeCustomers(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.UnmergeCustomer"))
async def unmerge_customer(info: Info, input: pb.UnmergeCustomerRequest) -> pb.UnmergeCustomerResponse:
    return await info.context.backends.profiles.UnmergeCustomer(input, metadata=info.context.metadata)
