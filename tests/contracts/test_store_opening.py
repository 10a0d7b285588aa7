"""Settings choose the engine; what cannot be opened says why in one sentence."""

import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.common.errors import FailedPrecondition, Unavailable
from services.common.store import Collection, Index, Insert, open_store
from tests.contracts.conftest import ACCOUNTS, COLLECTIONS, Engine


@dataclass(frozen=True)
class Settings:
    service: str
    data_dir: Path
    store_url: str | None


async def test_without_a_url_documents_are_in_a_file_named_like_the_service(tmp_path: Path) -> None:
    settings = Settings("loyalty", tmp_path / "data", None)
    async with open_store(settings, COLLECTIONS) as store:
        await store.commit([Insert("acme", ACCOUNTS, "a1", {})])
    assert [file.name for file in settings.data_dir.iterdir()] == ["loyalty.sqlite3"]
    async with open_store(settings, COLLECTIONS) as store:
        assert await store.get("acme", ACCOUNTS, "a1")


async def test_with_a_url_documents_are_in_a_database_named_like_the_service(tmp_path: Path, mongodb_url: str) -> None:
    settings = Settings(f"loyalty{uuid.uuid4().hex[:8]}", tmp_path / "data", mongodb_url)
    async with open_store(settings, COLLECTIONS) as store:
        await store.commit([Insert("acme", ACCOUNTS, "a1", {})])
    async with open_store(settings, COLLECTIONS) as store:
        assert await store.get("acme", ACCOUNTS, "a1")
    assert not settings.data_dir.exists()


@pytest.mark.parametrize(
    ("url", "refusal", "sentence"),
    [
        ("postgres://localhost/", FailedPrecondition, "must begin with mongodb"),
        ("mongodb://", FailedPrecondition, "not a MongoDB address"),
        ("mongodb://localhost:notaport/", FailedPrecondition, "not a MongoDB address"),
        ("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50", Unavailable, "does not answer"),
    ],
)
async def test_what_cannot_be_opened_says_why(
    tmp_path: Path, url: str, refusal: type[Exception], sentence: str
) -> None:
    with pytest.raises(refusal, match=sentence):
        async with open_store(Settings("loyalty", tmp_path, url), COLLECTIONS):
            pass


async def test_documents_that_share_a_value_cannot_become_unique(engine: Engine) -> None:
    free, unique = Collection("accounts"), Collection("accounts", (Index(("email",), unique=True),))
    store = await engine.open([free])
    await store.commit([Insert("acme", free, f"a{n}", {"email": "same@example.com"}) for n in range(2)])
    await store.close()
    with pytest.raises(FailedPrecondition, match=r"accounts cannot become unique by email"):
        await engine.open([unique])
    again = await engine.open([free])
    assert await again.count("acme", free) == 2
