"""Exports of a person in the schema: ask for an archive, and see how the work stands."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import strawberry
from tessera.profiles.v1 import customer_export_pb2 as pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.following import reopened
from gateway.schema.registry import computed, from_proto, input_from_proto, mutation, query, subscription


@from_proto(pb.ServiceExport, "service", "done", "record_count", "problem")
class ServiceExport: ...


@from_proto(
    pb.ExportJob,
    "export_id",
    "customer_id",
    "state",
    "progress",
    "message",
    "services",
    "requested_by",
    "reason",
    "create_time",
    "end_time",
    "expire_time",
    "available",
    "size_bytes",
    "sha256",
)
class ExportJob: ...


@computed(ExportJob, str, "downloadPath")
def download_path(job: pb.ExportJob) -> str:
    """Where the gateway has the archive, with the same token; empty while there is none."""
    return f"/v1/exports/{job.export_id}" if job.available else ""


@input_from_proto(pb.ExportCustomerRequest, "request_id", "person", "reason")
class ExportCustomerInput: ...


@from_proto(pb.ExportCustomerResponse, "job")
class ExportCustomerPayload: ...


@query(by_rpc("profiles.GetExportJob"))
async def export_job(info: Info, export_id: strawberry.ID) -> pb.ExportJob | None:
    """How an export of a person stands; null if there is none, also where the person was erased since."""
    request = pb.GetExportJobRequest(export_id=export_id)
    answer = await none_if_not_found(
        info.context.backends.profiles.GetExportJob(request, metadata=info.context.metadata)
    )
    return answer.job if answer else None


@query(by_rpc("profiles.ListExportJobs"))
async def export_jobs(info: Info, first: First = 20, after: After = None, customer_id: str = "") -> Page[pb.ExportJob]:
    """Exports, those asked for last first: who asked for what about whom."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.ExportJob], str]:
        request = pb.ListExportJobsRequest(customer_id=customer_id, page_size=size, page_token=token)
        answer = await info.context.backends.profiles.ListExportJobs(request, metadata=info.context.metadata)
        return answer.jobs, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("profiles.ExportCustomer"))
async def export_customer(info: Info, input: pb.ExportCustomerRequest) -> pb.ExportCustomerResponse:
    """Begins to collect everything that every service holds about a person; ``exportJob`` says how far it is."""
    return await info.context.backends.profiles.ExportCustomer(input, metadata=info.context.metadata)


@input_from_proto(pb.CancelExportRequest, "request_id", "export_id")
class CancelExportInput: ...


@from_proto(pb.CancelExportResponse, "job")
class CancelExportPayload: ...


@mutation(by_rpc("profiles.CancelExport"))
async def cancel_export(info: Info, input: pb.CancelExportRequest) -> pb.CancelExportResponse:
    """Ends an export of a person before there is an archive, and forgets what was collected."""
    return await info.context.backends.profiles.CancelExport(input, metadata=info.context.metadata)


@subscription(by_rpc("profiles.FollowExportJob"))
async def export_progress(info: Info, export_id: strawberry.ID) -> AsyncGenerator[pb.ExportJob, None]:
    """An export of a person as it stands, then each time that it has changed; ends with the export."""
    request, rpc = pb.FollowExportJobRequest(export_id=export_id), info.context.backends.profiles.FollowExportJob
    async with aclosing(reopened(lambda: rpc(request, metadata=info.context.metadata))) as answers:
        async for answer in answers:
            yield answer.job
