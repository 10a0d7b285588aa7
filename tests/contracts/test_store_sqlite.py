"""What only the embedded engine has to withstand: damaged files, full disks, locks, files of other versions."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.common.errors import DataLoss, FailedPrecondition, ResourceExhausted, Unavailable
from services.common.store import Collection, Document, Insert, Query, Store
from services.common.store.sqlite import SqliteStore
from services.common.store.sqlite_threads import GROUP_MAX
from tests.contracts.conftest import ACCOUNTS, COLLECTIONS, EVENTS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "loyalty.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    store = await SqliteStore.open(path, COLLECTIONS)
    yield store
    await store.close()


async def filled(path: Path, documents: int) -> None:
    """A closed file with documents."""
    store = await SqliteStore.open(path, COLLECTIONS)
    await store.commit([Insert("acme", EVENTS, f"e{n}", {"text": "x" * 1000}) for n in range(documents)])
    await store.close()


async def read_everything(path: Path) -> None:
    """Open the file and read all documents."""
    store = await SqliteStore.open(path, COLLECTIONS)
    try:
        await store.find("acme", EVENTS, Query(limit=1000))
    finally:
        await store.close()


def no_database(content: bytes) -> bytes:
    return b"not a database at all, " * 1000


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 3]


def overwritten(content: bytes) -> bytes:
    middle = len(content) // 2 // 8192 * 8192
    return content[:middle] + b"\xa5" * 8192 * 10 + content[middle + 8192 * 10 :]


@pytest.mark.parametrize("damage", [no_database, cut_off, overwritten])
async def test_a_damaged_file_is_named_with_what_to_do(path: Path, damage: Callable[[bytes], bytes]) -> None:
    await filled(path, 500)
    rewrite(path, damage)
    with pytest.raises(DataLoss, match=r"loyalty\.sqlite3 is damaged .* backup"):
        await read_everything(path)


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change what the file holds."""
    path.write_bytes(change(path.read_bytes()))


async def test_a_document_that_cannot_be_decoded_is_data_loss(path: Path) -> None:
    await filled(path, 2)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET body = x'c1' WHERE id = 'e1'")
    connection.close()
    store = await SqliteStore.open(path, COLLECTIONS)
    assert await store.get("acme", EVENTS, "e0")
    with pytest.raises(DataLoss, match="cannot be decoded"):
        await store.get("acme", EVENTS, "e1")
    await store.close()


async def test_without_space_a_commit_is_refused_whole_and_a_smaller_one_works(path: Path) -> None:
    store = await SqliteStore.open(path, COLLECTIONS, file_bytes_max=400_000)
    await store.commit([Insert("acme", EVENTS, "before", {})])
    with pytest.raises(ResourceExhausted, match=r"no space is left for .*loyalty\.sqlite3"):
        await store.commit([Insert("acme", EVENTS, f"e{n}", {"text": "x" * 1000}) for n in range(1000)])
    await store.commit([Insert("acme", EVENTS, "after", {})])
    page = await store.find("acme", EVENTS, Query())
    assert [document.id for document in page.documents] == ["after", "before"]
    await store.close()


async def test_reads_do_not_wait_for_a_writer(path: Path, store: Store) -> None:
    await store.commit([Insert("acme", ACCOUNTS, "a1", {})])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    commit = asyncio.create_task(store.commit([Insert("acme", ACCOUNTS, "a2", {})]))
    async with asyncio.timeout(5):
        assert await store.get("acme", ACCOUNTS, "a1")
        assert await store.get("acme", ACCOUNTS, "a2") is None
    assert not commit.done()
    other.execute("ROLLBACK")
    other.close()
    await commit
    assert await store.get("acme", ACCOUNTS, "a2")


async def test_more_commits_than_may_wait_wait_outside(store: Store) -> None:
    await asyncio.gather(*(store.commit([Insert("acme", EVENTS, f"e{n}", {})]) for n in range(GROUP_MAX * 3)))
    assert await store.count("acme", EVENTS) == GROUP_MAX * 3


async def test_a_cancelled_caller_does_not_disturb_the_others(store: Store) -> None:
    tasks = [asyncio.create_task(store.commit([Insert("acme", EVENTS, f"e{n}", {})])) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None for result in results[1::2])
    assert all([await store.get("acme", EVENTS, f"e{n}") for n in range(1, 20, 2)])


async def test_closing_finishes_what_was_accepted(path: Path) -> None:
    store = await SqliteStore.open(path, COLLECTIONS)
    tasks = [asyncio.create_task(store.commit([Insert("acme", EVENTS, f"e{n}", {})])) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    assert not path.with_name(path.name + "-wal").exists()
    again = await SqliteStore.open(path, COLLECTIONS)
    assert await again.count("acme", EVENTS) == 20
    await again.close()


async def test_a_file_of_a_later_version_is_left_alone(path: Path) -> None:
    await filled(path, 1)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(FailedPrecondition, match="upgrade"):
        await SqliteStore.open(path, COLLECTIONS)


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="file"):
        await SqliteStore.open(tmp_path / "file" / "loyalty.sqlite3", COLLECTIONS)
    (tmp_path / "loyalty.sqlite3").mkdir()
    with pytest.raises(Unavailable, match=r"loyalty\.sqlite3 cannot be opened"):
        await SqliteStore.open(tmp_path / "loyalty.sqlite3", COLLECTIONS)


@pytest.mark.parametrize("name", ["", "_feed", 'a"b', "a b", "1st"])
async def test_a_name_that_no_engine_can_use_is_a_bug(path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        await SqliteStore.open(path, [Collection(name)])


async def test_a_page_too_large_for_one_row_is_read_row_by_row(path: Path) -> None:
    store = await SqliteStore.open(path, COLLECTIONS)
    bodies = [{"text": str(n) * 2000} for n in range(5)]
    await store.commit([Insert("acme", EVENTS, f"e{n}", body) for n, body in enumerate(bodies)])
    for connection in store._readers._connections:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 5_000)
    page = await store.find("acme", EVENTS, Query())
    assert page.documents == tuple(Document(f"e{n}", body, 1) for n, body in enumerate(bodies))
    assert [change.body for change in await anext(store.changes())] == bodies
    await store.close()
