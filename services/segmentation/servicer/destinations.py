"""The rpcs of destinations."""

from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.segmentation.v1 import destination_pb2 as pb
from tessera.segmentation.v1.member_file_pb2 import FileFormat
from tessera.segmentation.v1.object_push_pb2 import ObjectContents, ObjectEncryption
from tessera.segmentation.v1.object_push_pb2 import ObjectPush as ObjectPushMessage
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common.auth import principal
from services.common.idempotency import fingerprint
from services.segmentation.domain.delivery import Delivery, told_secret
from services.segmentation.domain.destination import (
    BATCH_DEFAULT,
    CHUNK_DEFAULT,
    AudiencePush,
    Content,
    Destination,
    DestinationInvalid,
    Format,
    State,
    TransitionPush,
)
from services.segmentation.domain.object_push import (
    KEY_DEFAULT,
    LATEST_DEFAULT,
    REGION_DEFAULT,
    Contents,
    Encryption,
    FileForm,
    ObjectPush,
)
from services.segmentation.handlers.destinations import DestinationDesk
from services.segmentation.ports import Request
from services.segmentation.servicer.context import Context
from services.segmentation.servicer.member_files import read_columns, write_columns

PAGE_SIZE_DEFAULT = 100
MINUTE = 60 * 1_000_000
Told: TypeAlias = pb.CreateDestinationRequest | pb.UpdateDestinationRequest


@dataclass(frozen=True, kw_only=True)
class DestinationRpcs(SegmentationServiceServicer):
    """Web addresses that segments go to by themselves."""

    destination_desk: DestinationDesk

    async def CreateDestination(
        self, request: pb.CreateDestinationRequest, context: Context
    ) -> pb.CreateDestinationResponse:
        made = await self.destination_desk.create(
            principal().tenant,
            _named(request, request.request_id),
            request.name,
            request.url,
            _content(request),
            request.secret_access_key.encode(),
        )
        secret = "" if isinstance(made.content, ObjectPush) else told_secret(made.secret)
        return pb.CreateDestinationResponse(destination=await self._told(made), secret=secret)

    async def GetDestination(self, request: pb.GetDestinationRequest, context: Context) -> pb.GetDestinationResponse:
        found = await self.destination_desk.get(principal().tenant, request.destination_id)
        return pb.GetDestinationResponse(destination=await self._told(found))

    async def ListDestinations(
        self, request: pb.ListDestinationsRequest, context: Context
    ) -> pb.ListDestinationsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        destinations = self.destination_desk.destinations
        found, token = await destinations.page(principal().tenant, size, request.page_token)
        return pb.ListDestinationsResponse(
            destinations=[await self._told(each) for each in found], next_page_token=token
        )

    async def UpdateDestination(
        self, request: pb.UpdateDestinationRequest, context: Context
    ) -> pb.UpdateDestinationResponse:
        changed = await self.destination_desk.update(
            principal().tenant,
            _named(request, request.request_id),
            request.destination_id,
            request.name,
            request.url,
            _content(request),
            request.version,
            request.secret_access_key.encode(),
        )
        return pb.UpdateDestinationResponse(destination=await self._told(changed))

    async def DeleteDestination(
        self, request: pb.DeleteDestinationRequest, context: Context
    ) -> pb.DeleteDestinationResponse:
        named = _named(request, request.request_id)
        await self.destination_desk.delete(principal().tenant, named, request.destination_id)
        return pb.DeleteDestinationResponse()

    async def PauseDestination(
        self, request: pb.PauseDestinationRequest, context: Context
    ) -> pb.PauseDestinationResponse:
        named = _named(request, request.request_id)
        changed = await self.destination_desk.pause(principal().tenant, named, request.destination_id)
        return pb.PauseDestinationResponse(destination=await self._told(changed))

    async def ResumeDestination(
        self, request: pb.ResumeDestinationRequest, context: Context
    ) -> pb.ResumeDestinationResponse:
        changed = await self.destination_desk.resume(
            principal().tenant, _named(request, request.request_id), request.destination_id, request.skip_missed
        )
        return pb.ResumeDestinationResponse(destination=await self._told(changed))

    async def RotateDestinationSecret(
        self, request: pb.RotateDestinationSecretRequest, context: Context
    ) -> pb.RotateDestinationSecretResponse:
        named = _named(request, request.request_id)
        changed = await self.destination_desk.rotate(principal().tenant, named, request.destination_id)
        return pb.RotateDestinationSecretResponse(
            destination=await self._told(changed), secret=told_secret(changed.secret)
        )

    async def PushAudience(self, request: pb.PushAudienceRequest, context: Context) -> pb.PushAudienceResponse:
        named = _named(request, request.request_id)
        changed = await self.destination_desk.push(principal().tenant, named, request.destination_id)
        return pb.PushAudienceResponse(destination=await self._told(changed))

    async def TestDestination(self, request: pb.TestDestinationRequest, context: Context) -> pb.TestDestinationResponse:
        delivery_id, outcome = await self.destination_desk.test(principal().tenant, request.destination_id)
        return pb.TestDestinationResponse(
            delivered=outcome.delivered,
            http_status=outcome.http_status,
            error=outcome.error,
            delivery_id=delivery_id,
        )

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, context: Context) -> pb.ListDeliveriesResponse:
        tenant, size = principal().tenant, request.page_size or PAGE_SIZE_DEFAULT
        await self.destination_desk.get(tenant, request.destination_id)
        found, token = await self.destination_desk.destinations.deliveries(
            tenant, request.destination_id, size, request.page_token
        )
        return pb.ListDeliveriesResponse(deliveries=map(_delivery, found), next_page_token=token)

    async def _told(self, it: Destination) -> pb.Destination:
        told = pb.Destination(
            destination_id=it.destination_id,
            name=it.name,
            url=it.url,
            state=pb.DestinationState.ValueType(it.state),
            state_reason=it.reason,
            create_time=_timestamp(it.create_time),
            update_time=_timestamp(it.update_time),
            version=it.version,
        )
        if isinstance(it.content, AudiencePush):
            told.audience.CopyFrom(_audience(it.content))
        elif isinstance(it.content, ObjectPush):
            told.objects.CopyFrom(_objects(it.content))
        else:
            told.transitions.segment_ids.extend(it.content.segment_ids)
            told.transitions.batch_size = it.content.batch_size
        progress = await self.destination_desk.destinations.progress(principal().tenant, it.destination_id)
        if progress is None:
            return told
        told.failure_count = progress.attempts
        if progress.success_time:
            told.success_time.CopyFrom(_timestamp(progress.success_time))
        if it.state is State.ACTIVE and (moment := progress.next_attempt or progress.due):
            told.next_attempt_time.CopyFrom(_timestamp(moment))
        return told


def _content(request: Told) -> Content:
    match request.WhichOneof("content"):
        case "transitions":
            chosen = dict.fromkeys(request.transitions.segment_ids)
            return TransitionPush(tuple(chosen), request.transitions.batch_size or BATCH_DEFAULT)
        case "audience":
            told = request.audience
            return AudiencePush(
                segment_id=told.segment_id,
                interval=told.interval_minutes * MINUTE,
                start=_start(told, "audience"),
                format=Format(told.format or Format.NDJSON),
                chunk_size=told.chunk_size or CHUNK_DEFAULT,
            )
        case "objects":
            return _object_push(request.objects)
    raise DestinationInvalid("say what to send: transitions, an audience or objects", field="content")


def _start(told: pb.AudiencePush | ObjectPushMessage, field: str) -> int:
    start = told.start_time.ToMicroseconds() if told.HasField("start_time") else 0
    if start < 0:
        raise DestinationInvalid("a push cannot start before 1970", field=f"{field}.start_time")
    return start


def _object_push(told: ObjectPushMessage) -> ObjectPush:
    return ObjectPush(
        segment_id=told.segment_id,
        interval=told.interval_minutes * MINUTE,
        start=_start(told, "objects"),
        access_key_id=told.access_key_id,
        form=FileForm(told.format or FileForm.CSV),
        contents=Contents(told.contents or Contents.ALL),
        key=told.key or KEY_DEFAULT,
        latest_key=told.latest_key or LATEST_DEFAULT,
        region=told.region or REGION_DEFAULT,
        encryption=Encryption(told.encryption),
        kms_key_id=told.kms_key_id,
        columns=read_columns(told.columns),
    )


def _objects(content: ObjectPush) -> ObjectPushMessage:
    return ObjectPushMessage(
        segment_id=content.segment_id,
        interval_minutes=content.interval // MINUTE,
        start_time=_timestamp(content.start),
        format=FileFormat.ValueType(content.form),
        contents=ObjectContents.ValueType(content.contents),
        key=content.key,
        latest_key=content.latest_key,
        region=content.region,
        access_key_id=content.access_key_id,
        encryption=ObjectEncryption.ValueType(content.encryption),
        kms_key_id=content.kms_key_id,
        columns=write_columns(content.columns),
    )


def _audience(content: AudiencePush) -> pb.AudiencePush:
    return pb.AudiencePush(
        segment_id=content.segment_id,
        interval_minutes=content.interval // MINUTE,
        format=pb.AudienceFormat.ValueType(content.format),
        chunk_size=content.chunk_size,
        start_time=_timestamp(content.start),
    )


def _delivery(it: Delivery) -> pb.Delivery:
    return pb.Delivery(
        delivery_id=it.delivery_id,
        destination_id=it.destination_id,
        state=pb.DeliveryState.ValueType(it.state),
        attempt_count=it.attempts,
        item_count=it.items,
        create_time=_timestamp(it.create_time),
        attempt_time=_timestamp(it.attempt_time),
        http_status=it.http_status,
        error=it.error,
        object_key=it.object_key,
    )


def _named(request: Message, request_id: str) -> Request:
    return Request(request_id, fingerprint(request), principal().subject)


def _timestamp(micros: int) -> Timestamp:
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)
