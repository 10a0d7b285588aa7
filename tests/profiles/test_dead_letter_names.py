"""The dead letters of a person are found by names, not by reading all that there are."""

import asyncio
import json
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.sealing import MasterKey
from services.common.store import Collection, Document, Insert, Page, Query, Store, Write
from services.common.store.mongo import MongoStore
from services.common.store.sqlite import SqliteStore
from services.profiles.adapters.customer_keys import CONTENT_KEYS, ContentKeys
from services.profiles.adapters.dead_letters import DEAD_LETTER_COLLECTIONS, DEAD_LETTERS, StoredDeadLetters
from services.profiles.adapters.keys import TENANT_KEYS, TenantKeys
from services.profiles.domain.dead_letter import NAME_LENGTH_MIN, DeadLetter, bury, bury_unreadable, names_in
from services.profiles.domain.event import Incoming, Rejection
from services.profiles.ports import Identifier, Request

KEPT = (*DEAD_LETTER_COLLECTIONS, CONTENT_KEYS, TENANT_KEYS)
LETTERS = 1000
WRONG = Rejection(0, "", "NAME_MISSING", "a TRACK event needs a name")


class Counting:
    """A store that counts the documents that it gives."""

    def __init__(self, store: Store) -> None:
        self._store, self.read = store, 0

    async def get(self, tenant: str, collection: Collection, id: str) -> Document | None:
        self.read += 1
        return await self._store.get(tenant, collection, id)

    async def get_many(self, tenant: str, collection: Collection, ids: Sequence[str]) -> dict[str, Document]:
        found = await self._store.get_many(tenant, collection, ids)
        self.read += len(found)
        return found

    async def find(self, tenant: str, collection: Collection, query: Query) -> Page:
        page = await self._store.find(tenant, collection, query)
        self.read += len(page.documents)
        return page

    async def count(self, tenant: str, collection: Collection, query: Query | None = None) -> int:
        return await self._store.count(tenant, collection, query)

    async def commit(self, writes: Sequence[Write]) -> None:
        await self._store.commit(writes)


def letters_in(store: Store, maximum: int = 10_000) -> StoredDeadLetters:
    keys = TenantKeys(store, [MasterKey("test", bytes(32))])
    return StoredDeadLetters(store, ContentKeys(store, keys), maximum)


def letter(number: int, content: object, user: str = "", time: int = 5) -> DeadLetter:
    return bury(Incoming(f"m{number}", 2, "", user, "", time, json.dumps(content)), WRONG, time)


async def found(letters: StoredDeadLetters, tenant: str, names: Iterable[Identifier]) -> set[str]:
    pages = [page async for page in letters.naming(tenant, list(names))]
    return {each.dead_letter_id for page in pages for each in page}


async def test_finding_a_persons_letters_reads_these_and_not_the_others(tmp_path: Path, mongodb_url: str) -> None:
    sqlite = await SqliteStore.open(tmp_path / "letters.db", KEPT)
    mongo = await MongoStore.open(mongodb_url, f"letters_{uuid.uuid4().hex[:12]}", KEPT)
    for store, count in ((sqlite, LETTERS), (mongo, LETTERS // 10)):
        counting = Counting(store)
        letters = letters_in(counting)  # type: ignore[arg-type]  # what letters use of a store
        kept = [
            letter(n, {"guest": {"email": f"person-{n}@example.com"}, "city": "Lyon-sur-Mer"}) for n in range(count)
        ]
        await letters.keep("acme", kept)
        counting.read = 0
        mine = await found(letters, "acme", [("email", "person-7@example.com"), ("user_id", "nobody-else")])
        assert mine == {kept[7].dead_letter_id}
        # The name, the letter, and the key that opens it; then again to show it.
        assert counting.read <= 6
        await store.close()


CONTENT = st.recursive(
    st.sampled_from(
        ["ann@example.com", "Ann", "123456", 123456, 7, "ann@example.com ", 'say "ann@example.com"', "é" * 6]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(CONTENT, st.sampled_from(["", "Ann", "7", "ann@example.com"])), max_size=6),
    st.sampled_from(["ann@example.com", "Ann", "123456", "7", "é" * 6]),
)
def test_names_lead_to_exactly_those_that_reading_all_would_find(
    tmp_path: Path, said: list[tuple[object, str]], name: str
) -> None:
    kept = [letter(n, content, user) for n, (content, user) in enumerate(said)]
    kept += [
        bury_unreadable("{ ann@example.com", "JSON_INVALID", "", 5),
        letter(99, {"many": list(range(10**6, 10**6 + 99))}),
    ]

    async def compare() -> None:
        store = await SqliteStore.open(tmp_path / f"{uuid.uuid4().hex}.db", KEPT)
        letters = letters_in(store)
        await letters.keep("acme", kept)
        expected = {each.dead_letter_id for each in kept if names_in(each, {name}, NAME_LENGTH_MIN)}
        assert await found(letters, "acme", [("user_id", name)]) == expected
        assert await found(letters, "rival", [("user_id", name)]) == set()
        await store.close()

    asyncio.run(compare())


async def test_what_leads_to_a_letter_goes_with_it(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "letters.db", KEPT)
    letters = letters_in(store, maximum=3)
    kept = [letter(n, {"email": f"person-{n}@example.com"}, time=n) for n in range(5)]
    for each in kept:
        await letters.keep("acme", [each])
    await letters.delete(Request("acme", "", ""), [kept[4].dead_letter_id])
    left = {each.dead_letter_id for each in kept[2:4]}
    for collection in (*DEAD_LETTER_COLLECTIONS, CONTENT_KEYS):
        ids = {each.id for each in (await store.find("acme", collection, Query(limit=100))).documents}
        assert {key.rpartition(":")[2] for key in ids} == left, collection.name
    assert await found(letters, "acme", [("email", "person-4@example.com")]) == set()
    await store.close()


async def test_letters_from_before_they_were_sealed_are_found_and_shown(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "letters.db", KEPT)
    fields = ("message_id", "type", "name", "user_id", "anonymous_id", "event_time", "json")
    event = dict(zip(fields, ("m1", 2, "", "", "", 5, '{"email": "ann@example.com"}'), strict=True))
    rest = {"sent_time": 0, "group_id": "", "previous_id": "", "context": "", "integrations": ""}
    body = {"reason": "NAME_MISSING", "message": "no name", "time": 5, "truncated": False, "source": "", "path": ""}
    await store.commit([Insert("acme", DEAD_LETTERS, "old", {**body, "event": {**event, **rest}})])
    letters = letters_in(store)
    assert await found(letters, "acme", [("email", "ann@example.com")]) == {"old"}
    assert (await letters.get_many("acme", ["old"]))["old"].event.message_id == "m1"
    assert [each.message for each in (await letters.page("acme", "", 10, ""))[0]] == ["no name"]
    await store.close()
