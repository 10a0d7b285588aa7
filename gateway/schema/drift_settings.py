"""What a tenant calls drift of recommendation, in the schema."""

from tessera.recommendation.v1 import drift_settings_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.registry import from_proto, input_from_proto, mutation, query

_SETTINGS = (
    "unknown_item_bp",
    "psi",
    "change_bp",
    "line_count_min",
    "customer_count_min",
    "impression_count_min",
    "list_window_duration",
)


@from_proto(pb.DriftSettings, *_SETTINGS, "update_time")
class DriftSettings: ...


@input_from_proto(pb.DriftSettings, *_SETTINGS)
class DriftSettingsInput: ...


@input_from_proto(pb.SaveDriftSettingsRequest, "request_id", "settings")
class SaveDriftSettingsInput: ...


@from_proto(pb.SaveDriftSettingsResponse, "settings")
class SaveDriftSettingsPayload: ...


@query(by_rpc("recommendation.GetDriftSettings"))
async def drift_settings(info: Info) -> pb.DriftSettings:
    """From which figures on drift of recommendation is an alarm."""
    request = pb.GetDriftSettingsRequest()
    answer = await info.context.backends.recommendation.GetDriftSettings(request, metadata=info.context.metadata)
    return answer.settings


@mutation(by_rpc("recommendation.SaveDriftSettings"))
async def save_drift_settings(info: Info, input: pb.SaveDriftSettingsRequest) -> pb.SaveDriftSettingsResponse:
    return await info.context.backends.recommendation.SaveDriftSettings(input, metadata=info.context.metadata)
