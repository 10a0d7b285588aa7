"""What writing segments into object storage needs from outside."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Protocol

from services.segmentation.domain.delivery import Outcome
from services.segmentation.domain.object_push import ObjectPush
from services.segmentation.ports.files import RowWriter


class Blob(Protocol):
    """What is to be one object. Methods may wait for the disk: call them off the loop, except ``parts``."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    @property
    def sha256(self) -> str:
        """The digest, in hexadecimal."""
        ...

    def write(self, content: bytes) -> None:
        """Append. ``OSError`` where the disk does not take it."""
        ...

    def parts(self) -> AsyncIterator[bytes]:
        """The whole, from the beginning, in parts."""
        ...


class Blobs(Protocol):
    """Makes room for objects before they are sent."""

    def __call__(self) -> AbstractContextManager[Blob]:
        """An empty one; nothing of it is left when it is left."""
        ...


class AudienceFiles(Protocol):
    """Makes files of members."""

    def __call__(self, push: ObjectPush) -> RowWriter:
        """A new file, of rows as ``columns`` says: times in microseconds."""
        ...

    def columns(self, push: ObjectPush) -> tuple[str, ...]:
        """The names of the columns of ``push``'s files."""
        ...


class ObjectStore(Protocol):
    """Puts objects into buckets."""

    async def put(self, bucket: str, key: str, push: ObjectPush, secret: bytes, kind: str, blob: Blob) -> Outcome:
        """One attempt to put ``blob``, of the media type ``kind``, at ``key`` of the bucket at the address ``bucket``;
        what goes wrong is in the outcome. Whoever reads the key finds the whole or what was there before."""
        ...
