"""Files over HTTP that a service streams: passed on part by part, with a bound on how many at once."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from gateway import errors
from gateway.endpoint import TooManyRequests
from services.common import telemetry
from services.common.errors import Refusal
from services.common.grpc_errors import error_info

log = logging.getLogger(__name__)

_STATUS = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
}


class Files:
    """The files that one process sends and takes in."""

    def __init__(self, requests_max: int) -> None:
        self._requests, self._requests_max = 0, requests_max

    def endpoint(
        self, name: str, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """``answer``, whose refusals, and those of services, become responses with a status of their own."""

        async def answered(request: Request) -> Response:
            with telemetry.server_span(name, request.headers.get("traceparent")):
                try:
                    if self._requests >= self._requests_max:
                        raise TooManyRequests(f"{self._requests_max} files are under way; retry with backoff")
                    return await answer(request)
                except Refusal as refusal:
                    return _refused(refusal)
                except grpc.aio.AioRpcError as error:
                    return _failed(name, error)

        return answered

    async def sent(self, call: Any, part: str, name: str, media_type: str) -> Response:
        """The file that ``call`` streams in the field ``part``, once its first part is there."""
        first = await call.read()
        headers = {"content-disposition": f'attachment; filename="{name}"', "x-content-type-options": "nosniff"}
        return StreamingResponse(self._parts(first, call, part), media_type=media_type, headers=headers)

    async def _parts(self, first: Any, call: Any, field: str) -> AsyncIterator[bytes]:
        """A client that goes away ends the call; a call that fails ends the connection before the end of the file."""
        with self.counted():
            try:
                part = first
                while part is not grpc.aio.EOF:
                    yield getattr(part, field)
                    part = await call.read()
            finally:
                call.cancel()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """One more file is under way until the block is left."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1


def _refused(refusal: Refusal) -> Response:
    described = errors.refused(refusal)
    statuses = {"UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 503}
    return JSONResponse(described, statuses.get(described["extensions"]["status"], 400))


def _failed(name: str, error: grpc.aio.AioRpcError) -> Response:
    info = error_info(error)
    if error.code() not in _STATUS or info is None:
        log.warning("the file %s failed: %s %s", name, error.code().name, error.details())
        return JSONResponse({"message": "the service cannot answer for the moment", "extensions": {}}, 503)
    status = 413 if info.reason == "IMPORT_TOO_LARGE" else _STATUS[error.code()]
    return JSONResponse({"message": error.details(), "extensions": {"code": info.reason}}, status)
