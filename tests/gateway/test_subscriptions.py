"""Subscriptions over WebSocket: the protocol, who may, limits, interruptions, slow clients, and the end of a server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from graphql import GraphQLNonNull, get_named_type, is_leaf_type
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty
from tessera.loyalty.v1 import notice_pb2
from tessera.segmentation.v1 import segmentation_service_pb2 as pb
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from gateway.schema.build import root_fields, schema
from services.common.errors import InvalidCursor, Unavailable
from tests.conftest import Keyring
from tests.gateway.platform import SERVICES, Backend, Client, Configure, gateway_over, stand_ins

FOLLOW = "segmentation.FollowMemberships"
CHANGED = "subscription { segmentMembershipChanged { segmentId customerId transition cursor segment { name } } }"
SECONDS_MAX = 30


class Wire:
    """A client of the protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, type: str, **more: Any) -> None:
        await self._connection.send(json.dumps({"type": type, **more}))

    async def raw(self, text: str) -> None:
        await self._connection.send(text)

    async def subscribe(self, query: str, id: str = "1", **payload: Any) -> None:
        await self.send("subscribe", id=id, payload={"query": query, **payload})

    async def receive(self) -> Any:
        async with asyncio.timeout(SECONDS_MAX):
            return json.loads(await self._connection.recv())

    async def closed(self) -> tuple[int, str]:
        """The code and reason with which the server closes, after whatever it still sends."""
        async with asyncio.timeout(SECONDS_MAX):
            await self._connection.wait_closed()
        return self._connection.close_code or 0, self._connection.close_reason or ""

    async def initialised(self, authorization: str, **payload: Any) -> "Wire":
        await self.send("connection_init", payload={"Authorization": authorization, **payload})
        assert await self.receive() == {"type": "connection_ack"}
        return self


@asynccontextmanager
async def connected(client: Client, *subprotocols: str) -> AsyncIterator[Wire]:
    url = f"ws://{client.http.base_url.host}:{client.http.base_url.port}/graphql"
    spoken = [Subprotocol(each) for each in subprotocols or ("graphql-transport-ws",)]
    async with connect(url, subprotocols=spoken) as connection:
        yield Wire(connection)


@pytest.fixture
def bearer(keyring: Keyring) -> Callable[..., str]:
    return lambda **claims: f"Bearer {keyring.mint(**claims)}"


Bearer = Callable[..., str]


def entered(*customers: str, start: int = 0) -> pb.FollowMembershipsResponse:
    changes = [
        pb.MembershipChange(
            tenant_id="acme",
            segment_id="s1",
            customer_id=who,
            transition=pb.TRANSITION_ENTERED,
            cursor=f"c{start + number}",
        )
        for number, who in enumerate(customers)
    ]
    return pb.FollowMembershipsResponse(changes=changes, cursor=f"c{start + len(changes) - 1}")


class Feed:
    """A feed that says what a test puts into it, and whether somebody still follows it."""

    def __init__(self) -> None:
        self.batches: asyncio.Queue[pb.FollowMembershipsResponse | Exception] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.sent = 0

    async def __call__(self, request: pb.FollowMembershipsRequest) -> AsyncIterator[pb.FollowMembershipsResponse]:
        try:
            while True:
                batch = await self.batches.get()
                if isinstance(batch, Exception):
                    raise batch
                yield batch
                self.sent += 1
        finally:
            self.ended.set()


@pytest.fixture
def feed(backend: Backend) -> Feed:
    feed = Feed()
    backend.on(FOLLOW, feed)  # type: ignore[arg-type]  # a feed answers with a generator
    named = pb.BatchGetSegmentsResponse(segments=[pb.Segment(segment_id="s1", name="Big spenders")])
    backend.on("segmentation.BatchGetSegments", lambda _: named)
    return feed


async def test_each_change_is_one_message_with_its_edges(
    client: Client, backend: Backend, feed: Feed, bearer: Bearer
) -> None:
    feed.batches.put_nowait(entered("ann", "bob"))
    async with connected(client) as wire:
        await (await wire.initialised(bearer())).subscribe(CHANGED)
        first, second = await wire.receive(), await wire.receive()
        assert (first["type"], first["id"]) == ("next", "1")
        assert first["payload"]["data"]["segmentMembershipChanged"] == {
            "segmentId": "s1",
            "customerId": "ann",
            "transition": "ENTERED",
            "cursor": "c0",
            "segment": {"name": "Big spenders"},
        }
        assert second["payload"]["data"]["segmentMembershipChanged"]["customerId"] == "bob"
        (request,) = backend.requests(FOLLOW)
        assert (request.from_now, request.after_cursor, set(backend.tenants)) == (True, "", {"acme"})
        await wire.send("complete", id="1")
        async with asyncio.timeout(SECONDS_MAX):
            await feed.ended.wait()


async def test_an_interrupted_feed_goes_on_after_the_last_cursor(
    client: Client, backend: Backend, feed: Feed, bearer: Bearer
) -> None:
    for batch in (entered("ann"), Unavailable("restarting"), entered("bob", start=1)):
        feed.batches.put_nowait(batch)
    async with connected(client) as wire:
        await (await wire.initialised(bearer())).subscribe("subscription { segmentMembershipChanged { customerId } }")
        seen = [(await wire.receive())["payload"]["data"]["segmentMembershipChanged"] for _ in range(2)]
    assert seen == [{"customerId": "ann"}, {"customerId": "bob"}]
    assert [request.after_cursor for request in backend.requests(FOLLOW)] == ["", "c0"]


async def test_what_a_service_refuses_ends_the_operation_and_not_the_connection(
    client: Client, feed: Feed, bearer: Bearer
) -> None:
    feed.batches.put_nowait(InvalidCursor("the cursor is not ours"))
    async with connected(client) as wire:
        await (await wire.initialised(bearer())).subscribe(CHANGED)
        refused = await wire.receive()
        assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "INVALID_CURSOR")
        await wire.subscribe("{ segmentationStatus { eventCount } }", id="1")
        assert (await wire.receive())["payload"]["data"] == {"segmentationStatus": {"eventCount": 0}}
        assert await wire.receive() == {"type": "complete", "id": "1"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { a: segmentMembershipChanged { cursor } b: segmentMembershipChanged { cursor } }", ""),
    ],
)
async def test_a_document_that_is_wrong_is_one_error(client: Client, bearer: Bearer, query: str, code: str) -> None:
    async with connected(client) as wire:
        await (await wire.initialised(bearer())).subscribe(query)
        refused = await wire.receive()
    assert (refused["type"], refused["id"]) == ("error", "1")
    assert code in refused["payload"][0]["extensions"]["code"]


async def test_every_subscription_is_refused_without_its_scope_before_a_service_is_asked(
    client: Client, backend: Backend, bearer: Bearer
) -> None:
    subscriptions = {name: field.access.scope for root, name, field in root_fields(schema()) if root == "Subscription"}
    # Whose job is asked for decides about the scope of `jobProgress`; its own tests have it.
    declared = {name: scope for name, scope in subscriptions.items() if name != "jobProgress"}
    assert "segmentMembershipChanged" in declared
    for name, scope in declared.items():
        others = [f"{each}:admin" for each in SERVICES if each != scope.partition(":")[0]]
        async with connected(client) as wire:
            await (await wire.initialised(bearer(scopes=others))).subscribe(_document(name))
            refused = await wire.receive()
        assert refused["payload"][0]["extensions"]["code"] == "SCOPE_MISSING", name
    assert backend.calls == []


def _document(name: str) -> str:
    """A valid request for a root field of Subscription."""
    kind = schema()._schema.subscription_type
    assert kind is not None
    field = kind.fields[name]
    needed = [key for key, each in field.args.items() if isinstance(each.type, GraphQLNonNull)]
    listed = ", ".join(f'{key}: "x"' for key in needed)
    given = f"({listed})" if needed else ""
    inside = "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
    return f"subscription {{ {name}{given}{inside} }}"


async def test_the_token_and_the_tenant_are_checked_when_a_connection_is_initialised(
    client: Client, backend: Backend, feed: Feed, bearer: Bearer
) -> None:
    for payload in ({}, {"authorization": "Bearer x"}, {"authorization": bearer(tenant="*")}, {"authorization": 1}):
        async with connected(client) as wire:
            await wire.send("connection_init", payload=payload)
            assert (await wire.closed())[0] == 4403
    async with connected(client) as wire:
        await wire.initialised(bearer(tenant="*"), **{"tessera-tenant": "rival"})
        feed.batches.put_nowait(entered("eve"))
        await wire.subscribe("subscription { segmentMembershipChanged { customerId } }")
        await wire.receive()
    assert set(backend.tenants) == {"rival"}


async def test_what_breaks_the_protocol_closes_the_connection_with_the_code_for_it(
    client: Client, bearer: Bearer, feed: Feed
) -> None:
    async with connected(client, "graphql-ws") as wire:
        assert (await wire.closed())[0] == 4406
    async with connected(client) as wire:
        await wire.raw("not json")
        assert (await wire.closed())[0] == 4400
    async with connected(client) as wire:
        await wire.subscribe(CHANGED)
        assert (await wire.closed())[0] == 4401
    async with connected(client) as wire:
        await wire.initialised(bearer())
        await wire.send("connection_init")
        assert (await wire.closed())[0] == 4429
    async with connected(client) as wire:
        await (await wire.initialised(bearer())).subscribe(CHANGED)
        await wire.subscribe(CHANGED)
        assert await wire.closed() == (4409, "subscriber for 1 already exists")


async def test_a_ping_is_answered_at_any_time(client: Client) -> None:
    async with connected(client) as wire:
        await wire.send("ping", payload={"n": 1})
        assert await wire.receive() == {"type": "pong", "payload": {"n": 1}}


async def test_a_connection_has_a_limit_of_operations_and_the_gateway_one_of_connections(
    configure: Configure, keyring: Keyring, backend: Backend, feed: Feed, bearer: Bearer
) -> None:
    async with (
        stand_ins(backend, configure) as addresses,
        gateway_over(configure, keyring, addresses, subscriptions_max=2, connections_max=1) as client,
        connected(client) as wire,
    ):
        await wire.initialised(bearer())
        for name in "abc":
            await wire.subscribe(CHANGED, id=name)
        refused = await wire.receive()
        assert (refused["id"], refused["payload"][0]["extensions"]["code"]) == ("c", "TOO_MANY_SUBSCRIPTIONS")
        async with connected(client) as other:
            assert await other.closed() == (1013, "1 connections are open")


async def test_a_subscription_over_http_says_where_it_belongs(client: Client) -> None:
    assert (await client.error(CHANGED))["extensions"]["code"] == "WEB_SOCKET_NEEDED"


async def test_a_client_that_takes_nothing_holds_back_its_feed(client: Client, feed: Feed, bearer: Bearer) -> None:
    """What waits is in the buffers of sockets, not in the memory of the gateway."""
    many = entered(*("x" * 1000 for _ in range(1000)))
    for _ in range(40):
        feed.batches.put_nowait(many)
    async with connected(client) as wire:
        await (await wire.initialised(bearer())).subscribe("subscription { segmentMembershipChanged { customerId } }")
        await wire.receive()
        before = -1
        while feed.sent != before:  # until it comes to a standstill
            before = feed.sent
            await asyncio.sleep(1)
        assert feed.sent < 40


async def test_a_gateway_that_stops_closes_connections_and_ends_their_feeds(
    configure: Configure, keyring: Keyring, backend: Backend, feed: Feed, bearer: Bearer
) -> None:
    async with stand_ins(backend, configure) as addresses:
        stopping = gateway_over(configure, keyring, addresses)
        client = await stopping.__aenter__()
        async with connected(client) as wire:
            feed.batches.put_nowait(entered("ann"))
            await (await wire.initialised(bearer())).subscribe(CHANGED)
            await wire.receive()
            closing = asyncio.create_task(wire.closed())
            await stopping.__aexit__(None, None, None)
            assert (await closing)[0] == 1012
        async with asyncio.timeout(SECONDS_MAX):
            await feed.ended.wait()


async def test_what_happens_to_a_loyalty_account_is_told_with_the_standing_of_now(
    client: Client, backend: Backend, bearer: Bearer
) -> None:
    asked: list[notice_pb2.FollowNoticesRequest] = []

    async def notices(request: notice_pb2.FollowNoticesRequest) -> AsyncIterator[notice_pb2.FollowNoticesResponse]:
        asked.append(request)
        kind = notice_pb2.NOTICE_KIND_POINTS_EXPIRING
        notice = notice_pb2.Notice(customer_id="c1", kind=kind, program_id="club", points=5, lead_days=7, cursor="n1")
        yield notice_pb2.FollowNoticesResponse(cursor="n0")
        yield notice_pb2.FollowNoticesResponse(notices=[notice], cursor="n1")

    backend.on("loyalty.FollowNotices", notices)  # type: ignore[arg-type]  # a feed answers with a generator
    standing = loyalty.Member(program_id="club", member_id="c1", balance_points=9)
    backend.on("loyalty.BatchGetMembers", lambda _: loyalty.BatchGetMembersResponse(members=[standing]))
    fields = "{ kind points leadDays cursor member { balancePoints } }"
    async with connected(client) as wire:
        wanted = f'subscription {{ loyaltyAccountChanged(after: "n") {fields} }}'
        await (await wire.initialised(bearer())).subscribe(wanted)
        told = await wire.receive()
    assert told["payload"]["data"]["loyaltyAccountChanged"] == {
        "kind": "POINTS_EXPIRING",
        "points": 5,
        "leadDays": 7,
        "cursor": "n1",
        "member": {"balancePoints": 9},
    }
    assert (asked[0].after_cursor, asked[0].from_now) == ("n", True)
