"""How every rpc keeps tenants apart: what ``acme`` has, and what another tenant is answered that asks for it."""

from dataclasses import dataclass

import grpc
from tessera.crm.v1 import crm_service_pb2 as crm
from tessera.crm.v1 import privacy_pb2 as crm_privacy
from tessera.crm.v1 import unsubscribe_pb2 as unsubscribe
from tessera.forecasting.v1 import category_preference_pb2 as preference
from tessera.forecasting.v1 import demand_pb2 as demand
from tessera.forecasting.v1 import drivers_pb2 as drivers
from tessera.forecasting.v1 import elasticity_pb2 as elasticity
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting
from tessera.forecasting.v1 import media_mix_pb2 as media_mix
from tessera.forecasting.v1 import personal_data_pb2 as forecasting_personal_data
from tessera.forecasting.v1 import propensity_pb2 as propensity
from tessera.forecasting.v1 import series_pb2
from tessera.forecasting.v1 import uplift_pb2 as uplift
from tessera.loyalty.v1 import batch_pb2 as loyalty_batch
from tessera.loyalty.v1 import earning_pb2 as earning
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty
from tessera.loyalty.v1 import personal_data_pb2 as loyalty_personal_data
from tessera.profiles.v1 import computed_trait_pb2 as computed
from tessera.profiles.v1 import consent_pb2 as consent
from tessera.profiles.v1 import customer_export_pb2 as customer_export
from tessera.profiles.v1 import erasure_pb2 as erasure
from tessera.profiles.v1 import event_schema_pb2 as profiles_event_schema
from tessera.profiles.v1 import group_pb2 as groups
from tessera.profiles.v1 import identity_pb2 as identity
from tessera.profiles.v1 import merge_pb2 as merges
from tessera.profiles.v1 import person_pb2 as person
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1 import suppression_pb2 as suppression
from tessera.profiles.v1 import transfer_pb2 as transfer
from tessera.recommendation.v1 import customer_vector_pb2 as customer_vector
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import personal_data_pb2 as recommendation_personal_data
from tessera.recommendation.v1 import recommendation_service_pb2 as recommendation
from tessera.segmentation.v1 import (
    association_pb2,
    cluster_pb2,
    funnel_pb2,
    insight_pb2,
    path_pb2,
    retention_pb2,
    segment_value_pb2,
)
from tessera.segmentation.v1 import customer_list_pb2 as customer_list
from tessera.segmentation.v1 import member_file_pb2 as member_file
from tessera.segmentation.v1 import personal_data_pb2 as personal_data
from tessera.segmentation.v1 import rule_text_pb2 as rule_text
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation

from services.crm.domain.unsubscribe import token_of
from tests.contracts.club_rules import CLUB
from tests.contracts.destination_rules import DESTINATIONS, SAVED
from tests.contracts.pricing_rules import PRICING
from tests.contracts.promotion_rules import PROMOTIONS
from tests.contracts.report_rules import REPORTS
from tests.contracts.shelf_rules import SHELVES
from tests.contracts.tenant_rule import ACME, RIVAL, STRANGER, Beside, Feed, Figure, Refused, Rule, Stream, Without
from tests.tenant import bought, in_segment


@dataclass(frozen=True)
class _Owned:
    """A part of a file, by whose it is: names begin with their tenant's."""

    tenant_id: str


def _owners(data: bytes) -> list[_Owned]:
    return [_Owned(name) for name in (ACME, RIVAL) if f"{name}-".encode() in data]


PROFILES: dict[str, Rule] = {
    "IngestEvents": Beside(
        lambda acme: profiles.IngestEventsRequest(
            events=[
                profiles.Event(
                    message_id="m0", type=profiles.EVENT_TYPE_TRACK, name="Cart Viewed", user_id=acme.own("ann")
                )
            ]
        ),
        ("GetCustomer", lambda acme: profiles.GetCustomerRequest(customer_id=acme.customer_id)),
    ),
    "GetCustomer": Refused(
        lambda acme: profiles.GetCustomerRequest(customer_id=acme.customer_id), "CUSTOMER_NOT_FOUND"
    ),
    "BatchGetCustomers": Without(
        lambda acme: profiles.BatchGetCustomersRequest(customer_ids=[acme.customer_id]), lambda found: found.customers
    ),
    "ListCustomers": Without(lambda acme: profiles.ListCustomersRequest()),
    "ListEvents": Without(
        lambda acme: profiles.ListEventsRequest(customer_id=acme.customer_id), lambda found: found.events
    ),
    "KeepDeadLetters": Beside(
        lambda acme: profiles.KeepDeadLettersRequest(
            unreadable=[profiles.Unreadable(source_text="[]", reason="EVENT_UNREADABLE")]
        ),
        ("ListDeadLetters", lambda acme: profiles.ListDeadLettersRequest()),
    ),
    "CreateWriteKey": Beside(
        lambda acme: profiles.CreateWriteKeyRequest(request_id="w", name=acme.own("site")),
        ("ListWriteKeys", lambda acme: profiles.ListWriteKeysRequest()),
    ),
    "ListWriteKeys": Without(lambda acme: profiles.ListWriteKeysRequest()),
    "RevokeWriteKey": Refused(
        lambda acme: profiles.RevokeWriteKeyRequest(write_key_id=acme.write_key_id), "WRITE_KEY_NOT_FOUND"
    ),
    "ResolveWriteKey": Refused(
        lambda acme: profiles.ResolveWriteKeyRequest(secret=acme.write_key), "WRITE_KEY_NOT_FOUND"
    ),
    "ListDeadLetters": Without(lambda acme: profiles.ListDeadLettersRequest()),
    "GetDeadLetter": Refused(
        lambda acme: profiles.GetDeadLetterRequest(dead_letter_id=acme.dead_letter_id), "DEAD_LETTER_NOT_FOUND"
    ),
    "ReplayDeadLetters": Beside(
        lambda acme: profiles.ReplayDeadLettersRequest(dead_letter_ids=[acme.dead_letter_id], request_id="r"),
        ("GetDeadLetter", lambda acme: profiles.GetDeadLetterRequest(dead_letter_id=acme.dead_letter_id)),
    ),
    "DeleteDeadLetters": Beside(
        lambda acme: profiles.DeleteDeadLettersRequest(dead_letter_ids=[acme.dead_letter_id], request_id="d"),
        ("GetDeadLetter", lambda acme: profiles.GetDeadLetterRequest(dead_letter_id=acme.dead_letter_id)),
    ),
    "MergeCustomers": Refused(
        lambda acme: merges.MergeCustomersRequest(
            customer_id=acme.customer_id, merged_customer_ids=[acme.customer_id], reason="the same"
        ),
        "CUSTOMER_NOT_FOUND",
    ),
    "UnmergeCustomer": Refused(
        lambda acme: merges.UnmergeCustomerRequest(merge_id=acme.merge_id, reason="not the same"), "MERGE_NOT_FOUND"
    ),
    "GetGroup": Refused(lambda acme: groups.GetGroupRequest(group_id=acme.own("home")), "GROUP_NOT_FOUND"),
    "ListGroups": Without(lambda acme: groups.ListGroupsRequest()),
    "ListGroupMembers": Refused(
        lambda acme: groups.ListGroupMembersRequest(group_id=acme.own("home")), "GROUP_NOT_FOUND"
    ),
    "BatchGetGroupMemberships": Without(
        lambda acme: groups.BatchGetGroupMembershipsRequest(customer_ids=[acme.customer_id])
    ),
    "AddGroupMembers": Refused(
        lambda acme: groups.AddGroupMembersRequest(group_id=acme.own("home"), member_customer_ids=[acme.customer_id]),
        "CUSTOMER_NOT_FOUND",
    ),
    "RemoveGroupMembers": Refused(
        lambda acme: groups.RemoveGroupMembersRequest(
            group_id=acme.own("home"), member_customer_ids=[acme.customer_id]
        ),
        "CUSTOMER_NOT_FOUND",
    ),
    "ListIdentifiers": Without(
        lambda acme: identity.ListIdentifiersRequest(customer_id=acme.customer_id), lambda found: found.identifiers
    ),
    "GetIdentitySettings": Without(lambda acme: identity.GetIdentitySettingsRequest()),
    "UpdateIdentitySettings": Beside(
        lambda acme: identity.UpdateIdentitySettingsRequest(request_id="identity", settings=acme.identity_settings),
        ("GetIdentitySettings", lambda acme: identity.GetIdentitySettingsRequest()),
    ),
    "ListMerges": Without(lambda acme: merges.ListMergesRequest()),
    "GetStatistics": Figure(
        lambda acme: profiles.GetStatisticsRequest(), lambda found: found.customer_count + found.event_count
    ),
    "FollowChanges": Feed(profiles.FollowChangesRequest(), lambda batch: batch.changes),
    "SetConsents": Beside(
        lambda acme: consent.SetConsentsRequest(
            request_id="consent",
            statements=[
                consent.NewConsentStatement(
                    person=person.Person(customer_id=acme.customer_id),
                    purpose="marketing",
                    state=consent.CONSENT_STATE_WITHDRAWN,
                )
            ],
        ),
        ("GetConsents", lambda acme: consent.GetConsentsRequest(customer_id=acme.customer_id)),
    ),
    "GetConsents": Refused(lambda acme: consent.GetConsentsRequest(customer_id=acme.customer_id), "CUSTOMER_NOT_FOUND"),
    "BatchGetConsents": Without(
        lambda acme: consent.BatchGetConsentsRequest(customer_ids=[acme.customer_id]),
        lambda found: any(each.consents for each in found.customers),
    ),
    "ListConsentHistory": Refused(
        lambda acme: consent.ListConsentHistoryRequest(customer_id=acme.customer_id), "CUSTOMER_NOT_FOUND"
    ),
    "CheckConsents": Without(
        lambda acme: consent.CheckConsentsRequest(customer_ids=[acme.customer_id], purpose=acme.own("news")),
        lambda found: any(each.state for each in found.answers),
    ),
    "EraseCustomers": Beside(
        lambda acme: erasure.EraseCustomersRequest(
            request_id="erase", persons=[person.Person(customer_id=acme.customer_id)]
        ),
        ("GetCustomer", lambda acme: profiles.GetCustomerRequest(customer_id=acme.customer_id)),
    ),
    "ListErasures": Without(lambda acme: erasure.ListErasuresRequest()),
    "SuppressIdentifiers": Beside(
        lambda acme: erasure.SuppressIdentifiersRequest(
            identifiers=[person.PersonIdentifier(type="user_id", value=acme.own("ann"))]
        ),
        ("GetCustomer", lambda acme: profiles.GetCustomerRequest(customer_id=acme.customer_id)),
    ),
    "UnsuppressIdentifiers": Beside(
        lambda acme: erasure.UnsuppressIdentifiersRequest(
            identifiers=[person.PersonIdentifier(type="user_id", value=acme.own("gone"))]
        ),
        ("ListErasures", lambda acme: erasure.ListErasuresRequest()),
    ),
    "ListSuppressions": Without(
        lambda acme: suppression.ListSuppressionsRequest(),
        lambda found: any(each.reason == "acme-gone" for each in found.suppressions),
    ),
    "LiftSuppressions": Beside(
        lambda acme: suppression.LiftSuppressionsRequest(
            identifiers=[person.PersonIdentifier(type="user_id", value=acme.own("leaver"))], reason="asked"
        ),
        ("ListSuppressions", lambda acme: suppression.ListSuppressionsRequest()),
    ),
    "GetErasure": Refused(lambda acme: erasure.GetErasureRequest(erasure_id=acme.erasure_id), "ERASURE_NOT_FOUND"),
    "AcknowledgeErasure": Refused(
        lambda acme: erasure.AcknowledgeErasureRequest(erasure_id=acme.erasure_id, service="newsletter"),
        "ERASURE_NOT_FOUND",
    ),
    "ExportCustomer": Refused(
        lambda acme: customer_export.ExportCustomerRequest(person=person.Person(customer_id=acme.customer_id)),
        "CUSTOMER_NOT_FOUND",
    ),
    "GetExportJob": Refused(
        lambda acme: customer_export.GetExportJobRequest(export_id=acme.export_id), "EXPORT_NOT_FOUND"
    ),
    "ListExportJobs": Without(lambda acme: customer_export.ListExportJobsRequest()),
    "DownloadExport": Stream(lambda acme: customer_export.DownloadExportRequest(export_id=acme.export_id)),
    "CreateImport": Beside(
        lambda acme: transfer.CreateImportRequest(
            request_id="im", kind=transfer.IMPORT_KIND_EVENTS, format=transfer.TABLE_FORMAT_CSV
        ),
        ("GetImport", lambda acme: transfer.GetImportRequest(import_id=acme.import_id)),
    ),
    "UploadImportChunk": Refused(
        lambda acme: transfer.UploadImportChunkRequest(import_id=acme.import_id, offset=0, data=b"user_id"),
        "IMPORT_NOT_FOUND",
    ),
    "StartImport": Refused(
        lambda acme: transfer.StartImportRequest(import_id=acme.import_id, dry_run=True), "IMPORT_NOT_FOUND"
    ),
    "GetImport": Refused(lambda acme: transfer.GetImportRequest(import_id=acme.import_id), "IMPORT_NOT_FOUND"),
    "ListImportErrors": Refused(
        lambda acme: transfer.ListImportErrorsRequest(import_id=acme.import_id), "IMPORT_NOT_FOUND"
    ),
    "CancelImport": Refused(
        lambda acme: transfer.CancelImportRequest(import_id=acme.import_id, request_id="ci"), "IMPORT_NOT_FOUND"
    ),
    "CancelExport": Refused(
        lambda acme: customer_export.CancelExportRequest(export_id=acme.export_id, request_id="ce"), "EXPORT_NOT_FOUND"
    ),
    "FollowExportJob": Stream(lambda acme: customer_export.FollowExportJobRequest(export_id=acme.export_id)),
    "DeleteImport": Refused(
        lambda acme: transfer.DeleteImportRequest(import_id=acme.import_id, request_id="di"), "IMPORT_NOT_FOUND"
    ),
    "ExportCustomers": Feed(
        transfer.ExportCustomersRequest(format=transfer.TABLE_FORMAT_CSV), lambda part: _owners(part.data)
    ),
    "ExportEvents": Feed(
        transfer.ExportEventsRequest(format=transfer.TABLE_FORMAT_CSV), lambda part: _owners(part.data)
    ),
    "CreateComputedTrait": Beside(
        lambda acme: computed.CreateComputedTraitRequest(
            request_id="ct",
            computed_trait=computed.ComputedTrait(
                name=f"{acme.tenant}_again", kind=computed.COMPUTED_TRAIT_KIND_EVENT_COUNTER, event_name="Scanned"
            ),
        ),
        ("ListComputedTraits", lambda acme: computed.ListComputedTraitsRequest()),
    ),
    "UpdateComputedTrait": Refused(
        lambda acme: computed.UpdateComputedTraitRequest(computed_trait=acme.computed_trait()),
        "COMPUTED_TRAIT_NOT_FOUND",
    ),
    "GetComputedTrait": Refused(
        lambda acme: computed.GetComputedTraitRequest(name=acme.computed_trait().name), "COMPUTED_TRAIT_NOT_FOUND"
    ),
    "ListComputedTraits": Without(lambda acme: computed.ListComputedTraitsRequest()),
    "BackfillComputedTrait": Refused(
        lambda acme: computed.BackfillComputedTraitRequest(name=acme.computed_trait().name),
        "COMPUTED_TRAIT_NOT_FOUND",
    ),
    "DeleteComputedTrait": Refused(
        lambda acme: computed.DeleteComputedTraitRequest(name=acme.computed_trait().name),
        "COMPUTED_TRAIT_NOT_FOUND",
    ),
    "GetJob": Refused(lambda acme: computed.GetJobRequest(job_id=acme.backfill_job_id), "JOB_NOT_FOUND"),
    "FollowJob": Stream(lambda acme: computed.FollowJobRequest(job_id=acme.backfill_job_id)),
    "ListJobs": Figure(lambda acme: computed.ListJobsRequest(), lambda found: len(found.jobs)),
    "PutEventSchema": Beside(
        lambda acme: profiles_event_schema.PutEventSchemaRequest(
            request_id="s", event_name=acme.own("scan"), schema_json="{}", mode=profiles_event_schema.SCHEMA_MODE_WARN
        ),
        ("GetEventSchema", lambda acme: profiles_event_schema.GetEventSchemaRequest(event_name=acme.own("scan"))),
    ),
    "GetEventSchema": Refused(
        lambda acme: profiles_event_schema.GetEventSchemaRequest(event_name=acme.own("scan")),
        "EVENT_SCHEMA_NOT_FOUND",
    ),
    "ListEventSchemas": Without(lambda acme: profiles_event_schema.ListEventSchemasRequest()),
    "DeleteEventSchema": Refused(
        lambda acme: profiles_event_schema.DeleteEventSchemaRequest(request_id="ds", event_name=acme.own("scan")),
        "EVENT_SCHEMA_NOT_FOUND",
    ),
}

SEGMENTATION: dict[str, Rule] = {
    "CreateSegment": Refused(
        lambda acme: segmentation.CreateSegmentRequest(name="Theirs", rule=in_segment(acme.segment_id)),
        "SEGMENT_NOT_FOUND",
    ),
    "GetSegment": Refused(lambda acme: segmentation.GetSegmentRequest(segment_id=acme.segment_id), "SEGMENT_NOT_FOUND"),
    "BatchGetSegments": Without(
        lambda acme: segmentation.BatchGetSegmentsRequest(segment_ids=[acme.segment_id]), lambda found: found.segments
    ),
    "ListSegments": Without(lambda acme: segmentation.ListSegmentsRequest()),
    "UpdateSegment": Refused(
        lambda acme: segmentation.UpdateSegmentRequest(segment_id=acme.segment_id, name="Mine", rule=bought()),
        "SEGMENT_NOT_FOUND",
    ),
    "DeleteSegment": Refused(
        lambda acme: segmentation.DeleteSegmentRequest(segment_id=acme.segment_id), "SEGMENT_NOT_FOUND"
    ),
    "RefreshSegment": Refused(
        lambda acme: segmentation.RefreshSegmentRequest(segment_id=acme.segment_id), "SEGMENT_NOT_FOUND"
    ),
    "PreviewSegment": Figure(
        lambda acme: segmentation.PreviewSegmentRequest(rule=bought()), lambda found: found.size + found.customer_count
    ),
    "ExplainMembership": Refused(
        lambda acme: segmentation.ExplainMembershipRequest(customer_id=acme.customer_id, segment_id=acme.segment_id),
        "SEGMENT_NOT_FOUND",
    ),
    "GetSegmentOverlap": Refused(
        lambda acme: segmentation.GetSegmentOverlapRequest(segment_ids=[acme.segment_id]), "SEGMENT_NOT_FOUND"
    ),
    "ListDependents": Refused(
        lambda acme: segmentation.ListDependentsRequest(segment_id=acme.segment_id), "SEGMENT_NOT_FOUND"
    ),
    "ListSegmentVersions": Refused(
        lambda acme: segmentation.ListSegmentVersionsRequest(segment_id=acme.segment_id), "SEGMENT_NOT_FOUND"
    ),
    "CompareSegmentVersions": Refused(
        lambda acme: segmentation.CompareSegmentVersionsRequest(
            segment_id=acme.segment_id, from_version=1, to_version=1
        ),
        "SEGMENT_VERSION_NOT_FOUND",
    ),
    "ListCalculations": Refused(
        lambda acme: segmentation.ListCalculationsRequest(segment_id=acme.segment_id), "SEGMENT_NOT_FOUND"
    ),
    "ListMembers": Refused(
        lambda acme: segmentation.ListMembersRequest(segment_id=acme.segment_id), "SEGMENT_NOT_FOUND"
    ),
    "BatchGetMemberships": Without(
        lambda acme: segmentation.BatchGetMembershipsRequest(customer_ids=[acme.customer_id]),
        lambda found: any(each.segment_ids for each in found.memberships),
    ),
    "ExportMembers": Stream(
        lambda acme: member_file.ExportMembersRequest(segment_id=acme.segment_id, format=member_file.FILE_FORMAT_CSV)
    ),
    "ParseRule": Refused(
        lambda acme: rule_text.ParseRuleRequest(text=f'segment("{acme.segment_id}")'), "SEGMENT_NOT_FOUND"
    ),
    "FormatRule": Refused(
        lambda acme: rule_text.FormatRuleRequest(rule=in_segment(acme.segment_id)), "SEGMENT_NOT_FOUND"
    ),
    "CreateCustomerList": Beside(
        lambda acme: customer_list.CreateCustomerListRequest(request_id="l", name="Theirs"),
        ("GetCustomerList", lambda acme: customer_list.GetCustomerListRequest(list_id=acme.list_id)),
    ),
    "GetCustomerList": Refused(
        lambda acme: customer_list.GetCustomerListRequest(list_id=acme.list_id), "CUSTOMER_LIST_NOT_FOUND"
    ),
    "ListCustomerLists": Without(lambda acme: customer_list.ListCustomerListsRequest()),
    "DeleteCustomerList": Refused(
        lambda acme: customer_list.DeleteCustomerListRequest(list_id=acme.list_id), "CUSTOMER_LIST_NOT_FOUND"
    ),
    "ChangeCustomerList": Refused(
        lambda acme: customer_list.ChangeCustomerListRequest(list_id=acme.list_id), "CUSTOMER_LIST_NOT_FOUND"
    ),
    "ListCustomerListMembers": Refused(
        lambda acme: customer_list.ListCustomerListMembersRequest(list_id=acme.list_id), "CUSTOMER_LIST_NOT_FOUND"
    ),
    "ExportCustomerData": Stream(lambda acme: personal_data.ExportCustomerDataRequest(customer_id=acme.customer_id)),
    "FollowMemberships": Feed(segmentation.FollowMembershipsRequest(), lambda batch: batch.changes),
    "GetRfm": Refused(lambda acme: segmentation.GetRfmRequest(customer_id=acme.customer_id), "RFM_NOT_FOUND"),
    "BatchGetRfm": Without(
        lambda acme: segmentation.BatchGetRfmRequest(customer_ids=[acme.customer_id]), lambda found: found.rfms
    ),
    "GetRfmSummary": Figure(lambda acme: segmentation.GetRfmSummaryRequest(), lambda found: found.customer_count),
    "GetStatus": Figure(lambda acme: segmentation.GetStatusRequest(), lambda found: found.event_count),
    "GetPaths": Figure(
        lambda acme: path_pb2.GetPathsRequest(start=insight_pb2.EventFilter(event="Order Completed")),
        lambda found: found.customer_count,
    ),
    **DESTINATIONS,
    **SAVED,
    "StartClustering": Beside(
        lambda acme: cluster_pb2.StartClusteringRequest(request_id=acme.own("clusters")),
        ("GetClustering", lambda acme: cluster_pb2.GetClusteringRequest()),
    ),
    "GetClustering": Refused(
        lambda acme: cluster_pb2.GetClusteringRequest(clustering_id=acme.clustering_id), "CLUSTERING_NOT_FOUND"
    ),
    "BatchGetClusters": Without(
        lambda acme: cluster_pb2.BatchGetClustersRequest(customer_ids=[acme.customer_id]), lambda found: found.members
    ),
    "ListClusterMembers": Refused(
        lambda acme: cluster_pb2.ListClusterMembersRequest(), "CLUSTERING_NOT_FOUND", who=STRANGER
    ),
    "StartLookalike": Refused(
        lambda acme: cluster_pb2.StartLookalikeRequest(name="alike", segment_id=acme.segment_id), "SEGMENT_NOT_FOUND"
    ),
    "GetLookalike": Refused(
        lambda acme: cluster_pb2.GetLookalikeRequest(lookalike_id=acme.lookalike_id), "LOOKALIKE_NOT_FOUND"
    ),
    "ListLookalikeCustomers": Refused(
        lambda acme: cluster_pb2.ListLookalikeCustomersRequest(lookalike_id=acme.lookalike_id), "LOOKALIKE_NOT_FOUND"
    ),
    "GetStudyJob": Refused(lambda acme: cluster_pb2.GetStudyJobRequest(job_id=acme.study_job_id), "JOB_NOT_FOUND"),
    "FollowStudyJob": Stream(lambda acme: cluster_pb2.FollowStudyJobRequest(job_id=acme.study_job_id)),
    "GetSegmentValue": Refused(
        lambda acme: segment_value_pb2.GetSegmentValueRequest(segment_ids=[acme.segment_id]), "SEGMENT_NOT_FOUND"
    ),
    "GetFunnel": Figure(
        lambda acme: funnel_pb2.GetFunnelRequest(
            funnel=funnel_pb2.Funnel(
                steps=[funnel_pb2.FunnelStep(filter=insight_pb2.EventFilter(event="Order Completed"))] * 2
            )
        ),
        lambda found: found.steps[0].customer_count,
    ),
    "GetAssociations": Figure(
        lambda acme: association_pb2.GetAssociationsRequest(property="products.product_id"),
        lambda found: found.basket_count,
    ),
    "GetRetention": Figure(
        lambda acme: retention_pb2.GetRetentionRequest(), lambda found: sum(it.customer_count for it in found.cohorts)
    ),
    "GetGrowth": Figure(
        lambda acme: retention_pb2.GetGrowthRequest(), lambda found: sum(it.active_count for it in found.periods)
    ),
    "GetTrend": Figure(lambda acme: retention_pb2.GetTrendRequest(), lambda found: sum(found.series[0].values)),
}

RECOMMENDATION: dict[str, Rule] = {
    "ListCustomerVectors": Without(lambda acme: customer_vector.ListCustomerVectorsRequest(page_size=1000)),
    "UpsertItems": Beside(
        lambda acme: recommendation.UpsertItemsRequest(
            request_id="items", items=[item_pb.Item(item_id=acme.own("milk"), title="Theirs")]
        ),
        ("GetItem", lambda acme: recommendation.GetItemRequest(item_id=acme.own("milk"))),
    ),
    "GetItem": Refused(lambda acme: recommendation.GetItemRequest(item_id=acme.own("milk")), "ITEM_NOT_FOUND"),
    "BatchGetItems": Without(
        lambda acme: recommendation.BatchGetItemsRequest(item_ids=[acme.own("milk")]), lambda found: found.items
    ),
    "ListItems": Without(lambda acme: recommendation.ListItemsRequest()),
    "DeleteItem": Refused(
        lambda acme: recommendation.DeleteItemRequest(request_id="gone", item_id=acme.own("milk")), "ITEM_NOT_FOUND"
    ),
    "Recommend": Without(
        lambda acme: recommendation.RecommendRequest(customer_id=acme.customer_id, session_item_ids=[acme.own("milk")]),
        lambda found: any(each.item_id.startswith(ACME) for each in found.recommendations.items),
    ),
    "BatchRecommend": Without(
        lambda acme: recommendation.BatchRecommendRequest(customer_ids=[acme.customer_id]),
        lambda found: any(each.item_id.startswith(ACME) for each in found.recommendations[0].items),
    ),
    "FindSimilarItems": Refused(
        lambda acme: recommendation.FindSimilarItemsRequest(item_id=acme.own("milk")), "ITEM_NOT_FOUND"
    ),
    "FindBoughtTogether": Refused(
        lambda acme: recommendation.FindBoughtTogetherRequest(item_id=acme.own("milk")), "ITEM_NOT_FOUND"
    ),
    "TrainModel": Refused(
        lambda acme: recommendation.TrainModelRequest(request_id=acme.own("train")),
        "NO_INTERACTIONS",
        grpc.StatusCode.FAILED_PRECONDITION,
        STRANGER,
    ),
    "GetJob": Refused(lambda acme: recommendation.GetJobRequest(job_id=acme.training_job_id), "JOB_NOT_FOUND"),
    "FollowJob": Stream(lambda acme: recommendation.FollowJobRequest(job_id=acme.training_job_id)),
    "ListJobs": Without(lambda acme: recommendation.ListJobsRequest()),
    "ListModels": Without(lambda acme: recommendation.ListModelsRequest()),
    "ExportCustomerData": Stream(
        lambda acme: recommendation_personal_data.ExportCustomerDataRequest(customer_id=acme.customer_id)
    ),
    "RollbackModel": Refused(
        lambda acme: recommendation.RollbackModelRequest(request_id="back", model_version=acme.model_version),
        "MODEL_NOT_FOUND",
    ),
    "GetStatus": Figure(
        lambda acme: recommendation.GetStatusRequest(), lambda found: found.interaction_count + found.item_count
    ),
}

FORECASTING: dict[str, Rule] = {
    "GetStatus": Figure(
        lambda acme: forecasting.GetStatusRequest(), lambda found: found.order_count + found.line_count
    ),
    "GetSeries": Without(
        lambda acme: forecasting.GetSeriesRequest(
            measure=series_pb2.MEASURE_SALES,
            dimension=series_pb2.DIMENSION_CATEGORY,
            values=[acme.own("food")],
            granularity=series_pb2.GRANULARITY_DAY,
        ),
        lambda found: any(point.value for series in found.series for point in series.points),
    ),
    "ListCategories": Without(lambda acme: forecasting.ListCategoriesRequest()),
    "FitForecasts": Beside(
        lambda acme: forecasting.FitForecastsRequest(request_id=acme.own("fit"), specs=[acme.spec(), acme.spec()]),
        ("ListForecasts", lambda acme: forecasting.ListForecastsRequest()),
    ),
    "GetJob": Refused(lambda acme: forecasting.GetJobRequest(job_id=acme.fitting_job_id), "JOB_NOT_FOUND"),
    "FollowJob": Stream(lambda acme: forecasting.FollowJobRequest(job_id=acme.fitting_job_id)),
    "ListJobs": Without(lambda acme: forecasting.ListJobsRequest()),
    "GetForecast": Refused(
        lambda acme: forecasting.GetForecastRequest(key=acme.forecast_key()),
        "NOTHING_TO_FORECAST",
        grpc.StatusCode.FAILED_PRECONDITION,
    ),
    "BatchGetForecasts": Without(
        lambda acme: forecasting.BatchGetForecastsRequest(keys=[acme.forecast_key()]),
        lambda found: any(each.HasField("forecast") for each in found.answers),
    ),
    "ListForecasts": Without(lambda acme: forecasting.ListForecastsRequest()),
    "FitCustomerModel": Refused(
        lambda acme: forecasting.FitCustomerModelRequest(request_id=acme.own("customers")),
        "TOO_FEW_REPEAT_CUSTOMERS",
        grpc.StatusCode.FAILED_PRECONDITION,
        STRANGER,
    ),
    "GetCustomerModel": Refused(
        lambda acme: forecasting.GetCustomerModelRequest(), "CUSTOMER_MODEL_NOT_FOUND", who=STRANGER
    ),
    "MonitorCustomerModel": Refused(
        lambda acme: forecasting.MonitorCustomerModelRequest(), "CUSTOMER_MODEL_NOT_FOUND", who=STRANGER
    ),
    "GetCustomerPrediction": Refused(
        lambda acme: forecasting.GetCustomerPredictionRequest(customer_id=acme.customer_id),
        "CUSTOMER_PREDICTION_NOT_FOUND",
    ),
    "BatchGetCustomerPredictions": Without(
        lambda acme: forecasting.BatchGetCustomerPredictionsRequest(customer_ids=[acme.customer_id])
    ),
    "ListCustomerPredictions": Without(lambda acme: forecasting.ListCustomerPredictionsRequest()),
    "FitPropensityModel": Refused(
        lambda acme: acme.likely(), "TOO_LITTLE_HISTORY", grpc.StatusCode.FAILED_PRECONDITION, STRANGER
    ),
    "GetPropensityModel": Refused(
        lambda acme: propensity.GetPropensityModelRequest(model_id=acme.own("weekly")), "PROPENSITY_MODEL_NOT_FOUND"
    ),
    "ListPropensityModels": Without(lambda acme: propensity.ListPropensityModelsRequest()),
    "DeletePropensityModel": Beside(
        lambda acme: propensity.DeletePropensityModelRequest(model_id=acme.own("weekly")),
        ("ListPropensityModels", lambda acme: propensity.ListPropensityModelsRequest()),
    ),
    "ListPropensities": Refused(
        lambda acme: propensity.ListPropensitiesRequest(model_id=acme.own("weekly")), "PROPENSITY_MODEL_NOT_FOUND"
    ),
    "BatchGetPropensities": Without(
        lambda acme: propensity.BatchGetPropensitiesRequest(customer_ids=[acme.customer_id])
    ),
    "MonitorPropensityModel": Refused(
        lambda acme: propensity.MonitorPropensityModelRequest(model_id=acme.own("past")), "PROPENSITY_MODEL_NOT_FOUND"
    ),
    "FitCategoryPreferences": Refused(
        lambda acme: acme.preferring(), "TOO_LITTLE_HISTORY", grpc.StatusCode.FAILED_PRECONDITION, STRANGER
    ),
    "GetCategoryPreferenceModel": Refused(
        lambda acme: preference.GetCategoryPreferenceModelRequest(),
        "CATEGORY_PREFERENCE_MODEL_NOT_FOUND",
        who=STRANGER,
    ),
    "ListCategoryPreferences": Without(lambda acme: preference.ListCategoryPreferencesRequest()),
    "BatchGetCategoryPreferences": Without(
        lambda acme: preference.BatchGetCategoryPreferencesRequest(customer_ids=acme.regular_ids)
    ),
    "ListCategoryPreferenceModels": Without(lambda acme: preference.ListCategoryPreferenceModelsRequest()),
    "MonitorCategoryPreferences": Refused(
        lambda acme: preference.MonitorCategoryPreferencesRequest(),
        "CATEGORY_PREFERENCE_MODEL_NOT_FOUND",
        who=STRANGER,
    ),
    "DeleteCategoryPreferenceModel": Beside(
        lambda acme: preference.DeleteCategoryPreferenceModelRequest(request_id=acme.own("disliked")),
        ("GetCategoryPreferenceModel", lambda acme: preference.GetCategoryPreferenceModelRequest()),
    ),
    "GetElasticities": Without(
        lambda acme: elasticity.GetElasticitiesRequest(
            dimension=series_pb2.DIMENSION_PRODUCT,
            values=[acme.own("milk")],
            granularity=series_pb2.GRANULARITY_DAY,
        )
    ),
    "RecordTreatments": Beside(
        lambda acme: acme.treated(),
        ("ListUpliftExperiments", lambda acme: uplift.ListUpliftExperimentsRequest()),
    ),
    "ListUpliftExperiments": Without(lambda acme: uplift.ListUpliftExperimentsRequest()),
    "DeleteUpliftExperiment": Beside(
        lambda acme: uplift.DeleteUpliftExperimentRequest(experiment_id=acme.own("mailing")),
        ("ListUpliftExperiments", lambda acme: uplift.ListUpliftExperimentsRequest()),
    ),
    "FitUpliftModel": Refused(lambda acme: acme.gained(), "EXPERIMENT_NOT_FOUND", who=STRANGER),
    "GetUpliftModel": Refused(
        lambda acme: uplift.GetUpliftModelRequest(model_id=acme.own("mailed")), "UPLIFT_MODEL_NOT_FOUND"
    ),
    "ListUpliftModels": Without(lambda acme: uplift.ListUpliftModelsRequest()),
    "DeleteUpliftModel": Beside(
        lambda acme: uplift.DeleteUpliftModelRequest(model_id=acme.own("mailed")),
        ("ListUpliftModels", lambda acme: uplift.ListUpliftModelsRequest()),
    ),
    "ListUplifts": Refused(
        lambda acme: uplift.ListUpliftsRequest(model_id=acme.own("mailed")), "UPLIFT_MODEL_NOT_FOUND"
    ),
    "BatchGetUplifts": Without(lambda acme: uplift.BatchGetUpliftsRequest(customer_ids=acme.regular_ids)),
    "FollowPredictions": Feed(forecasting.FollowPredictionsRequest(), lambda batch: [*batch.changes, *batch.models]),
    "RecordSpend": Beside(
        lambda acme: media_mix.RecordSpendRequest(request_id=acme.own("spend"), spend=[acme.spend()]),
        ("ListSpendChannels", lambda acme: media_mix.ListSpendChannelsRequest()),
    ),
    "PutDriver": Beside(lambda acme: acme.driver(), ("ListDrivers", lambda acme: drivers.ListDriversRequest())),
    "DeleteDriver": Beside(
        lambda acme: drivers.DeleteDriverRequest(name=acme.driver().name),
        ("ListDrivers", lambda acme: drivers.ListDriversRequest()),
    ),
    "ListDrivers": Without(
        lambda acme: drivers.ListDriversRequest(), lambda found: any("acme" in it.name for it in found.drivers)
    ),
    "RecordDriverValues": Refused(lambda acme: acme.driver_values(), "DRIVER_NOT_FOUND"),
    "ListDriverValues": Refused(
        lambda acme: drivers.ListDriverValuesRequest(
            driver=acme.driver().name,
            dimension=series_pb2.DIMENSION_TOTAL,
            first_date="2026-01-01",
            last_date="2026-12-31",
        ),
        "DRIVER_NOT_FOUND",
    ),
    "PutHolidayCalendar": Beside(
        lambda acme: acme.holidays(), ("GetHolidayCalendar", lambda acme: drivers.GetHolidayCalendarRequest())
    ),
    "GetHolidayCalendar": Without(lambda acme: drivers.GetHolidayCalendarRequest(year=2026)),
    "WhatIf": Refused(
        lambda acme: forecasting.WhatIfRequest(
            key=acme.forecast_key(), changes=[drivers.DriverChange(driver=acme.driver().name, set_to=1)]
        ),
        "NOTHING_TO_FORECAST",
        grpc.StatusCode.FAILED_PRECONDITION,
    ),
    "ListSpendChannels": Without(lambda acme: media_mix.ListSpendChannelsRequest()),
    "DetectAnomalies": Without(
        lambda acme: demand.DetectAnomaliesRequest(
            measure=series_pb2.MEASURE_UNITS,
            dimension=series_pb2.DIMENSION_PRODUCT,
            values=[acme.own("milk")],
            granularity=series_pb2.GRANULARITY_DAY,
            period_count=10,
        ),
        lambda found: found.series_count,
    ),
    "PlanReorder": Without(
        lambda acme: demand.PlanReorderRequest(
            items=[demand.StockItem(product_id=acme.own("milk"), on_hand=1, lead_time_days=2)]
        ),
        lambda found: any(line.daily_demand for line in found.lines),
    ),
    "CreateGoal": Beside(
        lambda acme: acme.goal(),
        ("ListGoals", lambda acme: demand.ListGoalsRequest()),
    ),
    "DeleteGoal": Beside(
        lambda acme: demand.DeleteGoalRequest(goal_id=acme.goal_id),
        ("ListGoals", lambda acme: demand.ListGoalsRequest()),
    ),
    "ListGoals": Without(lambda acme: demand.ListGoalsRequest()),
    "FitMediaMix": Refused(
        lambda acme: media_mix.FitMediaMixRequest(request_id=acme.own("mix"), daily=True),
        "TOO_LITTLE_SPEND",
        grpc.StatusCode.FAILED_PRECONDITION,
        STRANGER,
    ),
    "GetMediaMix": Refused(lambda acme: media_mix.GetMediaMixRequest(), "MEDIA_MIX_NOT_FOUND", who=STRANGER),
    "ExportCustomerData": Stream(
        lambda acme: forecasting_personal_data.ExportCustomerDataRequest(customer_id=acme.customer_id)
    ),
    "PlanBudget": Refused(
        lambda acme: media_mix.PlanBudgetRequest(period_count=4, target_marginal_roi=1),
        "MEDIA_MIX_NOT_FOUND",
        who=STRANGER,
    ),
}

IN_ACMES_CLUB = "PROGRAM_NOT_FOUND"
GIFT = earning.EarningRuleDefinition(
    name="Gift", trigger=earning.EARNING_TRIGGER_ORDER, effect=earning.EarningEffect(fixed_points=1)
)
SALE = earning.EarningOrder(order_id="o1", currency="USD", total_minor=100)
LOYALTY: dict[str, Rule] = {
    "CreateProgram": Beside(
        lambda acme: loyalty.CreateProgramRequest(
            program_id=acme.own("club"), name="Theirs", currency="EUR", points_per_100_minor=9, request_id="p"
        ),
        ("GetProgram", lambda acme: loyalty.GetProgramRequest(program_id=acme.own("club"))),
    ),
    "GetProgram": Refused(lambda acme: loyalty.GetProgramRequest(program_id=acme.own("club")), IN_ACMES_CLUB),
    "ListPrograms": Without(lambda acme: loyalty.ListProgramsRequest()),
    "EarnPoints": Refused(
        lambda acme: loyalty.EarnPointsRequest(
            program_id=acme.own("club"), member_id=acme.customer_id, points=1, request_id="e"
        ),
        IN_ACMES_CLUB,
    ),
    "BurnPoints": Refused(
        lambda acme: loyalty.BurnPointsRequest(
            program_id=acme.own("club"), member_id=acme.customer_id, points=1, request_id="b"
        ),
        IN_ACMES_CLUB,
    ),
    "PostPending": Refused(
        lambda acme: loyalty.PostPendingRequest(program_id=acme.own("club"), order_id="o1", request_id="n"),
        IN_ACMES_CLUB,
    ),
    "VoidPending": Refused(
        lambda acme: loyalty.VoidPendingRequest(program_id=acme.own("club"), order_id="o1", request_id="v"),
        IN_ACMES_CLUB,
    ),
    "RefundOrder": Refused(
        lambda acme: loyalty.RefundOrderRequest(program_id=acme.own("club"), order_id="o1", request_id="f"),
        IN_ACMES_CLUB,
    ),
    "GetMember": Refused(
        lambda acme: loyalty.GetMemberRequest(program_id=acme.own("club"), member_id=acme.customer_id), IN_ACMES_CLUB
    ),
    "BatchGetMembers": Refused(
        lambda acme: loyalty.BatchGetMembersRequest(program_id=acme.own("club"), member_ids=[acme.customer_id]),
        IN_ACMES_CLUB,
    ),
    "ListEntries": Without(
        lambda acme: loyalty.ListEntriesRequest(program_id=acme.own("club"), member_id=acme.customer_id),
        lambda found: found.entries,
    ),
    "CreateReward": Refused(
        lambda acme: loyalty.CreateRewardRequest(
            program_id=acme.own("club"), reward_id="cap", name="Cap", cost_points=1, request_id="c"
        ),
        IN_ACMES_CLUB,
    ),
    "ListRewards": Without(
        lambda acme: loyalty.ListRewardsRequest(program_id=acme.own("club")), lambda found: found.rewards
    ),
    "RedeemReward": Refused(
        lambda acme: loyalty.RedeemRewardRequest(
            program_id=acme.own("club"), member_id=acme.customer_id, reward_id=acme.own("mug"), request_id="d"
        ),
        IN_ACMES_CLUB,
    ),
    "ExpirePoints": Refused(
        lambda acme: loyalty.ExpirePointsRequest(program_id=acme.own("club"), request_id="x"), IN_ACMES_CLUB
    ),
    "CreateEarningRule": Refused(
        lambda acme: earning.CreateEarningRuleRequest(
            program_id=acme.own("club"), rule_id="r", definition=GIFT, request_id="k"
        ),
        IN_ACMES_CLUB,
    ),
    "UpdateEarningRule": Refused(
        lambda acme: earning.UpdateEarningRuleRequest(
            program_id=acme.own("club"), rule_id="r", definition=GIFT, version=1, request_id="l"
        ),
        IN_ACMES_CLUB,
    ),
    "ListEarningRules": Refused(
        lambda acme: earning.ListEarningRulesRequest(program_id=acme.own("club")), IN_ACMES_CLUB
    ),
    "ListEarningRuleVersions": Refused(
        lambda acme: earning.ListEarningRuleVersionsRequest(program_id=acme.own("club"), rule_id="r"), IN_ACMES_CLUB
    ),
    "SetEarningLimits": Refused(
        lambda acme: earning.SetEarningLimitsRequest(program_id=acme.own("club"), request_id="m"), IN_ACMES_CLUB
    ),
    "GetEarningLimits": Refused(
        lambda acme: earning.GetEarningLimitsRequest(program_id=acme.own("club")), IN_ACMES_CLUB
    ),
    "EarnByRules": Refused(
        lambda acme: earning.EarnByRulesRequest(
            program_id=acme.own("club"), member_id=acme.customer_id, order=SALE, request_id="s"
        ),
        IN_ACMES_CLUB,
    ),
    "SimulateEarning": Refused(
        lambda acme: earning.SimulateEarningRequest(
            program_id=acme.own("club"), member_id=acme.customer_id, order=SALE
        ),
        IN_ACMES_CLUB,
    ),
    "CheckLedger": Figure(lambda acme: loyalty.CheckLedgerRequest(), lambda found: found.entry_count),
    "GetStatus": Figure(
        lambda acme: loyalty.GetStatusRequest(), lambda found: found.entry_count + found.earned_order_count
    ),
    "BatchMovePoints": Without(
        lambda acme: loyalty_batch.BatchMovePointsRequest(
            movements=[
                loyalty_batch.PointsMovement(
                    kind=loyalty_batch.MOVEMENT_KIND_EARN,
                    program_id=acme.own("club"),
                    member_id=acme.customer_id,
                    points=1,
                    request_id="batch",
                )
            ]
        ),
        lambda answer: answer.results[0].entry_id,
    ),
    "ExportCustomerData": Stream(
        lambda acme: loyalty_personal_data.ExportCustomerDataRequest(customer_id=acme.customer_id)
    ),
    "FollowEntries": Feed(loyalty.FollowEntriesRequest(), lambda batch: batch.entries),
}

CRM: dict[str, Rule] = {
    "CreateTemplate": Beside(
        lambda acme: crm.CreateTemplateRequest(
            name=acme.own("letter"), content=crm.Content(subject="Theirs", text="Hello")
        ),
        ("ListTemplates", lambda acme: crm.ListTemplatesRequest()),
    ),
    "Unsubscribe": Refused(
        lambda acme: unsubscribe.UnsubscribeRequest(token=token_of(bytes(32), acme.tenant, "m1")),
        "UNSUBSCRIBE_LINK_UNKNOWN",
    ),
    "GetTemplate": Refused(lambda acme: crm.GetTemplateRequest(template_id=acme.template_id), "TEMPLATE_NOT_FOUND"),
    "BatchGetTemplates": Without(
        lambda acme: crm.BatchGetTemplatesRequest(template_ids=[acme.template_id]), lambda found: found.templates
    ),
    "ListTemplates": Without(lambda acme: crm.ListTemplatesRequest()),
    "UpdateTemplate": Refused(
        lambda acme: crm.UpdateTemplateRequest(
            template_id=acme.template_id, name="Mine", content=crm.Content(subject="Mine")
        ),
        "TEMPLATE_NOT_FOUND",
    ),
    "PreviewTemplate": Refused(
        lambda acme: crm.PreviewTemplateRequest(template_id=acme.template_id, customer_id=acme.customer_id),
        "TEMPLATE_NOT_FOUND",
    ),
    "CreateCampaign": Refused(
        lambda acme: crm.CreateCampaignRequest(
            name="Theirs",
            channel=crm.CHANNEL_EMAIL,
            segment_id=acme.segment_id,
            template_id=acme.template_id,
            sender=crm.Sender(address="shop@example.com"),
        ),
        "TEMPLATE_NOT_FOUND",
    ),
    "GetCampaign": Refused(lambda acme: crm.GetCampaignRequest(campaign_id=acme.campaign_id), "CAMPAIGN_NOT_FOUND"),
    "BatchGetCampaigns": Without(
        lambda acme: crm.BatchGetCampaignsRequest(campaign_ids=[acme.campaign_id]), lambda found: found.campaigns
    ),
    "ListCampaigns": Without(lambda acme: crm.ListCampaignsRequest()),
    "StartCampaign": Refused(lambda acme: crm.StartCampaignRequest(campaign_id=acme.campaign_id), "CAMPAIGN_NOT_FOUND"),
    "PauseCampaign": Refused(lambda acme: crm.PauseCampaignRequest(campaign_id=acme.campaign_id), "CAMPAIGN_NOT_FOUND"),
    "CancelCampaign": Refused(
        lambda acme: crm.CancelCampaignRequest(campaign_id=acme.campaign_id), "CAMPAIGN_NOT_FOUND"
    ),
    "ListMessages": Without(
        lambda acme: crm.ListMessagesRequest(campaign_id=acme.campaign_id), lambda found: found.messages
    ),
    "BatchGetCustomerMessages": Without(
        lambda acme: crm.BatchGetCustomerMessagesRequest(customer_ids=[acme.customer_id]),
        lambda found: any(each.messages for each in found.customers),
    ),
    "ExportCustomerData": Stream(lambda acme: crm_privacy.ExportCustomerDataRequest(customer_id=acme.customer_id)),
    "FollowMessages": Feed(crm.FollowMessagesRequest(), lambda batch: batch.events),
}

TABLES = {
    "profiles": PROFILES,
    "segmentation": SEGMENTATION,
    "recommendation": RECOMMENDATION | SHELVES,
    "forecasting": FORECASTING,
    "loyalty": LOYALTY | PROMOTIONS | PRICING | CLUB | REPORTS,
    "crm": CRM,
}
RULES = {f"{service}.{rpc}": rule for service, table in TABLES.items() for rpc, rule in table.items()}
