"""Random commits and queries give what a simple model in memory gives, with both engines."""

import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import AlreadyExists, Conflict
from services.common.store import (
    Collection,
    Delete,
    Document,
    Index,
    Insert,
    Put,
    Query,
    Range,
    Replace,
    Store,
    Write,
)
from tests.contracts.conftest import Engine

MEMBERS = Collection("members", (Index(("email",), unique=True), Index(("tier", "points"))), published=True)
IDS = ["a", "b", "c", "d", "e"]
POINTS = st.none() | st.integers(-3, 3) | st.sampled_from([0.5, 2.5])
BODIES = st.fixed_dictionaries(
    {},
    optional={"email": st.sampled_from([None, "x", "y", "z"]), "tier": st.sampled_from([None, "t"]), "points": POINTS},
)
# A kind of write, a document, what it is to hold, and how far the expected version is off.
ATTEMPTS = st.tuples(st.sampled_from([Insert, Put, Replace, Delete, None]), BODIES, st.sampled_from([0, 0, 0, 0, 1]))
COMMITS = st.lists(st.dictionaries(st.sampled_from(IDS), ATTEMPTS, min_size=1, max_size=4), max_size=12)
RANGES = st.builds(Range, st.just("points"), at_least=st.none() | st.integers(-3, 3), below=POINTS) | st.builds(
    Range, st.just("points"), above=st.none() | st.integers(-3, 3), at_most=POINTS
)
QUERIES = st.builds(
    Query,
    where=st.just({"tier": "t"}) | st.just({"tier": None}),
    range=st.none() | RANGES,
    order_by=st.none() | st.just("points"),
    descending=st.booleans(),
    limit=st.integers(1, 3),
)
ORDER = (Delete, Replace, Put, Insert)


class Model:
    """What a tenant's documents and feed must be."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.feed: list[str] = []

    def commit(self, writes: list[Write]) -> bool:
        """Apply all of ``writes`` and tell, or none."""
        documents, feed = dict(self.documents), list(self.feed)
        for write in sorted(writes, key=lambda write: ORDER.index(type(write))):
            found = documents.get(write.id)
            expected = getattr(write, "version", None)
            if expected is not None and (found is None or found.version != expected):
                return False
            if isinstance(write, Delete):
                documents.pop(write.id, None)
                feed = [entry for entry in feed if entry != write.id]
                continue
            email = write.body.get("email")
            taken = email is not None and any(
                other.body.get("email") == email for other in documents.values() if other.id != write.id
            )
            if taken or (isinstance(write, Insert) and found):
                return False
            documents[write.id] = Document(write.id, write.body, found.version + 1 if found else 1)
            feed += [] if found else [write.id]
        self.documents, self.feed = documents, feed
        return True

    def find(self, query: Query) -> list[Document]:
        """All pages of the query."""
        ordered = query.range is not None or query.order_by is not None

        def rank(document: Document) -> tuple[Any, ...]:
            points = document.body.get("points") if ordered else None
            return points is not None, points or 0, document.id

        matching = [
            document
            for document in self.documents.values()
            if document.body.get("tier") == query.where["tier"] and within(query.range, document.body.get("points"))
        ]
        return sorted(matching, key=rank, reverse=query.descending)


def within(range: Range | None, value: Any) -> bool:
    """Whether the value is in the range; null is only in the range without ends."""
    if range is None or (range.at_least, range.above, range.at_most, range.below) == (None,) * 4:
        return True
    return value is not None and (
        (range.at_least is None or value >= range.at_least)
        and (range.above is None or value > range.above)
        and (range.at_most is None or value <= range.at_most)
        and (range.below is None or value < range.below)
    )


def writes_of(tenant: str, model: Model, attempts: dict[str, tuple[Any, dict[str, Any], int]]) -> list[Write]:
    """The writes of a commit; ``None`` as kind is a delete at a version."""
    writes: list[Write] = []
    for key, (kind, body, off) in attempts.items():
        version = (model.documents[key].version if key in model.documents else 0) + off
        if kind is Replace:
            writes.append(Replace(tenant, MEMBERS, key, body, version))
        elif kind is Delete or kind is None:
            writes.append(Delete(tenant, MEMBERS, key, None if kind else version))
        else:
            writes.append(kind(tenant, MEMBERS, key, body))
    return writes


async def behaves_like_the_model(store: Store, commits: list[dict[str, Any]], queries: list[Query]) -> None:
    """Do the commits and compare everything that can be read."""
    tenant, model = uuid.uuid4().hex, Model()
    for attempts in commits:
        writes = writes_of(tenant, model, attempts)
        try:
            await store.commit(writes)
            applied = True
        except (Conflict, AlreadyExists):
            applied = False
        assert applied == model.commit(writes), writes
    assert await store.get_many(tenant, MEMBERS, IDS) == model.documents
    for query in queries:
        found: list[Document] = []
        after = ""
        while True:
            page = await store.find(tenant, MEMBERS, replace(query, after=after))
            found += page.documents
            after = page.next_cursor
            if not after:
                break
        assert found == model.find(query), query
        assert await store.count(tenant, MEMBERS, query) == len(found)
    if model.feed:
        assert [change.id for change in await anext(store.changes(tenant=tenant))] == model.feed


@pytest.fixture
async def members(engine: Engine) -> Store:
    return await engine.open([MEMBERS])


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@settings(max_examples=150)
@given(commits=COMMITS, queries=st.lists(QUERIES, max_size=4))
async def test_sqlite_behaves_like_the_model(members: Store, commits: Any, queries: list[Query]) -> None:
    await behaves_like_the_model(members, commits, queries)


@pytest.mark.parametrize("engine", ["mongodb"], indirect=True)
@settings(max_examples=40)
@given(commits=COMMITS, queries=st.lists(QUERIES, max_size=2))
async def test_mongodb_behaves_like_the_model(members: Store, commits: Any, queries: list[Query]) -> None:
    await behaves_like_the_model(members, commits, queries)
