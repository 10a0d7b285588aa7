"""Identity settings, and the identifiers of a customer."""

from dataclasses import replace

from services.common.clock import Clock, to_micros
from services.common.errors import InvalidCursor
from services.profiles.domain.identity_settings import IdentitySettings
from services.profiles.handlers.families import parts_of
from services.profiles.handlers.retrying import retrying
from services.profiles.ports import Identifier, IdentityBook, Profiles, Request

Owned = tuple[Identifier, str]


async def update_identity_settings(
    book: IdentityBook, clock: Clock, request: Request, settings: IdentitySettings
) -> IdentitySettings:
    """The version after ``settings.version``; ``IdentitySettingsInvalid``, ``Conflict``, ``RequestIdReused``."""
    settings.check()
    return await book.update(request, replace(settings, version=settings.version + 1, update_time=to_micros(clock())))


async def list_identifiers(
    profiles: Profiles, tenant: str, customer_id: str, limit: int, after: str
) -> tuple[list[Owned], str]:
    """A page of identifiers with their origins, origin by origin, and the token of the next: an origin and its own."""
    parts = (await retrying(lambda: parts_of(profiles, tenant, [customer_id]))).get(customer_id, [])
    origins = [part.customer_id for part in parts]
    origin, _, token = after.partition(".")
    if after and origin not in origins:
        raise InvalidCursor("this page token is not one of this customer's, as the customer is now")
    found: list[Owned] = []
    for place in range(origins.index(origin) if after else 0, len(origins)):
        names, token = await profiles.identifiers(tenant, origins[place], limit - len(found), token)
        found += ((name, origins[place]) for name in names)
        if token:
            return found, f"{origins[place]}.{token}"
        if len(found) == limit and place + 1 < len(origins):
            return found, f"{origins[place + 1]}."
    return found, ""
