"""The members of a segment as a file over HTTP: what segmentation streams is passed on as it comes."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tessera.segmentation.v1 import member_file_pb2 as pb

from gateway import errors
from gateway.auth import authenticated
from gateway.backends import Backends
from gateway.endpoint import TooManyRequests
from gateway.errors import RequestInvalid
from services.common import telemetry
from services.common.auth import Verifier
from services.common.errors import Refusal
from services.common.grpc_errors import error_info

log = logging.getLogger(__name__)

FORMATS = {
    "csv": (pb.FILE_FORMAT_CSV, "text/csv; charset=utf-8"),
    "parquet": (pb.FILE_FORMAT_PARQUET, "application/vnd.apache.parquet"),
}
_STATUS = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
}


class MemberFileEndpoint:
    """``GET /v1/segments/{segment_id}/members``."""

    def __init__(self, verifier: Verifier, backends: Backends, requests_max: int) -> None:
        self._verifier, self._backends, self._requests_max = verifier, backends, requests_max
        self._requests = 0

    def routes(self) -> list[Route]:
        """Where it is found."""
        return [Route("/v1/segments/{segment_id}/members", self.members, methods=["GET"])]

    async def members(self, request: Request) -> Response:
        """The file, once its first part is there: what is refused has a status of its own."""
        with telemetry.server_span("members", request.headers.get("traceparent")):
            try:
                if self._requests >= self._requests_max:
                    raise TooManyRequests(f"{self._requests_max} files are being sent; retry with backoff")
                return await self._file(request)
            except Refusal as refusal:
                return _refused(refusal)
            except grpc.aio.AioRpcError as error:
                return _failed(error)

    async def _file(self, request: Request) -> Response:
        context = await authenticated(request, self._verifier, self._backends)
        name = request.query_params.get("format", "csv")
        if name not in FORMATS:
            raise RequestInvalid(f"format must be one of {', '.join(FORMATS)}", field="format")
        written, media_type = FORMATS[name]
        segment_id = request.path_params["segment_id"]
        asked = pb.ExportMembersRequest(segment_id=segment_id, format=written)
        call: Any = self._backends.segmentation.ExportMembers(asked, metadata=context.metadata)
        first = await call.read()
        headers = {"content-disposition": f'attachment; filename="members.{name}"', "x-content-type-options": "nosniff"}
        return StreamingResponse(self._parts(first, call), media_type=media_type, headers=headers)

    async def _parts(self, first: Any, call: Any) -> AsyncIterator[bytes]:
        """A client that goes away ends the call; a call that fails ends the connection before the end of the file."""
        self._requests += 1
        try:
            part = first
            while part is not grpc.aio.EOF:
                yield part.content
                part = await call.read()
        finally:
            self._requests -= 1
            call.cancel()


def _refused(refusal: Refusal) -> Response:
    described = errors.refused(refusal)
    statuses = {"UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 503}
    return JSONResponse(described, statuses.get(described["extensions"]["status"], 400))


def _failed(error: grpc.aio.AioRpcError) -> Response:
    info = error_info(error)
    if error.code() not in _STATUS or info is None:
        log.warning("members could not be exported: %s %s", error.code().name, error.details())
        return JSONResponse({"message": "segmentation cannot answer for the moment", "extensions": {}}, 503)
    return JSONResponse({"message": error.details(), "extensions": {"code": info.reason}}, _STATUS[error.code()])
