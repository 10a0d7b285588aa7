"""Propensity models in the contract."""

from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1.money_pb2 import Money
from tessera.forecasting.v1 import propensity_pb2 as pb

from services.common.auth import principal
from services.common.idempotency import fingerprint
from services.common.job_messages import to_proto
from services.common.rules import Comparison, RuleInvalid
from services.common.rules.wire import read_where, write_comparison
from services.forecasting.domain.propensity import (
    Decile,
    Goal,
    GoalInvalid,
    Propensity,
    PropensityModel,
    Quality,
    Reason,
)
from services.forecasting.handlers.fit_propensity import PropensityFitting, PropensityOrder, fit_propensity
from services.forecasting.handlers.get_propensity import get_propensity_model, list_propensities, monitor_propensity

Context = grpc.aio.ServicerContext[Any, Any]
PAGE_SIZE_DEFAULT = 100


class PropensityRpcs:
    """The rpcs about what customers are likely to do."""

    _propensity: PropensityFitting

    async def FitPropensityModel(
        self, request: pb.FitPropensityModelRequest, context: Context
    ) -> pb.FitPropensityModelResponse:
        order = PropensityOrder(
            model_id=request.model_id,
            goal=goal_of(request.goal),
            goal_currency=request.goal.min_amount.currency if request.goal.HasField("min_amount") else "",
            currency=request.currency,
            as_of=micros_of(request.as_of_time) if request.HasField("as_of_time") else None,
        )
        tenant, content = principal().tenant, fingerprint(request)
        job = await fit_propensity(self._propensity, tenant, request.request_id, content, order)
        return pb.FitPropensityModelResponse(job=to_proto(job))

    async def GetPropensityModel(
        self, request: pb.GetPropensityModelRequest, context: Context
    ) -> pb.GetPropensityModelResponse:
        models = self._propensity.models
        model = await get_propensity_model(models, principal().tenant, request.model_id, request.version)
        return pb.GetPropensityModelResponse(propensity_model=_model(model))

    async def ListPropensityModels(
        self, request: pb.ListPropensityModelsRequest, context: Context
    ) -> pb.ListPropensityModelsResponse:
        found = await self._propensity.models.newest(principal().tenant)
        return pb.ListPropensityModelsResponse(propensity_models=map(_model, found))

    async def DeletePropensityModel(
        self, request: pb.DeletePropensityModelRequest, context: Context
    ) -> pb.DeletePropensityModelResponse:
        await self._propensity.models.delete(principal().tenant, request.model_id)
        return pb.DeletePropensityModelResponse()

    async def ListPropensities(
        self, request: pb.ListPropensitiesRequest, context: Context
    ) -> pb.ListPropensitiesResponse:
        models, size = self._propensity.models, request.page_size or PAGE_SIZE_DEFAULT
        found, token = await list_propensities(models, principal().tenant, request.model_id, size, request.page_token)
        return pb.ListPropensitiesResponse(propensities=map(propensity_message, found), next_page_token=token)

    async def BatchGetPropensities(
        self, request: pb.BatchGetPropensitiesRequest, context: Context
    ) -> pb.BatchGetPropensitiesResponse:
        models = self._propensity.models
        found = await models.of_customers(principal().tenant, request.customer_ids, request.model_ids)
        return pb.BatchGetPropensitiesResponse(propensities=map(propensity_message, found))

    async def MonitorPropensityModel(
        self, request: pb.MonitorPropensityModelRequest, context: Context
    ) -> pb.MonitorPropensityModelResponse:
        tenant = principal().tenant
        version, found = await monitor_propensity(self._propensity, tenant, request.model_id, request.version)
        return pb.MonitorPropensityModelResponse(version=version, quality=_quality(found))


def goal_of(it: pb.PropensityGoal) -> Goal:
    """The goal of the contract."""
    return Goal(
        horizon_days=it.horizon_days,
        categories=tuple(it.categories),
        product_ids=tuple(it.product_ids),
        store_ids=tuple(it.store_ids),
        min_orders=it.min_orders or 1,
        min_amount=it.min_amount.amount_minor,
        absent=it.absent,
        event_name=it.event_name,
        channels=tuple(it.channels),
        where=_where(it),
        sum_property=it.sum_property,
        min_sum=it.min_sum,
    )


def _where(it: pb.PropensityGoal) -> tuple[Comparison, ...]:
    try:
        return read_where(it.where, "goal")
    except RuleInvalid as error:
        raise GoalInvalid(error.metadata["problem"], field=error.metadata["path"]) from error


def goal_message(it: Goal, currency: str) -> pb.PropensityGoal:
    """The goal in the contract."""
    return pb.PropensityGoal(
        categories=it.categories,
        product_ids=it.product_ids,
        store_ids=it.store_ids,
        min_orders=it.min_orders,
        min_amount=Money(currency=currency, amount_minor=it.min_amount) if it.min_amount else None,
        horizon_days=it.horizon_days,
        absent=it.absent,
        event_name=it.event_name,
        channels=it.channels,
        where=map(write_comparison, it.where),
        sum_property=it.sum_property,
        min_sum=it.min_sum,
    )


def _model(it: PropensityModel) -> pb.PropensityModel:
    return pb.PropensityModel(
        model_id=it.model_id,
        version=it.version,
        goal=goal_message(it.goal, it.currency),
        currency=it.currency,
        fit_time=timestamp_of(it.fit_time),
        as_of_time=timestamp_of(it.as_of),
        customer_count=it.customer_count,
        moment_count=it.moment_count,
        reached_count=it.reached_count,
        missed_count=it.missed_count,
        quality=_quality(it.quality),
        features=[pb.PropensityFeature(name=name, importance=share) for name, share in it.importance.items()],
        warnings=it.warnings,
    )


def _quality(it: Quality) -> pb.PropensityQuality:
    return pb.PropensityQuality(
        start_time=timestamp_of(it.start),
        customer_count=it.customer_count,
        base_rate=it.base_rate,
        auc=it.auc,
        average_precision=it.average_precision,
        brier=it.brier,
        base_brier=it.base_brier,
        log_loss=it.log_loss,
        calibration_error=it.calibration_error,
        deciles=map(_decile, it.deciles),
    )


def _decile(it: Decile) -> pb.PropensityDecile:
    return pb.PropensityDecile(
        customer_count=it.customer_count, probability=it.probability, reached_share=it.reached_share, lift=it.lift
    )


def propensity_message(it: Propensity) -> pb.Propensity:
    """How likely a customer is to reach a goal."""
    return pb.Propensity(
        model_id=it.model_id,
        version=it.version,
        customer_id=it.customer_id,
        probability=it.probability,
        percentile=it.percentile,
        as_of_time=timestamp_of(it.as_of),
        horizon_days=it.horizon_days,
        reasons=map(reason_message, it.reasons),
        fit_time=timestamp_of(it.fit_time) if it.fit_time else None,
    )


def reason_message(it: Reason) -> pb.PropensityReason:
    """What moved a customer's figure."""
    return pb.PropensityReason(feature=it.feature, value=it.value, contribution=it.contribution)


def micros_of(time: Timestamp) -> int:
    """Microseconds since 1970."""
    return time.seconds * 1_000_000 + time.nanos // 1000


def timestamp_of(micros: int) -> Timestamp:
    """The time as the contracts have it."""
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)
