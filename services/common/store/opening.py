"""Which engine keeps a service's documents: a file unless ``STORE_URL`` names a server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from services.common.errors import FailedPrecondition
from services.common.store.port import Collection, Store
from services.common.store.sqlite import SqliteStore
from services.common.store.traced import TracedStore


class StoreSettings(Protocol):
    """What of a service's settings chooses the engine."""

    @property
    def service(self) -> str:
        """Names the file or the database."""
        ...

    @property
    def data_dir(self) -> Path:
        """Where the file lies."""
        ...

    @property
    def store_url(self) -> str | None:
        """``mongodb://`` or ``mongodb+srv://``; ``None`` for the file."""
        ...


@asynccontextmanager
async def open_store(settings: StoreSettings, collections: Sequence[Collection]) -> AsyncIterator[Store]:
    """The service's store, closed on leaving. ``FailedPrecondition`` if no engine serves the URL."""
    store = await _open(settings, collections)
    try:
        yield TracedStore(store, "mongodb" if settings.store_url else "sqlite")
    finally:
        await store.close()


async def _open(settings: StoreSettings, collections: Sequence[Collection]) -> Store:
    if not settings.store_url:
        return await SqliteStore.open(settings.data_dir / f"{settings.service}.sqlite3", collections)
    if settings.store_url.startswith(("mongodb://", "mongodb+srv://")):
        # Imported only where it is used: the driver costs a quarter of a second at start.
        from services.common.store.mongo import MongoStore

        return await MongoStore.open(settings.store_url, settings.service, collections)
    raise FailedPrecondition("STORE_URL must begin with mongodb:// or mongodb+srv://, or be unset for a local file")
