"""Experiments and uplift models in the contract."""

from typing import Any

import grpc
from tessera.common.v1.money_pb2 import Money
from tessera.forecasting.v1 import propensity_pb2 as propensity_pb
from tessera.forecasting.v1 import uplift_pb2 as pb

from services.common.auth import principal
from services.common.idempotency import fingerprint
from services.common.job_messages import to_proto
from services.forecasting.domain.uplift import (
    Figure,
    Outcome,
    Recommendation,
    Treatment,
    Uplift,
    UpliftExperiment,
    UpliftModel,
    UpliftQuality,
    Worth,
)
from services.forecasting.handlers.fit_uplift import UpliftFitting, UpliftOrder, fit_uplift
from services.forecasting.handlers.get_uplift import get_uplift_model, list_uplifts
from services.forecasting.handlers.treatments import TreatmentKeeping, record_treatments
from services.forecasting.servicer.propensity import (
    PAGE_SIZE_DEFAULT,
    goal_message,
    goal_of,
    micros_of,
    reason_message,
    timestamp_of,
)

Context = grpc.aio.ServicerContext[Any, Any]
THOUSAND = 1_000


class UpliftRpcs:
    """The rpcs about whom it pays to treat."""

    _uplift: UpliftFitting

    async def RecordTreatments(
        self, request: pb.RecordTreatmentsRequest, context: Context
    ) -> pb.RecordTreatmentsResponse:
        keeping = TreatmentKeeping(self._uplift.treatments, self._uplift.requests)
        rows = [Treatment(it.customer_id, it.treated, micros_of(it.treatment_time)) for it in request.treatments]
        tenant, content = principal().tenant, fingerprint(request)
        recorded = await record_treatments(keeping, tenant, request.request_id, content, request.experiment_id, rows)
        return pb.RecordTreatmentsResponse(recorded=recorded)

    async def ListUpliftExperiments(
        self, request: pb.ListUpliftExperimentsRequest, context: Context
    ) -> pb.ListUpliftExperimentsResponse:
        found = await self._uplift.treatments.experiments(principal().tenant)
        return pb.ListUpliftExperimentsResponse(experiments=map(_experiment, found))

    async def DeleteUpliftExperiment(
        self, request: pb.DeleteUpliftExperimentRequest, context: Context
    ) -> pb.DeleteUpliftExperimentResponse:
        await self._uplift.treatments.delete(principal().tenant, request.experiment_id)
        return pb.DeleteUpliftExperimentResponse()

    async def FitUpliftModel(self, request: pb.FitUpliftModelRequest, context: Context) -> pb.FitUpliftModelResponse:
        tenant, content = principal().tenant, fingerprint(request)
        job = await fit_uplift(self._uplift, tenant, request.request_id, content, _order(request))
        return pb.FitUpliftModelResponse(job=to_proto(job))

    async def GetUpliftModel(self, request: pb.GetUpliftModelRequest, context: Context) -> pb.GetUpliftModelResponse:
        models = self._uplift.models
        model = await get_uplift_model(models, principal().tenant, request.model_id, request.version)
        return pb.GetUpliftModelResponse(uplift_model=_model(model))

    async def ListUpliftModels(
        self, request: pb.ListUpliftModelsRequest, context: Context
    ) -> pb.ListUpliftModelsResponse:
        found = await self._uplift.models.newest(principal().tenant)
        return pb.ListUpliftModelsResponse(uplift_models=map(_model, found))

    async def DeleteUpliftModel(
        self, request: pb.DeleteUpliftModelRequest, context: Context
    ) -> pb.DeleteUpliftModelResponse:
        await self._uplift.models.delete(principal().tenant, request.model_id)
        return pb.DeleteUpliftModelResponse()

    async def ListUplifts(self, request: pb.ListUpliftsRequest, context: Context) -> pb.ListUpliftsResponse:
        models, size = self._uplift.models, request.page_size or PAGE_SIZE_DEFAULT
        found, token = await list_uplifts(models, principal().tenant, request.model_id, size, request.page_token)
        return pb.ListUpliftsResponse(uplifts=map(uplift_message, found), next_page_token=token)

    async def BatchGetUplifts(self, request: pb.BatchGetUpliftsRequest, context: Context) -> pb.BatchGetUpliftsResponse:
        models = self._uplift.models
        found = await models.of_customers(principal().tenant, request.customer_ids, request.model_ids)
        return pb.BatchGetUpliftsResponse(uplifts=map(uplift_message, found))


def _order(request: pb.FitUpliftModelRequest) -> UpliftOrder:
    value, cost = request.goal_value, request.contact_cost
    given = any(request.HasField(name) for name in ("goal_value", "contact_cost", "margin"))
    of_amounts = request.outcome == pb.UPLIFT_OUTCOME_AMOUNT
    return UpliftOrder(
        model_id=request.model_id,
        experiment_id=request.experiment_id,
        goal=goal_of(request.goal),
        goal_currency=request.goal.min_amount.currency if request.goal.HasField("min_amount") else "",
        currency=request.currency,
        as_of=micros_of(request.as_of_time) if request.HasField("as_of_time") else None,
        worth=Worth(value.amount_minor, cost.amount_minor, request.margin) if given else None,
        worth_currencies=(cost.currency,) if of_amounts else (value.currency, cost.currency),
        outcome=Outcome.AMOUNT if of_amounts else Outcome.REACHED,
    )


def _experiment(it: UpliftExperiment) -> pb.UpliftExperiment:
    return pb.UpliftExperiment(
        experiment_id=it.experiment_id,
        treated_count=it.treated_count,
        control_count=it.control_count,
        first_treatment_time=timestamp_of(it.first_time),
        last_treatment_time=timestamp_of(it.last_time),
        campaign_id=it.campaign_id,
    )


def _model(it: UpliftModel) -> pb.UpliftModel:
    advice = it.recommendation
    return pb.UpliftModel(
        model_id=it.model_id,
        version=it.version,
        experiment_id=it.experiment_id,
        goal=goal_message(it.goal, it.currency),
        currency=it.currency,
        fit_time=timestamp_of(it.fit_time),
        as_of_time=timestamp_of(it.as_of),
        customer_count=it.customer_count,
        quality=_quality(it.quality, advice.worth if advice else None, it.currency),
        features=[propensity_pb.PropensityFeature(name=name, importance=part) for name, part in it.importance.items()],
        recommendation=_recommendation(advice, it.currency, it.outcome) if advice else None,
        warnings=it.warnings,
        outcome=pb.UpliftOutcome.ValueType(it.outcome),
    )


def _quality(it: UpliftQuality, worth: Worth | None, currency: str) -> pb.UpliftQuality:
    steps = len(it.curve) - 1
    return pb.UpliftQuality(
        customer_count=it.customer_count,
        treated_count=it.treated_count,
        treated_rate=it.treated_rate,
        control_rate=it.control_rate,
        effect=_figure(it.effect),
        qini=_figure(it.qini),
        qini_ratio=it.qini_ratio,
        curve=[_point(number / steps, gain, worth, currency) for number, gain in enumerate(it.curve)],
        deciles=[
            pb.UpliftDecile(
                customer_count=each.customer_count,
                uplift=each.uplift,
                measured=_figure(each.measured),
                control_rate=each.control_rate,
            )
            for each in it.deciles
        ],
        heterogeneity=_figure(it.heterogeneity) if it.heterogeneity else None,
    )


def _point(share: float, gain: Figure, worth: Worth | None, currency: str) -> pb.UpliftPoint:
    point = pb.UpliftPoint(share=share, gain=_figure(gain))
    if worth:
        profit = worth.profit(THOUSAND * gain.value, THOUSAND * share)
        point.profit_of_thousand.CopyFrom(Money(currency=currency, amount_minor=profit))
    return point


def _recommendation(it: Recommendation, currency: str, outcome: Outcome) -> pb.UpliftRecommendation:
    advice = pb.UpliftRecommendation(
        contact_cost=Money(currency=currency, amount_minor=it.worth.contact_cost),
        uplift_min=it.worth.uplift_min,
        customer_count=it.customer_count,
        expected_profit=Money(currency=currency, amount_minor=it.expected_profit),
        profit_of_all=Money(currency=currency, amount_minor=it.profit_of_all),
    )
    if outcome is Outcome.AMOUNT:
        advice.margin = it.worth.margin
        advice.expected_amount.CopyFrom(Money(currency=currency, amount_minor=round(it.expected_reached)))
    else:
        advice.goal_value.CopyFrom(Money(currency=currency, amount_minor=it.worth.goal_value))
        advice.expected_reached = it.expected_reached
    return advice


def uplift_message(it: Uplift) -> pb.Uplift:
    """What the treatment changes for a customer."""
    of_amount = it.outcome is Outcome.AMOUNT
    return pb.Uplift(
        model_id=it.model_id,
        version=it.version,
        customer_id=it.customer_id,
        uplift=_figure(it.uplift),
        base_probability=0.0 if of_amount else it.base_probability,
        base_amount=it.base_probability if of_amount else None,
        percentile=it.percentile,
        group=pb.UpliftGroup.ValueType(it.group),
        as_of_time=timestamp_of(it.as_of),
        reasons=map(reason_message, it.reasons),
        fit_time=timestamp_of(it.fit_time) if it.fit_time else None,
        horizon_days=it.horizon_days,
        currency=it.currency,
    )


def _figure(it: Figure) -> pb.UpliftFigure:
    return pb.UpliftFigure(value=it.value, low=it.low, high=it.high)
