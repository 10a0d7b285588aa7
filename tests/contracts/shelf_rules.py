"""How the rpcs of recommendation's scenarios keep tenants apart."""

from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from tessera.recommendation.v1 import composition_pb2 as composition
from tessera.recommendation.v1 import demand_pb2 as demand
from tessera.recommendation.v1 import drift_settings_pb2 as drift_settings
from tessera.recommendation.v1 import feedback_pb2 as feedback
from tessera.recommendation.v1 import next_items_pb2 as next_items
from tessera.recommendation.v1 import placement_pb2 as placement
from tessera.recommendation.v1 import policy_pb2 as policy
from tessera.recommendation.v1 import scenario_pb2 as pb
from tessera.recommendation.v1 import training_settings_pb2 as training_settings

from tests.contracts.tenant_rule import ACME, Beside, Figure, Refused, Rule, Without
from tests.shelf_events import seen, trial

YEAR = Duration(seconds=365 * 86_400)


def of_acme(found: Any) -> bool:
    """Whether a list holds an item of acme."""
    return any(each.item_id.startswith(ACME) for each in found.recommendations.items)


def listed(found: Any) -> float:
    """How many items a list holds."""
    return len(found.recommendations.items)


SETTINGS = training_settings.TrainingSettings(half_life_duration=YEAR)
SHELVES: dict[str, Rule] = {
    "EstimatePolicy": Refused(
        lambda acme: policy.EstimatePolicyRequest(
            policy=policy.Policy(kind=policy.POLICY_KIND_CHANCE), placement_id=acme.own("home")
        ),
        "NO_SUPPORT",
        grpc.StatusCode.FAILED_PRECONDITION,
    ),
    "SaveTrainingSettings": Beside(
        lambda acme: training_settings.SaveTrainingSettingsRequest(request_id="settings", settings=SETTINGS),
        ("GetTrainingSettings", lambda acme: training_settings.GetTrainingSettingsRequest()),
    ),
    "GetTrainingSettings": Figure(
        lambda acme: training_settings.GetTrainingSettingsRequest(), lambda found: found.settings.update_time.seconds
    ),
    "SaveDriftSettings": Beside(
        lambda acme: drift_settings.SaveDriftSettingsRequest(
            request_id="drift", settings=drift_settings.DriftSettings(psi=0.5)
        ),
        ("GetDriftSettings", lambda acme: drift_settings.GetDriftSettingsRequest()),
    ),
    "GetDriftSettings": Figure(
        lambda acme: drift_settings.GetDriftSettingsRequest(), lambda found: found.settings.update_time.seconds
    ),
    "FindPopular": Without(lambda acme: pb.FindPopularRequest(), of_acme),
    "FindNewest": Without(lambda acme: demand.FindNewestRequest(), of_acme),
    "FindTrending": Figure(lambda acme: pb.FindTrendingRequest(), lambda found: found.item_count),
    "RecommendNextItems": Refused(
        lambda acme: next_items.RecommendNextItemsRequest(recommendation_id=acme.recommendation_id), "LIST_NOT_KEPT"
    ),
    "RecommendFacets": Without(
        lambda acme: composition.RecommendFacetsRequest(
            facet=composition.FACET_KIND_CATEGORY, customer_id=acme.customer_id
        ),
        lambda found: any(each.name.startswith(ACME) for each in found.facets),
    ),
    "RecommendRows": Without(
        lambda acme: composition.RecommendRowsRequest(rows=[composition.RowSource()], customer_id=acme.customer_id),
        lambda found: any(each.item_id.startswith(ACME) for row in found.rows for each in row.recommendations.items),
    ),
    "FindBundles": Refused(lambda acme: pb.FindBundlesRequest(item_id=acme.own("milk")), "ITEM_NOT_FOUND"),
    "FindComplements": Without(lambda acme: pb.FindComplementsRequest(cart_item_ids=[acme.own("milk")]), of_acme),
    "FindReplenishments": Figure(
        lambda acme: pb.FindReplenishmentsRequest(customer_id=acme.customer_id, horizon_duration=YEAR), listed
    ),
    "RerankItems": Without(lambda acme: pb.RerankItemsRequest(item_ids=[acme.own("milk"), acme.own("bread")]), of_acme),
    "FindCustomersForItem": Refused(
        lambda acme: pb.FindCustomersForItemRequest(item_id=acme.own("milk")), "ITEM_NOT_FOUND"
    ),
    "SavePlacement": Beside(
        lambda acme: placement.SavePlacementRequest(
            request_id="home",
            placement=placement.Placement(
                placement_id=acme.own("home"), scenario=placement.SCENARIO_POPULAR, title="Theirs"
            ),
        ),
        ("ListPlacements", lambda acme: placement.ListPlacementsRequest()),
    ),
    "GetPlacement": Refused(
        lambda acme: placement.GetPlacementRequest(placement_id=acme.own("home")), "PLACEMENT_NOT_FOUND"
    ),
    "ListPlacements": Without(
        lambda acme: placement.ListPlacementsRequest(),
        lambda found: any(each.placement_id.startswith(ACME) and not each.title for each in found.placements),
    ),
    "DeletePlacement": Refused(
        lambda acme: placement.DeletePlacementRequest(request_id="gone", placement_id=acme.own("home")),
        "PLACEMENT_NOT_FOUND",
    ),
    "RecordFeedback": Beside(
        lambda acme: feedback.RecordFeedbackRequest(
            request_id="seen", events=[seen(acme, feedback.FEEDBACK_KIND_CLICK)]
        ),
        ("GetRecommendationReport", lambda acme: feedback.GetRecommendationReportRequest()),
    ),
    "GetRecommendationReport": Figure(
        lambda acme: feedback.GetRecommendationReportRequest(), lambda found: found.total.impression_count
    ),
    "StartExperiment": Refused(
        lambda acme: feedback.StartExperimentRequest(request_id="try", experiment=trial(acme)), "PLACEMENT_NOT_FOUND"
    ),
    "StopExperiment": Refused(
        lambda acme: feedback.StopExperimentRequest(request_id="stop", experiment_id=acme.own("trial")),
        "EXPERIMENT_NOT_FOUND",
    ),
    "ListExperiments": Without(
        lambda acme: feedback.ListExperimentsRequest(),
        lambda found: any(each.experiment_id.startswith(ACME) for each in found.experiments),
    ),
    "GetExperimentReport": Refused(
        lambda acme: feedback.GetExperimentReportRequest(experiment_id=acme.own("trial")), "EXPERIMENT_NOT_FOUND"
    ),
}
