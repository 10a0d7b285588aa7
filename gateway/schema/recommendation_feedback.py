"""What became of recommended products, and experiments between placements, in the schema."""

from collections.abc import Sequence

from tessera.recommendation.v1 import exploration_pb2 as exploration_pb
from tessera.recommendation.v1 import feedback_pb2 as pb
from tessera.recommendation.v1 import position_bias_pb2 as bias_pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.registry import from_proto, input_from_proto, mutation, query
from gateway.schema.scalars import DateTime

_EVENT = ("event_id", "recommendation_id", "item_id", "kind", "customer_id", "visitor_id", "event_time", "position")
_ROW = ("day", "scenario", "placement_id", "placement_version", "experiment_id", "variant")
_FIGURES = ("impression_count", "click_count", "cart_count", "purchase_count", "order_item_count", "revenue")


@input_from_proto(pb.FeedbackEvent, *_EVENT)
class RecommendationEventInput: ...


@input_from_proto(pb.RecordFeedbackRequest, "request_id", "events")
class RecordFeedbackInput: ...


@from_proto(pb.RecordFeedbackResponse, "accepted_count")
class RecordFeedbackPayload: ...


@from_proto(pb.ReportRevenue, "currency", "amount_minor")
class RecommendationRevenue: ...


@from_proto(pb.ReportRow, *_ROW, *_FIGURES, "click_rate", "conversion_rate", "examined_count", "corrected_click_rate")
class RecommendationReportRow: ...


@from_proto(exploration_pb.ExploredItem, "item_id", "impression_count", "click_count", "click_rate", "mean_probability")
class ExploredProduct: ...


@from_proto(exploration_pb.PolicyEstimate, "value", "low", "high", "effective_size")
class PolicyEstimate: ...


@from_proto(
    exploration_pb.ExplorationReport,
    "items",
    "item_count",
    "impression_count",
    "click_count",
    "impression_share",
    "uniform_ips",
    "uniform_snips",
)
class ExplorationReport: ...


@from_proto(
    pb.ListDrift,
    "click_rate_before",
    "click_rate_difference",
    "coverage_before",
    "coverage_change",
    "shown_category_psi",
    "alarms",
)
class RecommendationListDrift: ...


@from_proto(
    bias_pb.PlaceExamination,
    "first_position",
    "last_position",
    "examination",
    "low",
    "high",
    "impression_count",
    "click_count",
)
class PlaceExamination: ...


@from_proto(bias_pb.PositionBias, "places", "impression_count", "click_count", "problem", "pooled")
class PositionBias: ...


@from_proto(
    pb.GetRecommendationReportResponse,
    "rows",
    "total",
    "coverage",
    "novelty",
    "exploration",
    "drift",
    "position_bias",
)
class RecommendationReport: ...


@from_proto(pb.Variant, "name", "share_bp", "placement_version")
class PlacementVariant: ...


@from_proto(pb.Experiment, "experiment_id", "placement_id", "variants", "start_time", "end_time")
class PlacementExperiment: ...


@from_proto(pb.Difference, "value", "low", "high", "significant")
class VariantDifference: ...


@from_proto(
    pb.VariantReport,
    "name",
    "subject_count",
    "clicker_count",
    "buyer_count",
    "mean_revenue_minor",
    "click_rate_difference",
    "buyer_rate_difference",
    "mean_revenue_difference",
)
class VariantReport: ...


@from_proto(pb.GetExperimentReportResponse, "experiment", "variants", "currency")
class PlacementExperimentReport: ...


@input_from_proto(pb.Variant, "name", "share_bp", "placement_version")
class PlacementVariantInput: ...


@input_from_proto(pb.Experiment, "experiment_id", "placement_id", "variants")
class PlacementExperimentInput: ...


@input_from_proto(pb.StartExperimentRequest, "request_id", "experiment")
class StartPlacementExperimentInput: ...


@from_proto(pb.StartExperimentResponse, "experiment")
class StartPlacementExperimentPayload: ...


@input_from_proto(pb.StopExperimentRequest, "request_id", "experiment_id")
class StopPlacementExperimentInput: ...


@from_proto(pb.StopExperimentResponse, "experiment")
class StopPlacementExperimentPayload: ...


@query(by_rpc("recommendation.GetRecommendationReport"))
async def recommendation_report(
    info: Info,
    start: DateTime | None = None,
    end: DateTime | None = None,
    placement_id: str = "",
    window_days: int = 7,
) -> pb.GetRecommendationReportResponse:
    """What became of lists, with the orders that followed their clicks."""
    request = pb.GetRecommendationReportRequest(
        start_time=start, end_time=end, placement_id=placement_id, window_days=window_days
    )
    return await info.context.backends.recommendation.GetRecommendationReport(request, metadata=info.context.metadata)


@query(by_rpc("recommendation.GetExperimentReport"))
async def placement_experiment(info: Info, experiment_id: str) -> pb.GetExperimentReportResponse | None:
    """An experiment with what it shows so far; null if there is none."""
    request = pb.GetExperimentReportRequest(experiment_id=experiment_id)
    call = info.context.backends.recommendation.GetExperimentReport(request, metadata=info.context.metadata)
    return await none_if_not_found(call)


@query(by_rpc("recommendation.ListExperiments"))
async def placement_experiments(info: Info, first: First = 20, after: After = None) -> Page[pb.Experiment]:
    """The experiments between versions of placements, by id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Experiment], str]:
        request = pb.ListExperimentsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.recommendation.ListExperiments(request, metadata=info.context.metadata)
        return answer.experiments, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("recommendation.RecordFeedback"))
async def record_recommendation_feedback(info: Info, input: pb.RecordFeedbackRequest) -> pb.RecordFeedbackResponse:
    return await info.context.backends.recommendation.RecordFeedback(input, metadata=info.context.metadata)


@mutation(by_rpc("recommendation.StartExperiment"))
async def start_placement_experiment(info: Info, input: pb.StartExperimentRequest) -> pb.StartExperimentResponse:
    return await info.context.backends.recommendation.StartExperiment(input, metadata=info.context.metadata)


@mutation(by_rpc("recommendation.StopExperiment"))
async def stop_placement_experiment(info: Info, input: pb.StopExperimentRequest) -> pb.StopExperimentResponse:
    return await info.context.backends.recommendation.StopExperiment(input, metadata=info.context.metadata)
