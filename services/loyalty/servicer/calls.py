"""What every rpc of loyalty does alike: naming the request, paging, times."""

from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.auth import principal
from services.common.idempotency import fingerprint
from services.loyalty.ports import Request

Context = grpc.aio.ServicerContext[Any, Any]
PAGE_SIZE_DEFAULT = 100


def named(request: Any) -> Request:
    """The mutation as its caller named it. The type is part of the content: other rpcs have like fields."""
    message: Message = request
    content = message.DESCRIPTOR.full_name.encode() + b"\0" + message.SerializeToString(deterministic=True)
    return Request(principal().tenant, request.request_id, fingerprint(content))


def page_size(request: Any) -> int:
    """How many to put into a page."""
    return request.page_size or PAGE_SIZE_DEFAULT


def micros(time: Timestamp) -> int:
    """The instant, in microseconds since 1970."""
    return time.seconds * 1_000_000 + time.nanos // 1000


def timestamp(micros: int) -> Timestamp:
    """The instant as messages carry it."""
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)
