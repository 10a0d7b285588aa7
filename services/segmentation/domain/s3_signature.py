"""AWS Signature Version 4, as Amazon S3 wants it (Amazon S3 API Reference, "Authenticating Requests: Using the
Authorization Header").

S3 takes the path as it is sent: encoded once, and not normalised.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

_ALGORITHM, _SERVICE = "AWS4-HMAC-SHA256", "s3"


def object_path(key: str) -> str:
    """The key of an object as part of a path: all but the unreserved characters and ``/`` are encoded."""
    return quote(key, safe="/-_.~")


def s3_signed(
    method: str,
    url: str,
    headers: Mapping[str, str],
    payload_sha256: str,
    *,
    access_key_id: str,
    secret: bytes,
    region: str,
    moment: datetime,
) -> dict[str, str]:
    """All headers of the request, which has no query: ``headers`` (their names in lower case) with those that prove who
    made it. ``payload_sha256`` is in hexadecimal; ``moment`` has a zone."""
    parts = urlsplit(url)
    stamp = moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "host": parts.netloc, "x-amz-content-sha256": payload_sha256, "x-amz-date": stamp}
    names = ";".join(sorted(signed))
    lines = [f"{name}:{' '.join(signed[name].split())}" for name in sorted(signed)]
    request = "\n".join((method, parts.path or "/", "", *lines, "", names, payload_sha256))
    scope = f"{stamp[:8]}/{region}/{_SERVICE}/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = b"AWS4" + secret
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{_ALGORITHM} Credential={access_key_id}/{scope}"
    return {**signed, "authorization": f"{credential}, SignedHeaders={names}, Signature={signature}"}
