"""Customers and events as files over HTTP, with the real profiles behind the real gateway."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.app import Settings, serve
from tests.conftest import Keyring
from tests.profiles.test_erasing_crash import ServiceProcess
from tests.whole_platform import until

ROWS = 100_000
GROWTH_MAX = 60 << 20
"""Bytes of memory by which profiles may grow over a file that is larger than that."""
IMPORT = """query($id: ID!) { tableImport(importId: $id) { finished receivedBytes job { state results { key value } }
  errors { edges { node { row column reason } } } } }"""


class Shop:
    """Talks HTTP to the gateway as acme."""

    def __init__(self, http: httpx.AsyncClient, keyring: Keyring, process: int) -> None:
        self.http, self.process = http, process
        self.headers = {"authorization": f"Bearer {keyring.mint()}"}

    async def send(self, content: Any, headers: dict[str, str] | None = None, **query: str) -> httpx.Response:
        """Begin an import."""
        params = {"kind": "customers", **query}
        return await self.http.post(
            "/v1/imports", params=params, content=content, headers={**self.headers, **(headers or {})}, timeout=120
        )

    async def looked_at(self, import_id: str) -> dict[str, Any]:
        """The import, once its job has ended."""
        found: dict[str, Any] = {}

        async def ended() -> bool:
            body = {"query": IMPORT, "variables": {"id": import_id}}
            answer = (await self.http.post("/graphql", json=body, headers=self.headers)).json()
            found.update(answer["data"]["tableImport"])
            return found["job"]["state"] in ("SUCCEEDED", "FAILED")

        await until(ended, 120)
        assert found["job"]["state"] == "SUCCEEDED"
        found["counts"] = {each["key"]: each["value"] for each in found["job"]["results"]}
        return found

    def memory(self) -> int:
        """Bytes of memory that profiles has for itself, without files that are mapped."""
        with open(f"/proc/{self.process}/status") as status:
            (line,) = [line for line in status if line.startswith("RssAnon:")]
        return int(line.split()[1]) * 1024


@pytest.fixture
async def shop(configure: Callable[..., Any], keyring: Keyring) -> AsyncIterator[Shop]:
    async with _shop(configure, keyring) as found:
        yield found


@asynccontextmanager
async def _shop(configure: Callable[..., Any], keyring: Keyring) -> AsyncIterator[Shop]:
    settings = configure(Settings)
    process = await asyncio.to_thread(ServiceProcess, settings.data_dir, keyring)
    try:
        async with (
            serve(settings.model_copy(update={"profiles_addr": process.address})) as up,
            httpx.AsyncClient(base_url=f"http://{up.address}") as http,
        ):
            yield Shop(http, keyring, process.pid)
    finally:
        await asyncio.to_thread(process.kill)


async def test_a_file_goes_in_and_comes_out(shop: Shop) -> None:
    columns = json.dumps([{"column": "key", "target": "user_id"}, {"column": "age", "target": "traits.age", "type": 1}])
    content = b"key,city,age\nu1,Lyon,33\nu2,Rome,old\nu3,Oslo,5\n"
    begun = await shop.send(gzip.compress(content), {"content-encoding": "gzip"}, columns=columns)
    assert (begun.status_code, begun.json()["receivedBytes"]) == (202, len(content))
    found = await shop.looked_at(begun.json()["importId"])
    assert found["counts"] == {"rows": "3", "recorded": "2", "duplicates": "0", "errors": "1", "dry_run": "false"}
    (wrong,) = [edge["node"] for edge in found["errors"]["edges"]]
    assert wrong == {"row": 2, "column": "age", "reason": "VALUE_INVALID"}
    table = await shop.http.get("/v1/exports/customers?traits=city,age", headers=shop.headers)
    assert table.headers["content-disposition"] == 'attachment; filename="customers.csv"'
    lines = table.text.splitlines()
    assert len(lines) == 3
    assert any("Lyon" in line and "33" in line for line in lines)
    events = await shop.http.get("/v1/exports/events?format=parquet&name=Identify", headers=shop.headers)
    assert events.content.startswith(b"PAR1")
    late = await shop.http.get("/v1/exports/events?from=2100-01-01T00:00:00Z", headers=shop.headers)
    assert len(late.text.splitlines()) == 1


async def test_an_upload_that_was_cut_off_goes_on_and_happens_once(shop: Shop) -> None:
    content = b"user_id,city\n" + b"".join(b"u%d,%s\n" % (n, b"x" * 1000) for n in range(1500))
    key = {"idempotency-key": "file of today"}

    async def breaking() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        raise ConnectionError("the line is dead")

    with pytest.raises(ConnectionError):
        await shop.send(breaking(), key)
    answers = [await shop.send(content, key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    (import_id,) = {answer.json()["importId"] for answer in answers}
    found = await shop.looked_at(import_id)
    assert (found["counts"]["recorded"], found["counts"]["duplicates"]) == ("1500", "0")


WRONG: tuple[tuple[dict[str, str], dict[str, str], int], ...] = (
    ({"kind": "shops"}, {}, 400),
    ({"format": "xls"}, {}, 400),
    ({"columns": "{"}, {}, 400),
    ({"columns": "5"}, {}, 400),
    ({"columns": '[{"colour": "red"}]'}, {}, 400),
    ({"columns": '[{"column": "a", "target": "nothing"}]'}, {}, 400),
    ({}, {"content-encoding": "br"}, 400),
    ({}, {"content-encoding": "gzip"}, 400),
    ({}, {"authorization": "Bearer none"}, 401),
)


async def test_what_is_wrong_with_a_request_is_said_by_its_status(shop: Shop, keyring: Keyring) -> None:
    for query, headers, status in WRONG:
        answer = await shop.send(b"user_id\nu1\n", headers, **query)
        assert (answer.status_code, bool(answer.json()["message"])) == (status, True), query
    reading = {"authorization": f"Bearer {keyring.mint(scopes=['profiles:read'])}"}
    assert (await shop.send(b"user_id\nu1\n", reading)).status_code == 403
    assert (await shop.http.get("/v1/exports/customers", headers=reading)).status_code == 403


def _rows(count: int) -> Iterator[bytes]:
    yield b"user_id,city,note\n"
    note = b"n" * 1000
    for begin in range(0, count, 1000):
        yield b"".join(b"u%d,Lyon,%s\n" % (n, note) for n in range(begin, begin + 1000))


async def test_memory_does_not_grow_with_the_file(shop: Shop) -> None:
    async def rows(count: int) -> AsyncIterator[bytes]:
        for part in _rows(count):
            yield part

    # The caches of the store are as large as they become after some of it.
    small = await shop.send(rows(ROWS // 2), dryRun="true")
    await shop.looked_at(small.json()["importId"])
    before = shop.memory()
    large = await shop.send(rows(ROWS), dryRun="true")
    assert large.json()["receivedBytes"] > GROWTH_MAX
    found = await shop.looked_at(large.json()["importId"])
    assert found["counts"]["rows"] == str(ROWS)
    assert shop.memory() - before < GROWTH_MAX
