"""The columnar port's promises, kept by DuckDB and by a real Spark."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import ibis
import pyarrow as pa
import pytest
from pydantic import ValidationError

from services.common.columnar import Assign, Columnar, Keep, Table, of_tenant, open_columnar
from services.common.columnar.duckdb import DuckDBColumnar, FileInUse, MemoryShort
from services.common.columnar.patterns import pattern_fault
from services.common.errors import DataLoss, FailedPrecondition, InvalidArgument, Unavailable
from services.common.settings import ServiceSettings

LINES = Table(
    "lines",
    pa.schema([("tenant", pa.string()), ("order_id", pa.string()), ("amount", pa.int64())]),
    key=("tenant", "order_id"),
)
TRAITS = Table(
    "traits",
    pa.schema([("tenant", pa.string()), ("name", pa.string()), ("value", pa.map_(pa.string(), pa.list_(pa.string())))]),
    key=("tenant", "name"),
    keep=Keep.LAST,
)
NOTES = Table("notes", pa.schema([("tenant", pa.string()), ("text", pa.string())]))
TABLES = (LINES, TRAITS, NOTES)


class Settings(ServiceSettings):
    service = "columnar"


class Open(Protocol):
    def __call__(self, tables: Sequence[Table] = TABLES) -> AbstractAsyncContextManager[Columnar]: ...


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.timeout(300)])])
def reopen(request: pytest.FixtureRequest, configure: Callable[..., Settings]) -> Open:
    """Opens the same tables as often as a test likes."""
    url = request.getfixturevalue("spark_url") if request.param == "spark" else None

    class Own(Settings):
        service = request.node.name.split("[")[0][-60:]

    settings = configure(Own, analytics_url=url)
    return lambda tables=TABLES: open_columnar(settings, tables)


@pytest.fixture
def embedded(configure: Callable[..., Settings]) -> Settings:
    return configure(Settings)


@pytest.fixture
async def columnar(reopen: Open) -> AsyncIterator[Columnar]:
    async with reopen() as opened:
        yield opened


def lines(*rows: tuple[str, str, int]) -> dict[Table, pa.Table]:
    tenants, orders, amounts = zip(*rows, strict=True) if rows else ((), (), ())
    return {LINES: pa.table({"tenant": tenants, "order_id": orders, "amount": amounts}, schema=LINES.schema)}


def traits(*rows: tuple[str, str, dict[str, list[str]]]) -> dict[Table, pa.Table]:
    columns = [{"tenant": tenant, "name": name, "value": list(value.items())} for tenant, name, value in rows]
    return {TRAITS: pa.Table.from_pylist(columns, schema=TRAITS.schema)}


async def rows_of(columnar: Columnar, table: Table, tenant: str = "acme") -> list[dict[str, Any]]:
    query = of_tenant(columnar.table(table), tenant).drop("tenant")
    sortable = [column for column in query.columns if column != "value"]
    rows: list[dict[str, Any]] = (await columnar.execute(query.order_by(sortable))).to_pylist()
    return rows


async def test_rows_and_the_cursor_become_visible_together(columnar: Columnar) -> None:
    assert await columnar.cursor("feed") == ""
    assert await columnar.append(lines(("acme", "o1", 5), ("acme", "o1", 7)), "feed", "c1")
    assert await columnar.cursor("feed") == "c1"
    assert await rows_of(columnar, LINES) == [{"order_id": "o1", "amount": 5}, {"order_id": "o1", "amount": 7}]


async def test_the_same_batch_again_changes_nothing(columnar: Columnar) -> None:
    batch = {NOTES: pa.table({"tenant": ["acme"], "text": ["once"]})}
    assert await columnar.append(batch, "feed", "c1")
    assert not await columnar.append(batch, "feed", "c1")
    assert await rows_of(columnar, NOTES) == [{"text": "once"}]


async def test_a_feed_that_is_read_again_from_its_beginning_moves_on_and_loses_nothing(columnar: Columnar) -> None:
    for cursor, text in (("c1", "first"), ("c2", "second"), ("", None), ("c1", "once more"), ("c2", "and more")):
        note = {NOTES: pa.table({"tenant": ["acme"], "text": [text]})} if text else {}
        assert await columnar.append(note, "feed", cursor)
        assert await columnar.cursor("feed") == cursor
    found = {row["text"] for row in await rows_of(columnar, NOTES)}
    assert found == {"first", "second", "once more", "and more"}


async def test_a_batch_that_fails_half_way_leaves_nothing(columnar: Columnar) -> None:
    broken = {**lines(("acme", "o1", 5)), NOTES: pa.table({"tenant": ["acme"], "misspelt": ["x"]})}
    with pytest.raises(ValueError, match="notes has the columns"):
        await columnar.append(broken, "feed", "c1")
    assert await columnar.cursor("feed") == ""
    assert await rows_of(columnar, LINES) == []
    assert await columnar.append(lines(("acme", "o2", 6)), "feed", "c2")
    assert await rows_of(columnar, LINES) == [{"order_id": "o2", "amount": 6}]


async def test_rows_whose_key_is_there_are_not_appended_again(columnar: Columnar) -> None:
    await columnar.append(lines(("acme", "o1", 5), ("other", "o2", 1)), "feed", "c1")
    await columnar.append(lines(("acme", "o1", 9), ("acme", "o2", 7), ("acme", "o2", 8)), "feed", "c2")
    assert [row["amount"] for row in await rows_of(columnar, LINES)] == [5, 7, 8]
    assert await rows_of(columnar, LINES, "other") == [{"order_id": "o2", "amount": 1}]


async def test_a_projection_keeps_the_last_row_of_a_key(columnar: Columnar) -> None:
    await columnar.append(traits(("acme", "city", {"city": ["Rome"]}), ("other", "city", {"city": ["Oslo"]})), "f", "1")
    await columnar.append(traits(("acme", "city", {"city": ["Bonn"]}), ("acme", "city", {"city": ["Graz"]})), "f", "2")
    assert await rows_of(columnar, TRAITS) == [{"name": "city", "value": [("city", ["Graz"])]}]
    assert await rows_of(columnar, TRAITS, "other") == [{"name": "city", "value": [("city", ["Oslo"])]}]


async def test_rows_and_cursors_are_there_after_reopening(reopen: Open) -> None:
    async with reopen() as columnar:
        await columnar.append(lines(("acme", "o1", 5)), "feed", "c1")
    async with reopen() as columnar:
        assert await columnar.cursor("feed") == "c1"
        assert await rows_of(columnar, LINES) == [{"order_id": "o1", "amount": 5}]
        assert await columnar.append(lines(("acme", "o2", 6)), "feed", "c2")
        assert len(await rows_of(columnar, LINES)) == 2


async def test_two_followers_have_cursors_of_their_own(columnar: Columnar) -> None:
    await columnar.append(lines(("acme", "o1", 5)), "orders", "c1")
    await columnar.append({NOTES: pa.table({"tenant": ["acme"], "text": ["n"]})}, "notes", "c1")
    assert await columnar.cursor("orders") == await columnar.cursor("notes") == "c1"


async def test_a_query_may_join_tables_that_exist_for_it_only(columnar: Columnar) -> None:
    await columnar.append(lines(("acme", "o1", 5), ("acme", "o2", 6)), "feed", "c1")
    wanted = ibis.table({"order_id": "string"}, name="wanted")
    query = columnar.table(LINES).semi_join(wanted, "order_id").select("amount")
    for order_id, amount in (("o1", 5), ("o2", 6)):
        answer = await columnar.execute(query, {"wanted": pa.table({"order_id": [order_id]})})
        assert answer.to_pylist() == [{"amount": amount}]


async def test_answers_have_the_types_that_the_expression_promises(columnar: Columnar) -> None:
    await columnar.append(lines(("acme", "o1", 5)), "feed", "c1")
    rows = columnar.table(LINES)
    query = rows.aggregate(total=rows.amount.sum(), count=rows.count(), newest=rows.order_id.max())
    answer = await columnar.execute(query)
    assert answer.schema.types == [pa.int64(), pa.int64(), pa.string()]
    assert answer.to_pylist() == [{"total": 5, "count": 1, "newest": "o1"}]


async def test_an_empty_batch_moves_the_cursor(columnar: Columnar) -> None:
    assert await columnar.append({}, "feed", "c1")
    assert await columnar.cursor("feed") == "c1"


async def test_reads_see_whole_batches_while_batches_are_appended(embedded: Settings) -> None:
    async with open_columnar(embedded, TABLES) as columnar:
        appended = asyncio.create_task(_append_pairs(columnar, 20))
        rows = columnar.table(LINES)
        while not appended.done():
            count = (await columnar.execute(rows.aggregate(count=rows.count())))["count"][0].as_py()
            assert count % 2 == 0
        await appended
        assert len(await rows_of(columnar, LINES)) == 40


async def _append_pairs(columnar: Columnar, count: int) -> None:
    for number in range(count):
        await columnar.append(lines(("acme", f"a{number}", 1), ("acme", f"b{number}", 1)), "feed", str(number))


def test_a_second_process_on_the_file_is_refused(tmp_path: Path) -> None:
    held = f"""
import sys
from pathlib import Path
from services.common.columnar.duckdb import DuckDBColumnar
opened = DuckDBColumnar(Path({str(tmp_path / "held.duckdb")!r}), [])
print("open", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(FileInUse, match="in use by another process"):
            DuckDBColumnar(tmp_path / "held.duckdb", TABLES)
        other.stdin.close()


APPENDING = """
import asyncio, sys
from pathlib import Path
import pyarrow as pa
from services.common.columnar.duckdb import DuckDBColumnar
from tests.contracts.test_columnar import NOTES, TABLES, lines

async def append() -> None:
    columnar = DuckDBColumnar(Path(sys.argv[1]), TABLES)
    for number in range(1, 100_000):
        note = pa.table({"tenant": ["acme"], "text": [str(number)]})
        await columnar.append({**lines(("acme", f"o{number}", number)), NOTES: note}, "feed", str(number))
        print(number, flush=True)

asyncio.run(append())
"""


async def test_after_kill_9_the_rows_are_those_up_to_the_cursor(embedded: Settings) -> None:
    path = embedded.data_dir / "columnar.duckdb"
    appending = await asyncio.create_subprocess_exec(
        sys.executable, "-c", APPENDING, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert appending.stdout is not None
    acknowledged = 0
    while acknowledged < 20:
        acknowledged = int(await appending.stdout.readline())
    appending.kill()
    acknowledged = max([acknowledged, *map(int, (await appending.stdout.read()).split(b"\n")[:-1])])
    await appending.wait()
    async with open_columnar(embedded, TABLES) as columnar:
        cursor = int(await columnar.cursor("feed"))
        assert cursor in (acknowledged, acknowledged + 1)
        assert [row["amount"] for row in sorted(await rows_of(columnar, LINES), key=_amount)] == [*range(1, cursor + 1)]
        assert len(await rows_of(columnar, NOTES)) == cursor


def _amount(row: dict[str, Any]) -> int:
    amount: int = row["amount"]
    return amount


def test_what_re2_does_not_have_is_a_fault() -> None:
    assert pattern_fault("^a.*b$") is None
    assert "invalid perl operator" in (pattern_fault("(?=x)") or "")


async def test_a_corrupt_file_is_data_loss_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(DataLoss, match=r"broken.duckdb cannot be read .*move it away") as loss:
        DuckDBColumnar(tmp_path / "broken.duckdb", TABLES)
    assert "\n" not in loss.value.message


async def test_a_file_that_rots_under_its_header_is_data_loss(embedded: Settings) -> None:
    async with open_columnar(embedded, TABLES) as columnar:
        await columnar.append(lines(*(("acme", f"o{number}", number) for number in range(50_000))), "feed", "c1")
    path = embedded.data_dir / "columnar.duckdb"
    content = bytearray(path.read_bytes())
    content[12288:] = b"\xa5" * (len(content) - 12288)
    path.write_bytes(content)
    with pytest.raises(DataLoss, match="cannot be read"):
        async with open_columnar(embedded, TABLES) as columnar:
            await rows_of(columnar, LINES)


async def test_a_table_of_an_earlier_version_gets_the_columns_that_it_lacks(reopen: Open) -> None:
    async with reopen() as columnar:
        await columnar.append(lines(("acme", "o1", 5)), "feed", "c1")
    names = ("tenant", "order_id", "list", "amount")
    types = dict.fromkeys(names[:2], pa.string()) | dict.fromkeys(names[2:], pa.int64())
    wider = Table("lines", pa.schema([(name, types[name]) for name in names]), LINES.key)
    rows = pa.Table.from_pylist([dict(zip(names, ("acme", "o2", 9, 7), strict=True))], schema=wider.schema)
    listed = pa.table({"tenant": ["acme"], "order_id": ["o1"], "list": [6]})
    for _ in range(2):  # the second time there is nothing to add
        async with reopen((wider, TRAITS, NOTES)) as columnar:
            await columnar.append({wider: rows}, "feed", "c2")
            found = {row["order_id"]: (row["list"], row["amount"]) for row in await rows_of(columnar, wider)}
            assert found == {"o1": (None, 5), "o2": (9, 7)}
    async with reopen((wider, TRAITS, NOTES)) as columnar:
        await columnar.append({}, "feed", "c3", [Assign(wider, ("tenant", "order_id"), listed)])
        found = {row["order_id"]: (row["list"], row["amount"]) for row in await rows_of(columnar, wider)}
        assert found == {"o1": (6, 5), "o2": (9, 7)}


@pytest.mark.parametrize(
    "other",
    [
        Table("notes", pa.schema([("tenant", pa.string())])),
        Table("notes", pa.schema([("tenant", pa.string()), ("text", pa.int64())])),
        Table("notes", NOTES.schema.append(pa.field("number", pa.int64())), ("tenant", "number")),
    ],
    ids=["a column less", "another type", "a key that nothing has"],
)
async def test_a_table_with_other_columns_is_refused(embedded: Settings, other: Table) -> None:
    async with open_columnar(embedded, [NOTES]):
        pass
    with pytest.raises(FailedPrecondition, match="table notes was written by another version"):
        async with open_columnar(embedded, [other]):
            pass


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def current_setting(name: str) -> str:  # type: ignore[empty-body]
    """DuckDB's own function."""


async def test_the_embedded_engine_keeps_to_the_memory_and_threads_that_it_is_given(
    configure: Callable[..., Settings],
) -> None:
    settings = configure(Settings, analytics_memory_max="32MiB", analytics_threads=1)
    told = {name: current_setting(name) for name in ("memory_limit", "threads")}
    numbers = ibis.range(0, 6_000_000).unnest().name("number").as_table()
    async with open_columnar(settings, TABLES) as columnar:
        (row,) = (await columnar.execute(ibis.range(0, 1).unnest().name("n").as_table().select(**told))).to_pylist()
        assert row == {"memory_limit": "32.0 MiB", "threads": "1"}
        with pytest.raises(MemoryShort, match="ANALYTICS_MEMORY_MAX"):
            await columnar.execute(numbers.aggregate(all=numbers.number.collect()))
        assert await rows_of(columnar, LINES) == [], "and goes on"
    for wrong in ("lots", "0GiB", "4 GB"):
        with pytest.raises(ValidationError, match="analytics_memory_max"):
            configure(Settings, analytics_memory_max=wrong)


async def test_an_address_of_another_kind_is_refused(configure: Callable[..., Settings]) -> None:
    with pytest.raises(InvalidArgument, match="ANALYTICS_URL must begin with sc://"):
        async with open_columnar(configure(Settings, analytics_url="http://spark"), TABLES):
            pass


async def test_a_cluster_that_does_not_answer_is_unavailable(configure: Callable[..., Settings]) -> None:
    with pytest.raises(Unavailable, match=r"Spark does not answer at sc://127\.0\.0\.1:1"):
        async with open_columnar(configure(Settings, analytics_url="sc://127.0.0.1:1"), TABLES):
            pass


def test_a_table_begins_with_its_tenant() -> None:
    with pytest.raises(ValueError, match="first column must be tenant"):
        Table("orphan", pa.schema([("name", pa.string())]))
    with pytest.raises(ValueError, match="key begins with tenant"):
        Table("orphan", NOTES.schema, key=("text",))
