"""Customers and events as files over HTTP: both ways part by part, so that no file has to fit into memory."""

import contextlib
import zlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import orjson
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tessera.profiles.v1 import transfer_pb2 as pb

from gateway.auth import authenticated
from gateway.backends import Backends
from gateway.context import Context
from gateway.errors import RequestInvalid
from gateway.file_responses import Files
from services.common.auth import Verifier

FORMATS = {
    "csv": (pb.TABLE_FORMAT_CSV, "text/csv; charset=utf-8"),
    "parquet": (pb.TABLE_FORMAT_PARQUET, "application/vnd.apache.parquet"),
}
KINDS = {"customers": pb.IMPORT_KIND_CUSTOMERS, "events": pb.IMPORT_KIND_EVENTS}
CHUNK_BYTES = 512 * 1024
COLUMNS_LENGTH_MAX = 64 * 1024
GZIP = 31  # zlib's number for gzip with its largest window


class TableFileEndpoint:
    """``POST /v1/imports``, ``GET /v1/exports/customers`` and ``GET /v1/exports/events``."""

    def __init__(self, verifier: Verifier, backends: Backends, files: Files) -> None:
        self._verifier, self._backends, self._files = verifier, backends, files

    def routes(self) -> list[Route]:
        """Where they are found."""
        files = {"/v1/exports/customers": self.customers, "/v1/exports/events": self.events}
        return [
            Route("/v1/imports", self._files.endpoint("import", self.take_in), methods=["POST"]),
            *(Route(path, self._files.endpoint("table", answer), methods=["GET"]) for path, answer in files.items()),
        ]

    async def customers(self, request: Request) -> Response:
        """All customers, with a column for each of the traits that are named."""
        context = await authenticated(request, self._verifier, self._backends)
        name, (written, media_type) = _format(request)
        traits = [trait for trait in request.query_params.get("traits", "").split(",") if trait]
        asked = pb.ExportCustomersRequest(format=written, trait_names=traits)
        call = self._backends.profiles.ExportCustomers(asked, metadata=context.metadata)
        return await self._files.sent(call, "data", f"customers.{name}", media_type)

    async def events(self, request: Request) -> Response:
        """All events, or those of some names and of some time."""
        context = await authenticated(request, self._verifier, self._backends)
        name, (written, media_type) = _format(request)
        asked = pb.ExportEventsRequest(
            format=written,
            names=request.query_params.getlist("name"),
            from_time=_time(request, "from"),
            before_time=_time(request, "before"),
        )
        call = self._backends.profiles.ExportEvents(asked, metadata=context.metadata)
        return await self._files.sent(call, "data", f"events.{name}", media_type)

    async def take_in(self, request: Request) -> Response:
        """Begin an import with the body as its file. The same idempotency key again goes on where it was cut off."""
        context = await authenticated(request, self._verifier, self._backends)
        wanted, dry_run = _wanted(request), request.query_params.get("dryRun", "") == "true"
        with self._files.counted():
            profiles = self._backends.profiles
            answer = await profiles.CreateImport(wanted, metadata=context.metadata)
            begun = getattr(answer, "import")
            try:
                received = await self._upload(context, begun, _body(request))
                start = pb.StartImportRequest(import_id=begun.import_id, dry_run=dry_run)
                job = (await profiles.StartImport(start, metadata=context.metadata)).job
            except BaseException:
                if not wanted.request_id:  # nobody can go on with it
                    with contextlib.suppress(grpc.aio.AioRpcError):
                        gone = pb.DeleteImportRequest(import_id=begun.import_id)
                        await profiles.DeleteImport(gone, metadata=context.metadata)
                raise
        told = {"importId": begun.import_id, "jobId": job.job_id, "receivedBytes": received}
        return JSONResponse(told, 202, headers={"location": f"/v1/imports/{begun.import_id}"})

    async def _upload(self, context: Context, begun: Any, body: AsyncIterator[bytes]) -> int:
        """Send on what profiles does not have yet; how much there is."""
        offset, waiting = 0, bytearray()

        async def send() -> int:
            part = bytes(waiting[:CHUNK_BYTES])
            del waiting[:CHUNK_BYTES]
            known = begun.received_bytes - offset
            if known < len(part):
                chunk = pb.UploadImportChunkRequest(
                    import_id=begun.import_id, offset=offset + max(known, 0), data=part[max(known, 0) :]
                )
                await self._backends.profiles.UploadImportChunk(chunk, metadata=context.metadata)
            return offset + len(part)

        async for piece in body:
            for begin in range(0, len(piece), CHUNK_BYTES):
                waiting += piece[begin : begin + CHUNK_BYTES]
                while len(waiting) >= CHUNK_BYTES:
                    offset = await send()
        if waiting:
            offset = await send()
        return offset


def _format(request: Request) -> tuple[str, tuple[pb.TableFormat.ValueType, str]]:
    name = request.query_params.get("format", "csv")
    if name not in FORMATS:
        raise RequestInvalid(f"format must be one of {', '.join(FORMATS)}", field="format")
    return name, FORMATS[name]


def _time(request: Request, name: str) -> Timestamp | None:
    text = request.query_params.get(name)
    if not text:
        return None
    time = Timestamp()
    try:
        time.FromJsonString(text)
    except ValueError as error:
        raise RequestInvalid(f"{name} must be a time as of RFC 3339", field=name) from error
    return time


def _wanted(request: Request) -> pb.CreateImportRequest:
    """What the query says of the file; ``columns`` are mappings as in the contract, a list in JSON."""
    kind = request.query_params.get("kind", "")
    if kind not in KINDS:
        raise RequestInvalid(f"kind must be one of {', '.join(KINDS)}", field="kind")
    wanted = pb.CreateImportRequest(
        request_id=request.headers.get("idempotency-key", ""), kind=KINDS[kind], format=_format(request)[1][0]
    )
    text = request.query_params.get("columns", "[]")
    try:
        columns = orjson.loads(text) if len(text) <= COLUMNS_LENGTH_MAX else None
        if not isinstance(columns, list):
            raise ValueError("it is none, or too long")
        for each in columns:
            json_format.ParseDict(each, wanted.columns.add())
    except (ValueError, TypeError, json_format.ParseError) as error:
        raise RequestInvalid(f"columns must be a list of column mappings in JSON: {error}", field="columns") from error
    return wanted


async def _body(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes, unpacked if it is gzip, a bounded piece at a time."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise RequestInvalid("content-encoding must be gzip or none")
    unpacking = zlib.decompressobj(GZIP) if encoding == "gzip" else None
    async for piece in request.stream():
        if unpacking is None:
            yield piece
            continue
        waiting = piece
        while waiting:
            try:
                yield unpacking.decompress(waiting, CHUNK_BYTES)
            except zlib.error as error:
                raise RequestInvalid(f"the body is no gzip: {error}") from None
            waiting = unpacking.unconsumed_tail
    if unpacking is not None and not unpacking.eof:
        raise RequestInvalid("the body is no complete gzip")
