"""How recommendation models are trained, in the schema."""

from tessera.recommendation.v1 import training_settings_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.registry import from_proto, input_from_proto, mutation, query

_WEIGHTS = ("view_bp", "cart_bp", "half_life_duration")


@from_proto(pb.FeedbackWeights, *_WEIGHTS)
class FeedbackWeights: ...


@from_proto(pb.TrainingSettings, "half_life_duration", "feedback_weights", "update_time", "signal_retention_duration")
class TrainingSettings: ...


@input_from_proto(pb.FeedbackWeights, *_WEIGHTS)
class FeedbackWeightsInput: ...


@input_from_proto(pb.TrainingSettings, "half_life_duration", "feedback_weights", "signal_retention_duration")
class TrainingSettingsInput: ...


@input_from_proto(pb.SaveTrainingSettingsRequest, "request_id", "settings")
class SaveTrainingSettingsInput: ...


@from_proto(pb.SaveTrainingSettingsResponse, "settings")
class SaveTrainingSettingsPayload: ...


@query(by_rpc("recommendation.GetTrainingSettings"))
async def training_settings(info: Info) -> pb.TrainingSettings:
    """How recommendation models are trained where a training does not say otherwise."""
    request = pb.GetTrainingSettingsRequest()
    answer = await info.context.backends.recommendation.GetTrainingSettings(request, metadata=info.context.metadata)
    return answer.settings


@mutation(by_rpc("recommendation.SaveTrainingSettings"))
async def save_training_settings(info: Info, input: pb.SaveTrainingSettingsRequest) -> pb.SaveTrainingSettingsResponse:
    return await info.context.backends.recommendation.SaveTrainingSettings(input, metadata=info.context.metadata)
