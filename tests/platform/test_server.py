"""The server that all services share: health, reflection, limits, deadlines, drain, errors, connections."""

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.app import Exposed, PortTaken, Serving, serving
from services.common.grpc_errors import error_info
from services.common.guard import AccessUndeclared
from tests.answering import DESCRIPTOR, Answer, AnsweringSettings, Context, answering, nothing
from tests.conftest import Keyring

if TYPE_CHECKING:  # the stubs of generated code know it, the code itself does not
    from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceAsyncStub

ASK = pb.GetStatisticsRequest()
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
Status = grpc.StatusCode
Configure = Callable[..., Any]
SECONDS = 20
"""How long a test waits for what comes at once; only a failure takes as long."""


class Work:
    """A call that is at work until the test lets it finish."""

    def __init__(self) -> None:
        self.begun, self.finish, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, context: Context) -> pb.GetStatisticsResponse:
        self.begun.set()
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return pb.GetStatisticsResponse(customer_count=7)


class Client:
    """Calls the server as tenant ``acme``."""

    def __init__(self, up: Serving, channel: grpc.aio.Channel, keyring: Keyring) -> None:
        self.up, self.channel, self.metadata = up, channel, keyring.header()
        self.stub: ProfilesServiceAsyncStub = ProfilesServiceStub(channel)

    def ask(self, **options: Any) -> Any:
        return self.stub.GetStatistics(ASK, metadata=self.metadata, **{"timeout": SECONDS, **options})

    async def refusal(self, call: Any) -> tuple[Status, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        info = error_info(caught.value)
        return caught.value.code(), info.reason if info else ""


@pytest.fixture
def served(configure: Configure, keyring: Keyring) -> Callable[..., Any]:
    """Serves with settings of one's own: ``async with served(answer, call_seconds_max=1) as client``."""

    @asynccontextmanager
    async def serve(answer: Answer = nothing, changes: Any = None, **settings: Any) -> AsyncIterator[Client]:
        async with (
            answering(configure(AnsweringSettings, **settings), answer, changes) as up,
            grpc.aio.insecure_channel(up.address) as channel,
        ):
            yield Client(up, channel, keyring)

    return serve


async def test_health_is_told_by_check(served: Any) -> None:
    async with served() as client:
        health = health_pb2_grpc.HealthStub(client.channel)
        for name in ("", DESCRIPTOR.full_name):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS)
            assert answer.status == SERVING


async def test_a_watcher_learns_that_the_server_drains(configure: Configure) -> None:
    serving_up = answering(configure(AnsweringSettings, drain_seconds_max=SECONDS))
    up = await serving_up.__aenter__()
    async with grpc.aio.insecure_channel(up.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        states = aiter(watch)
        assert (await anext(states)).status == SERVING
        draining = asyncio.create_task(serving_up.__aexit__(None, None, None))
        assert (await anext(states)).status == NOT_SERVING
        watch.cancel()
        await draining


async def test_reflection_lists_the_service(served: Any) -> None:
    async with served() as client:
        stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = await anext(aiter(stub.ServerReflectionInfo(iter([asked]), timeout=SECONDS)))
    assert DESCRIPTOR.full_name in {service.name for service in answer.list_services_response.service}


async def test_a_taken_port_is_named_with_its_variable(configure: Configure) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken) as refusal:
            async with answering(configure(AnsweringSettings, port=port)):
                pass
    assert refusal.value.message == (
        f"127.0.0.1:{port} cannot be listened on (Address already in use); set PROFILES_PORT"
    )


async def test_a_contract_that_does_not_say_who_may_call_is_not_served(configure: Configure) -> None:
    exposed = Exposed(
        health_pb2.DESCRIPTOR.services_by_name["Health"],
        health_pb2_grpc.add_HealthServicer_to_server,
        health_pb2_grpc.HealthServicer(),
    )
    with pytest.raises(AccessUndeclared, match=r"Health\.Check"):
        async with serving(configure(AnsweringSettings), exposed):
            pass


async def test_a_message_past_the_limit_is_refused(served: Any) -> None:
    async with served(message_bytes_max=1024) as client:
        large = pb.IngestEventsRequest(events=[pb.Event(properties_json="x" * 2000)])
        code, _ = await client.refusal(client.stub.IngestEvents(large, metadata=client.metadata, timeout=SECONDS))
    assert code is Status.RESOURCE_EXHAUSTED


async def test_a_call_past_the_limit_is_refused_and_the_next_one_is_not(served: Any) -> None:
    work = Work()
    async with served(work, concurrent_calls_max=1) as client:
        first = client.ask()
        await work.begun.wait()
        assert await client.refusal(client.ask()) == (Status.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
        work.finish.set()
        assert (await first).customer_count == 7
        assert (await client.ask()).customer_count == 7


async def test_the_callers_deadline_ends_the_work(served: Any) -> None:
    work = Work()
    async with served(work) as client:
        assert await client.refusal(client.ask(timeout=0.2)) == (Status.DEADLINE_EXCEEDED, "")
        async with asyncio.timeout(SECONDS):
            await work.cancelled.wait()


async def test_a_caller_who_goes_away_ends_the_work(served: Any) -> None:
    work = Work()
    async with served(work, concurrent_calls_max=1) as client:
        call = client.ask()
        async with asyncio.timeout(SECONDS):
            await work.begun.wait()
            call.cancel()
            await work.cancelled.wait()
        work.finish.set()
        assert (await client.ask()).customer_count == 7


async def test_no_call_takes_longer_than_the_server_allows(served: Any) -> None:
    work = Work()
    async with served(work, call_seconds_max=0.05) as client:
        assert await client.refusal(client.ask()) == (Status.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert work.cancelled.is_set()


async def test_a_call_in_flight_finishes_while_the_server_drains(configure: Configure, keyring: Keyring) -> None:
    work = Work()
    serving_up = answering(configure(AnsweringSettings, drain_seconds_max=SECONDS), work)
    up = await serving_up.__aenter__()
    async with grpc.aio.insecure_channel(up.address) as channel:
        client = Client(up, channel, keyring)
        watched = aiter(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS))
        assert (await anext(watched)).status == SERVING
        call = client.ask()
        await work.begun.wait()
        draining = asyncio.create_task(serving_up.__aexit__(None, None, None))
        assert (await anext(watched)).status == NOT_SERVING
        work.finish.set()
        assert (await call).customer_count == 7
    await draining


async def test_what_is_unexpected_is_told_by_an_id_that_is_in_the_log(
    served: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(context: Context) -> pb.GetStatisticsResponse:
        raise RuntimeError("the password is swordfish")

    async with served(fail) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.ask()
    error, info = caught.value, error_info(caught.value)
    assert info is not None
    assert (error.code(), info.reason) == (Status.INTERNAL, "INTERNAL_ERROR")
    error_id = info.metadata["error_id"]
    assert re.fullmatch("[0-9a-f]{32}", error_id)
    assert error.details() == f"internal error {error_id}"
    assert "swordfish" not in repr(error)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert error_id in record.getMessage()
    assert "swordfish" in caplog.text


async def test_a_feed_outlives_its_connection(served: Any) -> None:
    """New calls move to a new connection, where new servers are met; a feed stays on the old one."""
    changes: asyncio.Queue[pb.FollowChangesResponse] = asyncio.Queue()

    async def stream() -> AsyncIterator[pb.FollowChangesResponse]:
        while True:
            yield await changes.get()

    peers: list[str] = []

    async def note_the_peer(context: Context) -> pb.GetStatisticsResponse:
        peers.append(context.peer())
        return pb.GetStatisticsResponse()

    async with served(note_the_peer, stream(), connection_seconds_max=0.3, drain_seconds_max=0) as client:
        feed = aiter(client.stub.FollowChanges(pb.FollowChangesRequest(), metadata=client.metadata, timeout=SECONDS))
        changes.put_nowait(pb.FollowChangesResponse(cursor="1"))
        assert (await anext(feed)).cursor == "1"
        await client.ask()
        async with asyncio.timeout(SECONDS):
            await client.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        await client.ask()
        assert len(set(peers)) == 2
        changes.put_nowait(pb.FollowChangesResponse(cursor="2"))
        assert (await anext(feed)).cursor == "2"
