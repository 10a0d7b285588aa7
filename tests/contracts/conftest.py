"""Both engines of the document store, as one fixture each test runs with twice."""

import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from services.common.store import Collection, Index, Store
from services.common.store.mongo import MongoStore
from services.common.store.sqlite import SqliteStore

ACCOUNTS = Collection(
    "accounts",
    (
        Index(("email",), unique=True),
        Index(("country", "phone"), unique=True),
        Index(("tier", "points")),
        Index(("points",)),
    ),
)
EVENTS = Collection("events", (Index(("customer_id", "time")),), published=True)
MESSAGES = Collection("messages", published=True)
COLLECTIONS = (ACCOUNTS, EVENTS, MESSAGES)


class Engine:
    """One place to keep documents in; it can be opened many times, also at once."""

    def __init__(self, name: str, place: str) -> None:
        self.name = name
        self.place = place
        self._opened: list[Store] = []

    async def open(self, collections: Sequence[Collection] = COLLECTIONS) -> Store:
        """Another store on the same documents."""
        self._opened.append(await open_place(self.place, collections))
        return self._opened[-1]

    async def close(self) -> None:
        """Close every store that was opened (twice does not hurt)."""
        for store in self._opened:
            await store.close()


async def open_place(place: str, collections: Sequence[Collection] = COLLECTIONS) -> Store:
    """A store in a file, or in the database that is the path of a URL."""
    if place.startswith("mongodb://"):
        url, _, database = place.rpartition("/")
        return cast(Store, await MongoStore.open(url, database, collections))
    return await SqliteStore.open(Path(place), collections)


@pytest.fixture(params=["sqlite", "mongodb"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    place = str(tmp_path / "store.sqlite3")
    if request.param == "mongodb":
        url = request.getfixturevalue("mongodb_url")
        place = f"{url.rstrip('/')}/test_{uuid.uuid4().hex[:12]}"
    engine = Engine(request.param, place)
    yield engine
    await engine.close()


@pytest.fixture
async def store(engine: Engine) -> Store:
    return await engine.open()
