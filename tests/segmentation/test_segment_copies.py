"""Copies of segments, and segments as they were."""

from typing import Any

import pytest
from tessera.segmentation.v1 import segment_copy_pb2 as pb
from tessera.segmentation.v1 import segmentation_service_pb2 as segments

from services.common.rules import Comparison, Operator, Rule, wire
from tests.segmentation.platform import Platform, identified
from tests.segmentation.test_service import ROMANS
from tests.segmentation.test_webhooks import reason

BONN = Comparison("city", Operator.EQUALS, ("Bonn",))


async def segment(platform: Platform, segment_id: str) -> segments.Segment:
    request = segments.GetSegmentRequest(segment_id=segment_id)
    return (await platform.segmentation.GetSegment(request, metadata=platform.metadata)).segment


async def copied(platform: Platform, segment_id: str, **more: Any) -> segments.Segment:
    request = pb.CopySegmentRequest(segment_id=segment_id, **more)
    made = await platform.segmentation.CopySegment(request, metadata=platform.metadata)
    return await segment(platform, made.segment_id)


async def updated(platform: Platform, segment_id: str, name: str, rule: Rule) -> None:
    request = segments.UpdateSegmentRequest(segment_id=segment_id, name=name, rule=wire.write(rule))
    await platform.segmentation.UpdateSegment(request, metadata=platform.metadata)


async def test_a_segment_is_copied_and_brought_back_as_it_was(platform: Platform) -> None:
    stub, metadata = platform.segmentation, platform.metadata
    await platform.send(identified("ann", city="Rome"), identified("bob", city="Bonn"))
    ann = await platform.customer_id("ann")
    original = await platform.create("romans", ROMANS, description="of Rome")
    await updated(platform, original.segment_id, "bonners", BONN)

    now = await copied(platform, original.segment_id, request_id="copy")
    assert (now.name, now.rule_text, now.version) == ("bonners (copy)", 'city == "Bonn"', 1)
    assert (await copied(platform, original.segment_id, request_id="copy")).segment_id == now.segment_id
    before = await copied(platform, original.segment_id, version=1, name="As it was")
    assert (before.name, before.description, before.rule) == ("As it was", "of Rome", original.rule)
    await platform.refresh(before.segment_id)
    members = segments.ListMembersRequest(segment_id=before.segment_id)
    assert [it.customer_id for it in (await stub.ListMembers(members, metadata=metadata)).members] == [ann]

    restore = pb.RestoreSegmentVersionRequest(
        request_id="back", segment_id=original.segment_id, version=1, current_version=2
    )
    for _ in range(2):
        assert (await stub.RestoreSegmentVersion(restore, metadata=metadata)).version == 3
    restored = await segment(platform, original.segment_id)
    assert (restored.name, restored.description, restored.rule) == ("romans", "of Rome", original.rule)
    restore.request_id = "again"
    assert await reason(stub.RestoreSegmentVersion(restore, metadata=metadata)) == "SEGMENT_CHANGED"

    delete = segments.DeleteSegmentRequest(segment_id=original.segment_id)
    await stub.DeleteSegment(delete, metadata=metadata)
    assert await reason(copied(platform, original.segment_id)) == "SEGMENT_NOT_FOUND"
    assert await reason(copied(platform, original.segment_id, version=9)) == "SEGMENT_VERSION_NOT_FOUND"
    assert (await copied(platform, original.segment_id, version=3)).name == "romans (copy)"


@pytest.mark.parametrize("name", ["x" * 200, ""])
async def test_a_copy_has_the_name_that_is_asked_for_or_one_that_fits(platform: Platform, name: str) -> None:
    original = await platform.create("n" * 200, ROMANS)
    made = await copied(platform, original.segment_id, name=name)
    assert made.name == (name or "n" * 193 + " (copy)")
