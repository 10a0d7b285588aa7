"""Category preferences in the contract."""

from typing import Any

import grpc
from tessera.forecasting.v1 import category_preference_pb2 as pb
from tessera.forecasting.v1.propensity_pb2 import PropensityFeature

from services.common.auth import principal
from services.common.idempotency import fingerprint
from services.common.job_messages import to_proto
from services.forecasting.domain.preference import (
    HORIZON_DAYS,
    KEPT,
    MODEL_ID,
    CategoryPreferenceModel,
    CategoryPreferences,
    CategoryQuality,
    PreferenceQuality,
)
from services.forecasting.domain.propensity import Decile
from services.forecasting.handlers.delete_preferences import delete_preferences
from services.forecasting.handlers.fit_preferences import PreferenceFitting, PreferenceOrder, fit_preferences
from services.forecasting.handlers.get_preferences import get_preference_model, list_preferences, monitor_preferences
from services.forecasting.servicer.propensity import micros_of, reason_message, timestamp_of

Context = grpc.aio.ServicerContext[Any, Any]
PAGE_SIZE_DEFAULT = 100


class PreferenceRpcs:
    """The rpcs about what customers are likely to buy of."""

    _preference: PreferenceFitting

    async def FitCategoryPreferences(
        self, request: pb.FitCategoryPreferencesRequest, context: Context
    ) -> pb.FitCategoryPreferencesResponse:
        order = PreferenceOrder(
            horizon_days=request.horizon_days or HORIZON_DAYS,
            kept=request.categories_per_customer or KEPT,
            currency=request.currency,
            as_of=micros_of(request.as_of_time) if request.HasField("as_of_time") else None,
        )
        tenant, content = principal().tenant, fingerprint(request)
        job = await fit_preferences(self._preference, tenant, request.request_id, content, order)
        return pb.FitCategoryPreferencesResponse(job=to_proto(job))

    async def GetCategoryPreferenceModel(
        self, request: pb.GetCategoryPreferenceModelRequest, context: Context
    ) -> pb.GetCategoryPreferenceModelResponse:
        model = await get_preference_model(self._preference.models, principal().tenant, request.version)
        return pb.GetCategoryPreferenceModelResponse(category_preference_model=_model(model))

    async def ListCategoryPreferences(
        self, request: pb.ListCategoryPreferencesRequest, context: Context
    ) -> pb.ListCategoryPreferencesResponse:
        tenant, size = principal().tenant, request.page_size or PAGE_SIZE_DEFAULT
        found, token = await list_preferences(
            self._preference.models, tenant, request.category, size, request.page_token
        )
        return pb.ListCategoryPreferencesResponse(preferences=map(preferences_message, found), next_page_token=token)

    async def BatchGetCategoryPreferences(
        self, request: pb.BatchGetCategoryPreferencesRequest, context: Context
    ) -> pb.BatchGetCategoryPreferencesResponse:
        found = await self._preference.models.of_customers(principal().tenant, request.customer_ids, [MODEL_ID])
        return pb.BatchGetCategoryPreferencesResponse(preferences=map(preferences_message, found))

    async def ListCategoryPreferenceModels(
        self, request: pb.ListCategoryPreferenceModelsRequest, context: Context
    ) -> pb.ListCategoryPreferenceModelsResponse:
        found = await self._preference.models.versions(principal().tenant, MODEL_ID)
        return pb.ListCategoryPreferenceModelsResponse(category_preference_models=map(_model, found))

    async def MonitorCategoryPreferences(
        self, request: pb.MonitorCategoryPreferencesRequest, context: Context
    ) -> pb.MonitorCategoryPreferencesResponse:
        version, found = await monitor_preferences(self._preference, principal().tenant, request.version)
        return pb.MonitorCategoryPreferencesResponse(version=version, quality=_quality(found))

    async def DeleteCategoryPreferenceModel(
        self, request: pb.DeleteCategoryPreferenceModelRequest, context: Context
    ) -> pb.DeleteCategoryPreferenceModelResponse:
        tenant, content, kept = principal().tenant, fingerprint(request), self._preference
        await delete_preferences(kept.models, kept.requests, tenant, request.request_id, content)
        return pb.DeleteCategoryPreferenceModelResponse()


def _model(it: CategoryPreferenceModel) -> pb.CategoryPreferenceModel:
    return pb.CategoryPreferenceModel(
        version=it.version,
        horizon_days=it.horizon_days,
        currency=it.currency,
        fit_time=timestamp_of(it.fit_time),
        as_of_time=timestamp_of(it.as_of),
        customer_count=it.customer_count,
        categories=it.categories,
        moment_count=it.moment_count,
        quality=_quality(it.quality),
        features=[PropensityFeature(name=name, importance=share) for name, share in it.importance.items()],
        warnings=it.warnings,
    )


def _quality(it: PreferenceQuality) -> pb.CategoryPreferenceQuality:
    rankings = [
        pb.CategoryRanking(
            method=pb.CategoryRankingMethod.ValueType(each.method),
            hit_rate=each.hit_rate,
            hit_rate_of_three=each.hit_rate_of_three,
            average_precision=each.average_precision,
            log_loss=each.log_loss,
        )
        for each in it.rankings
    ]
    return pb.CategoryPreferenceQuality(
        start_time=timestamp_of(it.start),
        customer_count=it.customer_count,
        buyer_count=it.buyer_count,
        base_rate=it.base_rate,
        calibration_error=it.calibration_error,
        rankings=rankings,
        base_log_loss=it.base_log_loss,
        deciles=map(_decile, it.deciles),
        categories=map(_category, it.categories),
    )


def _category(it: CategoryQuality) -> pb.CategoryQuality:
    return pb.CategoryQuality(
        category=it.category,
        base_rate=it.base_rate,
        probability=it.probability,
        log_loss=it.log_loss,
        personal_frequency_log_loss=it.personal_frequency_log_loss,
        base_log_loss=it.base_log_loss,
        average_precision=it.average_precision,
        calibration_error=it.calibration_error,
        first_count=it.first_count,
        first_hit_rate=it.first_hit_rate,
        first_three_count=it.first_three_count,
        first_three_hit_rate=it.first_three_hit_rate,
        deciles=map(_decile, it.deciles),
    )


def _decile(it: Decile) -> pb.CategoryPreferenceDecile:
    return pb.CategoryPreferenceDecile(
        pair_count=it.customer_count, probability=it.probability, bought_share=it.reached_share, lift=it.lift
    )


def preferences_message(it: CategoryPreferences) -> pb.CategoryPreferences:
    """Of which categories a customer is likely to buy."""
    return pb.CategoryPreferences(
        customer_id=it.customer_id,
        version=it.version,
        as_of_time=timestamp_of(it.as_of),
        horizon_days=it.horizon_days,
        categories=[
            pb.CategoryPreference(
                category=liked.category,
                probability=liked.probability,
                share=liked.share,
                reasons=map(reason_message, liked.reasons),
            )
            for liked in it.categories
        ],
        fit_time=timestamp_of(it.fit_time) if it.fit_time else None,
    )
