"""What stands before every rpc: the caller's token and scope, the field rules, limits, the trace, and errors."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from tessera.common.v1 import options_pb2

from services.common import auth, telemetry
from services.common.auth import ALL_TENANTS, TenantMissing, Verifier
from services.common.errors import Refusal, ResourceExhausted, Unavailable
from services.common.grpc_errors import DeadlineExceeded, abort, status_code
from services.common.settings import ServiceSettings
from services.common.validation import validate

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]

# The statuses by which a server says that it, and not the caller, is at fault.
_FAULTS = frozenset(
    {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.DATA_LOSS,
    }
)


class TooManyCalls(ResourceExhausted):
    """The server has as many calls at work as it allows; retry with backoff."""


class Draining(Unavailable):
    """The server is stopping; another one, or the same one a moment later, goes on with the feed."""


class InternalError(Refusal):
    """Something that should not happen; the id is in the log."""


class AccessUndeclared(Exception):
    """A contract has an rpc without ``tessera.common.v1.access``: the server refuses to start."""


class Guard:
    """Wraps the methods of one server, each once, when it starts."""

    def __init__(self, settings: ServiceSettings, verifier: Verifier) -> None:
        self._service = settings.service
        self._verifier = verifier
        self._calls_max = settings.concurrent_calls_max
        self._seconds_max = settings.call_seconds_max
        self._calls = 0
        self._feeds_max = settings.concurrent_feeds_max
        self._feeds: set[asyncio.Task[Any]] = set()
        self._draining = False

    def end_feeds(self) -> None:
        """End every open feed with ``UNAVAILABLE``, so that its follower goes to another server at once."""
        self._draining = True
        for feed in self._feeds:
            feed.cancel()

    def wrap(self, method: MethodDescriptor, handler: Any) -> Any:
        """The handler with the guard before it; ``AccessUndeclared`` if the contract says nothing of access."""
        access = method.GetOptions().Extensions[options_pb2.access]
        if not access.scope:
            raise AccessUndeclared(f"{method.full_name} does not say who may call it")
        if handler.request_streaming:
            raise AccessUndeclared(f"{method.full_name}: request streams are not guarded yet")
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:
            coders["response_serializer"] = _unless_encoded(handler.response_serializer)
            return grpc.unary_stream_rpc_method_handler(self._stream(method, access, handler.unary_stream), **coders)
        return grpc.unary_unary_rpc_method_handler(self._unary(method, access, handler.unary_unary), **coders)

    def _unary(self, method: MethodDescriptor, access: options_pb2.Access, behaviour: Any) -> Any:
        name = f"{method.containing_service.full_name}/{method.name}"
        duration = telemetry.histogram("rpc.server.duration")
        succeeded = {"rpc.method": name, "rpc.grpc.status_code": "OK"}

        async def guarded(request: Any, context: Context) -> Any:
            began, outcome = time.perf_counter(), succeeded
            self._calls += 1
            metadata = _metadata(context)
            with telemetry.server_span(name, metadata.get("traceparent")):
                try:
                    if self._calls > self._calls_max:
                        raise TooManyCalls(f"{self._calls_max} calls are at work; retry with backoff")
                    await self._admit(metadata, access)
                    validate(request)
                    async with asyncio.timeout(self._seconds_max):
                        return await behaviour(request, context)
                except Exception as error:
                    refusal = self._refusal(name, error)
                    outcome = {**succeeded, "rpc.grpc.status_code": status_code(refusal).name}
                    return await self._refuse(context, name, refusal)
                except asyncio.CancelledError:  # the caller went away, or its deadline passed
                    outcome = {**succeeded, "rpc.grpc.status_code": "CANCELLED"}
                    raise
                finally:
                    self._calls -= 1
                    duration.record((time.perf_counter() - began) * 1000, outcome)

        return guarded

    def _stream(self, method: MethodDescriptor, access: options_pb2.Access, behaviour: Any) -> Any:
        name = f"{method.containing_service.full_name}/{method.name}"

        async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
            task = asyncio.current_task()
            assert task is not None
            self._feeds.add(task)
            try:
                if len(self._feeds) > self._feeds_max:
                    raise TooManyCalls(f"{self._feeds_max} feeds are open; retry with backoff")
                await self._admit(_metadata(context), access)
                validate(request)
                async for response in behaviour(request, context):
                    yield response
            except Exception as error:
                await self._refuse(context, name, self._refusal(name, error))
            except asyncio.CancelledError:
                if not self._draining:
                    raise
                task.uncancel()
                await self._refuse(context, name, Draining("the server is stopping; open the feed again"))
            finally:
                self._feeds.discard(task)

        return guarded

    async def _admit(self, metadata: dict[str, str], access: options_pb2.Access) -> None:
        caller = await self._verifier.verify(metadata.get("authorization"))
        caller.require(access.scope)
        caller = caller.acting_for(metadata.get("tessera-tenant", ""))
        if caller.tenant == ALL_TENANTS and not access.all_tenants:
            raise TenantMissing("a platform token must name a tenant: metadata `tessera-tenant`")
        auth.enter(caller)

    async def _refuse(self, context: Context, name: str, refusal: Refusal) -> None:
        log.debug("%s is refused, %s: %s", name, refusal.reason, refusal.message)
        telemetry.failed(refusal.reason, fault=status_code(refusal) in _FAULTS)
        telemetry.counter("rpc.server.refused").add(1, {"rpc.method": name, "reason": refusal.reason})
        await abort(context, refusal, self._service)

    def _refusal(self, name: str, error: Exception) -> Refusal:
        if isinstance(error, Refusal):
            return error
        if isinstance(error, TimeoutError):
            return DeadlineExceeded(f"the call took longer than {self._seconds_max:g} s")
        error_id = uuid.uuid4().hex
        log.error("%s failed, error %s", name, error_id, exc_info=error)
        return InternalError(f"internal error {error_id}", error_id=error_id)


def _unless_encoded(serialize: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """A feed may answer in bytes: what goes to many followers is encoded once."""
    return lambda response: response if isinstance(response, bytes) else serialize(response)


def _metadata(context: Context) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
