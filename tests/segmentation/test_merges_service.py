"""A merge in a real profiles moves members of segments, and taking it back brings them back exactly, over gRPC."""

from tessera.profiles.v1 import merge_pb2
from tessera.segmentation.v1 import segmentation_service_pb2 as pb

from services.common.rules import AllOf, Not, Rule, SegmentCondition
from tests.segmentation.platform import Platform, identified, ordered
from tests.segmentation.test_service import BUYERS, ROMANS, SPENT


async def members(platform: Platform, segment_id: str) -> dict[str, int]:
    """The members, each with the time of entering."""
    request = pb.ListMembersRequest(segment_id=segment_id)
    page = await platform.segmentation.ListMembers(request, metadata=platform.metadata)
    return {each.customer_id: each.enter_time.ToMicroseconds() for each in page.members}


async def test_a_merge_moves_members_and_an_unmerge_brings_them_back_exactly(platform: Platform) -> None:
    rules: dict[str, Rule] = {
        "buyers": BUYERS,
        "spent": SPENT,
        "romans": ROMANS,
        "rich romans": AllOf((ROMANS, SPENT)),
    }
    made = {name: (await platform.create(name, rule)).segment_id for name, rule in rules.items()}
    made["others"] = (await platform.create("others", Not(SegmentCondition(made["buyers"])))).segment_id
    await platform.send(
        identified("ann", city="Rome"),
        ordered("ann", 3, 60),
        ordered("bob", 2, 60),
        identified("eve", city="Graz"),
        identified("mute", city="Rome"),
    )
    ann, bob, eve, mute = [await platform.customer_id(name) for name in ("ann", "bob", "eve", "mute")]

    async def now() -> dict[str, set[str]]:
        return {name: set(await members(platform, segment_id)) for name, segment_id in made.items()}

    before = {
        "buyers": {ann, bob},
        "spent": set(),
        "romans": {ann, mute},
        "rich romans": set(),
        "others": {eve, mute},
    }
    assert await now() == before
    kept = {name: (await members(platform, segment_id)).get(eve) for name, segment_id in made.items()}
    merge = merge_pb2.MergeCustomersRequest(
        request_id="merge", customer_id=ann, merged_customer_ids=[bob, mute], reason="the same person"
    )
    merges = (await platform.source.MergeCustomers(merge, metadata=platform.metadata)).merges
    await platform.caught_up()
    assert await now() == {
        "buyers": {ann},
        "spent": {ann},
        "romans": {ann},
        "rich romans": {ann},
        "others": {eve},
    }
    for each in reversed(merges):
        unmerge = merge_pb2.UnmergeCustomerRequest(
            request_id=f"un{each.merge_id}", merge_id=each.merge_id, reason="they are not"
        )
        await platform.source.UnmergeCustomer(unmerge, metadata=platform.metadata)
    await platform.caught_up()
    assert await now() == before
    assert {name: (await members(platform, it)).get(eve) for name, it in made.items()} == kept, "nobody else moved"
    assert await platform.transitions(2, segment_ids=[made["spent"]]) == [
        (ann, made["spent"], pb.TRANSITION_ENTERED),
        (ann, made["spent"], pb.TRANSITION_LEFT),
    ]
