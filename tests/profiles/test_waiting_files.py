"""A file that waits is read once for all who are erased together, and goes if it names one of them."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.privacy import Removed
from services.common.sealing import MasterKey
from services.common.store import Document, Store, Write
from services.common.store.sqlite import SqliteStore
from services.profiles.adapters.customer_keys import ContentKeys
from services.profiles.adapters.imports import StoredImports
from services.profiles.adapters.keys import TenantKeys
from services.profiles.adapters.tables import TableReader
from services.profiles.app import KEPT
from services.profiles.domain.dead_letter import words_among
from services.profiles.domain.table_import import ImportKind, TableFormat, TableImport
from services.profiles.ports import Request
from services.profiles.ports.transfer import RowError

PEOPLE = 30


class CountedErrors(StoredImports):
    """Says how often all wrong rows were looked at."""

    passes = 0

    async def _errors(self, tenant: str, documents: Sequence[Document]) -> list[RowError]:
        self.passes += bool(documents)
        return await super()._errors(tenant, documents)


class Counted(StoredImports):
    """Says how often a file was read."""

    readings = 0

    @asynccontextmanager
    async def reading(self, tenant: str, wanted: TableImport) -> AsyncIterator[tuple[TableReader, str]]:
        self.readings += 1
        async with super().reading(tenant, wanted) as read:
            yield read


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await SqliteStore.open(tmp_path / "imports.db", KEPT)
    yield opened
    await opened.close()


async def waiting(imports: StoredImports, content: bytes) -> TableImport:
    """An import with a file that nobody takes in."""
    begun = TableImport("im_1", ImportKind.CUSTOMERS, TableFormat.CSV, (), 5)
    await imports.create(Request("acme", "", ""), begun)
    grown = TableImport("im_1", ImportKind.CUSTOMERS, TableFormat.CSV, (), 5, received_bytes=len(content))
    await imports.add("acme", grown, 1, 0, content)
    return grown


@pytest.mark.parametrize("named", [None, 7])
async def test_a_file_is_read_once_for_all_who_are_erased_together(store: Store, named: int | None) -> None:
    imports = Counted(store, ContentKeys(store, TenantKeys(store, [MasterKey("test", bytes(32))])), 60)
    await waiting(
        imports, b"user_id,city\nsomebody-else,Lyon\n" + (b"" if named is None else b"person-%d,Rome\n" % named)
    )
    people = [[("user_id", f"person-{number}")] for number in range(PEOPLE)]
    removed: list[str] = []

    async def commit(writes: Sequence[Write], what: Removed) -> None:
        removed.append(what.kind)
        await store.commit(writes)

    async def expected() -> set[str]:
        return {value for names in people for _, value in names}

    for names in people:
        await imports.forget_person("acme", names, commit, expected)
    left = await imports.get("acme", "im_1")
    assert left is not None
    if named is None:
        assert (imports.readings, removed) == (1, [])
        assert left[0].received_bytes
    else:  # once for everybody, and once more for who is in it
        assert (imports.readings, removed) == (2, ["import_file"])
        assert not left[0].received_bytes


@given(
    st.lists(
        st.sampled_from(["ann@example.com", "+33612345678", "ann", " ", "'", "x", "é", "_", "ann@example.comx"]),
        max_size=8,
    ),
    st.sets(st.sampled_from(["ann@example.com", "+33612345678", "ann@example.com x", "annann"]), min_size=1),
)
def test_words_are_found_as_a_search_for_each_would_find_them(parts: list[str], values: set[str]) -> None:
    text = "".join(parts)
    expected = {value for value in values if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text)}
    assert words_among(text, values, {len(value) for value in values}) == expected


async def test_wrong_rows_are_read_once_for_all_until_an_import_changes(store: Store) -> None:
    imports = CountedErrors(store, ContentKeys(store, TenantKeys(store, [MasterKey("test", bytes(32))])), 60)
    begun = await waiting(imports, b"user_id\nsomebody\n")
    removed: list[tuple[str, int]] = []

    async def commit(writes: Sequence[Write], what: Removed) -> None:
        removed.append((what.kind, what.count))
        await store.commit(writes)

    async def expected() -> set[str]:
        return {f"person-{number}" for number in range(PEOPLE)}

    async def forget_all() -> None:
        for number in range(PEOPLE):
            await imports.forget_person("acme", [("user_id", f"person-{number}")], commit, expected)

    await imports.keep_errors("acme", "im_1", [RowError(3, "age", "VALUE_INVALID", "age is no NUMBER: 'person-7'")])
    await forget_all()
    assert removed == [("import_error", 1)]
    assert imports.passes == 2, "once for everybody, and once for who is there"
    await imports.keep_errors("acme", "im_1", [RowError(4, "age", "VALUE_INVALID", "age is no NUMBER: 'person-9'")])
    found = await imports.get("acme", "im_1")
    assert found is not None
    await imports.replace("acme", begun, found[1])  # as the job of these rows does
    await forget_all()
    assert removed == [("import_error", 1)] * 2
