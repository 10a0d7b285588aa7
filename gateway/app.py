"""The composition root of the gateway: everything is wired here, and nowhere else."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import ClassVar

import uvicorn
from pydantic import Field
from pydantic_settings import SettingsConfigDict
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route, WebSocketRoute

from gateway.auth import TENANT_HEADER
from gateway.backends import Backends, connected
from gateway.endpoint import GraphQLEndpoint
from gateway.execution import Execution
from gateway.export_files import ExportFileEndpoint
from gateway.file_responses import Files
from gateway.ledger_files import LedgerFileEndpoint
from gateway.limits import Limits
from gateway.member_files import MemberFileEndpoint
from gateway.schema.build import schema, sdl, service_of
from gateway.subscriptions.endpoint import SubscriptionEndpoint
from gateway.subscriptions.session import SessionLimits
from gateway.table_files import TableFileEndpoint
from gateway.tracking.endpoint import TrackingEndpoint
from gateway.unsubscribe import UnsubscribeEndpoint
from services.common import telemetry
from services.common.app import PortTaken, Serving
from services.common.auth import verifier
from services.common.settings import Port, ServiceSettings

log = logging.getLogger(__name__)


class Settings(ServiceSettings):
    """The environment of the gateway."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")
    service: ClassVar[str] = "gateway"
    port: Port = 8080
    development: bool = False
    """True: a page to try requests on at ``/``, and introspection without a token."""
    cors_origins: str = ""
    """Origins of web pages that may call, with commas between them; ``*``: all; empty: none."""
    body_bytes_max: int = Field(4 * 1024 * 1024, ge=1024)
    depth_max: int = Field(12, ge=1)
    aliases_max: int = Field(30, ge=0)
    root_fields_max: int = Field(20, ge=1)
    tokens_max: int = Field(5_000, ge=1)
    cost_max: int = Field(50_000, ge=1)
    connections_max: int = Field(1_000, ge=0)
    """WebSocket connections at once."""
    subscriptions_max: int = Field(20, ge=1)
    """Operations at work at once on one of them."""

    @property
    def limits(self) -> Limits:
        """What one request may ask for."""
        return Limits(
            tokens_max=self.tokens_max,
            depth_max=self.depth_max,
            aliases_max=self.aliases_max,
            root_fields_max=self.root_fields_max,
            cost_max=self.cost_max,
        )


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[Serving]:
    """Serve until the block is left; then no new requests, those in flight finish, and everything is released."""
    with _listening(settings) as listener:
        async with connected(settings) as backends:
            server = _Server(_config(settings, application(settings, backends)))
            running = asyncio.create_task(server.serve(sockets=[listener]), name="http")
            await _started(server, running)
            port = listener.getsockname()[1]
            log.info("gateway serves on http://%s:%d/graphql", settings.host, port)
            try:
                yield Serving(settings.host, port)
            finally:
                server.should_exit = True
                await running
                telemetry.flush()


def application(settings: Settings, backends: Backends) -> Starlette:
    """The HTTP application over ``backends``."""
    built = schema()
    execution = Execution(built._schema, settings.limits, service_of(built), settings.call_seconds_max)
    admitting = verifier(settings)
    endpoint = GraphQLEndpoint(
        execution,
        admitting,
        backends,
        body_bytes_max=settings.body_bytes_max,
        requests_max=settings.concurrent_calls_max,
        development=settings.development,
        sdl=sdl(built),
    )
    limits = SessionLimits(settings.subscriptions_max)
    subscriptions = SubscriptionEndpoint(execution, admitting, backends, settings.connections_max, limits)
    routes: list[BaseRoute] = [
        Route("/graphql", endpoint.graphql, methods=["POST"]),
        WebSocketRoute("/graphql", subscriptions.graphql),
        Route("/schema.graphql", endpoint.schema, methods=["GET"]),
        Route("/healthz", endpoint.alive, methods=["GET"]),
        Route("/readyz", endpoint.ready, methods=["GET"]),
    ]
    routes += UnsubscribeEndpoint(backends).routes()
    files = Files(settings.concurrent_calls_max)
    routes += MemberFileEndpoint(admitting, backends, files).routes()
    routes += TableFileEndpoint(admitting, backends, files).routes()
    routes += ExportFileEndpoint(admitting, backends, files).routes()
    routes += LedgerFileEndpoint(admitting, backends, files).routes()
    routes += TrackingEndpoint(backends, settings.concurrent_calls_max).routes()
    if settings.development:
        routes += [Route(path, endpoint.console, methods=["GET"]) for path in ("/", "/graphql")]
    return Starlette(routes=routes, middleware=_cors(settings.cors_origins))


def _cors(origins: str) -> list[Middleware]:
    allowed = [origin.strip() for origin in origins.split(",") if origin.strip()]
    headers = ["authorization", "content-type", "traceparent", TENANT_HEADER]
    cors = Middleware(CORSMiddleware, allow_origins=allowed, allow_methods=["POST", "GET"], allow_headers=headers)
    return [cors] if allowed else []


def _config(settings: Settings, app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,  # costs each connection 300 kB, for messages that are small
        ws_max_size=settings.body_bytes_max,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds_max)),
    )


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: who runs the process decides when it stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _started(server: _Server, running: asyncio.Task[None]) -> None:
    while not server.started:
        if running.done():
            await running
            raise RuntimeError("the HTTP server stopped before it served")
        await asyncio.sleep(0.005)


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=2048)
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise PortTaken(f"{address} cannot be listened on ({why}); set GATEWAY_PORT") from error
    with listener:
        # Connections inherit it. The event loop sets it only on sockets that name their protocol, and without it each
        # answer waits 40 ms for the client's delayed acknowledgement of its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener
