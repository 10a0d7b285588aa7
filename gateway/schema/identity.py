"""Identifiers in the schema: all of a customer's, and what the tenant takes for one."""

from collections.abc import Sequence

from strawberry import Parent
from tessera.profiles.v1 import identity_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query

TYPE_FIELDS = ("type", "person", "values_max", "traits", "context_fields", "ignores_case")


@from_proto(pb.OwnedIdentifier, "type", "value", "origin_customer_id")
class OwnedIdentifier: ...


@from_proto(pb.IdentifierType, *TYPE_FIELDS)
class IdentifierType: ...


@from_proto(pb.IdentitySettings, "types", "blocked_values", "blocked_patterns", "version", "update_time")
class IdentitySettings: ...


@input_from_proto(pb.IdentifierType, *TYPE_FIELDS)
class IdentifierTypeInput: ...


@input_from_proto(pb.IdentitySettings, "types", "blocked_values", "blocked_patterns", "version")
class IdentitySettingsInput: ...


@input_from_proto(pb.UpdateIdentitySettingsRequest, "request_id", "settings")
class UpdateIdentitySettingsInput: ...


@from_proto(pb.UpdateIdentitySettingsResponse, "settings")
class UpdateIdentitySettingsPayload: ...


@edge(Customer, by_rpc("profiles.ListIdentifiers"))
async def identities(
    customer: Parent[profiles_pb.Customer], info: Info, first: First = 20, after: After = None
) -> Page[pb.OwnedIdentifier]:
    """All identifiers of the customer, with the origins that have them."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.OwnedIdentifier], str]:
        request = pb.ListIdentifiersRequest(customer_id=customer.customer_id, page_size=size, page_token=token)
        answer = await info.context.backends.profiles.ListIdentifiers(request, metadata=info.context.metadata)
        return answer.identifiers, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("profiles.GetIdentitySettings"))
async def identity_settings(info: Info) -> pb.IdentitySettings:
    """What the tenant takes for a name of a customer."""
    call = info.context.backends.profiles.GetIdentitySettings
    return (await call(pb.GetIdentitySettingsRequest(), metadata=info.context.metadata)).settings


@mutation(by_rpc("profiles.UpdateIdentitySettings"))
async def update_identity_settings(
    info: Info, input: pb.UpdateIdentitySettingsRequest
) -> pb.UpdateIdentitySettingsResponse:
    return await info.context.backends.profiles.UpdateIdentitySettings(input, metadata=info.context.metadata)
