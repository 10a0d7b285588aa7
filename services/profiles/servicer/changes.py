"""Changes as messages of the feed, and as the bytes of them."""

from tessera.profiles.v1 import consent_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.profiles.domain.computing import ComputedTraitChanged
from services.profiles.domain.group import GroupMembershipChanged, GroupTraitsChanged
from services.profiles.ports import Change, ConsentChanged, CustomerErased, CustomersMerged, CustomersUnmerged, Recorded
from services.profiles.servicer.messages import tell, timestamp


def encoded(change: Change) -> bytes:
    """A response that holds nothing but ``change``: joined bytes are one response with all of their changes."""
    response = pb.FollowChangesResponse()
    message = response.changes.add()
    message.tenant_id = change.tenant
    if isinstance(change, Recorded):
        tell(event=change, message=message.event_recorded)  # in place: what most of the feed is
    elif isinstance(change, CustomersMerged):
        message.customers_merged.CopyFrom(_merged(change))
    elif isinstance(change, CustomersUnmerged):
        message.customers_unmerged.CopyFrom(_unmerged(change))
    elif isinstance(change, ConsentChanged):
        message.consent_changed.CopyFrom(_consent(change))
    elif isinstance(change, ComputedTraitChanged):
        message.computed_trait_changed.CopyFrom(_computed(change))
    elif isinstance(change, GroupTraitsChanged):
        message.group_traits_changed.CopyFrom(_group_traits(change))
    elif isinstance(change, GroupMembershipChanged):
        message.group_membership_changed.CopyFrom(_group_membership(change))
    else:
        message.customer_erased.CopyFrom(_erased(change))
    return response.SerializeToString()


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


def _group_traits(change: GroupTraitsChanged) -> pb.GroupTraitsChanged:
    return pb.GroupTraitsChanged(
        group_id=change.group_id, traits_json=change.traits_json, change_time=timestamp(change.change_time)
    )


def _group_membership(change: GroupMembershipChanged) -> pb.GroupMembershipChanged:
    return pb.GroupMembershipChanged(
        group_id=change.group_id,
        customer_id=change.customer_id,
        origin_customer_id=change.origin_customer_id,
        member=change.member,
        change_time=timestamp(change.change_time),
    )
