"""gRPC in, use case, gRPC out."""

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import rule_pb2
from tessera.segmentation.v1 import segmentation_service_pb2 as pb

from services.common.auth import ALL_TENANTS, principal
from services.common.idempotency import fingerprint
from services.common.rules import Rule, text, wire
from services.segmentation.domain.explanation import NodeExplanation, SubjectMissing
from services.segmentation.domain.history import Calculation, Difference, SegmentVersion
from services.segmentation.domain.segment import Segment
from services.segmentation.handlers.compare_segment_versions import compare_segment_versions
from services.segmentation.handlers.create_segment import create_segment
from services.segmentation.handlers.delete_segment import delete_segment
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.explain_membership import explain_membership
from services.segmentation.handlers.get_segment import get_segment
from services.segmentation.handlers.get_segment_overlap import get_segment_overlap
from services.segmentation.handlers.list_dependents import list_dependents
from services.segmentation.handlers.list_segment_versions import list_segment_versions
from services.segmentation.handlers.preview_segment import preview_segment
from services.segmentation.handlers.refresh_segment import refresh_segment
from services.segmentation.handlers.update_segment import update_segment
from services.segmentation.ports import MembershipChange, Request
from services.segmentation.servicer.associations import AssociationRpcs
from services.segmentation.servicer.context import Context
from services.segmentation.servicer.destinations import DestinationRpcs
from services.segmentation.servicer.funnels import FunnelRpcs
from services.segmentation.servicer.growth import GrowthRpcs
from services.segmentation.servicer.lists import ListRpcs
from services.segmentation.servicer.member_files import MemberFileRpcs
from services.segmentation.servicer.paths import PathRpcs
from services.segmentation.servicer.personal_data import PersonalDataRpcs
from services.segmentation.servicer.rfm import RfmRpcs
from services.segmentation.servicer.rule_texts import RuleTextRpcs, rule_of
from services.segmentation.servicer.saved_segments import SavedSegmentRpcs
from services.segmentation.servicer.segment_copies import SegmentCopyRpcs
from services.segmentation.servicer.segment_values import SegmentValueRpcs
from services.segmentation.servicer.studies import StudyRpcs

PAGE_SIZE_DEFAULT = 100


@dataclass(frozen=True, kw_only=True)
class SegmentationServicer(
    RuleTextRpcs,
    RfmRpcs,
    FunnelRpcs,
    GrowthRpcs,
    AssociationRpcs,
    ListRpcs,
    PersonalDataRpcs,
    StudyRpcs,
    SegmentValueRpcs,
    MemberFileRpcs,
    DestinationRpcs,
    SavedSegmentRpcs,
    PathRpcs,
    SegmentCopyRpcs,
):
    """Answers ``tessera.segmentation.v1.SegmentationService``."""

    evaluation: Evaluation
    settled: Callable[[], bool]
    """Whether the evaluation has heard of everything that was applied."""

    async def CreateSegment(self, request: pb.CreateSegmentRequest, context: Context) -> pb.CreateSegmentResponse:
        segment = await create_segment(
            self.segments,
            self.evaluation,
            self.analytics,
            self.clock,
            _new_id,
            principal().tenant,
            _request(request, request.request_id),
            request.name,
            request.description,
            rule_of(request),
        )
        return pb.CreateSegmentResponse(segment=await self._segment(segment))

    async def GetSegment(self, request: pb.GetSegmentRequest, context: Context) -> pb.GetSegmentResponse:
        segment = await get_segment(self.segments, principal().tenant, request.segment_id)
        return pb.GetSegmentResponse(segment=await self._segment(segment))

    async def BatchGetSegments(
        self, request: pb.BatchGetSegmentsRequest, context: Context
    ) -> pb.BatchGetSegmentsResponse:
        found = await self.segments.many(principal().tenant, list(dict.fromkeys(request.segment_ids)))
        return pb.BatchGetSegmentsResponse(
            segments=[await self._segment(found[each]) for each in request.segment_ids if each in found]
        )

    async def ListSegments(self, request: pb.ListSegmentsRequest, context: Context) -> pb.ListSegmentsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        segments, token = await self.segments.page(principal().tenant, size, request.page_token)
        return pb.ListSegmentsResponse(
            segments=[await self._segment(segment) for segment in segments], next_page_token=token
        )

    async def UpdateSegment(self, request: pb.UpdateSegmentRequest, context: Context) -> pb.UpdateSegmentResponse:
        segment = await update_segment(
            self.segments,
            self.evaluation,
            self.analytics,
            self.clock,
            principal().tenant,
            _request(request, request.request_id),
            request.segment_id,
            request.name,
            request.description,
            rule_of(request),
            request.version,
        )
        return pb.UpdateSegmentResponse(segment=await self._segment(segment))

    async def DeleteSegment(self, request: pb.DeleteSegmentRequest, context: Context) -> pb.DeleteSegmentResponse:
        named = _request(request, request.request_id)
        destinations = self.destination_desk.destinations
        await delete_segment(
            self.segments, destinations, self.evaluation, principal().tenant, named, request.segment_id
        )
        return pb.DeleteSegmentResponse()

    async def RefreshSegment(self, request: pb.RefreshSegmentRequest, context: Context) -> pb.RefreshSegmentResponse:
        segment = await refresh_segment(self.segments, self.evaluation, principal().tenant, request.segment_id)
        return pb.RefreshSegmentResponse(segment=await self._segment(segment))

    async def PreviewSegment(self, request: pb.PreviewSegmentRequest, context: Context) -> pb.PreviewSegmentResponse:
        preview = await preview_segment(
            self.segments,
            self.analytics,
            self.clock,
            principal().tenant,
            rule_of(request),
            request.sample_size,
            _moment(request),
        )
        return pb.PreviewSegmentResponse(
            size=preview.size,
            customer_count=preview.customer_count,
            customer_ids=preview.sample,
            nodes=[pb.NodeCount(path=path, count=count) for path, count in preview.nodes],
        )

    async def ExplainMembership(
        self, request: pb.ExplainMembershipRequest, context: Context
    ) -> pb.ExplainMembershipResponse:
        subject = _subject(request)
        tenant, at = principal().tenant, _moment(request)
        explained = await explain_membership(
            self.segments, self.analytics, self.clock, tenant, request.customer_id, subject, at
        )
        return pb.ExplainMembershipResponse(
            fulfilled=explained.nodes[0].finding.fulfilled,
            nodes=[_node(node) for node in explained.nodes],
            as_of_time=_timestamp(explained.at),
        )

    async def GetSegmentOverlap(
        self, request: pb.GetSegmentOverlapRequest, context: Context
    ) -> pb.GetSegmentOverlapResponse:
        tenant = principal().tenant
        found = await get_segment_overlap(self.segments, self.memberships, tenant, request.segment_ids)
        return pb.GetSegmentOverlapResponse(
            sizes=[pb.SegmentSize(segment_id=key, member_count=size) for key, size in found.sizes.items()],
            pairs=[
                pb.SegmentPair(segment_id=it.one, other_segment_id=it.other, both_count=it.both, jaccard=it.jaccard)
                for it in found.pairs
            ],
            all_count=found.in_all,
            any_count=found.in_any,
        )

    async def ListDependents(self, request: pb.ListDependentsRequest, context: Context) -> pb.ListDependentsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        found, token = await list_dependents(
            self.segments, principal().tenant, request.segment_id, size, request.page_token
        )
        return pb.ListDependentsResponse(
            dependents=[pb.Dependent(segment_id=key, direct=direct) for key, direct in found], next_page_token=token
        )

    async def ListSegmentVersions(
        self, request: pb.ListSegmentVersionsRequest, context: Context
    ) -> pb.ListSegmentVersionsResponse:
        tenant, size = principal().tenant, request.page_size or PAGE_SIZE_DEFAULT
        found, token = await list_segment_versions(self.segments, tenant, request.segment_id, size, request.page_token)
        return pb.ListSegmentVersionsResponse(versions=map(_version, found), next_page_token=token)

    async def CompareSegmentVersions(
        self, request: pb.CompareSegmentVersionsRequest, context: Context
    ) -> pb.CompareSegmentVersionsResponse:
        found = await compare_segment_versions(
            self.segments, principal().tenant, request.segment_id, request.from_version, request.to_version
        )
        return pb.CompareSegmentVersionsResponse(
            before=_version(found.before),
            after=_version(found.after),
            differences=map(_difference, found.differences),
        )

    async def ListCalculations(
        self, request: pb.ListCalculationsRequest, context: Context
    ) -> pb.ListCalculationsResponse:
        tenant = principal().tenant
        await get_segment(self.segments, tenant, request.segment_id)
        made = await self.memberships.calculations(tenant, request.segment_id)
        return pb.ListCalculationsResponse(calculations=map(_calculation, made))

    async def ListMembers(self, request: pb.ListMembersRequest, context: Context) -> pb.ListMembersResponse:
        tenant, size = principal().tenant, request.page_size or PAGE_SIZE_DEFAULT
        await get_segment(self.segments, tenant, request.segment_id)
        members, token = await self.memberships.members(tenant, request.segment_id, size, request.page_token)
        return pb.ListMembersResponse(
            members=[pb.Member(customer_id=who, enter_time=_timestamp(since)) for who, since in members],
            next_page_token=token,
        )

    async def BatchGetMemberships(
        self, request: pb.BatchGetMembershipsRequest, context: Context
    ) -> pb.BatchGetMembershipsResponse:
        wanted = list(dict.fromkeys(request.customer_ids))
        found = await self.memberships.standings(principal().tenant, wanted)
        return pb.BatchGetMembershipsResponse(
            memberships=[
                pb.Memberships(customer_id=who, segment_ids=sorted(found[who].segments)) for who in request.customer_ids
            ]
        )

    async def FollowMemberships(
        self, request: pb.FollowMembershipsRequest, context: Context
    ) -> AsyncIterator[pb.FollowMembershipsResponse]:
        tenant = principal().tenant
        wanted = frozenset(request.segment_ids)
        after = request.after_cursor
        if request.from_now and not after:
            after = await self.memberships.newest()
            yield pb.FollowMembershipsResponse(cursor=after, caught_up=True)
        async for batch in self.memberships.changes(after, None if tenant == ALL_TENANTS else tenant):
            changes = [_change(change) for change in batch.changes if not wanted or change.segment_id in wanted]
            yield pb.FollowMembershipsResponse(changes=changes, cursor=batch.cursor, caught_up=batch.caught_up)

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        tenant = principal().tenant
        status = await self.analytics.status(tenant)
        return pb.GetStatusResponse(
            applied_cursor=status.applied_cursor,
            event_count=status.event_count,
            memberships_current=self.settled() and self.evaluation.current(tenant),
            predictions_cursor=await self.predictions.cursor(),
        )

    async def _segment(self, segment: Segment) -> pb.Segment:
        census = await self.memberships.census(principal().tenant, segment.segment_id)
        return pb.Segment(
            segment_id=segment.segment_id,
            name=segment.name,
            description=segment.description,
            rule=wire.write(segment.rule),
            rule_text=text.write(segment.rule),
            version=segment.version,
            create_time=_timestamp(segment.create_time),
            update_time=_timestamp(segment.update_time),
            member_count=census.member_count,
            refresh_time=_timestamp(census.refresh_time) if census.refresh_time else None,
        )


def _new_id() -> str:
    return uuid.uuid4().hex


def _request(request: Message, request_id: str) -> Request:
    return Request(request_id, fingerprint(request), principal().subject)


def _subject(request: pb.ExplainMembershipRequest) -> Rule | str:
    if request.HasField("rule"):
        return wire.read(request.rule)
    if not request.segment_id:
        raise SubjectMissing("a segment_id or a rule is needed", field="segment_id")
    return request.segment_id


def _node(node: NodeExplanation) -> pb.NodeExplanation:
    return pb.NodeExplanation(
        path=node.path,
        fulfilled=node.finding.fulfilled,
        found=map(wire.write_value, node.finding.found),
        operator=rule_pb2.Operator.ValueType(node.operator or 0),
        expected=map(wire.write_value, node.expected),
        member_customer_id=node.member,
    )


def _version(version: SegmentVersion) -> pb.SegmentVersion:
    segment = version.segment
    return pb.SegmentVersion(
        version=segment.version,
        name=segment.name,
        description=segment.description,
        rule=wire.write(segment.rule),
        author=version.author,
        update_time=_timestamp(segment.update_time),
    )


def _difference(difference: Difference) -> pb.RuleDifference:
    return pb.RuleDifference(
        path=difference.path,
        before=None if difference.before is None else wire.write(difference.before),
        after=None if difference.after is None else wire.write(difference.after),
    )


def _calculation(made: Calculation) -> pb.Calculation:
    seconds, rest = divmod(made.duration, 1_000_000)
    return pb.Calculation(
        calculate_time=_timestamp(made.time),
        member_count=made.size,
        entered_count=made.entered,
        left_count=made.left,
        duration=Duration(seconds=seconds, nanos=rest * 1000),
        error=made.error,
        slow=made.slow,
    )


def _moment(request: pb.ExplainMembershipRequest | pb.PreviewSegmentRequest) -> int | None:
    if not request.HasField("as_of_time"):
        return None
    return request.as_of_time.seconds * 1_000_000 + request.as_of_time.nanos // 1000


def _timestamp(micros: int) -> Timestamp:
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def _change(change: MembershipChange) -> pb.MembershipChange:
    return pb.MembershipChange(
        tenant_id=change.tenant,
        segment_id=change.segment_id,
        customer_id=change.customer_id,
        transition=pb.TRANSITION_ENTERED if change.entered else pb.TRANSITION_LEFT,
        change_time=_timestamp(change.time),
        cursor=change.cursor,
    )
