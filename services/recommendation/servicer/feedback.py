"""The rpcs of feedback, its report, and experiments."""

from datetime import UTC, datetime

from tessera.recommendation.v1 import exploration_pb2 as exploration_pb
from tessera.recommendation.v1 import feedback_pb2 as pb
from tessera.recommendation.v1 import placement_pb2 as placement_pb
from tessera.recommendation.v1 import policy_pb2 as policy_pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.recommendation.domain.drift import ListDrift
from services.recommendation.domain.experiment import Difference, Experiment, Outcome, Variant
from services.recommendation.domain.feedback import DAY, Feedback, FeedbackInvalid, FeedbackKind, Origin, origin_of
from services.recommendation.handlers.exploration import ExplorationReport
from services.recommendation.handlers.feedback import (
    Figures,
    Key,
    get_experiment_report,
    get_recommendation_report,
    record_feedback,
    start_experiment,
    stop_experiment,
)
from services.recommendation.handlers.placements import Placing
from services.recommendation.handlers.recommend import Sources
from services.recommendation.learning.off_policy import Estimate
from services.recommendation.ports import Period, Requests
from services.recommendation.ports.drift_settings import DriftSettingsStore
from services.recommendation.servicer.messages import Context, known, micros, named, page_size, timestamp
from services.recommendation.servicer.position_bias import position_bias_message

PERIOD_DAYS, WINDOW_DAYS = 28, 7


class FeedbackRpcs(RecommendationServiceServicer):
    """What became of lists."""

    _sources: Sources
    _placing: Placing
    _requests: Requests
    _drift_settings: DriftSettingsStore
    _clock: Clock

    async def RecordFeedback(self, request: pb.RecordFeedbackRequest, context: Context) -> pb.RecordFeedbackResponse:
        now = to_micros(self._clock())
        events = [_event(index, event, now) for index, event in enumerate(request.events)]
        await record_feedback(self._placing.log, self._requests, named(request), events, now)
        return pb.RecordFeedbackResponse(accepted_count=len(events))

    async def GetRecommendationReport(
        self, request: pb.GetRecommendationReportRequest, context: Context
    ) -> pb.GetRecommendationReportResponse:
        period = period_of(request, self._clock, request.window_days)
        tenant = principal().tenant
        settings = await self._drift_settings.get(tenant)
        report = await get_recommendation_report(self._placing.log, self._sources.catalogue, tenant, period, settings)
        return pb.GetRecommendationReportResponse(
            rows=[_row(key, figures) for key, figures in report.rows],
            total=_figures(pb.ReportRow(), report.total),
            coverage=report.coverage,
            novelty=report.novelty,
            exploration=_exploration(report.exploration) if report.exploration else None,
            drift=_drift(report.drift),
            position_bias=position_bias_message(report.examination),
        )

    async def StartExperiment(self, request: pb.StartExperimentRequest, context: Context) -> pb.StartExperimentResponse:
        placing, now = self._placing, to_micros(self._clock())
        wanted = _experiment(request.experiment)
        started = await start_experiment(
            placing.experiments, placing.placements, self._requests, named(request), wanted, now
        )
        return pb.StartExperimentResponse(experiment=_experiment_message(started))

    async def StopExperiment(self, request: pb.StopExperimentRequest, context: Context) -> pb.StopExperimentResponse:
        now = to_micros(self._clock())
        stopped = await stop_experiment(
            self._placing.experiments, self._requests, named(request), request.experiment_id, now
        )
        return pb.StopExperimentResponse(experiment=_experiment_message(stopped))

    async def ListExperiments(self, request: pb.ListExperimentsRequest, context: Context) -> pb.ListExperimentsResponse:
        size = page_size(request.page_size)
        found, token = await self._placing.experiments.page(principal().tenant, size, request.page_token)
        return pb.ListExperimentsResponse(experiments=map(_experiment_message, found), next_page_token=token)

    async def GetExperimentReport(
        self, request: pb.GetExperimentReportRequest, context: Context
    ) -> pb.GetExperimentReportResponse:
        placing = self._placing
        report = await get_experiment_report(
            placing.experiments, placing.log, principal().tenant, request.experiment_id
        )
        sides = zip(report.experiment.variants, report.outcomes, report.differences, strict=True)
        return pb.GetExperimentReportResponse(
            experiment=_experiment_message(report.experiment),
            variants=[_variant(variant, outcome, differences) for variant, outcome, differences in sides],
            currency=report.currency,
        )


def period_of(
    request: pb.GetRecommendationReportRequest | policy_pb.EstimatePolicyRequest, clock: Clock, window_days: int = 0
) -> Period:
    """What is asked about: whole days to begin with, 28 of them until now where nothing is said."""
    end = micros(request.end_time) if request.HasField("end_time") else to_micros(clock()) + 1
    start = micros(request.start_time) if request.HasField("start_time") else end - PERIOD_DAYS * DAY
    return Period(start // DAY * DAY, end, request.placement_id, (window_days or WINDOW_DAYS) * DAY)


def _drift(drift: ListDrift) -> pb.ListDrift:
    return pb.ListDrift(
        click_rate_before=drift.click_rate_before,
        click_rate_difference=_difference(drift.click_rate),
        coverage_before=drift.coverage_before,
        coverage_change=drift.coverage_change,
        shown_category_psi=drift.shown_psi,
        alarms=drift.alarms,
    )


def _exploration(report: ExplorationReport) -> exploration_pb.ExplorationReport:
    uniform_ips, uniform_snips = (estimate_message(each) for each in report.uniform) if report.uniform else (None, None)
    return exploration_pb.ExplorationReport(
        items=[
            exploration_pb.ExploredItem(
                item_id=item.item_id,
                impression_count=item.shown.impressions,
                click_count=item.shown.clicks,
                click_rate=item.shown.clicks / max(item.shown.impressions, 1),
                mean_probability=item.mean_probability,
            )
            for item in report.items
        ],
        item_count=report.item_count,
        impression_count=report.total.impressions,
        click_count=report.total.clicks,
        impression_share=report.impression_share,
        uniform_ips=uniform_ips,
        uniform_snips=uniform_snips,
    )


def estimate_message(estimate: Estimate) -> exploration_pb.PolicyEstimate:
    """An estimate with its interval, on the wire."""
    return exploration_pb.PolicyEstimate(
        value=estimate.value, low=estimate.low, high=estimate.high, effective_size=estimate.effective_size
    )


def _event(index: int, event: pb.FeedbackEvent, now: int) -> Feedback:
    origin: Origin | None = origin_of(event.recommendation_id)
    if origin is None:
        raise FeedbackInvalid(index, "recommendation_id is not the id of a list")
    return Feedback(
        event.event_id,
        event.recommendation_id,
        event.item_id,
        known(FeedbackKind, event.kind, f"events[{index}].kind"),
        event.customer_id,
        event.visitor_id,
        micros(event.event_time) if event.HasField("event_time") else now,
        origin,
        event.position,
    )


def _row(key: Key, figures: Figures) -> pb.ReportRow:
    day, scenario, placement_id, version, experiment_id, variant = key
    row = pb.ReportRow(
        day=f"{datetime.fromtimestamp(day * 86_400, UTC):%Y-%m-%d}",
        scenario=placement_pb.Scenario.ValueType(scenario),
        placement_id=placement_id,
        placement_version=version,
        experiment_id=experiment_id,
        variant=variant,
    )
    return _figures(row, figures)


def _figures(row: pb.ReportRow, figures: Figures) -> pb.ReportRow:
    row.impression_count, row.click_count = figures.impressions, figures.clicks
    row.cart_count, row.purchase_count = figures.carts, figures.purchases
    row.order_item_count = figures.order_items
    row.revenue.extend(
        pb.ReportRevenue(currency=currency, amount_minor=amount) for currency, amount in sorted(figures.revenue.items())
    )
    row.click_rate = figures.clicks / figures.impressions if figures.impressions else 0.0
    row.conversion_rate = figures.order_items / figures.clicks if figures.clicks else 0.0
    row.examined_count = figures.examined
    row.corrected_click_rate = figures.placed_clicks / figures.examined if figures.examined else 0.0
    return row


def _experiment(message: pb.Experiment) -> Experiment:
    variants = (Variant(each.name, each.share_bp, each.placement_version) for each in message.variants)
    return Experiment(message.experiment_id, message.placement_id, tuple(variants))


def _experiment_message(experiment: Experiment) -> pb.Experiment:
    return pb.Experiment(
        experiment_id=experiment.experiment_id,
        placement_id=experiment.placement_id,
        variants=[
            pb.Variant(name=each.name, share_bp=each.share, placement_version=each.placement_version)
            for each in experiment.variants
        ],
        start_time=timestamp(experiment.start_time),
        end_time=timestamp(experiment.end_time) if experiment.end_time else None,
    )


def _variant(
    variant: Variant, outcome: Outcome, differences: tuple[Difference, Difference, Difference] | None
) -> pb.VariantReport:
    report = pb.VariantReport(
        name=variant.name,
        subject_count=outcome.subjects,
        clicker_count=outcome.clickers,
        buyer_count=outcome.buyers,
        mean_revenue_minor=outcome.mean_revenue,
    )
    if differences:
        clicks, buyers, revenue = map(_difference, differences)
        report.click_rate_difference.CopyFrom(clicks)
        report.buyer_rate_difference.CopyFrom(buyers)
        report.mean_revenue_difference.CopyFrom(revenue)
    return report


def _difference(difference: Difference) -> pb.Difference:
    return pb.Difference(
        value=difference.value, low=difference.low, high=difference.high, significant=difference.significant
    )
