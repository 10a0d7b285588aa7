"""The rpc of members as files."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Protocol

from tessera.segmentation.v1 import member_file_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common.auth import principal
from services.segmentation.domain.member_column import MemberColumn, MemberHash
from services.segmentation.handlers.export_members import export_members
from services.segmentation.ports import Memberships, RowWriter, Segments
from services.segmentation.ports.trait_values import TraitValues
from services.segmentation.servicer.context import Context


class MembersFile(Protocol):
    """Makes files of members."""

    def __call__(self, names: list[str], *, parquet: bool) -> RowWriter:
        """A new one, with columns of these names beside its own."""
        ...


@dataclass(frozen=True, kw_only=True)
class MemberFileRpcs(SegmentationServiceServicer):
    """Members as files."""

    segments: Segments
    memberships: Memberships
    trait_values: TraitValues
    members_file: MembersFile

    async def ExportMembers(
        self, request: pb.ExportMembersRequest, context: Context
    ) -> AsyncIterator[pb.ExportMembersResponse]:
        columns, parquet = read_columns(request.columns), request.format == pb.FILE_FORMAT_PARQUET
        writer = self.members_file([column.name for column in columns], parquet=parquet)
        tenant = principal().tenant
        async for part in export_members(
            self.segments, self.memberships, self.trait_values, writer, tenant, request.segment_id, columns
        ):
            if part:
                yield pb.ExportMembersResponse(content=part)


def read_columns(told: Iterable[pb.MemberColumn]) -> tuple[MemberColumn, ...]:
    """The columns that a message asks for."""
    return tuple(MemberColumn(each.trait, each.name or each.trait, MemberHash(each.hash)) for each in told)


def write_columns(columns: Iterable[MemberColumn]) -> list[pb.MemberColumn]:
    """The same as messages."""
    return [
        pb.MemberColumn(trait=each.trait, name=each.name, hash=pb.MemberHash.ValueType(each.hash)) for each in columns
    ]
