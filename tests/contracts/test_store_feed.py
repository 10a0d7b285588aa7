"""What every engine of the store promises about the change feed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.common.errors import InvalidCursor, Unavailable
from services.common.store import Change, Collection, Delete, Index, Insert, Put, Query, Replace, Store
from tests.contracts.conftest import ACCOUNTS, COLLECTIONS, EVENTS, MESSAGES, Engine


async def take(feed: AsyncIterator[list[Change]], number: int) -> list[Change]:
    """The next ``number`` entries, and no more than those in their batches."""
    taken: list[Change] = []
    async with asyncio.timeout(20):
        while len(taken) < number:
            batch = await anext(feed)
            assert batch
            taken += batch
    assert len(taken) == number
    return taken


def ids(changes: list[Change]) -> list[str]:
    return [change.id for change in changes]


async def test_the_feed_has_the_inserts_into_published_collections_in_commit_order(store: Store) -> None:
    await store.commit([Insert("acme", EVENTS, "e1", {"time": 1, "nested": {"$a": b"\0"}})])
    await store.commit([Insert("acme", ACCOUNTS, "unpublished", {})])
    await store.commit([Insert("zeta", MESSAGES, "m1", {}), Put("zeta", EVENTS, "e1", {})])
    await store.commit([Put("acme", EVENTS, "e2", {}), Replace("acme", EVENTS, "e1", {"time": 2}, 1)])
    await store.commit([Put("acme", EVENTS, "e2", {"changed": True})])
    changes = await take(store.changes(), 4)
    assert [(change.tenant, change.collection, change.id) for change in changes[:1] + changes[3:]] == [
        ("acme", "events", "e1"),
        ("acme", "events", "e2"),
    ]
    assert {(change.tenant, change.collection, change.id) for change in changes[1:3]} == {
        ("zeta", "messages", "m1"),
        ("zeta", "events", "e1"),
    }
    assert [changes[0].body, changes[3].body] == [{"time": 2}, {"changed": True}]


async def test_the_feed_resumes_behind_every_one_of_its_cursors(store: Store) -> None:
    for n in range(4):
        await store.commit([Insert("acme", EVENTS, f"e{n}-{m}", {"n": n}) for m in range(3)])
    changes = await take(store.changes(limit=5), 12)
    assert len({change.cursor for change in changes}) == 12
    for position in range(11):
        rest = await take(store.changes(changes[position].cursor), 11 - position)
        assert rest == changes[position + 1 :]
    assert await store.end_of_feed() == changes[-1].cursor


async def test_positions_grow_along_the_feed_and_a_cursor_tells_its_own(store: Store) -> None:
    for n in range(3):
        await store.commit([Insert("acme", EVENTS, f"e{n}-{m}", {}) for m in range(2)])
    changes = await take(store.changes(), 6)
    positions = [change.position for change in changes]
    assert positions == sorted(set(positions))
    await store.commit([Delete("acme", EVENTS, changes[2].id)])
    assert [await store.feed_position(change.cursor) for change in changes] == positions
    assert await store.feed_position("") == 0 < positions[0]
    with pytest.raises(InvalidCursor):
        await store.feed_position("nonsense")


async def test_batches_are_bounded(store: Store) -> None:
    await store.commit([Insert("acme", EVENTS, f"e{n:02}", {}) for n in range(25)])
    feed = store.changes(limit=10)
    assert [len(await anext(feed)) for _ in range(3)] == [10, 10, 5]


async def test_the_end_of_an_empty_feed_is_empty(store: Store) -> None:
    assert await store.end_of_feed() == ""
    await store.commit([Insert("acme", ACCOUNTS, "unpublished", {})])
    assert await store.end_of_feed() == ""


async def test_the_feed_goes_on_live(store: Store) -> None:
    feed = store.changes()
    waiting = asyncio.create_task(take(feed, 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    await store.commit([Insert("acme", EVENTS, "e1", {})])
    assert ids(await waiting) == ["e1"]
    for n in range(2, 6):
        await store.commit([Insert("acme", EVENTS, f"e{n}", {})])
        assert ids(await take(feed, 1)) == [f"e{n}"]


async def test_a_commit_of_another_store_on_the_same_documents_arrives_live(engine: Engine) -> None:
    reader, writer = await engine.open(), await engine.open()
    feed = reader.changes()
    for n in range(3):
        waiting = asyncio.create_task(take(feed, 1))
        await writer.commit([Insert("acme", EVENTS, f"e{n}", {})])
        assert ids(await waiting) == [f"e{n}"]
    assert await reader.end_of_feed() == await writer.end_of_feed()


async def test_followers_of_one_tenant_see_no_other(store: Store) -> None:
    for n in range(6):
        await store.commit([Insert(f"tenant{n % 3}", EVENTS, f"e{n}", {})])
    feed = store.changes(tenant="tenant1")
    assert ids(await take(feed, 2)) == ["e1", "e4"]
    waiting = asyncio.create_task(take(feed, 1))
    await store.commit([Insert("tenant2", EVENTS, "e6", {})])
    await store.commit([Insert("tenant1", EVENTS, "e7", {})])
    assert ids(await waiting) == ["e7"]
    end_of_another = (await take(store.changes(tenant="tenant2"), 3))[-1].cursor
    assert ids(await take(store.changes(end_of_another, tenant="tenant1"), 1)) == ["e7"]


async def test_erased_documents_are_gone_from_the_feed(store: Store) -> None:
    await store.commit([Insert("acme", EVENTS, f"e{n}", {}) for n in range(1, 6)])
    before = await take(store.changes(), 5)
    await store.commit([Delete("acme", EVENTS, "e2"), Delete("acme", EVENTS, "e5", 1)])
    assert ids(await take(store.changes(), 3)) == ["e1", "e3", "e4"]
    assert ids(await take(store.changes(before[1].cursor), 2)) == ["e3", "e4"]
    await store.commit([Insert("acme", EVENTS, "e2", {"again": True})])
    assert ids(await take(store.changes(), 4)) == ["e1", "e3", "e4", "e2"]
    assert ids(await take(store.changes(before[-1].cursor), 1)) == ["e2"]


async def test_a_long_stretch_of_others_entries_is_passed_over(store: Store) -> None:
    for start in range(0, 300, 100):
        await store.commit([Insert("other", EVENTS, f"e{start + n}", {}) for n in range(100)])
    await store.commit([Insert("acme", EVENTS, "mine", {})])
    assert ids(await take(store.changes(tenant="acme", limit=3), 1)) == ["mine"]


@pytest.mark.parametrize("cursor", ["nonsense", "deadbeef-1", "-1", "-", "é", "1"])
async def test_a_cursor_that_no_entry_had_is_refused(store: Store, cursor: str) -> None:
    await store.commit([Insert("acme", EVENTS, "e1", {})])
    with pytest.raises(InvalidCursor):
        await anext(store.changes(cursor))


async def test_a_cursor_beyond_the_end_is_refused(store: Store) -> None:
    await store.commit([Insert("acme", EVENTS, "e1", {})])
    feed_id, _, position = (await store.end_of_feed()).partition("-")
    with pytest.raises(InvalidCursor):
        await anext(store.changes(f"{feed_id}-{int(position, 16) + 1:x}"))


async def test_following_a_store_that_publishes_nothing_is_a_bug(engine: Engine) -> None:
    store = await engine.open([ACCOUNTS])
    with pytest.raises(ValueError, match="published"):
        await anext(store.changes())


async def test_a_tail_ends_when_the_store_is_closed(engine: Engine) -> None:
    store = await engine.open()
    waiting = asyncio.create_task(take(store.changes(), 1))
    await asyncio.sleep(0.05)
    await store.close()
    with pytest.raises(Unavailable):
        await waiting


async def test_the_feed_survives_reopening(engine: Engine) -> None:
    first = await engine.open()
    await first.commit([Insert("acme", EVENTS, f"e{n}", {}) for n in range(3)])
    changes = await take(first.changes(), 3)
    await first.close()
    second = await engine.open()
    await second.commit([Insert("acme", EVENTS, "e3", {})])
    assert ids(await take(second.changes(changes[0].cursor), 3)) == ["e1", "e2", "e3"]


async def test_a_follower_beside_many_writers_misses_nothing_and_sees_nothing_twice(store: Store) -> None:
    async def write(writer: int) -> None:
        for n in range(10):
            await store.commit(
                [Insert("acme", EVENTS, f"{writer}-{n}", {}), Put("acme", ACCOUNTS, f"w{writer}", {"n": n})]
            )

    feed = store.changes(limit=7)
    following = asyncio.create_task(take(feed, 100))
    await asyncio.gather(*(write(writer) for writer in range(10)))
    seen = await following
    assert len(set(ids(seen))) == 100
    for writer in range(10):
        mine = [key for key in ids(seen) if key.startswith(f"{writer}-")]
        assert mine == [f"{writer}-{n}" for n in range(10)]
    assert await take(store.changes(), 100) == seen


async def test_a_collection_published_later_is_in_the_feed_with_what_it_holds(engine: Engine) -> None:
    private = Collection("messages")
    first = await engine.open([private, EVENTS])
    await first.commit([Insert("acme", EVENTS, "e1", {})])
    await first.commit([Insert("acme", private, f"m{n}", {}) for n in range(3)])
    await first.close()
    second = await engine.open([MESSAGES, EVENTS])
    changes = await take(second.changes(), 4)
    assert ids(changes)[0] == "e1"
    assert sorted(ids(changes)) == ["e1", "m0", "m1", "m2"]
    await second.commit([Insert("acme", MESSAGES, "m3", {}), Delete("acme", MESSAGES, "m0")])
    assert sorted(ids(await take(second.changes(), 4))) == ["e1", "m1", "m2", "m3"]


async def test_an_index_declared_later_serves_what_is_there(engine: Engine) -> None:
    first = await engine.open([Collection("accounts"), EVENTS])
    await first.commit(
        [Insert("acme", Collection("accounts"), f"a{n}", {"email": f"{n}@x", "points": -n}) for n in range(5)]
    )
    await first.commit([Insert("acme", Collection("accounts"), "none", {})])
    await first.close()
    second = await engine.open(COLLECTIONS)
    page = await second.find("acme", ACCOUNTS, Query(order_by="points"))
    assert [document.id for document in page.documents] == ["none", "a4", "a3", "a2", "a1", "a0"]
    page = await second.find("acme", ACCOUNTS, Query(where={"email": "3@x"}))
    assert [document.id for document in page.documents] == ["a3"]
    with pytest.raises(Exception, match="same email"):
        await second.commit([Insert("acme", ACCOUNTS, "a9", {"email": "3@x"})])


async def test_an_index_that_was_dropped_and_declared_again_is_whole(engine: Engine) -> None:
    with_index, without = Collection("accounts", (Index(("points",)),)), Collection("accounts")
    for n, collection in enumerate((with_index, without, with_index)):
        store = await engine.open([collection])
        await store.commit([Insert("acme", collection, f"a{n}", {"points": n})])
        await store.close()
    store = await engine.open([with_index])
    page = await store.find("acme", with_index, Query(order_by="points", descending=True))
    assert [document.id for document in page.documents] == ["a2", "a1", "a0"]
