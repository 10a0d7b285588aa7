"""What use cases need of the outside to judge drift as the tenant wants."""

from typing import Protocol

from services.recommendation.domain.drift_settings import DriftSettings
from services.recommendation.ports.training import Request


class DriftSettingsStore(Protocol):
    """What each tenant calls drift."""

    async def get(self, tenant: str) -> DriftSettings:
        """The settings; the usual ones where none were saved."""
        ...

    async def put(self, request: Request, settings: DriftSettings) -> None:
        """Replace the settings, and remember the request in the same commit."""
        ...
