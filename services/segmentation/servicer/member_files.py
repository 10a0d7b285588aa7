"""The rpc of members as files."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from tessera.segmentation.v1 import member_file_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common.auth import principal
from services.segmentation.handlers.export_members import export_members
from services.segmentation.ports import Memberships, MemberWriter, Segments
from services.segmentation.servicer.context import Context


@dataclass(frozen=True, kw_only=True)
class MemberFileRpcs(SegmentationServiceServicer):
    """Members as files."""

    segments: Segments
    memberships: Memberships
    csv_file: Callable[[], MemberWriter]
    parquet_file: Callable[[], MemberWriter]

    async def ExportMembers(
        self, request: pb.ExportMembersRequest, context: Context
    ) -> AsyncIterator[pb.ExportMembersResponse]:
        writer = self.parquet_file() if request.format == pb.FILE_FORMAT_PARQUET else self.csv_file()
        tenant = principal().tenant
        async for part in export_members(self.segments, self.memberships, writer, tenant, request.segment_id):
            if part:
                yield pb.ExportMembersResponse(content=part)
