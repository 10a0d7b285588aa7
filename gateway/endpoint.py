"""GraphQL over HTTP: one POST endpoint, health, and in development a page to try requests on."""

import logging
import time
from pathlib import Path
from typing import Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from gateway import errors
from gateway.auth import anonymous, authenticated
from gateway.backends import Backends
from gateway.context import Context
from gateway.errors import RequestInvalid
from gateway.execution import Answer, Execution, OperationUnknown, Prepared, is_introspection
from services.common import telemetry
from services.common.auth import TokenMissing, Verifier
from services.common.errors import PermissionDenied, Refusal, ResourceExhausted, Unauthenticated

log = logging.getLogger(__name__)

CONSOLE = Path(__file__).resolve().parent / "console" / "index.html"
GRAPHQL_JSON = "application/graphql-response+json"


class BodyTooLarge(ResourceExhausted):
    """The body of the request has too many bytes. Metadata ``maximum``."""


class TooManyRequests(ResourceExhausted):
    """The gateway has as many requests at work as it allows; retry with backoff."""


class MediaTypeUnsupported(RequestInvalid):
    """The body of the request is not JSON."""


class _Asked(msgspec.Struct):
    """The body of a GraphQL request."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = msgspec.field(default=None, name="operationName")
    extensions: dict[str, Any] | None = None


_STATUS: tuple[tuple[type[Refusal], int], ...] = (
    (Unauthenticated, 401),
    (PermissionDenied, 403),
    (BodyTooLarge, 413),
    (TooManyRequests, 503),
    (MediaTypeUnsupported, 415),
)
_decoder = msgspec.json.Decoder(_Asked)


class GraphQLEndpoint:
    """Answers requests: reads them, lets the caller in, has them executed, and writes the answer."""

    def __init__(
        self,
        execution: Execution,
        verifier: Verifier,
        backends: Backends,
        *,
        body_bytes_max: int,
        requests_max: int,
        development: bool,
        sdl: str,
    ) -> None:
        self._execution = execution
        self._verifier = verifier
        self._backends = backends
        self._body_bytes_max = body_bytes_max
        self._requests_max = requests_max
        self._requests = 0
        self._development = development
        self._sdl = sdl
        self._duration = telemetry.histogram("gateway.operation.duration")

    async def graphql(self, request: Request) -> Response:
        """``POST /graphql``."""
        began = time.perf_counter()
        self._requests += 1
        with telemetry.server_span("graphql", request.headers.get("traceparent")) as span:
            try:
                if self._requests > self._requests_max:
                    raise TooManyRequests(f"{self._requests_max} requests are at work; retry with backoff")
                answer, kind = await self._answer(request, span)
            except Refusal as refusal:
                return _refused(request, refusal)
            finally:
                self._requests -= 1
            self._duration.record((time.perf_counter() - began) * 1000, {"graphql.operation.type": kind})
            return _written(request, answer)

    async def schema(self, request: Request) -> Response:
        """``GET /schema.graphql``: the schema, for callers with a token; in development for everyone."""
        try:
            await self._context(request, allow_anonymous=self._development)
        except Refusal as refusal:
            return _refused(request, refusal)
        return PlainTextResponse(self._sdl)

    async def console(self, request: Request) -> Response:
        """``GET /`` and ``/graphql``, in development: a page to try requests on; it loads nothing from elsewhere."""
        policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"
        return FileResponse(CONSOLE, headers={"content-security-policy": policy})

    async def alive(self, request: Request) -> Response:
        """``GET /healthz``: the process answers."""
        return _json({"status": "alive"}, 200)

    async def ready(self, request: Request) -> Response:
        """``GET /readyz``: 200 while some service can be reached, with those that cannot.

        One service that is down costs its part of an answer, so it must not take the whole gateway out of service.
        """
        unreachable = await self._backends.unreachable()
        serves = len(unreachable) < len(self._backends.health)
        return _json({"status": "ready" if serves else "not ready", "unreachable": unreachable}, 200 if serves else 503)

    async def _answer(self, request: Request, span: Any) -> tuple[Answer, str]:
        if self._development:
            return await self._answer_in_development(request, span)
        context = await self._context(request, allow_anonymous=False)
        asked = _asked(await self._body(request))
        return await self._executed(asked, self._execution.prepare(asked.query), context, span)

    async def _answer_in_development(self, request: Request, span: Any) -> tuple[Answer, str]:
        """As in production, but an introspection needs no token, so that tools can read the schema."""
        context = await self._context(request, allow_anonymous=True)
        asked = _asked(await self._body(request))
        prepared = self._execution.prepare(asked.query)
        if context.principal is None and not _asks_about_the_schema(prepared, asked.operation_name):
            raise TokenMissing("send a token: `authorization: Bearer …`")
        return await self._executed(asked, prepared, context, span)

    async def _executed(self, asked: _Asked, prepared: Prepared, context: Context, span: Any) -> tuple[Answer, str]:
        if prepared.errors:
            return {"errors": list(prepared.errors)}, "invalid"
        operation = prepared.operation(asked.operation_name)
        kind = operation.operation.value
        if span.is_recording():
            name = operation.name.value if operation.name else ""
            span.update_name(f"{kind} {name}".rstrip())
            span.set_attribute("graphql.operation.type", kind)
            span.set_attribute("graphql.operation.name", name)
        return await self._execution.execute(prepared, operation, asked.variables or {}, context), kind

    async def _context(self, request: Request, *, allow_anonymous: bool) -> Context:
        if allow_anonymous and "authorization" not in request.headers:
            return anonymous(self._backends)
        return await authenticated(request, self._verifier, self._backends)

    async def _body(self, request: Request) -> bytes:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise MediaTypeUnsupported("send JSON: `content-type: application/json`")
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._body_bytes_max:
                maximum = self._body_bytes_max
                raise BodyTooLarge(f"the body is larger than {maximum} bytes", maximum=maximum)
            chunks.append(chunk)
        return b"".join(chunks)


def _asks_about_the_schema(prepared: Prepared, operation_name: str | None) -> bool:
    try:
        return not prepared.errors and is_introspection(prepared.operation(operation_name))
    except OperationUnknown:
        return False


def _asked(body: bytes) -> _Asked:
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        hint = "; batches are not accepted" if body.lstrip().startswith(b"[") else ""
        raise RequestInvalid(f"the body is not a GraphQL request: {error}{hint}") from None


def _refused(request: Request, refusal: Refusal) -> Response:
    log.debug("the request is refused, %s: %s", refusal.reason, refusal.message)
    status = next((code for kind, code in _STATUS if isinstance(refusal, kind)), 400)
    response = _json({"errors": [errors.refused(refusal)]}, status)
    if status == 401:
        response.headers["www-authenticate"] = 'Bearer realm="tessera"'
    return response


def _written(request: Request, answer: Answer) -> Response:
    """GraphQL over HTTP: the newer media type tells by the status that nothing was executed."""
    if GRAPHQL_JSON not in request.headers.get("accept", ""):
        return _json(answer, 200)
    return _json(answer, 200 if "data" in answer else 400, GRAPHQL_JSON)


def _json(content: Any, status: int, media_type: str = "application/json") -> Response:
    return Response(orjson.dumps(content), status, media_type=media_type)
