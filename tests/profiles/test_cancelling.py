"""Imports and exports are followed, end when somebody wants it, go on after a kill, and leave no half of anything."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from tessera.common.v1 import job_pb2
from tessera.profiles.v1 import computed_trait_pb2, customer_export_pb2
from tessera.profiles.v1 import transfer_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.store import Query
from services.common.store.sqlite import SqliteStore
from services.profiles.adapters.customer_exports import EXPORT_PARTS
from services.profiles.adapters.customer_keys import CONTENT_KEYS
from services.profiles.adapters.imports import IMPORT_CHUNKS
from services.profiles.app import KEPT, Settings
from tests.conftest import Keyring
from tests.ports import free_ports
from tests.profiles.client import Client, identify, track
from tests.profiles.test_customer_exports import alone, begin, crm_at, download_refusal, ended
from tests.profiles.test_erasing import user
from tests.profiles.test_erasing_crash import ServiceProcess
from tests.profiles.test_transfer import CSV, upload

ROWS = 60_000
"""More than are taken in while a test asks to end it."""
RUNNING, CANCELLED = job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_CANCELLED


def rows(count: int = ROWS) -> bytes:
    return b"user_id,city\n" + b"".join(b"u%d,Lyon\n" % number for number in range(count))


async def started(client: Client, import_id: str) -> str:
    """The job, once it is at work."""
    job_id: str = (await client.call("StartImport", pb.StartImportRequest(import_id=import_id))).job.job_id
    async for job in followed(client, job_id):
        if job.state == RUNNING:
            return job_id
    raise AssertionError("the job ended")


async def followed(client: Client, job_id: str) -> Any:
    request = computed_trait_pb2.FollowJobRequest(job_id=job_id)
    async for answer in client.stub.FollowJob(request, metadata=client.metadata, timeout=60):
        yield answer.job


async def last(client: Client, job_id: str) -> job_pb2.Job:
    told = [job async for job in followed(client, job_id)]
    found: job_pb2.Job = told[-1]
    return found


async def cancel(client: Client, import_id: str, request_id: str = "") -> pb.Import:
    request = pb.CancelImportRequest(import_id=import_id, request_id=request_id)
    found: pb.Import = getattr(await client.call("CancelImport", request), "import")
    return found


async def left(settings: Settings, *collections: Any) -> list[str]:
    """The ids of what is stored."""
    store = await SqliteStore.open(settings.data_dir / "profiles.sqlite3", KEPT)
    pages = [await store.find("acme", collection, Query(limit=100)) for collection in collections]
    await store.close()
    return [document.id for page in pages for document in page.documents]


async def test_an_import_is_cancelled_in_the_middle(configure: Callable[..., Any], keyring: Keyring) -> None:
    settings = configure(Settings)
    async with alone(configure, keyring) as acme:
        import_id = await upload(acme, rows())
        job_id = await started(acme, import_id)
        cancelled = await cancel(acme, import_id, "c1")
        assert (cancelled.cancelled, cancelled.finished) == (True, True)
        job = await last(acme, job_id)
        assert (job.state, job.message) == (CANCELLED, "cancelled by request")
        assert await left(settings, IMPORT_CHUNKS, CONTENT_KEYS) == []
        # The same again, with the request and without.
        assert await cancel(acme, import_id, "c1") == await cancel(acme, import_id) == cancelled
        again = (await acme.call("StartImport", pb.StartImportRequest(import_id=import_id))).job
        assert (again.job_id, again.state) == (job_id, CANCELLED)


async def test_an_import_is_cancelled_before_its_file_is_whole(acme: Client) -> None:
    import_id = await upload(acme, b"user_id,ci")
    assert (await cancel(acme, import_id)).cancelled
    gone = (grpc.StatusCode.FAILED_PRECONDITION, "IMPORT_CANCELLED")
    part = pb.UploadImportChunkRequest(import_id=import_id, offset=10, data=b"ty\n7,Lyon\n")
    assert await acme.refusal("UploadImportChunk", part) == gone
    assert await acme.refusal("StartImport", pb.StartImportRequest(import_id=import_id)) == gone
    missing = await acme.refusal("CancelImport", pb.CancelImportRequest(import_id="none"))
    assert missing == (grpc.StatusCode.NOT_FOUND, "IMPORT_NOT_FOUND")


async def test_an_import_that_is_done_stays_so(acme: Client) -> None:
    import_id = await upload(acme, b"user_id,city\n7,Lyon\n")
    job = (await acme.call("StartImport", pb.StartImportRequest(import_id=import_id))).job
    assert (await last(acme, job.job_id)).results["recorded"] == "1"
    done = await cancel(acme, import_id)
    assert (done.finished, done.cancelled) == (True, False)


async def test_deleting_an_import_ends_its_job(acme: Client) -> None:
    import_id = await upload(acme, rows())
    job_id = await started(acme, import_id)
    await acme.call("DeleteImport", pb.DeleteImportRequest(import_id=import_id))
    assert (await last(acme, job_id)).state == CANCELLED


async def test_an_import_goes_on_after_a_kill_and_leaves_no_file(
    configure: Callable[..., Any], keyring: Keyring, tmp_path: Path
) -> None:
    settings, scratch = configure(Settings), tmp_path / "scratch"
    scratch.mkdir()

    def scraps() -> list[Path]:
        return list(scratch.glob("tessera-import-*"))

    async def running() -> tuple[ServiceProcess, Any]:
        process = await asyncio.to_thread(ServiceProcess, settings.data_dir, keyring, TMPDIR=str(scratch))
        return process, grpc.aio.insecure_channel(process.address)

    process, channel = await running()
    async with channel:
        acme = Client(ProfilesServiceStub(channel), keyring.header("acme"))
        job_id = await started(acme, await upload(acme, rows(8_000)))
        async with asyncio.timeout(60):
            while True:
                if scraps():
                    break
                await asyncio.sleep(0.01)
        process.kill()
    assert scraps(), "what a killed process leaves"
    process, channel = await running()
    try:
        async with channel:
            acme = Client(ProfilesServiceStub(channel), keyring.header("acme"))
            job = await last(acme, job_id)
            assert job.state == job_pb2.JOB_STATE_SUCCEEDED, job.message
            assert int(job.results["recorded"]) + int(job.results["duplicates"]) == 8_000
        assert scraps() == []
    finally:
        process.kill()


async def test_an_export_is_followed_and_cancelled_while_it_waits(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    settings = configure(Settings)
    (port,) = free_ports(1)
    async with alone(configure, keyring, crm_addr=f"127.0.0.1:{port}") as acme:
        await acme.ingest(identify("i1", "7"), track("t1", "7"))
        job = await begin(acme, user("7"))
        request = customer_export_pb2.FollowExportJobRequest(export_id=job.export_id)
        seen = []
        cancelling = customer_export_pb2.CancelExportRequest(export_id=job.export_id, request_id="c1")
        async for answer in acme.stub.FollowExportJob(request, metadata=acme.metadata, timeout=60):
            seen.append(answer.job)
            if "crm" in answer.job.message:
                assert (await acme.call("CancelExport", cancelling)).job.state == CANCELLED
        assert (seen[-1].state, seen[-1].message) == (CANCELLED, "cancelled by request")
        assert seen[-1].HasField("end_time")
        assert (await acme.call("CancelExport", cancelling)).job == seen[-1]
        assert "cancelled" in await download_refusal(acme, job.export_id)
        assert await left(settings, EXPORT_PARTS, CONTENT_KEYS) == []
        missing = customer_export_pb2.CancelExportRequest(export_id="none")
        assert await acme.refusal("CancelExport", missing) == (grpc.StatusCode.NOT_FOUND, "EXPORT_NOT_FOUND")


async def test_an_export_that_is_done_stays_so(configure: Callable[..., Any], keyring: Keyring) -> None:
    (port,) = free_ports(1)
    async with crm_at(port), alone(configure, keyring, crm_addr=f"127.0.0.1:{port}") as acme:
        await acme.ingest(identify("i1", "7"))
        done = await ended(acme, (await begin(acme, user("7"))).export_id)
        request = customer_export_pb2.CancelExportRequest(export_id=done.export_id)
        assert (await acme.call("CancelExport", request)).job.available


async def test_files_tell_how_many_rows_they_have_until_now(acme: Client) -> None:
    await acme.ingest(*(track(f"t{number}", "7") for number in range(1200)))
    request = pb.ExportEventsRequest(format=CSV)
    counts = [part.row_count async for part in acme.stub.ExportEvents(request, metadata=acme.metadata)]
    assert counts == sorted(counts)
    assert (counts[-1], len(counts) > 2) == (1200, True)
    customers = acme.stub.ExportCustomers(pb.ExportCustomersRequest(format=CSV), metadata=acme.metadata)
    assert [part.row_count async for part in customers][-1] == 1
