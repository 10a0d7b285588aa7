"""Imports of customers and events in the schema: how far they are, and which rows were wrong."""

from collections.abc import Sequence

import strawberry
from strawberry import Parent
from tessera.common.v1 import job_pb2
from tessera.profiles.v1 import computed_trait_pb2
from tessera.profiles.v1 import transfer_pb2 as pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query


@from_proto(pb.ColumnMapping, "column", "target", "type")
class ColumnMapping: ...


@from_proto(
    pb.Import,
    "import_id",
    "kind",
    "format",
    "columns",
    "received_bytes",
    "create_time",
    "job_id",
    "finished",
    "cancelled",
)
class TableImport: ...


@from_proto(pb.ImportError, "row", "column", "reason", "message")
class TableImportError: ...


@input_from_proto(pb.StartImportRequest, "request_id", "import_id", "dry_run")
class StartImportInput: ...


@from_proto(pb.StartImportResponse, "job")
class StartImportPayload: ...


@input_from_proto(pb.DeleteImportRequest, "request_id", "import_id")
class DeleteImportInput: ...


@query(by_rpc("profiles.GetImport"))
async def table_import(info: Info, import_id: strawberry.ID) -> pb.Import | None:
    """An import that ``POST /v1/imports`` began; null if there is none. ``jobProgress`` tells the steps of its job."""
    request = pb.GetImportRequest(import_id=import_id)
    answer = await none_if_not_found(info.context.backends.profiles.GetImport(request, metadata=info.context.metadata))
    return getattr(answer, "import") if answer else None


@edge(TableImport, by_rpc("profiles.GetJob"), name="job")
async def job_of_import(it: Parent[pb.Import], info: Info) -> job_pb2.Job | None:
    """The newest job that reads the file: how far it is, and how many rows were recorded and wrong."""
    if not it.job_id:
        return None
    request = computed_trait_pb2.GetJobRequest(job_id=it.job_id)
    answer = await none_if_not_found(info.context.backends.profiles.GetJob(request, metadata=info.context.metadata))
    return answer.job if answer else None


@edge(TableImport, by_rpc("profiles.ListImportErrors"), name="errors")
async def errors_of_import(
    it: Parent[pb.Import], info: Info, first: First = 20, after: After = None
) -> Page[pb.ImportError]:
    """Rows that were not taken in, and why."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.ImportError], str]:
        request = pb.ListImportErrorsRequest(import_id=it.import_id, page_size=size, page_token=token)
        answer = await info.context.backends.profiles.ListImportErrors(request, metadata=info.context.metadata)
        return answer.errors, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("profiles.StartImport"))
async def start_import(info: Info, input: pb.StartImportRequest) -> pb.StartImportResponse:
    """Takes the rows in: again after a dry run, or where a job was cut off."""
    return await info.context.backends.profiles.StartImport(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.DeleteImport"))
async def delete_import(info: Info, input: pb.DeleteImportRequest) -> bool:
    """Forgets an import: its file and its wrong rows, not what was recorded."""
    await info.context.backends.profiles.DeleteImport(input, metadata=info.context.metadata)
    return True


@input_from_proto(pb.CancelImportRequest, "request_id", "import_id")
class CancelImportInput: ...


@mutation(by_rpc("profiles.CancelImport"))
async def cancel_import(info: Info, input: pb.CancelImportRequest) -> pb.Import:
    """Ends an import: its job stops and its file is forgotten; rows that were recorded stay recorded."""
    answer = await info.context.backends.profiles.CancelImport(input, metadata=info.context.metadata)
    ended: pb.Import = getattr(answer, "import")
    return ended
