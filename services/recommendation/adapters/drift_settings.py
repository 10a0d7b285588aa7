"""What each tenant calls drift, as documents."""

from dataclasses import asdict

from services.common.idempotency import remember
from services.common.store import Collection, Put, Store
from services.recommendation.domain.drift_settings import USUAL, DriftSettings
from services.recommendation.ports import Request

DRIFT_SETTINGS = Collection("drift_settings")
COLLECTIONS = (DRIFT_SETTINGS,)
ONE = "settings"
"""The id of a tenant's only document."""


class StoredDriftSettings:
    """The port ``DriftSettingsStore``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str) -> DriftSettings:
        document = await self._store.get(tenant, DRIFT_SETTINGS, ONE)
        return DriftSettings(**document.body) if document else USUAL

    async def put(self, request: Request, settings: DriftSettings) -> None:
        remembered = remember(request.tenant, request.id, request.fingerprint, {"update_time": settings.update_time})
        await self._store.commit([Put(request.tenant, DRIFT_SETTINGS, ONE, asdict(settings)), *remembered])
