"""The rpcs of exports of a person."""

from collections.abc import AsyncIterator

from tessera.common.v1 import job_pb2
from tessera.profiles.v1 import customer_export_pb2 as pb

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.profiles.domain.customer_export import CustomerExport
from services.profiles.handlers.customer_exports import (
    Exporting,
    cancel_export,
    download_export,
    export_customer,
    follow_export_job,
    get_export_job,
)
from services.profiles.servicer.consents import person_of
from services.profiles.servicer.messages import PAGE_SIZE_DEFAULT, Context, named, timestamp


class CustomerExportRpcs:
    """Archives of everything about a person."""

    _exporting: Exporting
    _clock: Clock

    async def ExportCustomer(self, request: pb.ExportCustomerRequest, context: Context) -> pb.ExportCustomerResponse:
        person = person_of(request.person, "person")
        export = await export_customer(self._exporting, named(request), person, request.reason, principal().subject)
        return pb.ExportCustomerResponse(job=self._job(export))

    async def GetExportJob(self, request: pb.GetExportJobRequest, context: Context) -> pb.GetExportJobResponse:
        export = await get_export_job(self._exporting, principal().tenant, request.export_id)
        return pb.GetExportJobResponse(job=self._job(export))

    async def ListExportJobs(self, request: pb.ListExportJobsRequest, context: Context) -> pb.ListExportJobsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        exports, token = await self._exporting.exports.page(
            principal().tenant, request.customer_id, size, request.page_token
        )
        return pb.ListExportJobsResponse(jobs=map(self._job, exports), next_page_token=token)

    async def DownloadExport(
        self, request: pb.DownloadExportRequest, context: Context
    ) -> AsyncIterator[pb.DownloadExportResponse]:
        async for data in download_export(self._exporting, principal().tenant, request.export_id):
            yield pb.DownloadExportResponse(data=data)

    async def CancelExport(self, request: pb.CancelExportRequest, context: Context) -> pb.CancelExportResponse:
        export = await cancel_export(self._exporting, named(request), request.export_id)
        return pb.CancelExportResponse(job=self._job(export))

    async def FollowExportJob(
        self, request: pb.FollowExportJobRequest, context: Context
    ) -> AsyncIterator[pb.FollowExportJobResponse]:
        async for export in follow_export_job(self._exporting, principal().tenant, request.export_id):
            yield pb.FollowExportJobResponse(job=self._job(export))

    def _job(self, it: CustomerExport) -> pb.ExportJob:
        return pb.ExportJob(
            export_id=it.export_id,
            customer_id=it.customer_id,
            state=job_pb2.JobState.ValueType(it.state),
            progress=it.progress,
            message=it.message,
            services=[
                pb.ServiceExport(
                    service=part.service, done=part.done, record_count=part.record_count, problem=part.problem
                )
                for part in it.parts
            ],
            requested_by=it.requested_by,
            reason=it.reason,
            create_time=timestamp(it.create_time),
            end_time=timestamp(it.end_time) if it.end_time else None,
            expire_time=timestamp(it.expire_time) if it.expire_time else None,
            available=it.available(to_micros(self._clock())),
            size_bytes=it.size_bytes,
            sha256=it.sha256,
        )
