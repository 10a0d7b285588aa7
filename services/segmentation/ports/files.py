"""What files are written by."""

from collections.abc import Sequence
from typing import Protocol


class RowWriter(Protocol):
    """Writes rows into a file, part by part."""

    def write(self, rows: Sequence[tuple[str | int | None, ...]]) -> bytes:
        """The part of the file that holds these."""
        ...

    def end(self) -> bytes:
        """The rest of the file."""
        ...


class MemberWriter(Protocol):
    """Writes members into a file, part by part."""

    def write(self, members: Sequence[tuple[str, int]]) -> bytes:
        """The part of the file that holds these: customer id and time of entering."""
        ...

    def end(self) -> bytes:
        """The rest of the file."""
        ...
