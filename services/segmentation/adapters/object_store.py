"""Object storage that speaks S3's protocol: objects of up to 5 GiB, each in one request and so whole or not at all."""

import asyncio
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from services.common.clock import Clock
from services.segmentation.adapters.web import Answer, CheckedWeb
from services.segmentation.adapters.webhooks import retry_after
from services.segmentation.domain.delivery import Outcome
from services.segmentation.domain.object_push import ObjectPush
from services.segmentation.domain.s3_signature import object_path, s3_signed
from services.segmentation.ports.objects import Blob

USER_AGENT = "Tessera-Objects/1"
PART_BYTES = 256 * 1024
IN_MEMORY_BYTES = 1024 * 1024
SILENCE_SECONDS = 30.0
_CODE, _MESSAGE = (re.compile(f"<{name}>([^<]{{1,500}})</{name}>") for name in ("Code", "Message"))


class S3ObjectStore:
    """The port ``ObjectStore`` over S3's ``PutObject``."""

    def __init__(self, web: CheckedWeb, seconds_max: float, clock: Clock) -> None:
        self._web, self._seconds_max, self._clock = web, seconds_max, clock

    async def put(self, bucket: str, key: str, push: ObjectPush, secret: bytes, kind: str, blob: Blob) -> Outcome:
        url = f"{bucket.rstrip('/')}/{object_path(key)}"
        headers = s3_signed(
            "PUT",
            url,
            {"content-type": kind, "content-length": str(blob.size), **push.headers},
            blob.sha256,
            access_key_id=push.access_key_id,
            secret=secret,
            region=push.region,
            moment=self._clock(),
        )
        answer = await self._web.exchange(
            "PUT",
            url,
            {"user-agent": USER_AGENT, **headers},
            blob.parts(),
            seconds_max=self._seconds_max,
            silence_max=SILENCE_SECONDS,
        )
        if isinstance(answer, Outcome):
            return answer
        if 200 <= answer.status < 300:
            return Outcome(answer.status)
        return Outcome(answer.status, _said(answer), retry_after(answer.headers, self._clock))


def _said(answer: Answer) -> str:
    """The refusal in words: S3 answers with XML that has a code and a message."""
    text = answer.body.decode("utf-8", "replace")
    parts = [found[1] for found in (_CODE.search(text), _MESSAGE.search(text)) if found]
    if (region := answer.headers.get("x-amz-bucket-region")) and answer.status in (301, 307, 400):
        parts.append(f"the bucket is in the region {region[:64]}")
    return f"the answer was {answer.status}" + "".join(f": {part}" for part in parts)


class SpooledBlob:
    """The port ``Blob``: in memory while it is small, then in a file that has no name."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._size, self._digest = file, 0, hashlib.sha256()

    @property
    def size(self) -> int:
        return self._size

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self._digest.update(content)
        self._size += len(content)

    async def parts(self) -> AsyncIterator[bytes]:
        await asyncio.to_thread(self._file.seek, 0)
        while part := await asyncio.to_thread(self._file.read, PART_BYTES):
            yield part


class SpooledBlobs:
    """The port ``Blobs`` in a folder, which is made if it is absent."""

    def __init__(self, folder: Path) -> None:
        self._open = partial(tempfile.SpooledTemporaryFile, IN_MEMORY_BYTES, dir=folder)
        self._folder = folder

    @contextmanager
    def __call__(self) -> Iterator[Blob]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._open() as file:
            yield SpooledBlob(file)
