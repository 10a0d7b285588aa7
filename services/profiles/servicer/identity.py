"""By which names customers are known."""

from tessera.profiles.v1 import identity_pb2 as pb

from services.common.auth import principal
from services.common.clock import Clock
from services.profiles.domain.identity_settings import IdentifierType, IdentitySettings
from services.profiles.handlers.identity import list_identifiers, update_identity_settings
from services.profiles.ports import IdentityBook, Profiles
from services.profiles.servicer.messages import PAGE_SIZE_DEFAULT, Context, named, timestamp


class IdentityRpcs:
    """Reads identifiers, and what is one."""

    _profiles: Profiles
    _identity: IdentityBook
    _clock: Clock

    async def ListIdentifiers(self, request: pb.ListIdentifiersRequest, context: Context) -> pb.ListIdentifiersResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        found, token = await list_identifiers(
            self._profiles, principal().tenant, request.customer_id, size, request.page_token
        )
        identifiers = [
            pb.OwnedIdentifier(type=kind, value=value, origin_customer_id=origin) for (kind, value), origin in found
        ]
        return pb.ListIdentifiersResponse(identifiers=identifiers, next_page_token=token)

    async def GetIdentitySettings(
        self, request: pb.GetIdentitySettingsRequest, context: Context
    ) -> pb.GetIdentitySettingsResponse:
        return pb.GetIdentitySettingsResponse(settings=_message(await self._identity.settings(principal().tenant)))

    async def UpdateIdentitySettings(
        self, request: pb.UpdateIdentitySettingsRequest, context: Context
    ) -> pb.UpdateIdentitySettingsResponse:
        updated = await update_identity_settings(
            self._identity, self._clock, named(request), _settings(request.settings)
        )
        return pb.UpdateIdentitySettingsResponse(settings=_message(updated))


def _settings(message: pb.IdentitySettings) -> IdentitySettings:
    types = tuple(
        IdentifierType(
            each.type,
            each.person,
            each.values_max,
            tuple(each.traits),
            tuple(each.context_fields),
            each.ignores_case,
        )
        for each in message.types
    )
    return IdentitySettings(
        types, tuple(message.blocked_values), tuple(message.blocked_patterns), version=message.version
    )


def _message(settings: IdentitySettings) -> pb.IdentitySettings:
    return pb.IdentitySettings(
        types=[
            pb.IdentifierType(
                type=each.name,
                person=each.person,
                values_max=each.values_max,
                traits=each.traits,
                context_fields=each.context_fields,
                ignores_case=each.ignores_case,
            )
            for each in settings.types
        ],
        blocked_values=settings.blocked_values,
        blocked_patterns=settings.blocked_patterns,
        version=settings.version,
        update_time=timestamp(settings.update_time) if settings.update_time else None,
    )
