"""The identity settings of tenants as documents."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from services.common.errors import AlreadyExists, Conflict, RequestIdReused
from services.common.idempotency import remember, replayed
from services.common.store import Collection, Insert, Replace, Store, Write
from services.profiles.domain.identity_settings import DEFAULT, IdentifierType, IdentitySettings
from services.profiles.ports import Request

IDENTITY_SETTINGS = Collection("identity_settings")
REREAD_SECONDS = 5.0
"""How long a server may go on with what another one has changed."""
_ID = "settings"


class StoredIdentitySettings:
    """The port ``IdentityBook``."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._known: dict[str, tuple[float, IdentitySettings]] = {}

    async def settings(self, tenant: str) -> IdentitySettings:
        known = self._known.get(tenant)
        if known is not None and self._clock() < known[0]:
            return known[1]
        settings = await self._current(tenant)
        self._known[tenant] = self._clock() + REREAD_SECONDS, settings
        return settings

    async def update(self, request: Request, settings: IdentitySettings) -> IdentitySettings:
        tenant, body = request.tenant, _body(settings)
        if answer := await replayed(self._store, tenant, request.id, request.fingerprint):
            return _settings(answer)
        before = settings.version - 1
        write: Write = Insert(tenant, IDENTITY_SETTINGS, _ID, body)
        if before:  # a document is replaced once a version
            write = Replace(tenant, IDENTITY_SETTINGS, _ID, body, before)
        try:
            await self._store.commit([write, *remember(tenant, request.id, request.fingerprint, body)])
        except RequestIdReused:
            raise
        except (AlreadyExists, Conflict) as error:
            if answer := await replayed(self._store, tenant, request.id, request.fingerprint):
                return _settings(answer)
            raise Conflict(f"the settings are not at version {before} any more; read them again") from error
        self._known.pop(tenant, None)
        return settings

    async def _current(self, tenant: str) -> IdentitySettings:
        document = await self._store.get(tenant, IDENTITY_SETTINGS, _ID)
        return _settings(document.body) if document else DEFAULT


def _body(settings: IdentitySettings) -> dict[str, Any]:
    return {
        "types": [_plain(asdict(each)) for each in settings.types],
        "blocked_values": list(settings.blocked_values),
        "blocked_patterns": list(settings.blocked_patterns),
        "version": settings.version,
        "updated": settings.update_time,
    }


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in content.items()}


def _settings(body: Mapping[str, Any]) -> IdentitySettings:
    types = tuple(
        IdentifierType(
            each["name"],
            each["person"],
            each["values_max"],
            tuple(each["traits"]),
            tuple(each["context_fields"]),
            each["ignores_case"],
        )
        for each in body["types"]
    )
    values, patterns = tuple(body["blocked_values"]), tuple(body["blocked_patterns"])
    return IdentitySettings(types, values, patterns, body["version"], body["updated"])
