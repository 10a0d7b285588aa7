"""The rpcs that keep what was found out about customers: as segments and as files."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import Message
from tessera.segmentation.v1 import member_file_pb2
from tessera.segmentation.v1 import saved_segment_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock
from services.common.idempotency import fingerprint
from services.common.job_messages import to_proto
from services.common.rules import ListCondition
from services.segmentation.domain.lookalike import SHARE_DEFAULT
from services.segmentation.domain.saved_segment import DropOff, LookalikeSource, PersonaSource, Source, SourceMissing
from services.segmentation.handlers.clustering import ClusteringWork
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.export_studies import export_clusters, export_lookalikes
from services.segmentation.handlers.lookalikes import LookalikeWork
from services.segmentation.handlers.save_as_segment import Saving
from services.segmentation.ports import Analytics, Insights, Lists, Request, RowWriter, Segments
from services.segmentation.servicer.context import Context
from services.segmentation.servicer.funnels import funnel_of


class RowFile(Protocol):
    """Opens a new file."""

    def __call__(self, *, parquet: bool) -> RowWriter: ...


@dataclass(frozen=True, kw_only=True)
class SavedSegmentRpcs(SegmentationServiceServicer):
    """Drop-offs, personas and lookalikes as segments; clusters and lookalikes as files."""

    segments: Segments
    lists: Lists
    analytics: Analytics
    insights: Insights
    evaluation: Evaluation
    clustering: ClusteringWork
    lookalikes: LookalikeWork
    clock: Clock
    clusters_file: RowFile
    lookalikes_file: RowFile

    async def SaveAsSegment(self, request: pb.SaveAsSegmentRequest, context: Context) -> pb.SaveAsSegmentResponse:
        saving = Saving(
            self.segments,
            self.lists,
            self.analytics,
            self.insights,
            self.evaluation,
            self.clustering,
            self.lookalikes,
            self.clock,
            lambda: uuid.uuid4().hex,
        )
        named = _named(request, request.request_id)
        made = await saving.save(principal().tenant, named, request.name, request.description, _source(request))
        list_id = made.rule.list_id if isinstance(made.rule, ListCondition) else ""
        return pb.SaveAsSegmentResponse(segment_id=made.segment_id, list_id=list_id)

    async def ReassignClusters(
        self, request: pb.ReassignClustersRequest, context: Context
    ) -> pb.ReassignClustersResponse:
        named = _named(request, request.request_id)
        job = await self.clustering.reassign(principal().tenant, named, request.clustering_id)
        return pb.ReassignClustersResponse(job=to_proto(job))

    async def ExportClusters(
        self, request: pb.ExportClustersRequest, context: Context
    ) -> AsyncIterator[pb.ExportClustersResponse]:
        writer = self.clusters_file(parquet=request.format == member_file_pb2.FILE_FORMAT_PARQUET)
        async for part in export_clusters(self.clustering, writer, principal().tenant, request.clustering_id):
            if part:
                yield pb.ExportClustersResponse(content=part)

    async def ExportLookalikes(
        self, request: pb.ExportLookalikesRequest, context: Context
    ) -> AsyncIterator[pb.ExportLookalikesResponse]:
        writer = self.lookalikes_file(parquet=request.format == member_file_pb2.FILE_FORMAT_PARQUET)
        share = request.share if request.HasField("share") else SHARE_DEFAULT
        tenant = principal().tenant
        async for part in export_lookalikes(self.lookalikes, writer, tenant, request.lookalike_id, share):
            if part:
                yield pb.ExportLookalikesResponse(content=part)


def _source(request: pb.SaveAsSegmentRequest) -> Source:
    match request.WhichOneof("source"):
        case "drop_off":
            return DropOff(funnel_of(request.drop_off.funnel), request.drop_off.step - 1)
        case "persona":
            return PersonaSource(request.persona.clustering_id, request.persona.cluster)
        case "lookalike":
            told = request.lookalike
            return LookalikeSource(told.lookalike_id, told.share if told.HasField("share") else SHARE_DEFAULT)
    raise SourceMissing("say of what: a drop-off, a persona or lookalikes", field="source")


def _named(request: Message, request_id: str) -> Request:
    return Request(request_id, fingerprint(request), principal().subject)
