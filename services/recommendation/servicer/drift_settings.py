"""The rpcs of what a tenant calls drift."""

from typing import Literal, TypeVar

from tessera.recommendation.v1 import drift_settings_pb2 as pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.recommendation.domain.drift_settings import USUAL, DriftSettings
from services.recommendation.handlers.drift_settings import save_drift_settings
from services.recommendation.ports import Requests
from services.recommendation.ports.drift_settings import DriftSettingsStore
from services.recommendation.servicer.messages import Context, duration, micros, named, timestamp

WHOLE = 10_000
T = TypeVar("T")
_Field = Literal[
    "unknown_item_bp",
    "psi",
    "change_bp",
    "line_count_min",
    "customer_count_min",
    "impression_count_min",
    "list_window_duration",
]


class DriftSettingsRpcs(RecommendationServiceServicer):
    """What a tenant calls drift."""

    _drift_settings: DriftSettingsStore
    _requests: Requests
    _clock: Clock

    async def SaveDriftSettings(
        self, request: pb.SaveDriftSettingsRequest, context: Context
    ) -> pb.SaveDriftSettingsResponse:
        now, wanted = to_micros(self._clock()), _settings(request.settings)
        saved = await save_drift_settings(self._drift_settings, self._requests, named(request), wanted, now)
        return pb.SaveDriftSettingsResponse(settings=_message(saved))

    async def GetDriftSettings(
        self, request: pb.GetDriftSettingsRequest, context: Context
    ) -> pb.GetDriftSettingsResponse:
        return pb.GetDriftSettingsResponse(settings=_message(await self._drift_settings.get(principal().tenant)))


def _settings(message: pb.DriftSettings) -> DriftSettings:
    def given(name: _Field, usual: T, value: T) -> T:
        return value if message.HasField(name) else usual

    return DriftSettings(
        unknown_items=given("unknown_item_bp", USUAL.unknown_items, message.unknown_item_bp / WHOLE),
        psi=given("psi", USUAL.psi, message.psi),
        change=given("change_bp", USUAL.change, message.change_bp / WHOLE),
        lines=given("line_count_min", USUAL.lines, message.line_count_min),
        customers=given("customer_count_min", USUAL.customers, message.customer_count_min),
        impressions=given("impression_count_min", USUAL.impressions, message.impression_count_min),
        list_window=given("list_window_duration", USUAL.list_window, micros(message.list_window_duration)),
    )


def _message(settings: DriftSettings) -> pb.DriftSettings:
    return pb.DriftSettings(
        unknown_item_bp=round(settings.unknown_items * WHOLE),
        psi=settings.psi,
        change_bp=round(settings.change * WHOLE),
        line_count_min=settings.lines,
        customer_count_min=settings.customers,
        impression_count_min=settings.impressions,
        list_window_duration=duration(settings.list_window),
        update_time=timestamp(settings.update_time) if settings.update_time else None,
    )
