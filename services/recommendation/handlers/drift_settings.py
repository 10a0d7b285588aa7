"""Keep what a tenant calls drift."""

from dataclasses import replace

from services.common.errors import AlreadyExists, Conflict
from services.recommendation.domain.drift_settings import DriftSettings, check_drift_settings
from services.recommendation.ports import Request, Requests
from services.recommendation.ports.drift_settings import DriftSettingsStore


async def save_drift_settings(
    store: DriftSettingsStore, requests: Requests, request: Request, settings: DriftSettings, now: int
) -> DriftSettings:
    """Replace the settings: the next figures are judged by them. ``DriftSettingsInvalid``."""
    check_drift_settings(settings)
    saved = replace(settings, update_time=now)
    answered = await requests.replayed(request)
    if answered is None:
        try:
            await store.put(request, saved)
        except (Conflict, AlreadyExists):
            answered = await requests.replayed(request)
    return replace(saved, update_time=int(answered["update_time"])) if answered else saved
