"""The server that all six services are: health, reflection, authentication, limits, deadlines, errors, drain."""

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common import telemetry
from services.common.auth import verifier
from services.common.errors import FailedPrecondition
from services.common.guard import Guard
from services.common.settings import ServiceSettings

log = logging.getLogger(__name__)


class PortTaken(FailedPrecondition):
    """Another process listens on the port."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is up."""

    host: str
    port: int

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Exposed:
    """A service of the contracts with the object that answers it: what one server exposes."""

    descriptor: ServiceDescriptor
    add_to_server: Callable[[Any, Any], None]
    servicer: object


@asynccontextmanager
async def serving(settings: ServiceSettings, exposed: Exposed) -> AsyncIterator[Serving]:
    """Serve ``exposed``; leaving drains: no new calls, those in flight finish, then everything is released."""
    server = grpc.aio.server(options=_options(settings))
    healthy = health.aio.HealthServicer()
    guard = Guard(settings, verifier(settings))
    _add_guarded(server, exposed, guard)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection([exposed.descriptor.full_name, reflection.SERVICE_NAME], server)
    port = _bind(server, settings)
    await server.start()
    for name in ("", exposed.descriptor.full_name):
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    log.info("%s serves on %s:%d", settings.service, settings.host, port)
    try:
        yield Serving(settings.host, port)
    finally:
        await healthy.enter_graceful_shutdown()
        guard.end_feeds()
        await server.stop(settings.drain_seconds_max)
        telemetry.flush()


def _options(settings: ServiceSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # otherwise a second process would silently share the port
        ("grpc.max_receive_message_length", settings.message_bytes_max),
        ("grpc.max_send_message_length", 64 * 1024 * 1024),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.max_concurrent_streams", 10_000),
        # New calls go to a new connection; those on the old one, feeds too, end when they end: its grace has no limit.
        ("grpc.max_connection_age_ms", round(settings.connection_seconds_max * 1000)),
    ]


def _bind(server: grpc.aio.Server, settings: ServiceSettings) -> int:
    address = f"{settings.host}:{settings.port}"
    _check_free(settings)
    try:
        if settings.tls_cert_file is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, _credentials(settings))
    except RuntimeError as error:
        raise _port_taken(settings, "gRPC refused it") from error


def _check_free(settings: ServiceSettings) -> None:
    """``PortTaken`` before gRPC finds out, which would say so in lines of its own as well."""
    try:
        socket.create_server((settings.host, settings.port)).close()
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
            raise _port_taken(settings, os.strerror(error.errno)) from error


def _port_taken(settings: ServiceSettings, why: str) -> PortTaken:
    address, variable = f"{settings.host}:{settings.port}", f"{settings.service.upper()}_PORT"
    return PortTaken(f"{address} cannot be listened on ({why}); set {variable}")


def _credentials(settings: ServiceSettings) -> grpc.ServerCredentials:
    assert settings.tls_key_file
    assert settings.tls_cert_file
    authority = settings.tls_ca_file.read_bytes() if settings.tls_ca_file else None
    pair = (settings.tls_key_file.read_bytes(), settings.tls_cert_file.read_bytes())
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


def _add_guarded(server: grpc.aio.Server, exposed: Exposed, guard: Guard) -> None:
    """Register the servicer with each method wrapped once, which is cheaper than an interceptor on every call."""
    captured = _Captured()
    exposed.add_to_server(exposed.servicer, captured)
    methods = exposed.descriptor.methods_by_name
    handlers = {name: guard.wrap(methods[name], handler) for name, handler in captured.handlers.items()}
    generic = grpc.method_handlers_generic_handler(exposed.descriptor.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))


class _Captured:
    """Stands in for a server, to receive the handlers that generated code registers."""

    def __init__(self) -> None:
        self.handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def add_generic_rpc_handlers(self, handlers: Iterable[object]) -> None:
        """Not needed: the same handlers come by name."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        self.handlers.update(handlers)


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[asyncio.Task[None]]:
    """Run ``work`` beside the server until the block is left. A failure of it is logged and ends the process.

    Work that can recover (a follower that loses its stream) recovers by itself; what escapes is a bug, and a
    service that looks healthy with half of it dead would be worse than a restart.
    """
    task = asyncio.create_task(work, name=name)
    owner = asyncio.current_task()
    task.add_done_callback(lambda done: _end(done, owner))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def _end(task: asyncio.Task[None], owner: asyncio.Task[Any] | None) -> None:
    if task.cancelled() or task.exception() is None:
        return
    log.critical("background work %s failed", task.get_name(), exc_info=task.exception())
    if owner is not None and not owner.done():
        owner.cancel(f"{task.get_name()} failed")


async def every(seconds: float, tick: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run ``tick`` every ``seconds``, measured from start to start, for ever; a failed one is logged and retried."""
    while True:
        began = time.monotonic()
        try:
            await tick()
        except Exception:
            log.exception("periodic work failed; it runs again in %.0f s", seconds)
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
