"""Merging, unmerging, and the log of both."""

from typing import Protocol

from tessera.profiles.v1 import merge_pb2
from tessera.profiles.v1.merge_pb2 import (
    ListMergesRequest,
    ListMergesResponse,
    MergeCustomersRequest,
    MergeCustomersResponse,
    UnmergeCustomerRequest,
    UnmergeCustomerResponse,
)

from services.common.auth import principal
from services.profiles.domain.merge import Merge, MergeRule
from services.profiles.handlers.merging import Asked, MergeStore, list_merges, merge_customers, unmerge_customer
from services.profiles.servicer.messages import PAGE_SIZE_DEFAULT, Context, named, timestamp

_RULES = {rule: merge_pb2.MergeRule.Value(f"MERGE_RULE_{rule.name}") for rule in MergeRule}


class MergeRpcs:
    """Makes customers one, and two again."""

    _merge_store: MergeStore

    async def MergeCustomers(self, request: MergeCustomersRequest, context: Context) -> MergeCustomersResponse:
        made = await merge_customers(
            self._merge_store, _asked(request), request.customer_id, list(dict.fromkeys(request.merged_customer_ids))
        )
        return MergeCustomersResponse(merges=map(merge_message, made))

    async def UnmergeCustomer(self, request: UnmergeCustomerRequest, context: Context) -> UnmergeCustomerResponse:
        merge = await unmerge_customer(self._merge_store, _asked(request), request.merge_id)
        return UnmergeCustomerResponse(merge=merge_message(merge))

    async def ListMerges(self, request: ListMergesRequest, context: Context) -> ListMergesResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        merges, token = await list_merges(
            self._merge_store, principal().tenant, request.customer_id, size, request.page_token
        )
        return ListMergesResponse(merges=map(merge_message, merges), next_page_token=token)


class _Reasoned(Protocol):
    @property
    def request_id(self) -> str: ...

    @property
    def reason(self) -> str: ...


def _asked(request: _Reasoned) -> Asked:
    return Asked(named(request), principal().subject, request.reason)


def merge_message(merge: Merge) -> merge_pb2.Merge:
    """An entry of the merge log."""
    return merge_pb2.Merge(
        merge_id=merge.merge_id,
        customer_id=merge.customer_id,
        merged_customer_id=merge.merged_customer_id,
        origin_customer_ids=merge.origin_customer_ids,
        merge_time=timestamp(merge.merge_time),
        rule=_RULES[merge.rule],
        reason=merge.reason,
        actor=merge.actor,
        message_id=merge.message_id,
        unmerge_time=timestamp(merge.unmerge_time) if merge.unmerge_time else None,
        unmerge_reason=merge.unmerge_reason,
        unmerge_actor=merge.unmerge_actor,
    )
