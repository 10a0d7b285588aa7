"""Segmentation over real gRPC, following a real profiles."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.segmentation.v1 import segmentation_service_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.common.grpc_errors import error_info
from services.common.rules import (
    Aggregate,
    AllOf,
    Comparison,
    EventCondition,
    ListCondition,
    Not,
    Operator,
    SegmentCondition,
    TimeWindow,
    wire,
)
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from services.segmentation.app import Settings, serve
from tests.conftest import Keyring
from tests.segmentation.histories import DAY
from tests.segmentation.platform import Platform, at, identified, ordered

if TYPE_CHECKING:
    pass

BUYERS = EventCondition("Order Completed", Aggregate.COUNT, Operator.AT_LEAST, (1,), window=TimeWindow(within=28 * DAY))
SPENT = EventCondition(
    "Order Completed", Aggregate.SUM, Operator.AT_LEAST, (100,), "total", window=TimeWindow(within=28 * DAY)
)
ROMANS = Comparison("city", Operator.EQUALS, ("Rome",))


async def test_events_of_profiles_become_members_and_transitions(platform: Platform) -> None:
    spent = await platform.create("spent", SPENT, description="spent at least 100")
    assert (spent.version, spent.member_count, spent.HasField("refresh_time")) == (1, 0, False)
    lapsed = await platform.create("not spending", Not(SegmentCondition(spent.segment_id)))
    await platform.send(ordered("ann", 3, 60), ordered("bob", 3, 100), ordered("eve", 30, 500))
    await platform.send(ordered("ann", 1, 40))
    ann, bob, eve = [await platform.customer_id(name) for name in ("ann", "bob", "eve")]

    page = await platform.segmentation.ListMembers(
        pb.ListMembersRequest(segment_id=spent.segment_id), metadata=platform.metadata
    )
    assert [it.customer_id for it in page.members] == sorted([ann, bob])
    answer = await platform.segmentation.BatchGetMemberships(
        pb.BatchGetMembershipsRequest(customer_ids=[eve, "nobody", ann]), metadata=platform.metadata
    )
    assert [(it.customer_id, list(it.segment_ids)) for it in answer.memberships] == [
        (eve, [lapsed.segment_id]),
        ("nobody", []),
        (ann, [spent.segment_id]),
    ]
    transitions = await platform.transitions(5)
    assert len(transitions) == 5
    assert [it for it in transitions if it[0] == ann] == [
        (ann, lapsed.segment_id, pb.TRANSITION_ENTERED),
        *sorted(
            [(ann, lapsed.segment_id, pb.TRANSITION_LEFT), (ann, spent.segment_id, pb.TRANSITION_ENTERED)],
            key=lambda it: it[1],
        ),
    ]
    only = await platform.transitions(2, segment_ids=[spent.segment_id])
    assert {(who, what) for who, _, what in only} == {(ann, pb.TRANSITION_ENTERED), (bob, pb.TRANSITION_ENTERED)}


async def test_a_refreshed_segment_tells_its_size(platform: Platform) -> None:
    await platform.send(ordered("ann", 3, 60), ordered("bob", 3, 100))
    segment = await platform.create("buyers", BUYERS)
    refreshed = await platform.refresh(segment.segment_id)
    assert (refreshed.member_count, refreshed.HasField("refresh_time")) == (2, True)
    got = await platform.segmentation.GetSegment(
        pb.GetSegmentRequest(segment_id=segment.segment_id), metadata=platform.metadata
    )
    assert (got.segment.member_count, wire.read(got.segment.rule)) == (2, BUYERS)


async def test_a_preview_shows_sizes_a_sample_and_the_past(platform: Platform) -> None:
    await platform.send(ordered("ann", 3, 60), ordered("bob", 20, 100), identified("ann", city="Rome"))
    rule = wire.write(AllOf((BUYERS, ROMANS)))
    request = pb.PreviewSegmentRequest(rule=rule, sample_size=10)
    preview = await platform.segmentation.PreviewSegment(request, metadata=platform.metadata)
    assert (preview.size, preview.customer_count) == (1, 2)
    assert list(preview.customer_ids) == [await platform.customer_id("ann")]
    assert [(it.path, it.count) for it in preview.nodes] == [
        ("all_of", 1),
        ("all_of.rules[0].event", 2),
        ("all_of.rules[1].field", 1),
    ]
    earlier = pb.PreviewSegmentRequest(rule=wire.write(BUYERS), as_of_time=at(10))
    then = await platform.segmentation.PreviewSegment(earlier, metadata=platform.metadata)
    assert (then.size, then.customer_count) == (1, 1)


async def test_an_explanation_tells_what_each_leaf_found(platform: Platform) -> None:
    await platform.send(ordered("ann", 3, 60), ordered("ann", 2, 27.5), identified("ann", city="Graz"))
    ann = await platform.customer_id("ann")
    segment = await platform.create("rich Romans", AllOf((SPENT, ROMANS)))
    stub, metadata = platform.segmentation, platform.metadata
    request = pb.ExplainMembershipRequest(customer_id=ann, segment_id=segment.segment_id)
    told = await stub.ExplainMembership(request, metadata=metadata)
    assert not told.fulfilled
    assert [(it.path, it.fulfilled, it.operator) for it in told.nodes] == [
        ("all_of", False, 0),
        ("all_of.rules[0].event", False, int(Operator.AT_LEAST)),
        ("all_of.rules[1].field", False, int(Operator.EQUALS)),
    ]
    spent, city = told.nodes[1:]
    assert (spent.found[0].number_value, spent.expected[0].number_value) == (87.5, 100)
    assert (city.found[0].string_value, city.expected[0].string_value) == ("Graz", "Rome")
    named = wire.write(Not(SegmentCondition(segment.segment_id)))
    of_rule = await stub.ExplainMembership(pb.ExplainMembershipRequest(customer_id=ann, rule=named), metadata=metadata)
    assert [(it.path, it.fulfilled, [each.bool_value for each in it.found]) for it in of_rule.nodes] == [
        ("not", True, []),
        ("not.segment", False, [False]),
    ]
    for unanswerable, reason in (
        (pb.ExplainMembershipRequest(customer_id="nobody", segment_id=segment.segment_id), "CUSTOMER_NOT_FOUND"),
        (pb.ExplainMembershipRequest(customer_id=ann, segment_id="no"), "SEGMENT_NOT_FOUND"),
        (pb.ExplainMembershipRequest(customer_id=ann), "SUBJECT_MISSING"),
        (pb.ExplainMembershipRequest(customer_id=ann, rule=named, as_of_time=at(10)), "CUSTOMER_NOT_FOUND"),
    ):
        assert (await refused(stub.ExplainMembership(unanswerable, metadata=metadata)))[1] == reason


async def test_overlap_and_dependents_are_answered(platform: Platform) -> None:
    await platform.send(ordered("ann", 3, 60), ordered("bob", 3, 100))
    buyers = (await platform.create("buyers", BUYERS)).segment_id
    spent = (await platform.create("spent", AllOf((SPENT, SegmentCondition(buyers))))).segment_id
    await platform.refresh(buyers)
    await platform.refresh(spent)
    stub, metadata = platform.segmentation, platform.metadata
    found = await stub.GetSegmentOverlap(pb.GetSegmentOverlapRequest(segment_ids=[buyers, spent]), metadata=metadata)
    assert [(it.segment_id, it.member_count) for it in found.sizes] == [(buyers, 2), (spent, 1)]
    assert [(it.segment_id, it.other_segment_id, it.both_count, it.jaccard) for it in found.pairs] == [
        (buyers, spent, 1, 0.5)
    ]
    assert (found.all_count, found.any_count) == (1, 2)
    listed = await stub.ListDependents(pb.ListDependentsRequest(segment_id=buyers), metadata=metadata)
    assert [(it.segment_id, it.direct) for it in listed.dependents] == [(spent, True)]


async def test_what_a_segment_was_and_how_it_was_calculated_is_answered(platform: Platform) -> None:
    await platform.send(ordered("ann", 3, 60))
    stub, metadata = platform.segmentation, platform.metadata
    segment_id = (await platform.create("buyers", AllOf((BUYERS, ROMANS)))).segment_id
    update = pb.UpdateSegmentRequest(segment_id=segment_id, name="all", rule=wire.write(AllOf((BUYERS,))))
    await stub.UpdateSegment(update, metadata=metadata)
    await platform.refresh(segment_id)
    listed = await stub.ListSegmentVersions(pb.ListSegmentVersionsRequest(segment_id=segment_id), metadata=metadata)
    assert [(it.version, it.name, bool(it.author)) for it in listed.versions] == [(2, "all", True), (1, "buyers", True)]
    compare = pb.CompareSegmentVersionsRequest(segment_id=segment_id, from_version=1, to_version=2)
    found = await stub.CompareSegmentVersions(compare, metadata=metadata)
    assert (found.before, found.after) == (listed.versions[1], listed.versions[0])
    assert [(it.path, wire.read(it.before), it.HasField("after")) for it in found.differences] == [
        ("all_of.rules[1].field", ROMANS, False)
    ]
    made = await stub.ListCalculations(pb.ListCalculationsRequest(segment_id=segment_id), metadata=metadata)
    newest = made.calculations[0]
    assert (newest.member_count, newest.left_count, newest.error) == (1, 0, "")
    assert newest.duration.ToMicroseconds() > 0


async def test_rfm_of_one_of_many_and_in_groups(platform: Platform) -> None:
    await platform.send(ordered("ann", 3.5, 60), ordered("ann", 9, 40.5), ordered("bob", 20.5, 100))
    ann, bob = [await platform.customer_id(name) for name in ("ann", "bob")]
    rfm = (await platform.segmentation.GetRfm(pb.GetRfmRequest(customer_id=ann), metadata=platform.metadata)).rfm
    assert (rfm.recency_days, rfm.frequency, rfm.monetary.amount_minor, rfm.monetary.currency) == (3, 2, 10_050, "USD")
    assert (rfm.cell, rfm.group) == ("333", pb.RFM_GROUP_NEEDS_ATTENTION)
    batch = await platform.segmentation.BatchGetRfm(
        pb.BatchGetRfmRequest(customer_ids=[bob, "nobody", ann], as_of_time=at(10)), metadata=platform.metadata
    )
    assert [(it.customer_id, it.recency_days, it.cell) for it in batch.rfms] == [(bob, 10, "111")]
    summary = await platform.segmentation.GetRfmSummary(pb.GetRfmSummaryRequest(), metadata=platform.metadata)
    assert (len(summary.groups), summary.customer_count, summary.value.amount_minor) == (11, 2, 20_050)
    assert {it.group: it.value.amount_minor for it in summary.groups if it.customer_count} == {
        pb.RFM_GROUP_NEEDS_ATTENTION: 10_050,
        pb.RFM_GROUP_LOST: 10_000,
    }


async def refused(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    info = error_info(error.value)
    assert info is not None
    return error.value.code(), info.reason, dict(info.metadata)


async def test_refusals_say_what_is_wrong_and_where(platform: Platform) -> None:
    stub, metadata = platform.segmentation, platform.metadata
    segment = await platform.create("buyers", BUYERS)
    user = await platform.create("others", Not(SegmentCondition(segment.segment_id)))
    invalid, unknown = AllOf((BUYERS, Comparison("a", Operator.MATCHES, ("(?=x)",)))), Not(ListCondition("vips"))

    code, reason, where = await refused(platform.create("x", invalid))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "RULE_INVALID")
    assert where["path"] == "all_of.rules[1].field.values[0]"
    code, reason, where = await refused(platform.create("x", unknown))
    assert (code, reason, where["list_id"]) == (grpc.StatusCode.NOT_FOUND, "CUSTOMER_LIST_NOT_FOUND", "vips")
    update = pb.UpdateSegmentRequest(
        segment_id=segment.segment_id, name="x", rule=wire.write(SegmentCondition(user.segment_id))
    )
    assert (await refused(stub.UpdateSegment(update, metadata=metadata)))[1] == "RULE_INVALID"
    delete = pb.DeleteSegmentRequest(segment_id=segment.segment_id)
    code, reason, where = await refused(stub.DeleteSegment(delete, metadata=metadata))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SEGMENT_IN_USE")
    assert where == {"used_by": user.segment_id}
    for call in (
        stub.GetSegment(pb.GetSegmentRequest(segment_id="no"), metadata=metadata),
        stub.ListMembers(pb.ListMembersRequest(segment_id="no"), metadata=metadata),
        stub.RefreshSegment(pb.RefreshSegmentRequest(segment_id="no"), metadata=metadata),
        platform.create("x", SegmentCondition("no")),
    ):
        assert (await refused(call))[:2] == (grpc.StatusCode.NOT_FOUND, "SEGMENT_NOT_FOUND")
    code, reason, _ = await refused(stub.GetRfm(pb.GetRfmRequest(customer_id="no"), metadata=metadata))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "RFM_NOT_FOUND")


async def test_a_request_that_is_sent_again_is_answered_as_before(platform: Platform) -> None:
    first = await platform.create("buyers", BUYERS, request_id="r1")
    assert (await platform.create("buyers", BUYERS, request_id="r1")).segment_id == first.segment_id
    code, reason, _ = await refused(platform.create("others", BUYERS, request_id="r1"))
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    delete = pb.DeleteSegmentRequest(segment_id=first.segment_id, request_id="r2")
    for _ in range(2):
        await platform.segmentation.DeleteSegment(delete, metadata=platform.metadata)
    listed = await platform.segmentation.ListSegments(pb.ListSegmentsRequest(), metadata=platform.metadata)
    assert list(listed.segments) == []


async def test_segments_are_listed_in_pages_and_updated_in_place(platform: Platform) -> None:
    created = sorted([(await platform.create(f"s{number}", BUYERS)).segment_id for number in range(3)])
    stub, metadata = platform.segmentation, platform.metadata
    first = await stub.ListSegments(pb.ListSegmentsRequest(page_size=2), metadata=metadata)
    second = await stub.ListSegments(pb.ListSegmentsRequest(page_token=first.next_page_token), metadata=metadata)
    assert [it.segment_id for it in (*first.segments, *second.segments)] == created
    wanted = [created[2], "no", created[0], created[2]]
    batch = await stub.BatchGetSegments(pb.BatchGetSegmentsRequest(segment_ids=wanted), metadata=metadata)
    assert [it.segment_id for it in batch.segments] == [created[2], created[0], created[2]]
    update = pb.UpdateSegmentRequest(segment_id=created[0], name="new", rule=wire.write(ROMANS), version=1)
    updated = (await stub.UpdateSegment(update, metadata=metadata)).segment
    assert (updated.name, updated.version, wire.read(updated.rule)) == ("new", 2, ROMANS)
    code, reason, where = await refused(stub.UpdateSegment(update, metadata=metadata))
    assert (code, reason, where) == (grpc.StatusCode.ABORTED, "SEGMENT_CHANGED", {"version": "2"})


async def test_another_tenant_sees_nothing_and_a_platform_token_follows_all(platform: Platform) -> None:
    segment = await platform.create("buyers", BUYERS)
    await platform.send(ordered("ann", 3, 60))
    stub, other = platform.segmentation, platform.keyring.header("other")
    get = pb.GetSegmentRequest(segment_id=segment.segment_id)
    assert (await refused(stub.GetSegment(get, metadata=other)))[1] == "SEGMENT_NOT_FOUND"
    assert (await stub.GetStatus(pb.GetStatusRequest(), metadata=other)).event_count == 0
    assert (await stub.GetRfmSummary(pb.GetRfmSummaryRequest(), metadata=other)).customer_count == 0
    call = stub.FollowMemberships(pb.FollowMembershipsRequest(), metadata=platform.keyring.header("*"))
    async for batch in call:
        assert [it.tenant_id for it in batch.changes] == ["acme"]
        assert batch.caught_up
        break
    call.cancel()


async def test_everything_is_there_after_a_restart(configure: Callable[..., Any], keyring: Keyring) -> None:
    async with serve_profiles(configure(ProfilesSettings)) as source:
        settings = configure(Settings, profiles_addr=source.address)
        async with grpc.aio.insecure_channel(source.address) as to_profiles:
            stub = ProfilesServiceStub(to_profiles)
            for attempt in range(2):
                async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
                    platform = Platform(stub, SegmentationServiceStub(channel), keyring, keyring.header(), attempt)
                    if attempt == 0:
                        await platform.create("buyers", BUYERS)
                    await platform.send(ordered(f"customer {attempt}", 3, 60))
                    listed = await platform.segmentation.ListSegments(
                        pb.ListSegmentsRequest(), metadata=platform.metadata
                    )
                    assert [it.member_count for it in listed.segments] == [attempt + 1]
                    assert len(await platform.transitions(attempt + 1)) == attempt + 1
