"""What every engine of the store promises about queries, order and pages."""

from dataclasses import replace
from typing import Any

import pytest

from services.common.errors import InvalidCursor
from services.common.store import Insert, Query, Range, Store
from tests.contracts.conftest import ACCOUNTS, EVENTS

BODIES: dict[str, dict[str, Any]] = {
    "a": {"tier": "gold", "points": 10},
    "b": {"tier": "gold", "points": 30},
    "c": {"tier": "gold", "points": 20},
    "d": {"tier": "gold"},
    "e": {"tier": "gold", "points": 20},
    "f": {"tier": "basic", "points": 20.5},
    "g": {"points": -5},
    "h": {"tier": None, "points": None},
    "i": {"tier": "gold", "points": 20},
}


@pytest.fixture
async def accounts(store: Store) -> Store:
    await store.commit([Insert("acme", ACCOUNTS, key, body) for key, body in BODIES.items()])
    await store.commit([Insert("other", ACCOUNTS, key, body) for key, body in BODIES.items()])
    return store


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (Query(), "abcdefghi"),
        (Query(descending=True), "ihgfedcba"),
        (Query(where={"tier": "gold"}), "abcdei"),
        (Query(where={"tier": "gold"}, descending=True), "iedcba"),
        (Query(where={"tier": None}), "gh"),
        (Query(where={"tier": "nobody has it"}), ""),
        (Query(where={"points": 20}), "cei"),
        (Query(where={"tier": "gold", "points": 20}), "cei"),
        (Query(order_by="points"), "dhgaceifb"),
        (Query(order_by="points", descending=True), "bfiecaghd"),
        (Query(where={"tier": "gold"}, order_by="points"), "daceib"),
        (Query(where={"tier": "gold"}, order_by="points", descending=True), "bieca" + "d"),
        (Query(range=Range("points")), "dhgaceifb"),
        (Query(range=Range("points", at_least=20)), "ceifb"),
        (Query(range=Range("points", above=20)), "fb"),
        (Query(range=Range("points", at_most=20)), "gacei"),
        (Query(range=Range("points", below=20), descending=True), "ag"),
        (Query(range=Range("points", above=-5, below=30), order_by="points"), "aceif"),
        (Query(where={"tier": "gold"}, range=Range("points", at_least=20, at_most=29), descending=True), "iec"),
        (Query(range=Range("tier", at_least="b", below="c")), "f"),
        (Query(range=Range("points", at_least=31)), ""),
    ],
)
async def test_a_query_gives_what_matches_in_order_whole_and_page_by_page(
    accounts: Store, query: Query, ids: str
) -> None:
    page = await accounts.find("acme", ACCOUNTS, query)
    assert ("".join(document.id for document in page.documents), page.next_cursor) == (ids, "")
    assert all(document.body == BODIES[document.id] for document in page.documents)
    assert await accounts.count("acme", ACCOUNTS, query) == len(ids)
    for limit in (1, 2, 3):
        assert await read_pages(accounts, replace(query, limit=limit)) == ids


async def read_pages(store: Store, query: Query) -> str:
    """The ids of all pages, which are full but for the last."""
    ids, after = "", ""
    while True:
        page = await store.find("acme", ACCOUNTS, replace(query, after=after))
        ids += "".join(document.id for document in page.documents)
        after = page.next_cursor
        if not after:
            return ids
        assert len(page.documents) == query.limit


async def test_a_full_last_page_has_no_cursor(accounts: Store) -> None:
    page = await accounts.find("acme", ACCOUNTS, Query(where={"points": 20}, limit=3))
    assert (len(page.documents), page.next_cursor) == (3, "")


async def test_pages_stay_in_place_when_documents_come_and_go(accounts: Store) -> None:
    query = Query(order_by="points", limit=4)
    first = await accounts.find("acme", ACCOUNTS, query)
    await accounts.commit(
        [Insert("acme", ACCOUNTS, "aa", {"points": 10}), Insert("acme", ACCOUNTS, "0", {"points": -9})]
    )
    rest = await accounts.find("acme", ACCOUNTS, replace(query, after=first.next_cursor, limit=100))
    assert "".join(document.id for document in first.documents) == "dhga"
    assert [document.id for document in rest.documents] == ["aa", *"ceifb"]


async def test_count_ignores_limit_and_cursor(accounts: Store) -> None:
    page = await accounts.find("acme", ACCOUNTS, Query(limit=2))
    assert await accounts.count("acme", ACCOUNTS, Query(limit=2, after=page.next_cursor)) == len(BODIES)
    assert await accounts.count("acme", ACCOUNTS) == len(BODIES)
    assert await accounts.count("nobody", ACCOUNTS) == 0


@pytest.mark.parametrize("after", ["nonsense", "!!", "AAAA", "kwECAw", "a" * 1000, "é"])
async def test_a_cursor_that_no_page_gave_is_refused(accounts: Store, after: str) -> None:
    with pytest.raises(InvalidCursor):
        await accounts.find("acme", ACCOUNTS, Query(after=after))


async def test_a_cursor_of_another_query_is_refused(accounts: Store) -> None:
    cursor = (await accounts.find("acme", ACCOUNTS, Query(order_by="points", limit=2))).next_cursor
    others = [
        Query(after=cursor),
        Query(order_by="points", descending=True, after=cursor),
        Query(range=Range("points", above=0), after=cursor),
        Query(where={"tier": "gold"}, order_by="points", after=cursor),
    ]
    for query in others:
        with pytest.raises(InvalidCursor):
            await accounts.find("acme", ACCOUNTS, query)
    with pytest.raises(InvalidCursor):
        await accounts.find("other", ACCOUNTS, Query(order_by="points", after=cursor))


@pytest.mark.parametrize(
    "query",
    [
        Query(where={"name": "no index"}),
        Query(order_by="name"),
        Query(order_by="phone"),
        Query(where={"phone": "1"}),
        Query(where={"points": 1}, order_by="tier"),
        Query(where={"tier": "gold", "email": "x"}),
        Query(range=Range("phone", above="1")),
        Query(range=Range("points", above=1), order_by="tier"),
        Query(where={"tier": "gold"}, range=Range("tier", above="a")),
        Query(range=Range("points", above=1, at_least=2)),
        Query(limit=0),
    ],
)
async def test_a_query_that_no_declared_index_serves_is_a_bug(accounts: Store, query: Query) -> None:
    with pytest.raises(ValueError, match=r"index|range|limit"):
        await accounts.find("acme", ACCOUNTS, query)


async def test_the_fields_of_where_come_in_any_order(store: Store) -> None:
    await store.commit([Insert("acme", ACCOUNTS, "a", {"phone": "1", "country": "NL"})])
    for where in ({"country": "NL", "phone": "1"}, {"phone": "1", "country": "NL"}):
        assert len((await store.find("acme", ACCOUNTS, Query(where=where))).documents) == 1


async def test_a_large_page_of_large_documents_arrives_whole(store: Store) -> None:
    bodies = [{"customer_id": "c1", "time": n, "text": chr(97 + n % 26) * 5_000} for n in range(300)]
    await store.commit([Insert("acme", EVENTS, f"e{n:03}", body) for n, body in enumerate(bodies)])
    page = await store.find("acme", EVENTS, Query(where={"customer_id": "c1"}, order_by="time", limit=1000))
    assert [document.body for document in page.documents] == bodies
