"""How each tenant wants its models to be trained, as documents."""

from dataclasses import asdict
from typing import Any

from services.common.idempotency import remember
from services.common.store import Collection, Put, Store
from services.recommendation.domain.signals import FeedbackWeights
from services.recommendation.domain.training_settings import TrainingSettings
from services.recommendation.ports import Request

SETTINGS = Collection("training_settings")
COLLECTIONS = (SETTINGS,)
ONE = "settings"
"""The id of a tenant's only document."""


class StoredTrainingSettings:
    """The port ``SettingsStore``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str) -> TrainingSettings:
        document = await self._store.get(tenant, SETTINGS, ONE)
        return _read(document.body) if document else TrainingSettings()

    async def put(self, request: Request, settings: TrainingSettings) -> None:
        remembered = remember(request.tenant, request.id, request.fingerprint, {"update_time": settings.update_time})
        await self._store.commit([Put(request.tenant, SETTINGS, ONE, asdict(settings)), *remembered])


def _read(body: dict[str, Any]) -> TrainingSettings:
    weights = FeedbackWeights(**body["feedback_weights"]) if body["feedback_weights"] else None
    return TrainingSettings(**body | {"feedback_weights": weights})
