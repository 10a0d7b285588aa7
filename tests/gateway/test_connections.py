"""Pages of lists: every item once, in order, however the pages are cut."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.profiles.v1 import profiles_service_pb2 as pb

from gateway.schema.connections import page
from services.common.errors import InvalidCursor
from tests.gateway.platform import Backend, Client


def _numbers(total: int, page_size_max: int) -> "_Numbers":
    return _Numbers(total, page_size_max)


class _Numbers:
    """A service that lists numbers; it may answer fewer than were asked for."""

    def __init__(self, total: int, page_size_max: int) -> None:
        self._total, self._page_size_max = total, page_size_max

    async def fetch(self, size: int, token: str) -> tuple[Sequence[int], str]:
        start = int(token or 0)
        end = min(start + min(size, self._page_size_max), self._total)
        return range(start, end), str(end) if end < self._total else ""


@given(st.integers(0, 60), st.integers(1, 20))
async def test_following_the_end_cursor_shows_every_item_once(total: int, first: int) -> None:
    seen: list[int] = []
    after = None
    while True:
        answer = await page(_numbers(total, 1000).fetch, first, after)
        seen.extend(answer.items)
        if not answer.next_token:
            break
        after = answer.cursor(len(answer.items) - 1)
    assert seen == list(range(total))


@given(st.integers(1, 60), st.integers(1, 20), st.data())
async def test_any_edge_is_a_place_to_go_on_from(total: int, first: int, data: st.DataObject) -> None:
    source = _numbers(total, 1000)
    answer = await page(source.fetch, first, None)
    index = data.draw(st.integers(0, len(answer.items) - 1))
    following = await page(source.fetch, first, answer.cursor(index))
    assert list(following.items) == list(range(index + 1, min(index + 1 + first, total)))
    assert not following.is_first


async def test_a_cursor_of_someone_else_is_refused() -> None:
    for cursor in ("x", "", "LTE6", "OTk5OTo=", "é"):
        if cursor:
            with pytest.raises(InvalidCursor):
                await page(_numbers(3, 10).fetch, 2, cursor)


async def test_a_connection_as_a_client_pages_through_it(client: Client, backend: Backend) -> None:
    def listed(request: pb.ListCustomersRequest) -> pb.ListCustomersResponse:
        start = int(request.page_token or 0)
        end = min(start + request.page_size, 5)
        answer = pb.ListCustomersResponse(next_page_token=str(end) if end < 5 else "")
        answer.customers.extend(pb.Customer(customer_id=f"c{n}") for n in range(start, end))
        return answer

    backend.on("profiles.ListCustomers", listed)
    query = """query ($after: String) { customers(first: 2, after: $after) {
        edges { cursor node { customerId } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    first = (await client.data(query))["customers"]
    assert [edge["node"]["customerId"] for edge in first["edges"]] == ["c0", "c1"]
    assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (True, False)
    assert first["pageInfo"]["endCursor"] == first["edges"][-1]["cursor"]
    second = (await client.data(query, {"after": first["edges"][0]["cursor"]}))["customers"]
    assert [edge["node"]["customerId"] for edge in second["edges"]] == ["c1", "c2"]
    last = (await client.data(query, {"after": second["pageInfo"]["endCursor"]}))["customers"]
    assert [edge["node"]["customerId"] for edge in last["edges"]] == ["c3", "c4"]
    assert (last["pageInfo"]["hasNextPage"], last["pageInfo"]["hasPreviousPage"]) == (False, True)
    nothing = (await client.data(query, {"after": last["pageInfo"]["endCursor"]}))["customers"]
    assert nothing["edges"] == []
    assert nothing["pageInfo"]["endCursor"] is None


async def test_a_page_of_more_than_a_hundred_is_refused(client: Client, backend: Backend) -> None:
    error = await client.error("{ customers(first: 101) { nodes { customerId } } }")
    assert error["extensions"] == {
        "code": "PAGE_SIZE_EXCEEDED",
        "status": "INVALID_ARGUMENT",
        "metadata": {"maximum": "100"},
    }
    assert (await client.error("{ customers(first: 0) { nodes { customerId } } }"))["extensions"]["code"] == (
        "PAGE_SIZE_INVALID"
    )
    assert backend.calls == []
