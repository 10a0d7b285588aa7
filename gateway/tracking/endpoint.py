"""``POST /v1/<call>``: the HTTP of Segment's tracking API, over ``profiles.IngestEvents``."""

import logging
import uuid
from dataclasses import dataclass, replace
from typing import Any

import grpc
import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from tessera.profiles.v1 import profiles_service_pb2 as pb

from gateway.backends import Backends
from gateway.endpoint import TooManyRequests
from gateway.errors import RequestInvalid
from gateway.tracking.body import read_body
from gateway.tracking.mapping import (
    TYPES,
    BatchUnreadable,
    EventUnreadable,
    Shared,
    read_batch,
    read_event,
    read_write_key,
)
from gateway.tracking.write_keys import WriteKeys, basic_user
from services.common import telemetry
from services.common.channels import on_behalf_of
from services.common.errors import Refusal, Unauthenticated

log = logging.getLogger(__name__)

BATCH_BYTES_MAX = 500 * 1024
BATCH_EVENTS_MAX = 2_500
BATCH_CALLS = ("batch", "import")
RETRY_SECONDS = "1"
_STATUS: tuple[tuple[type[Refusal], int], ...] = ((Unauthenticated, 401), (TooManyRequests, 503))
"""Everything else is a 400, what is too large too, as Segment documents it: its clients send other statuses again."""


@dataclass(frozen=True, slots=True)
class _Body:
    events: list[bytes]
    shared: Shared
    write_key: str
    surplus: int = 0
    """How many events came beyond those that a batch may have; they are not among ``events``."""


class TrackingEndpoint:
    """Takes events in, one or a batch, and answers as Segment's clients expect."""

    def __init__(self, backends: Backends, requests_max: int) -> None:
        self._backends = backends
        self._keys = WriteKeys(backends)
        self._requests_max = requests_max
        self._requests = 0

    def routes(self) -> list[Route]:
        """One for each call."""
        return [Route(f"/v1/{call}", self._receiver(call), methods=["POST"]) for call in (*TYPES, *BATCH_CALLS)]

    def _receiver(self, call: str) -> Any:
        async def receive(request: Request) -> Response:
            self._requests += 1
            with telemetry.server_span(f"tracking {call}", request.headers.get("traceparent")):
                try:
                    if self._requests > self._requests_max:
                        raise TooManyRequests(f"{self._requests_max} requests are at work; retry with backoff")
                    return await self._receive(request, call)
                except Refusal as refusal:
                    return _refused(refusal)
                except grpc.aio.AioRpcError as error:
                    log.warning("events could not be handed to profiles: %s %s", error.code().name, error.details())
                    return _unavailable()
                except ClientDisconnect:
                    return Response(status_code=400)
                finally:
                    self._requests -= 1

        return receive

    async def _receive(self, request: Request, call: str) -> Response:
        shown = basic_user(request.headers.get("authorization", ""))
        tenant = await self._keys.tenant(shown) if shown else ""
        content = await read_body(request, BATCH_BYTES_MAX)
        body = _batch(content, call) if call in BATCH_CALLS else _single(content, known=bool(tenant))
        tenant = tenant or await self._keys.tenant(body.write_key)
        rejections = await self._ingest(tenant, body, "" if call in BATCH_CALLS else call)
        if not rejections:
            return _json({"success": True}, 200)
        if call in BATCH_CALLS:
            return _json({"success": True, "rejections": rejections}, 200)
        (rejection,) = rejections
        return _error(400, rejection["reason"], rejection["message"])

    async def _ingest(self, tenant: str, body: _Body, call: str) -> list[dict[str, Any]]:
        """Hand over what can be read, keep what cannot, and answer what was rejected, by its place in the batch."""
        events: list[pb.Event] = []
        places: list[int] = []
        unreadable: list[pb.Unreadable] = []
        rejections: list[dict[str, Any]] = []
        for index, content in enumerate(body.events):
            try:
                events.append(read_event(content, call, body.shared, _new_id))
                places.append(index)
            except EventUnreadable as fault:
                text = content.decode(errors="replace")
                if text:
                    unreadable.append(pb.Unreadable(source_text=text, reason=fault.reason, message=fault.message))
                rejections.append({"index": index, "reason": fault.reason, "message": fault.message})
        profiles, metadata = self._backends.profiles, on_behalf_of(tenant)
        if events:
            answer = await profiles.IngestEvents(pb.IngestEventsRequest(events=events), metadata=metadata)
            rejections += [
                {
                    "index": places[it.index],
                    "messageId": it.message_id,
                    "reason": it.reason,
                    "message": it.message,
                    **({"path": it.path} if it.path else {}),
                }
                for it in answer.rejections
            ]
        if unreadable:
            await profiles.KeepDeadLetters(pb.KeepDeadLettersRequest(unreadable=unreadable), metadata=metadata)
        if body.surplus:
            text = f"a batch has at most {BATCH_EVENTS_MAX} events; the {body.surplus} from here on were not taken"
            rejections.append({"index": BATCH_EVENTS_MAX, "reason": "BATCH_TOO_LONG", "message": text})
        return sorted(rejections, key=lambda rejection: rejection["index"])


def _single(body: bytes, *, known: bool) -> _Body:
    """One event; where it is known whose it is, what cannot be read is kept like every rejected event."""
    try:
        return _Body([body], Shared(), "" if known else read_write_key(body))
    except BatchUnreadable as error:
        raise RequestInvalid(str(error)) from None


def _batch(body: bytes, call: str) -> _Body:
    try:
        events, shared, write_key = read_batch(body)
    except BatchUnreadable as error:
        raise RequestInvalid(str(error)) from None
    if call == "import":  # history: its times are not those of a clock that is wrong
        shared = replace(shared, history=True)
    return _Body(events[:BATCH_EVENTS_MAX], shared, write_key, max(0, len(events) - BATCH_EVENTS_MAX))


def _new_id() -> str:
    return uuid.uuid4().hex


def _refused(refusal: Refusal) -> Response:
    status = next((code for kind, code in _STATUS if isinstance(refusal, kind)), 400)
    response = _error(status, refusal.reason, refusal.message)
    if status == 401:
        response.headers["www-authenticate"] = 'Basic realm="tessera"'
    if status == 503:
        response.headers["retry-after"] = RETRY_SECONDS
    return response


def _unavailable() -> Response:
    response = _error(503, "UNAVAILABLE", "events cannot be taken for the moment; send them again")
    response.headers["retry-after"] = RETRY_SECONDS
    return response


def _error(status: int, code: str, message: str) -> Response:
    return _json({"success": False, "code": code, "message": message}, status)


def _json(content: Any, status: int) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
