"""Keep how a tenant wants its models to be trained."""

from dataclasses import replace

from services.recommendation.domain.signals import check_weights
from services.recommendation.domain.training_settings import TrainingSettings, check_retention
from services.recommendation.handlers.keep_settings import keep_settings
from services.recommendation.handlers.training import check_half_life
from services.recommendation.ports import Request, Requests, SettingsStore


async def save_training_settings(
    store: SettingsStore, requests: Requests, request: Request, settings: TrainingSettings, now: int
) -> TrainingSettings:
    """Replace the settings: the next training follows them. ``HalfLifeInvalid``, ``FeedbackWeightsInvalid``,
    ``RetentionInvalid``."""
    check_half_life(settings.half_life_days)
    check_retention(settings.signal_retention_days)
    if settings.feedback_weights:
        check_weights(settings.feedback_weights)
    saved = replace(settings, update_time=now)
    return replace(saved, update_time=await keep_settings(requests, request, lambda: store.put(request, saved), now))
