"""The body of an HTTP request, read within a limit, and unpacked within the same one."""

import zlib

from starlette.requests import Request

from gateway.endpoint import BodyTooLarge
from gateway.errors import RequestInvalid

GZIP = 31  # zlib's number for gzip with its largest window


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The body, unpacked if it is gzip; ``BodyTooLarge``, ``RequestInvalid``."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise RequestInvalid("content-encoding must be gzip or none")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise BodyTooLarge(f"the body is larger than {bytes_max} bytes", maximum=bytes_max)
        chunks.append(chunk)
    body = b"".join(chunks)
    return _unpacked(body, bytes_max) if encoding == "gzip" else body


def _unpacked(packed: bytes, bytes_max: int) -> bytes:
    unpacking = zlib.decompressobj(GZIP)
    try:
        body = unpacking.decompress(packed, bytes_max + 1)
    except zlib.error as error:
        raise RequestInvalid(f"the body is no gzip: {error}") from None
    if len(body) > bytes_max:
        raise BodyTooLarge(f"the unpacked body is larger than {bytes_max} bytes", maximum=bytes_max)
    if not unpacking.eof or unpacking.unused_data:
        raise RequestInvalid("the body is no complete gzip")
    return body
