"""GraphQL over HTTP: statuses, media types, limits of a request, introspection, health, and a clean stop."""

import asyncio
from typing import Any

import httpx
import pytest
from graphql import get_introspection_query
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from gateway.app import Settings, serve
from services.common.app import PortTaken
from tests.conftest import Keyring
from tests.gateway.platform import Backend, Client, Configure, gateway_over, stand_ins, standing_in

QUERY = "{ profileStatistics { customerCount } }"


async def _post(client: Client, keyring: Keyring, **request: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {keyring.mint()}", **request.pop("headers", {})}
    return await client.http.post("/graphql", headers=headers, **request)


async def test_an_answer_is_json_and_keeps_the_connection_open(client: Client, keyring: Keyring) -> None:
    response = await _post(client, keyring, json={"query": QUERY})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers.get("connection", "keep-alive") == "keep-alive"
    assert response.json()["data"] == {"profileStatistics": {"customerCount": 0}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'[{"query": "{ __typename }"}]',
        b'{"query": 1}',
        b'{"variables": {}}',
        b'{"query":"{a}","variables":[]}',
    ],
)
async def test_a_body_that_is_no_graphql_request_is_a_400(client: Client, keyring: Keyring, body: bytes) -> None:
    response = await _post(client, keyring, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "REQUEST_INVALID"


async def test_only_json_is_read_and_only_post(client: Client, keyring: Keyring) -> None:
    response = await _post(client, keyring, content=b"query=x", headers={"content-type": "text/plain"})
    assert response.status_code == 415
    assert (await client.http.get("/graphql", params={"query": QUERY})).status_code == 405


async def test_a_body_that_is_too_large_is_a_413(configure: Configure, keyring: Keyring) -> None:
    async with gateway_over(configure, keyring, {}, body_bytes_max=2048) as client:
        response = await _post(client, keyring, json={"query": "{ __typename }", "variables": {"x": "y" * 4096}})
        assert response.status_code == 413
        assert response.json()["errors"][0]["extensions"]["code"] == "BODY_TOO_LARGE"
        assert (await _post(client, keyring, json={"query": "{ __typename }"})).status_code == 200


async def test_the_newer_media_type_tells_by_its_status_that_nothing_was_executed(
    client: Client, keyring: Keyring
) -> None:
    accept = {"accept": "application/graphql-response+json"}
    refused = await _post(client, keyring, json={"query": "{ nothing }"}, headers=accept)
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/graphql-response+json"
    assert (await _post(client, keyring, json={"query": QUERY}, headers=accept)).status_code == 200
    assert (await _post(client, keyring, json={"query": "{ nothing }"})).status_code == 200


async def test_the_operation_is_chosen_by_its_name(client: Client, keyring: Keyring) -> None:
    query = "query A { a: __typename } query B { b: __typename }"
    response = await _post(client, keyring, json={"query": query, "operationName": "B"})
    assert response.json()["data"] == {"b": "Query"}


async def test_introspection_needs_a_token(client: Client) -> None:
    query = get_introspection_query()
    assert (await client.http.post("/graphql", json={"query": query})).status_code == 401
    assert (await client.data(query))["__schema"]["queryType"]["name"] == "Query"
    assert (await client.http.get("/schema.graphql")).status_code == 401
    assert (await client.http.get("/")).status_code == 404


async def test_in_development_the_schema_and_the_console_need_none_and_everything_else_does(
    configure: Configure, keyring: Keyring
) -> None:
    async with gateway_over(configure, keyring, {}, development=True) as client:
        response = await client.http.post("/graphql", json={"query": get_introspection_query()})
        assert response.json()["data"]["__schema"]["types"]
        for query in (QUERY, "{ __typename profileStatistics { eventCount } }", "{ nothing }", "{"):
            assert (await client.http.post("/graphql", json={"query": query})).status_code == 401
        assert "type Customer implements Node" in (await client.http.get("/schema.graphql")).text


async def test_the_console_loads_nothing_from_elsewhere(configure: Configure, keyring: Keyring) -> None:
    async with gateway_over(configure, keyring, {}, development=True) as client:
        page = await client.http.get("/")
        assert (await client.http.get("/graphql")).text == page.text
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "://" not in page.text
    assert "src=" not in page.text


async def test_pages_of_allowed_origins_may_call(configure: Configure, keyring: Keyring) -> None:
    preflight = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    async with gateway_over(configure, keyring, {}, cors_origins="https://shop.example") as client:
        allowed = await client.http.options("/graphql", headers=preflight)
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        other = await client.http.options("/graphql", headers={**preflight, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_the_same_text_is_parsed_once(client: Client, backend: Backend) -> None:
    for _ in range(3):
        assert await client.data(QUERY) == {"profileStatistics": {"customerCount": 0}}
    assert backend.names() == ["profiles.GetStatistics"] * 3


async def test_alive_always_and_ready_while_some_service_is_reachable(
    configure: Configure, keyring: Keyring, backend: Backend
) -> None:
    async with gateway_over(configure, keyring, {}) as client:
        assert (await client.http.get("/healthz")).status_code == 200
        nothing = await client.http.get("/readyz")
        assert nothing.status_code == 503
        assert len(nothing.json()["unreachable"]) == 6
    async with (
        standing_in("profiles", backend, configure) as up,
        gateway_over(configure, keyring, {"profiles": up.address}) as client,
    ):
        some = await client.http.get("/readyz")
        assert some.status_code == 200
        assert "profiles" not in some.json()["unreachable"]
    async with (
        stand_ins(backend, configure) as addresses,
        gateway_over(configure, keyring, addresses) as client,
    ):
        assert (await client.http.get("/readyz")).json() == {"status": "ready", "unreachable": []}


async def test_past_the_limit_of_requests_at_work_the_next_one_is_a_503(
    configure: Configure, keyring: Keyring, backend: Backend
) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def slow(_: Any) -> profiles.GetStatisticsResponse:
        asked.set()
        await released.wait()
        return profiles.GetStatisticsResponse()

    backend.on("profiles.GetStatistics", slow)
    async with (
        standing_in("profiles", backend, configure) as up,
        gateway_over(configure, keyring, {"profiles": up.address}, concurrent_calls_max=1) as client,
    ):
        running = asyncio.create_task(client.data(QUERY))
        await asked.wait()
        refused = await client.post(QUERY)
        assert refused.status_code == 503
        assert refused.json()["errors"][0]["extensions"]["code"] == "TOO_MANY_REQUESTS"
        released.set()
        await running
        assert (await client.post(QUERY)).status_code == 200


async def test_a_stop_lets_a_request_in_flight_finish_and_takes_no_new_one(
    configure: Configure, keyring: Keyring, backend: Backend
) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def slow(_: Any) -> profiles.GetStatisticsResponse:
        asked.set()
        await released.wait()
        return profiles.GetStatisticsResponse(customer_count=7)

    backend.on("profiles.GetStatistics", slow)
    async with standing_in("profiles", backend, configure) as behind, httpx.AsyncClient() as http:
        served = serve(configure(Settings, profiles_addr=behind.address))
        up = await served.__aenter__()
        http.base_url = httpx.URL(f"http://{up.address}")
        running = asyncio.create_task(Client(http, keyring).data(QUERY))
        await asked.wait()
        stopping = asyncio.create_task(served.__aexit__(None, None, None))
        await _refused(up.host, up.port)
        released.set()
        assert await running == {"profileStatistics": {"customerCount": 7}}
        await stopping


async def _refused(host: str, port: int) -> None:
    """Wait until nothing listens on the port any more."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except ConnectionError:
            return
        writer.close()
        await asyncio.sleep(0.01)


async def test_a_port_that_is_taken_is_one_sentence(configure: Configure) -> None:
    async with serve(configure(Settings)) as up:
        with pytest.raises(PortTaken, match=f"127.0.0.1:{up.port} cannot be listened on .*; set GATEWAY_PORT"):
            async with serve(configure(Settings, port=up.port)):
                pass
