"""What files of customers and of events are kept in, read from and written to."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from services.profiles.domain.table_import import TableFormat, TableImport
from services.profiles.ports.request import Request


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that was not taken in."""

    row: int
    column: str
    reason: str
    message: str


class Rows(Protocol):
    """The rows of a file."""

    names: list[str]

    def next(self) -> list[tuple[int, list[Any] | str]]:
        """The next rows with their numbers, each of them values or what is wrong with it; none at the end."""
        ...


class Table(Protocol):
    """A file that is being written."""

    def write(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """The bytes that are ready."""
        ...

    def end(self) -> bytes:
        """The last bytes."""
        ...


NewTable = Callable[[TableFormat, Sequence[str], Sequence[str]], Table]
"""A file of columns with these names and types: `text`, `number` (an integer) or `time`."""


class Imports(Protocol):
    """The imports of all tenants."""

    async def created(self, request: Request) -> str | None:
        """The import that ``request`` made before; ``RequestIdReused``."""
        ...

    async def create(self, request: Request, wanted: TableImport) -> None:
        """Keep a new one; ``AlreadyExists`` if the request was carried out meanwhile."""
        ...

    async def cancelled(self, request: Request) -> bool:
        """Whether ``request`` was carried out before; ``RequestIdReused``."""
        ...

    async def cancel(self, request: Request, ended: TableImport, version: int) -> None:
        """Keep that it was cancelled, and make its file unreadable; ``Conflict``, ``AlreadyExists``."""
        ...

    async def unfinished(self, tenant: str) -> int:
        """How many there are whose rows are not taken in."""
        ...

    async def get(self, tenant: str, import_id: str) -> tuple[TableImport, int] | None:
        """An import and its version."""
        ...

    async def add(self, tenant: str, grown: TableImport, version: int, offset: int, data: bytes) -> None:
        """Keep a part of the file; ``Conflict`` or ``AlreadyExists`` if another writer was faster."""
        ...

    async def replace(self, tenant: str, changed: TableImport, version: int) -> None:
        """Keep what has changed; ``Conflict``."""
        ...

    def reading(self, tenant: str, wanted: TableImport) -> AbstractAsyncContextManager[tuple[Rows, str]]:
        """The rows of the file, and a digest of it; ``TableUnreadable``."""
        ...

    async def keep_errors(self, tenant: str, import_id: str, errors: Sequence[RowError]) -> None:
        """Keep what was wrong with rows."""
        ...

    async def errors(self, tenant: str, import_id: str, limit: int, after: str) -> tuple[list[RowError], str]:
        """A page of what was wrong, by row, and the token of the next."""
        ...

    async def forget_errors(self, tenant: str, import_id: str) -> None:
        """Forget what was wrong."""
        ...

    async def forget_file(self, tenant: str, import_id: str) -> None:
        """Forget the file."""
        ...

    async def forget_old(self, now: int, limit: int) -> int:
        """Forget imports that were begun too long ago; how many."""
        ...

    async def delete(self, request: Request, import_id: str) -> bool:
        """Forget all of it; whether there was one, also to the same request again."""
        ...
