"""The feed, as followers hear it."""

from collections.abc import AsyncIterator

from tessera.profiles.v1 import consent_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.common.auth import ALL_TENANTS, principal
from services.profiles.domain.computing import ComputedTraitChanged
from services.profiles.ports import (
    Change,
    ConsentChanged,
    CustomerErased,
    CustomersMerged,
    CustomersUnmerged,
    Profiles,
    Recorded,
)
from services.profiles.servicer.messages import Context, timestamp, told_message


class FeedRpcs:
    """Tells every change, in the order of commits."""

    _profiles: Profiles

    async def FollowChanges(
        self, request: pb.FollowChangesRequest, context: Context
    ) -> AsyncIterator[pb.FollowChangesResponse]:
        tenant = principal().tenant
        names = frozenset(request.event_names)
        async for batch in self._profiles.changes(request.after_cursor, None if tenant == ALL_TENANTS else tenant):
            changes = [change_message(change) for change in batch.changes if _is_wanted(change, names)]
            yield pb.FollowChangesResponse(changes=changes, cursor=batch.cursor, caught_up=batch.caught_up)


def _is_wanted(change: Change, names: frozenset[str]) -> bool:
    return not names or not isinstance(change, Recorded) or change.name in names


def change_message(change: Change) -> pb.Change:
    """One change."""
    if isinstance(change, Recorded):
        return pb.Change(tenant_id=change.tenant, event_recorded=told_message(change))
    if isinstance(change, CustomersMerged):
        return pb.Change(tenant_id=change.tenant, customers_merged=_merged(change))
    if isinstance(change, ConsentChanged):
        return pb.Change(tenant_id=change.tenant, consent_changed=_consent(change))
    if isinstance(change, ComputedTraitChanged):
        return pb.Change(tenant_id=change.tenant, computed_trait_changed=_computed(change))
    if isinstance(change, CustomerErased):
        return pb.Change(tenant_id=change.tenant, customer_erased=_erased(change))
    return pb.Change(tenant_id=change.tenant, customers_unmerged=_unmerged(change))


def _merged(change: CustomersMerged) -> pb.CustomersMerged:
    return pb.CustomersMerged(
        merge_id=change.merge_id,
        customer_id=change.customer_id,
        merged_customer_id=change.merged_customer_id,
        origin_customer_ids=change.origin_customer_ids,
        merge_time=timestamp(change.merge_time),
    )


def _unmerged(change: CustomersUnmerged) -> pb.CustomersUnmerged:
    return pb.CustomersUnmerged(
        merge_id=change.merge_id,
        customer_id=change.customer_id,
        restored_customer_id=change.restored_customer_id,
        origin_customer_ids=change.origin_customer_ids,
        unmerge_time=timestamp(change.unmerge_time),
    )


def _consent(change: ConsentChanged) -> pb.ConsentChanged:
    return pb.ConsentChanged(
        customer_id=change.customer_id,
        origin_customer_id=change.origin_customer_id,
        purpose=change.purpose,
        channel=change.channel,
        state=consent_pb2.ConsentState.ValueType(change.state),
        change_time=timestamp(change.change_time),
        expire_time=timestamp(change.expire_time) if change.expire_time else None,
    )


def _computed(change: ComputedTraitChanged) -> pb.ComputedTraitChanged:
    return pb.ComputedTraitChanged(
        customer_id=change.customer_id,
        name=change.name,
        value_json=change.value_json,
        change_time=timestamp(change.change_time),
    )


def _erased(change: CustomerErased) -> pb.CustomerErased:
    return pb.CustomerErased(
        erasure_id=change.erasure_id,
        customer_id=change.customer_id,
        origin_customer_ids=change.origin_customer_ids,
        erase_time=timestamp(change.erase_time),
        pseudonym=change.pseudonym,
    )
