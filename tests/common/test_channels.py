"""Calls to other services carry the token and the trace, have a deadline, and are tried again where that is safe."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common import telemetry
from services.common.auth import principal
from services.common.channels import DEADLINE_SECONDS, connect, on_behalf_of
from services.common.errors import InvalidArgument, Refusal, Unavailable
from tests.answering import Answer, AnsweringSettings, Context, answering
from tests.conftest import Keyring

if TYPE_CHECKING:  # the stubs of generated code know it, the code itself does not
    from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceAsyncStub

ASK = pb.GetStatisticsRequest()
ACME = on_behalf_of("acme")
SECONDS = 20
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


class Noting:
    """Answers, and notes what each call brought; the first calls are refused as the test says."""

    def __init__(self, *refusals: Refusal) -> None:
        self.refusals = list(refusals)
        self.metadata: list[dict[str, Any]] = []
        self.callers: list[tuple[str, str]] = []
        self.seconds_left: list[float] = []

    async def __call__(self, context: Context) -> pb.GetStatisticsResponse:
        self.metadata.append(dict(context.invocation_metadata() or ()))
        self.callers.append((principal().subject, principal().tenant))
        self.seconds_left.append(context.time_remaining())
        if self.refusals:
            raise self.refusals.pop(0)
        return pb.GetStatisticsResponse(customer_count=7)


@pytest.fixture
def reached(configure: Callable[..., Any]) -> Callable[..., Any]:
    """A stub over ``connect`` to a server with this answer."""

    @asynccontextmanager
    async def reach(answer: Answer) -> "AsyncIterator[ProfilesServiceAsyncStub]":
        settings = configure(AnsweringSettings)
        async with answering(settings, answer) as up, connect(up.address, settings) as channel:
            yield ProfilesServiceStub(channel)

    return reach


async def test_a_call_shows_the_token_of_its_process(reached: Any) -> None:
    noting = Noting()
    async with reached(noting) as stub:
        assert (await stub.GetStatistics(ASK, metadata=ACME)).customer_count == 7
    assert noting.callers == [("platform", "acme")]


async def test_a_token_that_the_call_brings_wins(reached: Any, keyring: Keyring) -> None:
    noting = Noting()
    async with reached(noting) as stub:
        await stub.GetStatistics(ASK, metadata=keyring.header("rival", subject="ann"))
    assert noting.callers == [("ann", "rival")]


async def test_a_call_carries_the_trace_of_the_request_that_makes_it(reached: Any) -> None:
    noting = Noting()
    async with reached(noting) as stub:
        await stub.GetStatistics(ASK, metadata=ACME)
        with telemetry.server_span("request", TRACEPARENT):
            await stub.GetStatistics(ASK, metadata=ACME)
    assert [brought.get("traceparent") for brought in noting.metadata] == [None, TRACEPARENT]


async def test_a_call_has_a_deadline_even_if_it_names_none(reached: Any) -> None:
    noting = Noting()
    async with reached(noting) as stub:
        await stub.GetStatistics(ASK, metadata=ACME)
        await stub.GetStatistics(ASK, metadata=ACME, timeout=5)
    rounding = 1  # gRPC sends whole units
    assert DEADLINE_SECONDS - SECONDS < noting.seconds_left[0] <= DEADLINE_SECONDS + rounding
    assert 0 < noting.seconds_left[1] <= 5 + rounding


async def test_what_is_not_there_for_the_moment_is_asked_again(reached: Any) -> None:
    noting = Noting(Unavailable("not yet"), Unavailable("not yet"))
    async with reached(noting) as stub:
        assert (await stub.GetStatistics(ASK, metadata=ACME)).customer_count == 7
    assert len(noting.metadata) == 3


async def test_a_request_that_is_wrong_is_not_sent_again(reached: Any) -> None:
    noting = Noting(InvalidArgument("never"))
    async with reached(noting) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stub.GetStatistics(ASK, metadata=ACME)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(noting.metadata) == 1


async def test_a_server_that_restarts_is_met(configure: Callable[..., Any]) -> None:
    settings = configure(AnsweringSettings)
    async with (
        answering(settings, Noting()) as up,
        closing_the_first_connection(up.port) as (address, connections),
        connect(address, settings) as channel,
    ):
        assert (await ProfilesServiceStub(channel).GetStatistics(ASK, metadata=ACME)).customer_count == 7
    assert next(connections) > 1


@asynccontextmanager
async def closing_the_first_connection(port: int) -> AsyncIterator[tuple[str, Iterator[int]]]:
    """A relay to ``port`` that hangs up at first, as a server does that is going; its address, and a count."""
    connections = itertools.count()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(connections) == 0:
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, server_writer), pass_on(server_reader, writer))

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", connections


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.close()
