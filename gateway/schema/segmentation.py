"""Segments, their members and the RFM of customers in the schema."""

from collections.abc import Sequence
from typing import Annotated, Any

import strawberry
from strawberry import Parent
from tessera.common.v1 import rule_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.segmentation.v1 import segmentation_service_pb2 as pb

from gateway.context import Context, Info
from gateway.schema import loaders
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, limited, page
from gateway.schema.forms import input_form
from gateway.schema.node import as_node, own_id
from gateway.schema.profiles import Customer
from gateway.schema.registry import computed, edge, from_proto, input_from_proto, mutation, query
from gateway.schema.scalars import JSON, DateTime

Currency = Annotated[
    str | None, strawberry.argument(description="Only orders in this currency; null: the one with the most orders.")
]
AsOf = Annotated[DateTime | None, strawberry.argument(description="The moment of evaluation; null: now.")]


@from_proto(
    pb.Segment,
    "segment_id",
    "name",
    "description",
    "version",
    "create_time",
    "update_time",
    "member_count",
    "refresh_time",
    "rule_text",
)
class Segment: ...


@from_proto(pb.Member, "customer_id", "enter_time")
class SegmentMember: ...


@from_proto(pb.NodeCount, "path", "count")
class RuleNodeCount: ...


@from_proto(pb.PreviewSegmentResponse, "size", "customer_count", "nodes")
class SegmentPreview: ...


@from_proto(rule_pb2.Value, "string_value", "number_value", "bool_value", "time_value", "duration_value")
class RuleValue: ...


@from_proto(pb.NodeExplanation, "path", "fulfilled", "found", "operator", "expected")
class RuleNodeExplanation: ...


@from_proto(pb.ExplainMembershipResponse, "fulfilled", "nodes", "as_of_time")
class SegmentExplanation: ...


@from_proto(pb.SegmentSize, "segment_id", "member_count")
class SegmentSize: ...


@from_proto(pb.SegmentPair, "segment_id", "other_segment_id", "both_count", "jaccard")
class SegmentPair: ...


@from_proto(pb.GetSegmentOverlapResponse, "sizes", "pairs", "all_count", "any_count")
class SegmentOverlap: ...


@from_proto(pb.Dependent, "segment_id", "direct")
class SegmentDependent: ...


@from_proto(pb.SegmentVersion, "version", "name", "description", "author", "update_time")
class SegmentVersion: ...


@from_proto(pb.RuleDifference, "path")
class RuleDifference: ...


@from_proto(pb.CompareSegmentVersionsResponse, "before", "after", "differences")
class SegmentComparison: ...


@from_proto(
    pb.Calculation, "calculate_time", "member_count", "entered_count", "left_count", "duration", "error", "slow"
)
class SegmentCalculation: ...


@from_proto(
    pb.Rfm,
    "recency_days",
    "frequency",
    "monetary",
    "recency_score",
    "frequency_score",
    "monetary_score",
    "cell",
    "group",
    "as_of_time",
)
class Rfm: ...


@from_proto(pb.RfmGroupSummary, "group", "customer_count", "value")
class RfmGroupSummary: ...


@from_proto(pb.RfmCell, "recency_score", "frequency_score", "group", "customer_count", "value", "monetary_score_mean")
class RfmCell: ...


@input_from_proto(pb.RfmCuts, "recency_days", "frequency", "monetary_minor")
class RfmCutsInput: ...


@from_proto(pb.GetRfmSummaryResponse, "groups", "customer_count", "value", "as_of_time", "cells")
class RfmSummary: ...


@from_proto(pb.GetStatusResponse, "event_count", "memberships_current")
class SegmentationStatus: ...


@input_from_proto(pb.CreateSegmentRequest, "request_id", "name", "description", "rule", "rule_text")
class CreateSegmentInput: ...


@from_proto(pb.CreateSegmentResponse, "segment")
class CreateSegmentPayload: ...


@input_from_proto(
    pb.UpdateSegmentRequest, "request_id", "segment_id", "name", "description", "rule", "rule_text", "version"
)
class UpdateSegmentInput: ...


@from_proto(pb.UpdateSegmentResponse, "segment")
class UpdateSegmentPayload: ...


@input_from_proto(pb.DeleteSegmentRequest, "request_id", "segment_id")
class DeleteSegmentInput: ...


@input_from_proto(pb.RefreshSegmentRequest, "request_id", "segment_id")
class RefreshSegmentInput: ...


@from_proto(pb.RefreshSegmentResponse, "segment")
class RefreshSegmentPayload: ...


@as_node(Segment, pb.Segment, "segment_id", access=by_rpc("segmentation.GetSegment"))
async def _segment(context: Context, segment_id: str) -> pb.Segment | None:
    return await loaders.segment(context, segment_id)


@computed(Segment, JSON)
def rule(segment: pb.Segment) -> dict[str, Any]:
    """Who is in it, in the form of `RuleInput`: whole, however deep, and ready to be sent back."""
    return input_form(segment.rule)


@computed(SegmentVersion, JSON, "rule")
def rule_of_version(version: pb.SegmentVersion) -> dict[str, Any]:
    """Who was in it, in the form of `RuleInput`."""
    return input_form(version.rule)


@computed(RuleDifference, JSON | None)
def before(difference: pb.RuleDifference) -> dict[str, Any] | None:
    """What was there, in the form of `RuleInput`; null if there was no such node."""
    return input_form(difference.before) if difference.HasField("before") else None


@computed(RuleDifference, JSON | None)
def after(difference: pb.RuleDifference) -> dict[str, Any] | None:
    """What is there, in the form of `RuleInput`; null if there is no such node."""
    return input_form(difference.after) if difference.HasField("after") else None


@query(by_rpc("segmentation.GetSegment"))
async def segment(info: Info, id: strawberry.ID) -> pb.Segment | None:
    """One segment; null if there is none."""
    return await loaders.segment(info.context, own_id(Segment, id))


@query(by_rpc("segmentation.ListSegments"))
async def segments(info: Info, first: First = 20, after: After = None) -> Page[pb.Segment]:
    """All segments, by id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Segment], str]:
        request = pb.ListSegmentsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.segmentation.ListSegments(request, metadata=info.context.metadata)
        return answer.segments, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("segmentation.PreviewSegment"))
async def preview_segment(
    info: Info,
    rule: rule_pb2.Rule | None = None,
    rule_text: str | None = None,
    first: First = 20,
    as_of_time: AsOf = None,
) -> pb.PreviewSegmentResponse:
    """Who would be in a segment with this rule, in either of its forms, without storing anything; `customers` shows the
    `first` of them."""
    request = pb.PreviewSegmentRequest(
        rule=rule, rule_text=rule_text or "", sample_size=limited(first), as_of_time=as_of_time
    )
    return await info.context.backends.segmentation.PreviewSegment(request, metadata=info.context.metadata)


@query(by_rpc("segmentation.ExplainMembership"))
async def explain_segment(
    info: Info,
    customer_id: strawberry.ID,
    segment_id: strawberry.ID | None = None,
    rule: rule_pb2.Rule | None = None,
    as_of_time: AsOf = None,
) -> pb.ExplainMembershipResponse:
    """Why a customer is in a segment or is not, or fulfils any rule: the truth of every node, and at every leaf what
    was found and what it was compared with. Null for a customer without any event up to the moment."""
    request = pb.ExplainMembershipRequest(
        customer_id=own_id(Customer, customer_id),
        segment_id=own_id(Segment, segment_id or ""),
        rule=rule,
        as_of_time=as_of_time,
    )
    return await info.context.backends.segmentation.ExplainMembership(request, metadata=info.context.metadata)


@query(by_rpc("segmentation.GetSegmentOverlap"))
async def segment_overlap(info: Info, segment_ids: list[strawberry.ID]) -> pb.GetSegmentOverlapResponse:
    """How many members up to 20 segments share: every pair, all of them, and any of them."""
    request = pb.GetSegmentOverlapRequest(segment_ids=[own_id(Segment, each) for each in segment_ids])
    return await info.context.backends.segmentation.GetSegmentOverlap(request, metadata=info.context.metadata)


@query(by_rpc("segmentation.GetRfmSummary"))
async def rfm_summary(
    info: Info, currency: Currency = None, as_of_time: AsOf = None, cuts: pb.RfmCuts | None = None
) -> pb.GetRfmSummaryResponse:
    request = pb.GetRfmSummaryRequest(currency=currency or "", as_of_time=as_of_time, cuts=cuts)
    return await info.context.backends.segmentation.GetRfmSummary(request, metadata=info.context.metadata)


@query(by_rpc("segmentation.GetStatus"))
async def segmentation_status(info: Info) -> pb.GetStatusResponse:
    request = pb.GetStatusRequest()
    return await info.context.backends.segmentation.GetStatus(request, metadata=info.context.metadata)


@edge(Segment, by_rpc("segmentation.ListMembers"))
async def members(segment: Parent[pb.Segment], info: Info, first: First = 20, after: After = None) -> Page[pb.Member]:
    """Who is in it, by customer id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Member], str]:
        request = pb.ListMembersRequest(segment_id=segment.segment_id, page_size=size, page_token=token)
        answer = await info.context.backends.segmentation.ListMembers(request, metadata=info.context.metadata)
        return answer.members, answer.next_page_token

    return await page(fetch, first, after)


@edge(Segment, by_rpc("segmentation.ListDependents"))
async def dependents(
    segment: Parent[pb.Segment], info: Info, first: First = 20, after: After = None
) -> Page[pb.Dependent]:
    """The segments that depend on it, however indirectly, by id. A direct one blocks its deletion."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Dependent], str]:
        request = pb.ListDependentsRequest(segment_id=segment.segment_id, page_size=size, page_token=token)
        answer = await info.context.backends.segmentation.ListDependents(request, metadata=info.context.metadata)
        return answer.dependents, answer.next_page_token

    return await page(fetch, first, after)


@edge(Segment, by_rpc("segmentation.ListSegmentVersions"))
async def versions(
    segment: Parent[pb.Segment], info: Info, first: First = 20, after: After = None
) -> Page[pb.SegmentVersion]:
    """The definitions that it has had, the newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.SegmentVersion], str]:
        request = pb.ListSegmentVersionsRequest(segment_id=segment.segment_id, page_size=size, page_token=token)
        answer = await info.context.backends.segmentation.ListSegmentVersions(request, metadata=info.context.metadata)
        return answer.versions, answer.next_page_token

    return await page(fetch, first, after)


@edge(Segment, by_rpc("segmentation.CompareSegmentVersions"))
async def comparison(
    segment: Parent[pb.Segment], info: Info, from_version: int, to_version: int
) -> pb.CompareSegmentVersionsResponse:
    """What changed between two of its definitions, node by node; null if it never had one of them."""
    request = pb.CompareSegmentVersionsRequest(
        segment_id=segment.segment_id, from_version=from_version, to_version=to_version
    )
    return await info.context.backends.segmentation.CompareSegmentVersions(request, metadata=info.context.metadata)


@edge(Segment, by_rpc("segmentation.ListCalculations"))
async def calculations(segment: Parent[pb.Segment], info: Info) -> list[pb.Calculation]:
    """Its last evaluations for all customers, the newest first, at most 50."""
    request = pb.ListCalculationsRequest(segment_id=segment.segment_id)
    answer = await info.context.backends.segmentation.ListCalculations(request, metadata=info.context.metadata)
    return list(answer.calculations)


@edge(SegmentDependent, by_rpc("segmentation.BatchGetSegments"), name="segment")
async def segment_of_dependent(dependent: Parent[pb.Dependent], info: Info) -> pb.Segment | None:
    """The segment that depends."""
    return await loaders.segment(info.context, dependent.segment_id)


@edge(SegmentMember, by_rpc("profiles.BatchGetCustomers"), name="customer")
async def customer_of_member(member: Parent[pb.Member], info: Info) -> profiles_pb.Customer | None:
    """The customer."""
    return await loaders.customer(info.context, member.customer_id)


@edge(RuleNodeExplanation, by_rpc("profiles.BatchGetCustomers"), name="member")
async def member_of_explanation(node: Parent[pb.NodeExplanation], info: Info) -> profiles_pb.Customer | None:
    """The member who decided; null of what is not about members, and where there are none."""
    return await loaders.customer(info.context, node.member_customer_id) if node.member_customer_id else None


@edge(SegmentPreview, by_rpc("profiles.BatchGetCustomers"), name="customers")
async def customers_of_preview(preview: Parent[pb.PreviewSegmentResponse], info: Info) -> list[profiles_pb.Customer]:
    """The first customers who fulfil the rule, by id."""
    return await loaders.all_of(loaders.customer(info.context, each) for each in preview.customer_ids)


@edge(Customer, by_rpc("segmentation.BatchGetMemberships"), name="segments")
async def segments_of_customer(customer: Parent[profiles_pb.Customer], info: Info) -> list[pb.Segment]:
    """The segments that the customer is in, by id."""
    found = await loaders.memberships(info.context, customer.customer_id)
    ids = found.segment_ids if found else ()
    return await loaders.all_of(loaders.segment(info.context, each) for each in ids)


@edge(Customer, by_rpc("segmentation.BatchGetRfm"))
async def rfm(customer: Parent[profiles_pb.Customer], info: Info, currency: Currency = None) -> pb.Rfm | None:
    """How recently, how often and for how much the customer buys; null without orders."""
    return await loaders.rfm(info.context, customer.customer_id, currency or "")


@mutation(by_rpc("segmentation.CreateSegment"))
async def create_segment(info: Info, input: pb.CreateSegmentRequest) -> pb.CreateSegmentResponse:
    return await info.context.backends.segmentation.CreateSegment(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.UpdateSegment"))
async def update_segment(info: Info, input: pb.UpdateSegmentRequest) -> pb.UpdateSegmentResponse:
    return await info.context.backends.segmentation.UpdateSegment(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.DeleteSegment"))
async def delete_segment(info: Info, input: pb.DeleteSegmentRequest) -> strawberry.ID:
    """Deletes a segment, which no other segment may name, and answers its own id. Its members leave it first."""
    await info.context.backends.segmentation.DeleteSegment(input, metadata=info.context.metadata)
    return strawberry.ID(input.segment_id)


@mutation(by_rpc("segmentation.RefreshSegment"))
async def refresh_segment(info: Info, input: pb.RefreshSegmentRequest) -> pb.RefreshSegmentResponse:
    return await info.context.backends.segmentation.RefreshSegment(input, metadata=info.context.metadata)
