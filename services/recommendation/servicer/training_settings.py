"""The rpcs of how models are trained."""

from google.protobuf.duration_pb2 import Duration
from tessera.recommendation.v1 import training_settings_pb2 as pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.recommendation.domain.signals import HALF_LIFE_DAYS, FeedbackWeights
from services.recommendation.domain.training_settings import TrainingSettings
from services.recommendation.handlers.training_settings import save_training_settings
from services.recommendation.ports import Requests, SettingsStore
from services.recommendation.servicer.messages import Context, named, timestamp

SECONDS_A_DAY = 86_400
WHOLE = 10_000


class TrainingSettingsRpcs(RecommendationServiceServicer):
    """How models are trained."""

    _settings: SettingsStore
    _requests: Requests
    _clock: Clock

    async def SaveTrainingSettings(
        self, request: pb.SaveTrainingSettingsRequest, context: Context
    ) -> pb.SaveTrainingSettingsResponse:
        now, wanted = to_micros(self._clock()), _settings(request.settings)
        saved = await save_training_settings(self._settings, self._requests, named(request), wanted, now)
        return pb.SaveTrainingSettingsResponse(settings=_message(saved))

    async def GetTrainingSettings(
        self, request: pb.GetTrainingSettingsRequest, context: Context
    ) -> pb.GetTrainingSettingsResponse:
        return pb.GetTrainingSettingsResponse(settings=_message(await self._settings.get(principal().tenant)))


def weights_message(weights: FeedbackWeights) -> pb.FeedbackWeights:
    """What views and carts count, on the wire."""
    return pb.FeedbackWeights(
        view_bp=round(weights.view * WHOLE),
        cart_bp=round(weights.cart * WHOLE),
        half_life_duration=_duration(weights.half_life_days),
    )


def _settings(message: pb.TrainingSettings) -> TrainingSettings:
    given = message.feedback_weights
    half_life = _days(given.half_life_duration) if given.HasField("half_life_duration") else HALF_LIFE_DAYS
    weights = FeedbackWeights(given.view_bp / WHOLE, given.cart_bp / WHOLE, half_life)
    return TrainingSettings(
        _days(message.half_life_duration) if message.HasField("half_life_duration") else 0.0,
        weights if message.HasField("feedback_weights") else None,
        signal_retention_days=_retention(message),
    )


def _retention(message: pb.TrainingSettings) -> float:
    """In days; what is not above 0 is out of the range, and not open."""
    if not message.HasField("signal_retention_duration"):
        return 0.0
    return _days(message.signal_retention_duration) or -1.0


def _message(settings: TrainingSettings) -> pb.TrainingSettings:
    weights = settings.feedback_weights
    return pb.TrainingSettings(
        half_life_duration=_duration(settings.half_life_days) if settings.half_life_days else None,
        feedback_weights=weights_message(weights) if weights else None,
        update_time=timestamp(settings.update_time) if settings.update_time else None,
        signal_retention_duration=_duration(settings.signal_retention_days) if settings.signal_retention_days else None,
    )


def _days(duration: Duration) -> float:
    return (duration.seconds + duration.nanos / 1e9) / SECONDS_A_DAY


def _duration(days: float) -> Duration:
    return Duration(seconds=round(days * SECONDS_A_DAY))
