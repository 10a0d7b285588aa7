"""Amendments of what is in the tables: with the batch and its cursor, or not at all; on DuckDB and on a real Spark."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pyarrow as pa
import pytest

from services.common.columnar import Amendment, Assign, Columnar, Remove, Table, open_columnar
from services.common.settings import ServiceSettings

EVENTS = Table(
    "events",
    pa.schema([("tenant", pa.string()), ("id", pa.string()), ("origin", pa.string()), ("owner", pa.string())]),
    key=("tenant", "id"),
)
NAMES = Table("names", pa.schema([("tenant", pa.string()), ("owner", pa.string())]))


class Settings(ServiceSettings):
    service = "amending"


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.timeout(300)])])
async def columnar(request: pytest.FixtureRequest, configure: Callable[..., Settings]) -> AsyncIterator[Columnar]:
    url = request.getfixturevalue("spark_url") if request.param == "spark" else None

    class Own(Settings):
        service = request.node.name.split("[")[0][-60:]

    async with open_columnar(configure(Own, analytics_url=url), (EVENTS, NAMES)) as opened:
        yield opened


def table(of: Table, *rows: tuple[str, ...]) -> pa.Table:
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=of.schema)


def owners(*rows: tuple[str, str, str]) -> Assign:
    """Who owns the rows of an origin from now on."""
    columns = zip(*rows, strict=True)
    return Assign(
        EVENTS, ("tenant", "origin"), pa.table([list(c) for c in columns], names=["tenant", "origin", "owner"])
    )


def without(of: Table, **keys: list[str]) -> Remove:
    return Remove(of, pa.table(keys))


async def rows(columnar: Columnar, of: Table) -> list[tuple[Any, ...]]:
    return sorted(tuple(row.values()) for row in (await columnar.execute(columnar.table(of))).to_pylist())


async def test_rows_are_moved_and_removed_with_the_batch_that_says_so(columnar: Columnar) -> None:
    first = table(EVENTS, ("a", "1", "x", "x"), ("a", "2", "y", "y"), ("b", "1", "x", "x"))
    await columnar.append({EVENTS: first, NAMES: table(NAMES, ("a", "x"), ("a", "y"))}, "feed", "c1")
    second = table(EVENTS, ("a", "3", "x", "x"), ("a", "4", "z", "z"))
    amendments: list[Amendment] = [owners(("a", "x", "y")), without(NAMES, tenant=["a"], owner=["x"])]
    assert await columnar.append({EVENTS: second}, "feed", "c2", amendments)
    assert await rows(columnar, EVENTS) == [
        ("a", "1", "x", "y"),
        ("a", "2", "y", "y"),
        ("a", "3", "x", "y"),
        ("a", "4", "z", "z"),
        ("b", "1", "x", "x"),
    ]
    assert await rows(columnar, NAMES) == [("a", "y")]
    assert not await columnar.append({}, "feed", "c2", [owners(("a", "x", "q"))]), "the batch was applied before"
    assert await columnar.append(
        {}, "feed", "c3", [owners(("a", "x", "x")), without(EVENTS, tenant=["a"], origin=["y"])]
    )
    assert await rows(columnar, EVENTS) == [
        ("a", "1", "x", "x"),
        ("a", "3", "x", "x"),
        ("a", "4", "z", "z"),
        ("b", "1", "x", "x"),
    ]
    assert await columnar.append({EVENTS: first}, "feed", "c4")
    assert len(await rows(columnar, EVENTS)) == 5, "what was removed may come again, and what is there stays once"


async def test_an_amendment_that_fails_leaves_everything_as_it_was(columnar: Columnar) -> None:
    await columnar.append({NAMES: table(NAMES, ("a", "x"))}, "feed", "c1")
    with pytest.raises(Exception, match="nobody"):
        await columnar.append(
            {NAMES: table(NAMES, ("a", "y"))}, "feed", "c2", [without(NAMES, tenant=["a"], nobody=["x"])]
        )
    assert (await columnar.cursor("feed"), await rows(columnar, NAMES)) == ("c1", [("a", "x")])
