"""What every engine of the store promises about documents and commits."""

import asyncio
from typing import Any

import pytest

from services.common.errors import AlreadyExists, Conflict, InvalidArgument, Unavailable
from services.common.store import Collection, Delete, Document, Index, Insert, Put, Query, Replace, Store, Write
from tests.contracts.conftest import ACCOUNTS, EVENTS, MESSAGES, Engine

EVERYTHING: dict[str, Any] = {
    "text": "naïve ☕ \U0001f600 with \0 inside",
    "int": 42,
    "micros": 1_767_225_600_123_456,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "float": 0.1 + 0.2,
    "whole_float": 3.0,
    "true": True,
    "none": None,
    "bytes": bytes(range(256)),
    "list": [1, "two", None, [3.5, {"deep": b"\0"}], {}],
    "object": {"$set": {"a.b": 1, "c.$d": [{"$e": 2, "%24": 3}]}, "": "empty key", "1.2.3": "version"},
    "$top": 1,
    "dotted.top": 2,
    "100%": 3,
    "_id": "mine",
    "version": "mine too",
}


async def test_a_document_comes_back_exactly_as_it_was_stored(store: Store) -> None:
    await store.commit([Insert("acme", MESSAGES, "m1", EVERYTHING)])
    document = await store.get("acme", MESSAGES, "m1")
    assert document == Document("m1", EVERYTHING, 1)
    assert types(document.body) == types(EVERYTHING)


async def test_a_replacement_keeps_nothing_of_what_was_there(store: Store) -> None:
    await store.commit([Insert("acme", MESSAGES, "m1", EVERYTHING)])
    await store.commit([Replace("acme", MESSAGES, "m1", {"plain": True}, 1)])
    assert await store.get("acme", MESSAGES, "m1") == Document("m1", {"plain": True}, 2)


async def test_an_absent_document_is_none(store: Store) -> None:
    assert await store.get("acme", ACCOUNTS, "nobody") is None
    assert await store.get_many("acme", ACCOUNTS, ["nobody"]) == {}
    assert await store.get_many("acme", ACCOUNTS, []) == {}


async def test_many_documents_are_fetched_by_id(store: Store) -> None:
    await store.commit([Insert("acme", ACCOUNTS, f"a{n}", {"points": n}) for n in range(20)])
    found = await store.get_many("acme", ACCOUNTS, ["a3", "a7", "a3", "absent", 'quote"d'])
    assert found == {"a3": Document("a3", {"points": 3}, 1), "a7": Document("a7", {"points": 7}, 1)}


async def test_tenants_do_not_see_each_other(store: Store) -> None:
    for tenant in ("acme", "acme2", "zeta"):
        await store.commit([Insert(tenant, ACCOUNTS, "a1", {"email": "same@example.com", "owner": tenant})])
    await store.commit([Delete("zeta", ACCOUNTS, "a1")])
    assert await store.get("zeta", ACCOUNTS, "a1") is None
    for tenant in ("acme", "acme2"):
        page = await store.find(tenant, ACCOUNTS, Query(where={"email": "same@example.com"}))
        assert [document.body["owner"] for document in page.documents] == [tenant]
        assert [document.body["owner"] for document in (await store.find(tenant, ACCOUNTS, Query())).documents] == [
            tenant
        ]
        assert await store.count(tenant, ACCOUNTS) == 1


@pytest.mark.parametrize("address", [("", "a1"), ("acme", ""), ("ac\0me", "a1"), ("acme", "a\0b")])
async def test_an_address_that_no_engine_can_key_is_refused(store: Store, address: tuple[str, str]) -> None:
    with pytest.raises(InvalidArgument, match="NUL"):
        await store.commit([Insert(address[0], ACCOUNTS, address[1], {})])


async def test_unusual_ids_are_ordinary(store: Store) -> None:
    ids = ["a b", "a/b", "é", "\U0001f600", "a'b\"c", "$id", "x" * 200, "\x01"]
    await store.commit([Insert("acme", ACCOUNTS, key, {"email": key}) for key in ids])
    assert set(await store.get_many("acme", ACCOUNTS, ids)) == set(ids)
    page = await store.find("acme", ACCOUNTS, Query())
    assert [document.id for document in page.documents] == sorted(ids)


async def test_an_insert_over_a_document_is_refused(store: Store) -> None:
    await store.commit([Insert("acme", ACCOUNTS, "a1", {"points": 1})])
    with pytest.raises(AlreadyExists, match="a1") as refused:
        await store.commit([Insert("acme", ACCOUNTS, "a1", {"points": 2})])
    assert refused.value.metadata["id"] == "a1"
    assert await store.get("acme", ACCOUNTS, "a1") == Document("a1", {"points": 1}, 1)


async def test_a_unique_value_is_taken_once_in_a_tenant(store: Store) -> None:
    await store.commit([Insert("acme", ACCOUNTS, "a1", {"email": "x@example.com", "country": "NL", "phone": "1"})])
    for body in ({"email": "x@example.com"}, {"country": "NL", "phone": "1"}):
        with pytest.raises(AlreadyExists, match="same") as refused:
            await store.commit([Insert("acme", ACCOUNTS, "a2", body)])
        assert refused.value.metadata["fields"] == ",".join(body)
    await store.commit([Insert("acme", ACCOUNTS, "a2", {"country": "NL", "phone": "2"})])
    with pytest.raises(AlreadyExists):
        await store.commit([Replace("acme", ACCOUNTS, "a2", {"email": "x@example.com"}, 1)])
    with pytest.raises(AlreadyExists):
        await store.commit([Put("acme", ACCOUNTS, "a2", {"email": "x@example.com"}), Put("acme", ACCOUNTS, "a3", {})])
    assert await store.count("acme", ACCOUNTS) == 2


async def test_a_null_is_exempt_from_uniqueness(store: Store) -> None:
    bodies: list[dict[str, Any]] = [{}, {"email": None}, {"country": "NL"}, {"country": "NL", "phone": None}]
    await store.commit([Insert("acme", ACCOUNTS, f"a{n}", body) for n, body in enumerate(bodies)])
    assert await store.count("acme", ACCOUNTS) == len(bodies)


async def test_a_unique_value_can_move_in_one_commit(store: Store) -> None:
    await store.commit([Insert("acme", ACCOUNTS, "old", {"email": "x@example.com"})])
    await store.commit(
        [Insert("acme", ACCOUNTS, "new", {"email": "x@example.com"}), Delete("acme", ACCOUNTS, "old", version=1)]
    )
    assert await store.get("acme", ACCOUNTS, "old") is None
    await store.commit([Replace("acme", ACCOUNTS, "new", {}, 1)])
    await store.commit([Insert("acme", ACCOUNTS, "old", {"email": "x@example.com"})])


async def test_a_replace_at_another_version_is_a_conflict(store: Store) -> None:
    await store.commit([Insert("acme", ACCOUNTS, "a1", {"points": 1})])
    await store.commit([Replace("acme", ACCOUNTS, "a1", {"points": 2}, 1)])
    for write in (
        Replace("acme", ACCOUNTS, "a1", {"points": 9}, 1),
        Replace("acme", ACCOUNTS, "a1", {"points": 9}, 3),
        Replace("acme", ACCOUNTS, "absent", {"points": 9}, 1),
        Delete("acme", ACCOUNTS, "a1", 1),
        Delete("acme", ACCOUNTS, "absent", 1),
    ):
        with pytest.raises(Conflict, match=write.id):
            await store.commit([write])
    assert await store.get("acme", ACCOUNTS, "a1") == Document("a1", {"points": 2}, 2)


async def test_put_stores_whatever_is_there(store: Store) -> None:
    for points in (1, 2, 3):
        await store.commit([Put("acme", ACCOUNTS, "a1", {"points": points})])
    assert await store.get("acme", ACCOUNTS, "a1") == Document("a1", {"points": 3}, 3)


async def test_delete_without_a_version_does_not_mind_an_absent_document(store: Store) -> None:
    await store.commit([Insert("acme", ACCOUNTS, "a1", {})])
    await store.commit([Delete("acme", ACCOUNTS, "a1"), Delete("acme", ACCOUNTS, "absent")])
    await store.commit([Delete("acme", ACCOUNTS, "a1")])
    await store.commit([Insert("acme", ACCOUNTS, "a1", {"again": True})])
    assert await store.get("acme", ACCOUNTS, "a1") == Document("a1", {"again": True}, 1)


@pytest.mark.parametrize(
    ("spoiler", "refusal"),
    [
        (Insert("acme", ACCOUNTS, "there", {}), AlreadyExists),
        (Insert("acme", ACCOUNTS, "free", {"email": "x@example.com"}), AlreadyExists),
        (Replace("acme", ACCOUNTS, "there", {}, 7), Conflict),
        (Delete("acme", ACCOUNTS, "there", 7), Conflict),
    ],
)
async def test_a_commit_is_all_or_nothing(store: Store, spoiler: Write, refusal: type[Exception]) -> None:
    await store.commit([Insert("acme", ACCOUNTS, "there", {"email": "x@example.com"})])
    await store.commit([Insert("acme", ACCOUNTS, name, {}) for name in ("replaced", "put", "deleted", "deleted_at")])
    before = (await store.find("acme", ACCOUNTS, Query())).documents
    with pytest.raises(refusal):
        await store.commit(
            [
                Insert("acme", ACCOUNTS, "inserted", {}),
                Insert("other", EVENTS, "published", {"customer_id": "c1"}),
                Replace("acme", ACCOUNTS, "replaced", {"changed": 1}, 1),
                Put("acme", ACCOUNTS, "put", {"changed": 1}),
                Delete("acme", ACCOUNTS, "deleted"),
                Delete("acme", ACCOUNTS, "deleted_at", 1),
                spoiler,
            ]
        )
    assert (await store.find("acme", ACCOUNTS, Query())).documents == before
    assert await store.get("other", EVENTS, "published") is None
    assert await store.end_of_feed() == ""


async def test_one_commit_writes_to_several_tenants_and_collections(store: Store) -> None:
    await store.commit(
        [Insert("acme", ACCOUNTS, "1", {}), Insert("zeta", ACCOUNTS, "1", {}), Put("*", EVENTS, "1", {"time": 1})]
    )
    assert await store.get("acme", ACCOUNTS, "1")
    assert await store.get("zeta", ACCOUNTS, "1")
    assert await store.get("*", EVENTS, "1")


async def test_an_empty_commit_does_nothing(store: Store) -> None:
    await store.commit([])


async def test_writing_a_document_twice_in_one_commit_is_a_bug(store: Store) -> None:
    with pytest.raises(ValueError, match="twice"):
        await store.commit([Put("acme", ACCOUNTS, "a1", {}), Delete("acme", ACCOUNTS, "a1")])


async def test_only_scalars_are_indexed(store: Store) -> None:
    for body in ({"email": ["a", "b"]}, {"points": {"a": 1}}, {"tier": b"gold"}):
        with pytest.raises(ValueError, match="scalar"):
            await store.commit([Insert("acme", ACCOUNTS, "a1", body)])


async def test_what_is_no_body_fails_alone(store: Store) -> None:
    results = await asyncio.gather(
        *(
            store.commit([Insert("acme", MESSAGES, f"m{n}", {"n": n if n % 2 else (object(), 2**70, 1j)[n // 2]})])
            for n in range(6)
        ),
        return_exceptions=True,
    )
    assert [isinstance(result, ValueError) for result in results] == [True, False] * 3
    assert await store.count("acme", MESSAGES) == 3


async def test_of_two_writers_that_read_the_same_version_one_wins(store: Store) -> None:
    await store.commit([Insert("acme", ACCOUNTS, "a1", {"points": 0})])

    async def add_one() -> None:
        while True:
            document = await store.get("acme", ACCOUNTS, "a1")
            assert document
            try:
                return await store.commit(
                    [
                        Replace("acme", ACCOUNTS, "a1", {"points": document.body["points"] + 1}, document.version),
                        Put("acme", MESSAGES, f"m{document.version}", {}),
                    ]
                )
            except Conflict:
                continue

    await asyncio.gather(*(add_one() for _ in range(12)))
    assert await store.get("acme", ACCOUNTS, "a1") == Document("a1", {"points": 12}, 13)
    assert await store.count("acme", MESSAGES) == 12


async def test_commits_made_at_once_succeed_and_fail_each_for_itself(store: Store) -> None:
    results = await asyncio.gather(
        *(
            store.commit(
                [
                    Insert("acme", ACCOUNTS, f"a{n}", {"email": f"{n // 2}@x"}),
                    Insert("acme", EVENTS, f"e{n}", {"time": n}),
                ]
            )
            for n in range(20)
        ),
        return_exceptions=True,
    )
    assert sum(result is None for result in results) == 10
    assert all(result is None or isinstance(result, AlreadyExists) for result in results)
    for n, result in enumerate(results):
        assert (await store.get("acme", ACCOUNTS, f"a{n}") is None) == (result is not None)
        assert (await store.get("acme", EVENTS, f"e{n}") is None) == (result is not None)


async def test_a_collection_that_was_not_declared_is_a_bug(store: Store) -> None:
    unknown = Collection("unknown")
    changed = Collection("accounts", (Index(("points",)),))
    for collection in (unknown, changed):
        with pytest.raises(ValueError, match="not opened with"):
            await store.get("acme", collection, "a1")
        with pytest.raises(ValueError, match="not opened with"):
            await store.commit([Insert("acme", collection, "a1", {})])


async def test_documents_outlive_the_store_that_wrote_them(engine: Engine) -> None:
    first = await engine.open()
    await first.commit([Insert("acme", ACCOUNTS, "a1", EVERYTHING), Insert("acme", EVENTS, "e1", {"time": 1})])
    await first.close()
    second = await engine.open()
    assert await second.get("acme", ACCOUNTS, "a1") == Document("a1", EVERYTHING, 1)


async def test_a_closed_store_is_unavailable(engine: Engine) -> None:
    store = await engine.open()
    await store.close()
    for collection in (ACCOUNTS, EVENTS):
        with pytest.raises(Unavailable):
            await store.commit([Insert("acme", collection, "a1", {})])
    with pytest.raises(Unavailable):
        await store.get("acme", ACCOUNTS, "a1")
    await store.close()


def types(value: Any) -> Any:
    """The exact type of everything in a body."""
    if isinstance(value, dict):
        return {name: types(item) for name, item in value.items()}
    return [types(item) for item in value] if isinstance(value, list) else type(value)
