"""How the rpcs of destinations and of saved segments keep tenants apart."""

from collections.abc import Callable
from typing import Any

from tessera.segmentation.v1 import destination_pb2 as destination
from tessera.segmentation.v1 import member_file_pb2 as member_file
from tessera.segmentation.v1 import saved_segment_pb2 as saved
from tessera.segmentation.v1 import segment_copy_pb2 as segment_copy

from tests.contracts.tenant_rule import Refused, Rule, Stream, Without
from tests.tenant import Tenant

EVERYTHING = destination.TransitionPush()


def _refused(make: Callable[..., Any], **more: Any) -> Refused:
    def request(acme: Tenant) -> Any:
        return make(destination_id=acme.destination_id, **more)

    return Refused(request, "DESTINATION_NOT_FOUND")


DESTINATIONS: dict[str, Rule] = {
    "CreateDestination": Refused(
        lambda acme: destination.CreateDestinationRequest(
            name="Theirs",
            url="https://example.com/hook",
            transitions=destination.TransitionPush(segment_ids=[acme.segment_id]),
        ),
        "SEGMENT_NOT_FOUND",
    ),
    "GetDestination": _refused(destination.GetDestinationRequest),
    "ListDestinations": Without(lambda acme: destination.ListDestinationsRequest()),
    "UpdateDestination": _refused(
        destination.UpdateDestinationRequest, name="Mine", url="https://example.com/hook", transitions=EVERYTHING
    ),
    "DeleteDestination": _refused(destination.DeleteDestinationRequest),
    "PauseDestination": _refused(destination.PauseDestinationRequest),
    "ResumeDestination": _refused(destination.ResumeDestinationRequest),
    "RotateDestinationSecret": _refused(destination.RotateDestinationSecretRequest),
    "PushAudience": _refused(destination.PushAudienceRequest),
    "TestDestination": _refused(destination.TestDestinationRequest),
    "ListDeliveries": _refused(destination.ListDeliveriesRequest),
}


SAVED: dict[str, Rule] = {
    "SaveAsSegment": Refused(
        lambda acme: saved.SaveAsSegmentRequest(persona=saved.PersonaSource(clustering_id=acme.clustering_id)),
        "CLUSTERING_NOT_FOUND",
    ),
    "CopySegment": Refused(
        lambda acme: segment_copy.CopySegmentRequest(segment_id=acme.segment_id), "SEGMENT_NOT_FOUND"
    ),
    "RestoreSegmentVersion": Refused(
        lambda acme: segment_copy.RestoreSegmentVersionRequest(segment_id=acme.segment_id, version=1),
        "SEGMENT_VERSION_NOT_FOUND",
    ),
    "ReassignClusters": Refused(
        lambda acme: saved.ReassignClustersRequest(clustering_id=acme.clustering_id), "CLUSTERING_NOT_FOUND"
    ),
    "ExportClusters": Stream(
        lambda acme: saved.ExportClustersRequest(clustering_id=acme.clustering_id, format=member_file.FILE_FORMAT_CSV)
    ),
    "ExportLookalikes": Stream(
        lambda acme: saved.ExportLookalikesRequest(
            lookalike_id=acme.lookalike_id, share=0.1, format=member_file.FILE_FORMAT_CSV
        )
    ),
}
