"""Keep what a tenant calls drift."""

from dataclasses import replace

from services.recommendation.domain.drift_settings import DriftSettings, check_drift_settings
from services.recommendation.handlers.keep_settings import keep_settings
from services.recommendation.ports import Request, Requests
from services.recommendation.ports.drift_settings import DriftSettingsStore


async def save_drift_settings(
    store: DriftSettingsStore, requests: Requests, request: Request, settings: DriftSettings, now: int
) -> DriftSettings:
    """Replace the settings: the next figures are judged by them. ``DriftSettingsInvalid``."""
    check_drift_settings(settings)
    saved = replace(settings, update_time=now)
    return replace(saved, update_time=await keep_settings(requests, request, lambda: store.put(request, saved), now))
