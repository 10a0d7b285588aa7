"""Exports are followed and cancelled, and imports cancelled, through the gateway."""

from collections.abc import AsyncIterator
from typing import Any

from tessera.common.v1 import job_pb2
from tessera.profiles.v1 import customer_export_pb2 as exports
from tessera.profiles.v1 import transfer_pb2 as transfer

from tests.conftest import Keyring
from tests.gateway.platform import Backend, Client
from tests.gateway.test_subscriptions import connected

FOLLOW = 'subscription { exportProgress(exportId: "ex_1") { exportId state progress message } }'
CANCEL_EXPORT = """mutation { cancelExport(input: {exportId: "ex_1", requestId: "r1"}) { job { state message } } }"""
CANCEL_IMPORT = """mutation { cancelImport(input: {importId: "im_1"}) { importId finished cancelled } }"""


async def test_an_export_is_followed_to_its_end(client: Client, backend: Backend, keyring: Keyring) -> None:
    async def follow(request: exports.FollowExportJobRequest) -> AsyncIterator[Any]:
        for state, share in ((job_pb2.JOB_STATE_RUNNING, 0.5), (job_pb2.JOB_STATE_CANCELLED, 0.5)):
            job = exports.ExportJob(export_id=request.export_id, state=state, progress=share)
            yield exports.FollowExportJobResponse(job=job)

    backend.on("profiles.FollowExportJob", follow)  # type: ignore[arg-type]  # a stream answers with a generator
    told = []
    async with connected(client) as wire:
        await (await wire.initialised(f"Bearer {keyring.mint()}")).subscribe(FOLLOW)
        while (message := await wire.receive())["type"] == "next":
            told.append(message["payload"]["data"]["exportProgress"])
    assert [(each["exportId"], each["state"]) for each in told] == [("ex_1", "RUNNING"), ("ex_1", "CANCELLED")]
    assert message["type"] == "complete"


async def test_an_export_and_an_import_are_cancelled(client: Client, backend: Backend, keyring: Keyring) -> None:
    async def end_export(request: exports.CancelExportRequest) -> exports.CancelExportResponse:
        assert (request.export_id, request.request_id) == ("ex_1", "r1")
        job = exports.ExportJob(state=job_pb2.JOB_STATE_CANCELLED, message="cancelled by request")
        return exports.CancelExportResponse(job=job)

    async def end_import(request: transfer.CancelImportRequest) -> transfer.CancelImportResponse:
        ended = transfer.Import(import_id=request.import_id, finished=True, cancelled=True)
        return transfer.CancelImportResponse(**{"import": ended})

    backend.on("profiles.CancelExport", end_export)
    backend.on("profiles.CancelImport", end_import)
    exported = (await client.ask(CANCEL_EXPORT))["data"]["cancelExport"]
    assert exported == {"job": {"state": "CANCELLED", "message": "cancelled by request"}}
    imported = (await client.ask(CANCEL_IMPORT))["data"]["cancelImport"]
    assert imported == {"importId": "im_1", "finished": True, "cancelled": True}
