"""Customers and events in and out as files."""

from collections.abc import AsyncIterator

from tessera.common.v1 import rule_pb2
from tessera.profiles.v1 import transfer_pb2 as pb

from services.common.auth import principal
from services.common.job_messages import to_proto
from services.common.rules import Comparison, wire
from services.common.validation import FieldInvalid
from services.profiles.domain.customer_filter import CustomerFilter
from services.profiles.domain.table_import import ColumnMapping, ColumnType, ImportKind, TableFormat, TableImport
from services.profiles.handlers.computed_traits import Defining
from services.profiles.handlers.exports import export_customers, export_events
from services.profiles.handlers.imports import (
    Importing,
    cancel_import,
    create_import,
    delete_import,
    get_import,
    start_import,
    upload_import_chunk,
)
from services.profiles.handlers.recording import Recorder
from services.profiles.ports import EventFilter
from services.profiles.ports.transfer import NewTable
from services.profiles.servicer.messages import PAGE_SIZE_DEFAULT, Context, named, timestamp, to_micros


class TransferRpcs:
    """Imports and exports."""

    _importing: Importing
    _new_table: NewTable
    _recorder: Recorder
    _defining: Defining

    async def CreateImport(self, request: pb.CreateImportRequest, context: Context) -> pb.CreateImportResponse:
        if request.kind not in ImportKind._value2member_map_:
            raise FieldInvalid("kind must be CUSTOMERS or EVENTS", field="kind")
        wanted = TableImport(
            "", ImportKind(request.kind), _format(request.format), tuple(map(_mapping, request.columns)), 0
        )
        made = await create_import(self._importing, named(request), wanted)
        return pb.CreateImportResponse(**{"import": _import(made)})

    async def UploadImportChunk(
        self, request: pb.UploadImportChunkRequest, context: Context
    ) -> pb.UploadImportChunkResponse:
        tenant = principal().tenant
        received = await upload_import_chunk(self._importing, tenant, request.import_id, request.offset, request.data)
        return pb.UploadImportChunkResponse(received_bytes=received)

    async def StartImport(self, request: pb.StartImportRequest, context: Context) -> pb.StartImportResponse:
        tenant = principal().tenant
        job = await start_import(self._importing, self._recorder, tenant, request.import_id, request.dry_run)
        return pb.StartImportResponse(job=to_proto(job))

    async def GetImport(self, request: pb.GetImportRequest, context: Context) -> pb.GetImportResponse:
        found = await get_import(self._importing, principal().tenant, request.import_id)
        return pb.GetImportResponse(**{"import": _import(found)})

    async def ListImportErrors(
        self, request: pb.ListImportErrorsRequest, context: Context
    ) -> pb.ListImportErrorsResponse:
        tenant, size = principal().tenant, request.page_size or PAGE_SIZE_DEFAULT
        await get_import(self._importing, tenant, request.import_id)
        errors, token = await self._importing.imports.errors(tenant, request.import_id, size, request.page_token)
        return pb.ListImportErrorsResponse(
            errors=[
                pb.ImportError(row=each.row, column=each.column, reason=each.reason, message=each.message)
                for each in errors
            ],
            next_page_token=token,
        )

    async def DeleteImport(self, request: pb.DeleteImportRequest, context: Context) -> pb.DeleteImportResponse:
        await delete_import(self._importing, named(request), request.import_id)
        return pb.DeleteImportResponse()

    async def CancelImport(self, request: pb.CancelImportRequest, context: Context) -> pb.CancelImportResponse:
        ended = await cancel_import(self._importing, named(request), request.import_id)
        return pb.CancelImportResponse(**{"import": _import(ended)})

    async def ExportCustomers(
        self, request: pb.ExportCustomersRequest, context: Context
    ) -> AsyncIterator[pb.ExportCustomersResponse]:
        wanted, traits = customer_filter(request.filter), list(dict.fromkeys(request.trait_names))
        computing, tenant = self._defining.computing, principal().tenant
        parts = export_customers(computing, self._new_table, tenant, _format(request.format), wanted, traits)
        async for part, count in parts:
            yield pb.ExportCustomersResponse(data=part, row_count=count)

    async def ExportEvents(
        self, request: pb.ExportEventsRequest, context: Context
    ) -> AsyncIterator[pb.ExportEventsResponse]:
        wanted = EventFilter(
            frozenset(request.names),
            to_micros(request.from_time) if request.HasField("from_time") else None,
            to_micros(request.before_time) if request.HasField("before_time") else None,
        )
        computing, tenant = self._defining.computing, principal().tenant
        async for part, count in export_events(computing, self._new_table, tenant, _format(request.format), wanted):
            yield pb.ExportEventsResponse(data=part, row_count=count)


def customer_filter(message: pb.CustomerFilter) -> CustomerFilter:
    """Which customers are wanted."""
    where = [wire.read(rule_pb2.Rule(field=comparison)) for comparison in message.where]
    return CustomerFilter(
        tuple(comparison for comparison in where if isinstance(comparison, Comparison)),
        to_micros(message.last_seen_from_time) if message.HasField("last_seen_from_time") else None,
        to_micros(message.last_seen_before_time) if message.HasField("last_seen_before_time") else None,
        message.identifier_type,
        message.identifier_prefix,
    )


def _format(number: int) -> TableFormat:
    if number not in TableFormat._value2member_map_:
        raise FieldInvalid("format must be CSV or PARQUET", field="format")
    return TableFormat(number)


def _mapping(message: pb.ColumnMapping) -> ColumnMapping:
    if message.type not in ColumnType._value2member_map_:
        raise FieldInvalid(f"the type of column {message.column} is none of the types", field="columns")
    return ColumnMapping(message.column, message.target, ColumnType(message.type))


def _import(it: TableImport) -> pb.Import:
    return pb.Import(
        import_id=it.import_id,
        kind=pb.ImportKind.ValueType(it.kind),
        format=pb.TableFormat.ValueType(it.format),
        columns=[
            pb.ColumnMapping(column=each.column, target=each.target, type=pb.ColumnType.ValueType(each.type))
            for each in it.columns
        ],
        received_bytes=it.received_bytes,
        create_time=timestamp(it.create_time),
        job_id=it.job_id,
        finished=it.finished,
        cancelled=it.cancelled,
    )
