"""People who are merged are one: their messages are one list, they are written to once, and an unmerge is exact."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.crm.v1 import crm_service_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.common.erasure import ACKNOWLEDGEMENTS
from services.common.errors import InvalidCursor
from services.common.feed import CURSORS
from services.common.store.port import Insert, Store
from services.common.store.sqlite import SqliteStore
from services.crm.adapters import documents
from services.crm.adapters.events import ProfilesFollower
from services.crm.adapters.people import StoredPeople
from services.crm.adapters.store import COLLECTIONS, MESSAGE_EVENTS, MESSAGES, StoredMessages
from services.crm.domain.message import Message, queue, repeats
from services.crm.domain.people import Known, People, ids_of
from tests.crm.conftest import Client, Crm
from tests.crm.mail_server import MailServer
from tests.crm.neighbours import Neighbours
from tests.whole_platform import until

TENANT = "acme"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
IDS = ("a", "b", "c", "d", "e")


def merged(origins: list[str], before: str, after: str) -> profiles.Change:
    told = profiles.CustomersMerged(customer_id=after, merged_customer_id=before, origin_customer_ids=origins)
    return profiles.Change(tenant_id=TENANT, customers_merged=told)


def unmerged(origins: list[str], before: str, after: str) -> profiles.Change:
    told = profiles.CustomersUnmerged(customer_id=before, restored_customer_id=after, origin_customer_ids=origins)
    return profiles.Change(tenant_id=TENANT, customers_unmerged=told)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(0, 20)), max_size=30))
def test_who_is_whom_follows_merges_and_their_undoing_in_any_order(steps: list[tuple[bool, int, int]]) -> None:
    people = People(())
    owners = {each: each for each in IDS}
    merges: list[tuple[tuple[str, ...], str, str]] = []
    for undo, first, second in steps:
        living = sorted(set(owners.values()))
        if undo and merges:
            origins, restored, _ = merges.pop(first % len(merges))
            before = owners[restored]
            moving = [each for each in origins if owners[each] == before]
            people.give(moving, before, restored)
            owners.update(dict.fromkeys(moving, restored))
        elif len(living) > 1:
            before, after = living[first % len(living)], living[second % len(living)]
            if before == after:
                continue
            origins = tuple(each for each in IDS if owners[each] == before)
            people.give(origins, before, after)
            owners.update(dict.fromkeys(origins, after))
            merges.append((origins, before, after))
    assert {each: people.of(each).owner_id for each in IDS} == owners
    for owner in set(owners.values()):
        expected = {each for each in IDS if owners[each] == owner} | {owner}
        assert set(ids_of(people.of(owner))) == expected
    assert all(people.of(each).alone for each in IDS if owners[each] == each and list(owners.values()).count(each) == 1)


def test_nothing_is_kept_of_who_was_never_merged() -> None:
    people = People((Known("a", "a", ("b",)), Known("b", "a")))
    people.give(["b"], "a", "b")
    assert people.changed == {"a", "b"}
    assert all(people.of(each).alone for each in "ab")


def test_of_two_that_wait_one_is_a_repetition_and_what_was_skipped_repeats_nothing() -> None:
    first, second = queue("c1", "a", NOW), queue("c1", "b", NOW + timedelta(seconds=1))
    assert (repeats(first, [second]), repeats(second, [first])) == (False, True)
    sent = second.sent("b@example.com", NOW)
    assert (repeats(first, [sent]), repeats(first, [second.skipped("NO_ADDRESS", "", NOW)])) == (True, False)
    assert repeats(first, [second.held_back(NOW)])
    together = queue("c1", "b", NOW)
    assert repeats(first, [together]) is not repeats(together, [first])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await SqliteStore.open(tmp_path / "crm.sqlite3", (*COLLECTIONS, CURSORS, ACKNOWLEDGEMENTS))
    yield opened
    await opened.close()


class Profiles:
    """Tells the follower what happens."""

    def __init__(self, store: Store) -> None:
        unused: Any = None
        self._follower = ProfilesFollower(unused, store, unused)
        self._told = 0

    async def tell(self, *changes: profiles.Change) -> None:
        self._told += 1
        await self._follower.apply(profiles.FollowChangesResponse(changes=changes, cursor=str(self._told)))


async def write_to(store: Store, customer_id: str, *campaigns: str, seconds: int = 0) -> None:
    for campaign_id in campaigns:
        message = queue(campaign_id, customer_id, NOW + timedelta(seconds=seconds))
        ended = message.sent(f"{customer_id}@example.com", NOW + timedelta(hours=1))
        await store.commit(
            [
                Insert(TENANT, MESSAGES, message.message_id, documents.message_body(ended)),
                Insert(TENANT, MESSAGE_EVENTS, documents.event_id(ended), documents.event_body(ended)),
            ]
        )


async def listed(store: Store, customer_id: str, size: int = 100) -> list[Message]:
    found: list[Message] = []
    token = ""
    while True:
        page = await StoredMessages(store).to_customer(TENANT, customer_id, size, token)
        assert len(page.items) <= size
        found += page.items
        token = page.next_token
        if not token:
            return found


async def test_messages_of_all_ids_are_one_list_and_go_back_exactly(store: Store) -> None:
    told = Profiles(store)
    await write_to(store, "a", "c1", "c2", "c3", seconds=1)
    await write_to(store, "b", "c1", "c4", seconds=1)
    await write_to(store, "d", "c5", seconds=3)
    before = {each: await listed(store, each) for each in "abd"}
    await told.tell(merged(["b"], "b", "a"), merged(["a", "b"], "a", "d"))
    every = await listed(store, "d")
    assert {each.message_id for each in every} == {each.message_id for found in before.values() for each in found}
    assert {each.customer_id for each in every} == {"d"}
    assert [each.queue_time for each in every] == sorted((each.queue_time for each in every), reverse=True)
    for size in (1, 2, 5):
        assert await listed(store, "d", size) == every
    assert (await listed(store, "a"), await listed(store, "b")) == ([], [])
    of_campaign = await StoredMessages(store).of_campaign(TENANT, "c1", None, 10, "")
    assert [each.customer_id for each in of_campaign.items] == ["d", "d"]
    await write_to(store, "b", "c6", seconds=9)  # recorded after the merge, by a page that was read before it
    assert (await listed(store, "d"))[0].campaign_id == "c6"
    await told.tell(unmerged(["b"], "d", "b"))
    newest, *others = await listed(store, "b")
    assert (newest.campaign_id, others) == ("c6", before["b"])
    await told.tell(unmerged(["a"], "d", "a"))
    assert (await listed(store, "a"), await listed(store, "d")) == (before["a"], before["d"])
    assert (await StoredPeople(store).owners(TENANT, "abd")) == {"a": "a", "b": "b", "d": "d"}


async def test_another_tenants_person_of_the_same_id_is_nobodys(store: Store) -> None:
    await write_to(store, "a", "c1")
    await Profiles(store).tell(merged(["a"], "a", "b"))
    assert await StoredPeople(store).owners("rival", ["a", "b"]) == {"a": "a", "b": "b"}


async def test_a_token_of_another_list_is_refused(store: Store) -> None:
    await Profiles(store).tell(merged(["b"], "b", "a"))
    with pytest.raises(InvalidCursor):
        await StoredMessages(store).to_customer(TENANT, "a", 5, "person:x")


async def test_the_feed_names_whom_a_message_is_to_now(store: Store) -> None:
    await write_to(store, "b", "c1")
    await Profiles(store).tell(merged(["b"], "b", "a"))
    async for batch in StoredMessages(store).events("", TENANT):
        assert [event.customer_id for event in batch.events] == ["a"]
        break


async def test_a_person_who_is_merged_is_written_to_once_at_the_address_of_now(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 2)
    neighbours.members |= {"s0": ["old"], "s1": ["c00000", "c00001", "old"]}  # segmentation has not heard of it yet
    neighbours.traits["old"] = {"email": "old@example.com"}
    async with crm() as client:
        first = await client.campaign(segment_id="s0")
        await client.start(first)
        await client.ended(first)
        neighbours.changes = [merged(["old"], "old", "c00000")]
        del neighbours.traits["old"]
        await _messages_to(client, "c00000", 1)
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
        messages = await client.messages(campaign_id)
        again = await client.campaign(segment_id="s0")
        await client.start(again)
        await client.ended(again)
        await _messages_to(client, "c00000", 4)
    assert (ended.counts.sent_count, ended.counts.skipped_count) == (2, 1)
    sent = {each.customer_id: each.address for each in messages if each.state == pb.MESSAGE_STATE_SENT}
    assert sent == {each: f"{each}@example.com" for each in ("c00000", "c00001")}
    (skipped,) = [each for each in messages if each.state == pb.MESSAGE_STATE_SKIPPED]
    assert (skipped.customer_id, skipped.reason) == ("c00000", "RECIPIENT_MERGED")


async def _messages_to(client: Client, customer_id: str, count: int) -> None:
    """Until the person has so many messages."""

    async def there() -> bool:
        request = pb.ListMessagesRequest(customer_id=customer_id)
        return len((await client.stub.ListMessages(request, metadata=client.metadata)).messages) == count

    await until(there)
