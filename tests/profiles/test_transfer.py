"""Customers and events in from files and out into files."""

import asyncio
import csv
import io
import json
import time
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import job_pb2, rule_pb2
from tessera.profiles.v1 import computed_trait_pb2, profiles_service_pb2
from tessera.profiles.v1 import transfer_pb2 as pb

from tests.profiles.client import Client, identify, order, track

CSV, PARQUET = pb.TABLE_FORMAT_CSV, pb.TABLE_FORMAT_PARQUET
CUSTOMERS, EVENTS = pb.IMPORT_KIND_CUSTOMERS, pb.IMPORT_KIND_EVENTS


async def upload(client: Client, file: bytes, size: int = 1 << 20, **wanted: Any) -> str:
    """The import that has the file."""
    wanted = {"kind": CUSTOMERS, "format": CSV, **wanted}
    columns = [pb.ColumnMapping(**each) for each in wanted.pop("columns", ())]
    made = await client.call("CreateImport", pb.CreateImportRequest(columns=columns, **wanted))
    import_id: str = getattr(made, "import").import_id
    for offset in range(0, len(file), size):
        part = pb.UploadImportChunkRequest(import_id=import_id, offset=offset, data=file[offset : offset + size])
        assert (await client.call("UploadImportChunk", part)).received_bytes == offset + len(part.data)
    return import_id


async def taken_in(client: Client, import_id: str, *, dry_run: bool = False, fails: bool = False) -> dict[str, str]:
    """The results of the job, once it has ended."""
    job = (await client.call("StartImport", pb.StartImportRequest(import_id=import_id, dry_run=dry_run))).job
    deadline = time.monotonic() + 60
    while job.state in (job_pb2.JOB_STATE_PENDING, job_pb2.JOB_STATE_RUNNING):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
        job = (await client.call("GetJob", computed_trait_pb2.GetJobRequest(job_id=job.job_id))).job
    assert (job.state == job_pb2.JOB_STATE_FAILED) == fails, job.message
    return dict(job.results) if not fails else {"message": job.message}


async def errors(client: Client, import_id: str) -> list[tuple[int, str, str]]:
    found = await client.call("ListImportErrors", pb.ListImportErrorsRequest(import_id=import_id))
    return [(each.row, each.column, each.reason) for each in found.errors]


async def exported(client: Client, rpc: str, request: Any) -> bytes:
    return b"".join([part.data async for part in getattr(client.stub, rpc)(request, metadata=client.metadata)])


def traits(customer: profiles_service_pb2.Customer) -> dict[str, Any]:
    return {trait.name: json.loads(trait.value_json) for trait in customer.traits}


PEOPLE = b"""user_id,email,years,vip,address,note
7,ann@example.com,41,TRUE,"{""city"": ""Lyon""}","says ""hi"", often"
8,bob@example.com,,,,
"""


async def test_a_csv_file_of_customers_becomes_customers(acme: Client) -> None:
    mapping = [
        {"column": "years", "target": "traits.age", "type": pb.COLUMN_TYPE_NUMBER},
        {"column": "vip", "target": "traits.vip", "type": pb.COLUMN_TYPE_BOOLEAN},
        {"column": "address", "target": "traits.address", "type": pb.COLUMN_TYPE_JSON},
    ]
    import_id = await upload(acme, PEOPLE, size=50, columns=mapping)
    assert await taken_in(acme, import_id) == {
        "rows": "2", "recorded": "2", "duplicates": "0", "errors": "0", "dry_run": "false",
    }  # fmt: skip
    assert traits(await acme.customer("user_id", "7")) == {
        "email": "ann@example.com", "age": 41, "vip": True, "address": {"city": "Lyon"}, "note": 'says "hi", often',
    }  # fmt: skip
    assert traits(await acme.customer("user_id", "8")) == {"email": "bob@example.com"}
    finished = getattr(await acme.call("GetImport", pb.GetImportRequest(import_id=import_id)), "import")
    assert (finished.finished, finished.received_bytes) == (True, len(PEOPLE))


async def test_the_same_file_again_records_nothing_twice(acme: Client) -> None:
    for recorded, duplicates in (("2", "0"), ("0", "2")):
        results = await taken_in(acme, await upload(acme, PEOPLE))
        assert (results["recorded"], results["duplicates"]) == (recorded, duplicates)
    assert (await acme.customer("user_id", "7")).lifetime.event_count == 1


async def test_wrong_rows_are_listed_with_their_columns_and_the_rest_is_taken_in(acme: Client) -> None:
    rows = [
        "user_id,age,event_time",
        "1,41,2026-01-01",
        "2,old,2026-01-01",
        ",3,2026-01-01",
        "4,5",
        "5,6,yesterday",
        "6,7,2999-01-01",
        "",
        "7,8,2026-01-01T00:00:00+02:00",
    ]
    file = "\n".join(rows).encode() + b"\n8,9,\xff\n"
    mapping = [{"column": "age", "target": "traits.age", "type": pb.COLUMN_TYPE_NUMBER}]
    import_id = await upload(acme, file, columns=mapping)
    for dry_run in (True, False):
        results = await taken_in(acme, import_id, dry_run=dry_run)
        assert (results["rows"], results["errors"], results["recorded"]) == ("8", "6", "0" if dry_run else "2")
        assert await errors(acme, import_id) == [
            (2, "age", "VALUE_INVALID"),
            (3, "", "IDENTITY_MISSING"),
            (4, "", "ROW_UNREADABLE"),
            (5, "event_time", "VALUE_INVALID"),
            (6, "", "EVENT_TIME_INVALID"),
            (8, "", "ROW_UNREADABLE"),
        ]
    assert (await acme.customer("user_id", "7")).last_seen_time.ToDatetime() == datetime(2025, 12, 31, 22)


async def test_a_parquet_file_of_events_keeps_its_types(acme: Client) -> None:
    line = {"product_id": "p", "price": 2.5, "quantity": 2}
    table = pa.table(
        {
            "message_id": ["o1", None],
            "type": ["track", None],
            "name": ["Order Completed", "Store Visited"],
            "user_id": ["7", "7"],
            "event_time": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 2, pa.timestamp("us", tz="UTC")),
            "order_id": ["o1", None],
            "currency": ["EUR", None],
            "products": [[line], None],
            "floor": [None, 3],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    import_id = await upload(acme, file.getvalue(), kind=EVENTS, format=PARQUET)
    assert (await taken_in(acme, import_id))["recorded"] == "2"
    customer = await acme.customer("user_id", "7")
    assert [(it.currency, it.amount_minor) for it in customer.lifetime.spend] == [("EUR", 500)]
    told = {event.name: event for event in (await acme.events(customer.customer_id)).events}
    assert told["Order Completed"].message_id == "o1"
    assert json.loads(told["Store Visited"].properties_json) == {"floor": 3}


async def test_an_upload_goes_on_where_it_was_cut_off(acme: Client) -> None:
    import_id = await upload(acme, b"user_id\n")
    first = pb.UploadImportChunkRequest(import_id=import_id, offset=0, data=b"user_id\n")
    assert (await acme.call("UploadImportChunk", first)).received_bytes == 8
    gap = pb.UploadImportChunkRequest(import_id=import_id, offset=9, data=b"7\n")
    assert await acme.refusal("UploadImportChunk", gap) == (grpc.StatusCode.FAILED_PRECONDITION, "IMPORT_GAP")
    await acme.call("UploadImportChunk", pb.UploadImportChunkRequest(import_id=import_id, offset=8, data=b"7\n"))
    assert (await taken_in(acme, import_id))["recorded"] == "1"
    late = pb.UploadImportChunkRequest(import_id=import_id, offset=10, data=b"8\n")
    assert await acme.refusal("UploadImportChunk", late) == (grpc.StatusCode.FAILED_PRECONDITION, "IMPORT_STARTED")


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        (b"PAR1 no parquet", {"format": PARQUET}),
        (b"a,a\n1,2\n", {}),
        (b"user_id\n1\n", {"columns": [{"column": "none", "target": "traits.a"}]}),
    ],
)
async def test_a_file_that_cannot_be_read_fails_its_job_with_the_reason(
    acme: Client, file: bytes, wanted: dict[str, Any]
) -> None:
    import_id = await upload(acme, file, **wanted)
    for _ in range(2):  # and can be tried again
        assert "file" in (await taken_in(acme, import_id, fails=True))["message"]


async def test_columns_are_mapped_to_something_and_once(acme: Client) -> None:
    for columns in (
        [pb.ColumnMapping(column="a", target="price")],
        [pb.ColumnMapping(column="a", target="properties.x")],
        [pb.ColumnMapping(column="a", target="traits.x"), pb.ColumnMapping(column="a", target="user_id")],
    ):
        request = pb.CreateImportRequest(kind=CUSTOMERS, format=CSV, columns=columns)
        assert await acme.refusal("CreateImport", request) == (grpc.StatusCode.INVALID_ARGUMENT, "IMPORT_INVALID")


async def test_a_deleted_import_is_gone(acme: Client) -> None:
    import_id = await upload(acme, PEOPLE)
    for _ in range(2):
        await acme.call("DeleteImport", pb.DeleteImportRequest(import_id=import_id, request_id="d"))
    missing = (grpc.StatusCode.NOT_FOUND, "IMPORT_NOT_FOUND")
    assert await acme.refusal("GetImport", pb.GetImportRequest(import_id=import_id)) == missing


async def test_customers_come_out_as_they_are_in_both_formats(acme: Client) -> None:
    await acme.ingest(
        identify("i", "7", city='Lyon, "69"', age=41), order("o", "7", 5), identify("j", "8", city="Nice")
    )
    request = pb.ExportCustomersRequest(format=CSV, trait_names=["city", "age"])
    rows = list(csv.DictReader(io.StringIO((await exported(acme, "ExportCustomers", request)).decode())))
    row = next(row for row in rows if '"7"' in row["identifiers"])
    assert len(rows) == 2
    assert (row["traits.city"], row["traits.age"], row["order_count"], row["spend_minor"]) == (
        'Lyon, "69"', "41", "1", '{"USD":500}',
    )  # fmt: skip
    request = pb.ExportCustomersRequest(format=PARQUET)
    table = pq.read_table(io.BytesIO(await exported(acme, "ExportCustomers", request))).to_pylist()
    assert sorted(json.loads(row["traits"])["city"] for row in table) == ['Lyon, "69"', "Nice"]
    assert {row["last_seen_time"] for row in table} == {datetime.fromtimestamp(1000, UTC)}


async def test_events_come_out_and_go_in_again_elsewhere(acme: Client, rival: Client) -> None:
    await acme.ingest(*(order(f"o{n}", str(n), 5, at=100 + n) for n in range(5)), track("v", "1"))
    request = pb.ExportEventsRequest(format=PARQUET, names=["Order Completed"], from_time=Timestamp(seconds=101))
    file = await exported(acme, "ExportEvents", request)
    mapping = [
        {"column": "properties", "target": "properties"},
        {"column": "customer_id", "target": "user_id"},
        {"column": "record_time", "target": "-"},
    ]
    import_id = await upload(rival, file, kind=EVENTS, format=PARQUET, columns=mapping)
    assert (await taken_in(rival, import_id))["recorded"] == "4"
    statistics = await rival.call("GetStatistics", profiles_service_pb2.GetStatisticsRequest())
    assert (statistics.customer_count, statistics.event_count) == (4, 4)


def compared(field: str, operator: rule_pb2.Operator.ValueType, value: float | str) -> rule_pb2.Comparison:
    kind = {"string_value": value} if isinstance(value, str) else {"number_value": value}
    return rule_pb2.Comparison(field=field, operator=operator, values=[rule_pb2.Value(**kind)])


async def test_customers_are_found_by_what_is_known_of_them_page_by_page(acme: Client) -> None:
    await acme.ingest(
        *(identify(f"i{n}", f"u{n}", at=1000 + n, age=n, city="Lyon" if n % 2 else "Nice") for n in range(30))
    )
    lyon = compared("city", rule_pb2.OPERATOR_EQUALS, "Lyon")
    old = compared("age", rule_pb2.OPERATOR_AT_LEAST, 10)
    for wanted, expected in (
        (pb.CustomerFilter(where=[lyon, old]), {f"u{n}" for n in range(11, 30, 2)}),
        (pb.CustomerFilter(last_seen_from_time=Timestamp(seconds=1028)), {"u28", "u29"}),
        (pb.CustomerFilter(last_seen_before_time=Timestamp(seconds=1002)), {"u0", "u1"}),
        (pb.CustomerFilter(identifier_type="user_id", identifier_prefix="u2"), {"u2", *(f"u2{n}" for n in range(10))}),
        (pb.CustomerFilter(identifier_type="email"), set()),
    ):
        found: list[str] = []
        token = ""
        while True:
            request = profiles_service_pb2.ListCustomersRequest(page_size=3, page_token=token, filter=wanted)
            page = await acme.call("ListCustomers", request)
            assert len(page.customers) <= 3
            found += [it.value for customer in page.customers for it in customer.identifiers]
            token = page.next_page_token
            if not token:
                break
        assert sorted(found) == sorted(expected)
    pattern = compared("city", rule_pb2.OPERATOR_MATCHES, "(a+)+$")
    request = profiles_service_pb2.ListCustomersRequest(filter=pb.CustomerFilter(where=[pattern]))
    assert (await acme.refusal("ListCustomers", request))[0] == grpc.StatusCode.INVALID_ARGUMENT


async def test_memory_does_not_grow_with_the_file(acme: Client) -> None:
    """The parts of a file are read and let go: what the process holds at most stays far below what the file has."""
    filler = "x" * 8_000
    file = ("user_id,note\n" + "".join(f"{n},{filler}\n" for n in range(1, 6_001))).encode()  # 48 MB
    import_id = await upload(acme, file, columns=[{"column": "note", "target": "-"}])
    size = len(file)
    del file
    tracemalloc.start()
    try:
        assert (await taken_in(acme, import_id))["recorded"] == "6000"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size * 0.7
