"""What followers hear of groups: the feed alone tells who is a member, through merges, unmerges and erasures."""

import json
import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tessera.profiles.v1 import group_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.profiles.domain.group import GroupChanges, GroupMembershipChanged
from tests.profiles.client import Client, track
from tests.profiles.test_calls import group
from tests.profiles.test_erasing import erase, on_the_feed, user
from tests.profiles.test_groups import adding, members
from tests.profiles.test_merging import ids, merge, told, unmerging

TRAITS, MEMBERS = "group_traits_changed", "group_membership_changed"


async def feed(client: Client) -> list[pb.Change]:
    found: list[pb.Change] = []
    async for batch in client.follow():
        found += batch.changes
        if batch.caught_up:
            break
    return found


def followed(changes: Iterable[pb.Change]) -> dict[str, set[str]]:
    """The members of each group, as who follows the feed works them out."""
    owners: dict[str, str] = {}
    said: dict[tuple[str, str], tuple[int, bool]] = {}
    for change in changes:
        if change.HasField("customers_merged"):
            merged = change.customers_merged
            owners |= dict.fromkeys(merged.origin_customer_ids, merged.customer_id)
        elif change.HasField("customers_unmerged"):
            parted = change.customers_unmerged
            owners |= dict.fromkeys(parted.origin_customer_ids, parted.restored_customer_id)
        elif change.HasField("customer_erased"):
            gone = set(change.customer_erased.origin_customer_ids)
            said = {key: what for key, what in said.items() if key[1] not in gone}
        elif change.HasField("group_membership_changed"):
            new = change.group_membership_changed
            key, what = (new.group_id, new.origin_customer_id), (new.change_time.ToMicroseconds(), new.member)
            said[key] = max(what, said.get(key, what))
            assert owners.setdefault(new.origin_customer_id, new.customer_id) == new.customer_id
    found: dict[str, set[str]] = defaultdict(set)
    for (group_id, origin), (_, member) in said.items():
        if member:
            found[group_id].add(owners[origin])
    return found


async def assert_followed(client: Client, *groups: str) -> None:
    found = followed(await feed(client))
    assert {each: sorted(found[each]) for each in groups} == {each: await members(client, each) for each in groups}


async def test_a_group_is_told_with_what_is_said_of_it_and_with_who_joins_and_leaves(acme: Client) -> None:
    await acme.ingest(group("g1", "ann", "home", at=20, type="household", city="Lyon"), track("m", "bob"))
    await acme.ingest(group("g2", "ann", "home", at=10, city="Paris"), group("g3", "ann", "home", at=30))
    ann, bob = await ids(acme, "ann", "bob")
    add = adding("home", bob, request_id="r", city=None)
    await acme.call("AddGroupMembers", add)
    await acme.call("AddGroupMembers", add)
    await acme.call(
        "RemoveGroupMembers", group_pb2.RemoveGroupMembersRequest(group_id="home", member_customer_ids=[ann])
    )
    said = [(it.group_id, json.loads(it.traits_json)) for it in await told(acme, TRAITS)]
    assert said == [
        ("home", {"type": "household", "city": "Lyon"}),
        ("home", {"city": "Paris"}),
        ("home", {"city": None}),
    ]
    heard: list[Any] = list(await told(acme, MEMBERS))
    # At 20 and, late, at 10: that ann is a member at 30 is no news.
    assert [(it.customer_id, it.member) for it in heard] == [(ann, True), (ann, True), (bob, True), (ann, False)]
    assert [it.change_time.seconds for it in heard[:2]] == [20, 10]
    assert heard[3].change_time.ToMicroseconds() > 30_000_000
    await assert_followed(acme, "home")


async def test_a_group_without_traits_and_without_members_is_told_once(acme: Client) -> None:
    await acme.ingest(group("g1", "ann", "team"))
    await acme.ingest(group("g2", "bob", "team"))
    assert [json.loads(it.traits_json) for it in await told(acme, TRAITS)] == [{}]


async def test_who_follows_knows_the_members_through_merges_and_unmerges(acme: Client) -> None:
    await acme.ingest(group("g1", "ann", "home"), group("g2", "anna", "home"), group("g3", "bob", "firm"))
    ann, anna, bob = await ids(acme, "ann", "anna", "bob")
    (one,) = await merge(acme, ann, anna)
    (other,) = await merge(acme, bob, ann)
    await acme.ingest(group("g4", "anna", "firm", at=2000))
    assert (await told(acme, MEMBERS))[-1].customer_id == bob
    await assert_followed(acme, "home", "firm")
    await acme.call("UnmergeCustomer", unmerging(other.merge_id))
    await assert_followed(acme, "home", "firm")
    assert await members(acme, "firm") == sorted([bob, ann]), "the membership of the name goes with the name"
    await acme.call("UnmergeCustomer", unmerging(one.merge_id))
    await assert_followed(acme, "home", "firm")
    assert await members(acme, "firm") == sorted([bob, anna])


async def test_erasing_a_member_ends_the_memberships_and_takes_them_off_the_feed(acme: Client) -> None:
    await acme.ingest(group("g1", "ann", "home", city="Lyon"), group("g2", "anna", "home"), group("g3", "bob", "home"))
    ann, anna, bob = await ids(acme, "ann", "anna", "bob")
    await merge(acme, ann, anna)
    (erasure,) = (await erase(acme, user("ann"))).erasures
    await on_the_feed(acme, erasure.erasure_id)
    heard = [it.customer_id for it in await told(acme, MEMBERS)]
    assert heard == [bob], "who follows from the beginning does not hear of the person"
    assert [json.loads(it.traits_json) for it in await told(acme, TRAITS)] == [{"city": "Lyon"}]
    await assert_followed(acme, "home")
    await acme.call("AddGroupMembers", adding("home", bob, city="Nice"))
    await assert_followed(acme, "home")


async def test_any_order_of_changes_leaves_followers_with_the_members_that_profiles_has(acme: Client) -> None:
    chance, users = random.Random(7), ["ann", "bob", "cem", "dora"]
    await acme.ingest(*(track(f"m{each}", each) for each in users))
    everyone, made = await ids(acme, *users), list[str]()
    for number in range(40):
        who, other = chance.sample(users, 2)
        home = chance.choice(["home", "firm"])
        match chance.choice(["hear", "hear", "add", "remove", "merge", "unmerge"]):
            case "hear":
                await acme.ingest(group(f"g{number}", who, home, at=chance.randrange(1000, 1100)))
            case "add":
                await acme.call("AddGroupMembers", adding(home, everyone[users.index(who)]))
            case "remove" if any(it.group_id == home for it in await told(acme, TRAITS)):
                request = group_pb2.RemoveGroupMembersRequest(
                    group_id=home, member_customer_ids=[everyone[users.index(who)]]
                )
                await acme.call("RemoveGroupMembers", request)
            case "merge":
                one, two = await ids(acme, who, other)
                if one != two:
                    made += [it.merge_id for it in await merge(acme, one, two)]
            case "unmerge" if made:
                await acme.call("UnmergeCustomer", unmerging(made.pop(chance.randrange(len(made)))))
    assert made, "somebody is merged at the end"
    await assert_followed(acme, "home", "firm")


def test_a_member_who_stays_one_is_no_news_but_a_past_that_was_not_known_is() -> None:
    changes = GroupChanges()
    changes.learn("t", "g", {}, 5)

    def hear(time: int, *, member: bool) -> bool:
        changes.hear("t", ("g", "c"), "c", time, member=member)
        last = changes.told[-1]
        return isinstance(last, GroupMembershipChanged) and (last.change_time, last.member) == (time, member)

    assert hear(10, member=True)
    assert not hear(20, member=True)
    assert hear(21, member=False)
    assert hear(15, member=True)
    assert changes.groups["g"].member_count == 0
    assert hear(30, member=True)
