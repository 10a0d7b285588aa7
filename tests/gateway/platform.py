"""Six real gRPC servers that speak the real contracts and answer what a test says, and the real gateway over them."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any, ClassVar

import grpc
import httpx
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.app import Settings, serve
from services.common.app import Exposed, Serving, serving
from services.common.auth import principal
from services.common.errors import Refusal
from services.common.settings import ServiceSettings
from tests.conftest import Keyring

SERVICES = ("profiles", "segmentation", "recommendation", "forecasting", "loyalty", "crm")
Configure = Callable[..., Any]
Reply = Callable[[Any], Message | Awaitable[Message]]


class Backend:
    """The services behind a test's gateway: what they answer, and what they were asked."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply | Refusal | Exception] = {}
        self.calls: list[tuple[str, Message]] = []
        self.tenants: list[str] = []

    def on(self, rpc: str, reply: Reply | Refusal | Exception) -> None:
        """Answer ``<service>.<Rpc>`` so; without it the answer is an empty message."""
        self.replies[rpc] = reply

    def names(self) -> list[str]:
        """The rpcs that were called, in order."""
        return [name for name, _ in self.calls]

    def requests(self, rpc: str) -> list[Any]:
        """What an rpc was asked."""
        return [request for name, request in self.calls if name == rpc]

    def answer(self, rpc: str, empty: type[Message], request: Message) -> Message | Awaitable[Message]:
        self.calls.append((rpc, request))
        self.tenants.append(principal().tenant)
        reply = self.replies.get(rpc, lambda _: empty())
        if isinstance(reply, Exception):
            raise reply
        return reply(request)


class Client:
    """An ordinary HTTP client of a gateway."""

    def __init__(self, http: httpx.AsyncClient, keyring: Keyring) -> None:
        self.http = http
        self._keyring = keyring

    async def post(self, query: str, variables: dict[str, Any] | None = None, **claims: Any) -> httpx.Response:
        """The response to a request with a token of ``claims``."""
        headers = {"authorization": f"Bearer {self._keyring.mint(**claims)}"}
        return await self.http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)

    async def ask(self, query: str, variables: dict[str, Any] | None = None, **claims: Any) -> dict[str, Any]:
        """The answer, whatever is in it."""
        response = await self.post(query, variables, **claims)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def data(self, query: str, variables: dict[str, Any] | None = None, **claims: Any) -> Any:
        """The data of an answer without errors."""
        answer = await self.ask(query, variables, **claims)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def error(self, query: str, variables: dict[str, Any] | None = None, **claims: Any) -> dict[str, Any]:
        """The one error of an answer."""
        (error,) = (await self.ask(query, variables, **claims))["errors"]
        assert isinstance(error, dict)
        return error

    async def http_errors(self, query: str) -> list[Any]:
        """The errors of a response, whatever its status."""
        errors: list[Any] = (await self.post(query)).json()["errors"]
        return errors


@asynccontextmanager
async def standing_in(name: str, backend: Backend, configure: Configure) -> AsyncIterator[Serving]:
    """A server for the contract of service ``name``, with the real guard, that answers from ``backend``."""
    contract = import_module(f"tessera.{name}.v1.{name}_service_pb2")
    generated = import_module(f"tessera.{name}.v1.{name}_service_pb2_grpc")
    noun = f"{name.capitalize()}Service"
    descriptor = contract.DESCRIPTOR.services_by_name[noun]

    class StandInSettings(ServiceSettings):
        service: ClassVar[str] = name

    servicer = getattr(generated, f"{noun}Servicer")()
    for method in descriptor.methods:
        made = _feed if method.server_streaming else _method
        setattr(servicer, method.name, made(f"{name}.{method.name}", GetMessageClass(method.output_type), backend))
    exposed = Exposed(descriptor, getattr(generated, f"add_{noun}Servicer_to_server"), servicer)
    async with serving(configure(StandInSettings), exposed) as up:
        yield up


def _method(rpc: str, empty: type[Message], backend: Backend) -> Callable[..., Any]:
    async def answer(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
        answered = backend.answer(rpc, empty, request)
        return await answered if inspect.isawaitable(answered) else answered

    return answer


def _feed(rpc: str, empty: type[Message], backend: Backend) -> Callable[..., Any]:
    """A feed: the reply is an asynchronous generator of a request."""

    async def answer(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Message]:
        feed: Any = backend.answer(rpc, empty, request)
        async for batch in feed:
            yield batch

    return answer


@asynccontextmanager
async def gateway_over(
    configure: Configure, keyring: Keyring, addresses: dict[str, str], **settings: Any
) -> AsyncIterator[Client]:
    """A client of a gateway whose services are at ``addresses``."""
    reached = {f"{name}_addr": addresses.get(name, "127.0.0.1:1") for name in SERVICES}
    async with (
        serve(configure(Settings, **reached, **settings)) as up,
        httpx.AsyncClient(base_url=f"http://{up.address}") as http,
    ):
        yield Client(http, keyring)


@asynccontextmanager
async def stand_ins(backend: Backend, configure: Configure) -> AsyncIterator[dict[str, str]]:
    """All six services, standing in: their addresses."""
    async with AsyncExitStack() as stack:
        yield {
            name: (await stack.enter_async_context(standing_in(name, backend, configure))).address for name in SERVICES
        }
