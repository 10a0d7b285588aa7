"""Exports of a person over real gRPC: what is in the archive, waiting, failing, expiring, erasing, dying."""

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from tessera.common.v1 import job_pb2, privacy_pb2
from tessera.crm.v1 import crm_service_pb2_grpc
from tessera.crm.v1 import privacy_pb2 as crm_pb
from tessera.profiles.v1 import customer_export_pb2 as pb
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1.group_pb2 import AddGroupMembersRequest
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.app import Settings, serve
from tests.conftest import Keyring
from tests.ports import free_ports
from tests.profiles.client import Client, identify, order, track
from tests.profiles.test_erasing import erase, grant, receipt, removed, user
from tests.profiles.test_erasing_crash import ServiceProcess

DONE, FAILED = job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED


class Crm(crm_service_pb2_grpc.CrmServiceServicer):
    """A neighbour that holds a message to everybody, until it is told to hang."""

    def __init__(self) -> None:
        self.asked: list[crm_pb.ExportCustomerDataRequest] = []
        self.metadata: dict[str, str] = {}
        self.kind = "message"

    async def ExportCustomerData(  # noqa: N802 (the contract's name)
        self, request: crm_pb.ExportCustomerDataRequest, context: Any
    ) -> AsyncIterator[crm_pb.ExportCustomerDataResponse]:
        self.asked.append(request)
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        told = privacy_pb2.PersonalRecord(kind=self.kind, json='{\n"address": "ann@example.com"}')
        yield crm_pb.ExportCustomerDataResponse(records=[told])


@asynccontextmanager
async def crm_at(port: int) -> AsyncIterator[Crm]:
    server, crm = grpc.aio.server(), Crm()  # type: ignore[abstract]  # it answers one rpc
    crm_service_pb2_grpc.add_CrmServiceServicer_to_server(crm, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield crm
    finally:
        await server.stop(None)


class Exported:
    """The files of an archive."""

    def __init__(self, content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            self.files = {name: archive.read(name) for name in archive.namelist()}
        self.manifest = json.loads(self.files.pop("manifest.json"))

    def records(self, path: str) -> list[dict[str, Any]]:
        """The records in a file."""
        return [json.loads(line) for line in self.files[f"{path}.ndjson"].splitlines()]


async def begin(client: Client, person: Any, **fields: Any) -> pb.ExportJob:
    answer = await client.call("ExportCustomer", pb.ExportCustomerRequest(person=person, **fields))
    job: pb.ExportJob = answer.job
    return job


async def reached(client: Client, export_id: str, holds: Callable[[pb.ExportJob], bool]) -> pb.ExportJob:
    """The job, once ``holds`` says so."""
    async with asyncio.timeout(60):
        while True:
            job = (await client.call("GetExportJob", pb.GetExportJobRequest(export_id=export_id))).job
            if holds(job):
                return job  # type: ignore[no-any-return]
            await asyncio.sleep(0.02)


async def ended(client: Client, export_id: str) -> pb.ExportJob:
    return await reached(client, export_id, lambda job: job.state in (DONE, FAILED))


async def download(client: Client, export_id: str) -> bytes:
    call = client.stub.DownloadExport(pb.DownloadExportRequest(export_id=export_id), metadata=client.metadata)
    return b"".join([part.data async for part in call])


async def download_refusal(client: Client, export_id: str) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await download(client, export_id)
    return refused.value.details() or ""


@asynccontextmanager
async def alone(configure: Callable[..., Any], keyring: Keyring, **settings: Any) -> AsyncIterator[Client]:
    """Profiles, which has to ask crm alone."""
    chosen = configure(Settings, **{"erasure_services": ("crm",), **settings})
    async with serve(chosen) as up, grpc.aio.insecure_channel(up.address) as channel:
        yield Client(ProfilesServiceStub(channel), keyring.header("acme"))


async def test_the_archive_holds_what_profiles_knows_of_the_person_and_of_nobody_else(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with alone(configure, keyring, erasure_services=()) as acme:
        await acme.ingest(track("v1", anonymous="visitor-7"), identify("i1", "user-7", email="ann@example.com"))
        await acme.ingest(track("s1", "user-7", "visitor-7"), order("o1", "user-7", 5))
        await acme.ingest(track("", "user-7"), track("", "user-8"), identify("i2", "user-8", email="bob@example.com"))
        await grant(acme, user("user-7"))
        customer = await acme.customer("user_id", "user-7")
        members = AddGroupMembersRequest(group_id="smiths", member_customer_ids=[customer.customer_id])
        await acme.call("AddGroupMembers", members)
        job = await begin(acme, user("user-7"), reason="letter of 3 May", request_id="x")
        assert (await begin(acme, user("user-7"), reason="letter of 3 May", request_id="x")).export_id == job.export_id
        done = await ended(acme, job.export_id)
        assert (done.state, done.progress, done.available) == (DONE, 1.0, True)
        content = await download(acme, job.export_id)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (done.size_bytes, done.sha256)
        found = Exported(content)
        assert b"bob@example.com" not in b"".join(found.files.values())
        assert b"user-8" not in b"".join(found.files.values())
        assert {each["message"] for each in found.records("profiles/event")} == {"v1", "i1", "s1", "o1"}
        assert {(each["type"], each["value"]) for each in found.records("profiles/identifier")} == {
            ("user_id", "user-7"),
            ("anonymous_id", "visitor-7"),
        }
        assert found.records("profiles/trait")[0]["value"] == "ann@example.com"
        assert found.records("profiles/consent")[0]["state"] == "granted"
        assert found.records("profiles/consent_statement")[0]["recorded_by"] == "developer"
        assert found.records("profiles/group_membership")[0]["group"] == "smiths"
        assert [each["user_id"] for each in found.records("profiles/dead_letter")] == ["user-7"]
        assert found.records("profiles/customer")[0]["orders"] == 1
        assert len(found.records("profiles/merge")) == 1
        told = {each["path"]: each for each in found.manifest["files"]}
        assert set(told) == set(found.files)
        for path, file in found.files.items():
            assert told[path]["sha256"] == hashlib.sha256(file).hexdigest()
            assert told[path]["records"] == len(file.splitlines())
        assert (found.manifest["requested_by"], found.manifest["reason"]) == ("developer", "letter of 3 May")
        listed = await acme.call("ListExportJobs", pb.ListExportJobsRequest(customer_id=customer.customer_id))
        assert [each.export_id for each in listed.jobs] == [job.export_id]


async def test_an_export_waits_for_a_service_that_is_down_and_says_so(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    (port,) = free_ports(1)
    async with AsyncExitStack() as stack:
        acme = await stack.enter_async_context(alone(configure, keyring, crm_addr=f"127.0.0.1:{port}"))
        await acme.ingest(track("v1", anonymous="visitor-7"), track("t1", "user-7"), track("s1", "user-7", "visitor-7"))
        customer = await acme.customer("user_id", "user-7")
        job = await begin(acme, user("user-7"))
        waiting = await reached(acme, job.export_id, lambda it: "crm" in it.message)
        assert waiting.message.startswith("waiting for crm (UNAVAILABLE")
        assert [(each.service, each.done) for each in waiting.services] == [("crm", False), ("profiles", True)]
        assert waiting.progress == 0.5
        assert "no archive: waiting for crm" in await download_refusal(acme, job.export_id)
        crm = await stack.enter_async_context(crm_at(port))
        done = await ended(acme, job.export_id)
        assert (done.state, [each.record_count for each in done.services if each.service == "crm"]) == (DONE, [1])
        found = Exported(await download(acme, job.export_id))
        assert found.records("crm/message") == [{"address": "ann@example.com"}]
        assert set(crm.asked[0].origin_customer_ids) == set(customer.origin_customer_ids)
        assert crm.metadata["tessera-tenant"] == "acme"


async def test_an_export_ends_where_a_service_does_not_answer_in_time(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    (port,) = free_ports(1)
    async with alone(configure, keyring, crm_addr=f"127.0.0.1:{port}", export_patience_seconds=1) as acme:
        await acme.ingest(track("t1", "user-7"))
        failed = await ended(acme, (await begin(acme, user("user-7"))).export_id)
        assert failed.state == FAILED
        assert "waiting for crm" in failed.message
        assert "ask for another" in failed.message


async def test_nothing_that_a_service_tells_leads_out_of_the_archive(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    (port,) = free_ports(1)
    async with crm_at(port) as crm:
        crm.kind = "../../etc/passwd"
        where = f"127.0.0.1:{port}"
        async with alone(configure, keyring, crm_addr=where, export_patience_seconds=1) as acme:
            await acme.ingest(track("t1", "user-7"))
            failed = await ended(acme, (await begin(acme, user("user-7"))).export_id)
            assert failed.state == FAILED
            assert "cannot be a file" in failed.message


async def test_more_than_an_archive_may_hold_is_refused(configure: Callable[..., Any], keyring: Keyring) -> None:
    async with alone(configure, keyring, erasure_services=(), export_bytes_max=1000) as acme:
        await acme.ingest(*(track(f"t{n}", "user-7") for n in range(20)))
        failed = await ended(acme, (await begin(acme, user("user-7"))).export_id)
        assert (failed.state, "more than 1000 bytes" in failed.message) == (FAILED, True)


async def test_an_archive_goes_when_its_time_is_over(configure: Callable[..., Any], keyring: Keyring) -> None:
    async with alone(configure, keyring, erasure_services=(), export_keep_seconds=1) as acme:
        await acme.ingest(track("t1", "user-7"))
        job = await begin(acme, user("user-7"))
        gone = await reached(acme, job.export_id, lambda it: it.state == DONE and not it.available)
        assert gone.HasField("expire_time")
        assert "ask for another" in await download_refusal(acme, job.export_id)


async def test_nobody_is_not_exported(configure: Callable[..., Any], keyring: Keyring) -> None:
    async with alone(configure, keyring, erasure_services=()) as acme:
        nobody = pb.ExportCustomerRequest(person=user("nobody"))
        assert await acme.refusal("ExportCustomer", nobody) == (grpc.StatusCode.NOT_FOUND, "CUSTOMER_NOT_FOUND")


async def test_an_erased_persons_archives_go_too_also_those_that_are_being_made(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    (port,) = free_ports(1)
    async with AsyncExitStack() as stack:
        acme = await stack.enter_async_context(alone(configure, keyring, crm_addr=f"127.0.0.1:{port}"))
        await acme.ingest(track("t1", "user-7"), track("t2", "user-8"))
        async with crm_at(port):
            made = await begin(acme, user("user-7"))
            other = await begin(acme, user("user-8"))
            assert (await ended(acme, made.export_id)).state == DONE
            assert (await ended(acme, other.export_id)).state == DONE
        making = await begin(acme, user("user-7"))
        await reached(acme, making.export_id, lambda it: "waiting for crm" in it.message)
        (accepted,) = (await erase(acme, user("user-7"))).erasures
        assert (await removed(acme, accepted.erasure_id))["export"] == 2
        for export_id in (made.export_id, making.export_id):
            missing = await acme.refusal("GetExportJob", pb.GetExportJobRequest(export_id=export_id))
            assert missing == (grpc.StatusCode.NOT_FOUND, "EXPORT_NOT_FOUND")
        assert (await acme.call("GetExportJob", pb.GetExportJobRequest(export_id=other.export_id))).job.available


async def test_an_export_goes_on_after_a_kill(configure: Callable[..., Any], keyring: Keyring) -> None:
    settings = configure(Settings, erasure_services=("crm",), export_lease_seconds=0.5)
    short = {"PROFILES_EXPORT_LEASE_SECONDS": "0.5"}
    process = await asyncio.to_thread(ServiceProcess, settings.data_dir, keyring, **short)
    try:
        async with grpc.aio.insecure_channel(process.address) as channel:
            acme = Client(ProfilesServiceStub(channel), keyring.header("acme"))
            await acme.ingest(track("t1", "user-7"))
            job = await begin(acme, user("user-7"))
            await reached(acme, job.export_id, lambda it: it.state == job_pb2.JOB_STATE_RUNNING)
    finally:
        await asyncio.to_thread(process.kill)
    (port,) = free_ports(1)
    async with (
        crm_at(port),
        serve(settings.model_copy(update={"crm_addr": f"127.0.0.1:{port}"})) as up,
        grpc.aio.insecure_channel(up.address) as channel,
    ):
        acme = Client(ProfilesServiceStub(channel), keyring.header("acme"))
        # The process that died knew of five services; who is asked is what the one that goes on knows.
        assert (await ended(acme, job.export_id)).state == DONE
        assert len(Exported(await download(acme, job.export_id)).records("crm/message")) == 1


async def test_a_receipt_waits_for_nobody_because_of_an_export(configure: Callable[..., Any], keyring: Keyring) -> None:
    async with alone(configure, keyring, erasure_services=()) as acme:
        await acme.ingest(track("t1", "user-7"))
        job = await begin(acme, user("user-7"))
        await ended(acme, job.export_id)
        (accepted,) = (await erase(acme, user("user-7"))).erasures
        finished = await receipt(acme, accepted.erasure_id, lambda it: it.state == erasure_pb2.ERASURE_STATE_FINISHED)
        assert finished.services[0].service == "profiles"
