"""Destinations: web addresses and buckets that segments go to by themselves."""

from collections.abc import Sequence

import strawberry
from strawberry import Parent
from tessera.segmentation.v1 import destination_pb2 as pb
from tessera.segmentation.v1 import member_file_pb2 as member_file
from tessera.segmentation.v1 import object_push_pb2 as objects

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query


@from_proto(pb.TransitionPush, "segment_ids", "batch_size")
class TransitionPush: ...


@from_proto(pb.AudiencePush, "segment_id", "interval_minutes", "format", "chunk_size", "start_time")
class AudiencePush: ...


@from_proto(member_file.MemberColumn, "trait", "name", "hash")
class MemberColumn: ...


@from_proto(
    objects.ObjectPush,
    "segment_id",
    "interval_minutes",
    "start_time",
    "format",
    "contents",
    "key",
    "latest_key",
    "region",
    "access_key_id",
    "encryption",
    "kms_key_id",
    "columns",
)
class ObjectPush: ...


@from_proto(
    pb.Destination,
    "destination_id",
    "name",
    "url",
    "transitions",
    "audience",
    "objects",
    "state",
    "state_reason",
    "create_time",
    "update_time",
    "version",
    "success_time",
    "failure_count",
    "next_attempt_time",
)
class Destination: ...


@from_proto(
    pb.Delivery,
    "delivery_id",
    "state",
    "attempt_count",
    "item_count",
    "create_time",
    "attempt_time",
    "http_status",
    "error",
    "object_key",
)
class Delivery: ...


@input_from_proto(pb.TransitionPush, "segment_ids", "batch_size")
class TransitionPushInput: ...


@input_from_proto(pb.AudiencePush, "segment_id", "interval_minutes", "format", "chunk_size", "start_time")
class AudiencePushInput: ...


@input_from_proto(member_file.MemberColumn, "trait", "name", "hash")
class MemberColumnInput: ...


@input_from_proto(
    objects.ObjectPush,
    "segment_id",
    "interval_minutes",
    "start_time",
    "format",
    "contents",
    "key",
    "latest_key",
    "region",
    "access_key_id",
    "encryption",
    "kms_key_id",
    "columns",
)
class ObjectPushInput: ...


@input_from_proto(
    pb.CreateDestinationRequest,
    "request_id",
    "name",
    "url",
    "transitions",
    "audience",
    "objects",
    "secret_access_key",
)
class CreateDestinationInput: ...


@from_proto(pb.CreateDestinationResponse, "destination", "secret")
class CreateDestinationPayload: ...


@input_from_proto(
    pb.UpdateDestinationRequest,
    "request_id",
    "destination_id",
    "name",
    "url",
    "transitions",
    "audience",
    "objects",
    "secret_access_key",
    "version",
)
class UpdateDestinationInput: ...


@from_proto(pb.UpdateDestinationResponse, "destination")
class UpdateDestinationPayload: ...


@input_from_proto(pb.DeleteDestinationRequest, "request_id", "destination_id")
class DeleteDestinationInput: ...


@input_from_proto(pb.PauseDestinationRequest, "request_id", "destination_id")
class PauseDestinationInput: ...


@from_proto(pb.PauseDestinationResponse, "destination")
class PauseDestinationPayload: ...


@input_from_proto(pb.ResumeDestinationRequest, "request_id", "destination_id", "skip_missed")
class ResumeDestinationInput: ...


@from_proto(pb.ResumeDestinationResponse, "destination")
class ResumeDestinationPayload: ...


@input_from_proto(pb.RotateDestinationSecretRequest, "request_id", "destination_id")
class RotateDestinationSecretInput: ...


@from_proto(pb.RotateDestinationSecretResponse, "destination", "secret")
class RotateDestinationSecretPayload: ...


@input_from_proto(pb.PushAudienceRequest, "request_id", "destination_id")
class PushAudienceInput: ...


@from_proto(pb.PushAudienceResponse, "destination")
class PushAudiencePayload: ...


@input_from_proto(pb.TestDestinationRequest, "destination_id")
class TestDestinationInput: ...


@from_proto(pb.TestDestinationResponse, "delivered", "http_status", "error", "delivery_id")
class TestDestinationPayload: ...


@query(by_rpc("segmentation.GetDestination"))
async def destination(info: Info, destination_id: strawberry.ID) -> pb.Destination | None:
    """One destination; null if there is none."""
    request = pb.GetDestinationRequest(destination_id=destination_id)
    answer = await info.context.backends.segmentation.GetDestination(request, metadata=info.context.metadata)
    return answer.destination


@query(by_rpc("segmentation.ListDestinations"))
async def destinations(info: Info, first: First = 20, after: After = None) -> Page[pb.Destination]:
    """All destinations, by id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Destination], str]:
        request = pb.ListDestinationsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.segmentation.ListDestinations(request, metadata=info.context.metadata)
        return answer.destinations, answer.next_page_token

    return await page(fetch, first, after)


@edge(Destination, by_rpc("segmentation.ListDeliveries"), name="deliveries")
async def deliveries_of_destination(
    served: Parent[pb.Destination], info: Info, first: First = 20, after: After = None
) -> Page[pb.Delivery]:
    """What it was sent, the newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Delivery], str]:
        request = pb.ListDeliveriesRequest(destination_id=served.destination_id, page_size=size, page_token=token)
        answer = await info.context.backends.segmentation.ListDeliveries(request, metadata=info.context.metadata)
        return answer.deliveries, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("segmentation.CreateDestination"))
async def create_destination(info: Info, input: pb.CreateDestinationRequest) -> pb.CreateDestinationResponse:
    return await info.context.backends.segmentation.CreateDestination(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.UpdateDestination"))
async def update_destination(info: Info, input: pb.UpdateDestinationRequest) -> pb.UpdateDestinationResponse:
    return await info.context.backends.segmentation.UpdateDestination(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.DeleteDestination"))
async def delete_destination(info: Info, input: pb.DeleteDestinationRequest) -> strawberry.ID:
    """Deletes a destination, and answers its id."""
    await info.context.backends.segmentation.DeleteDestination(input, metadata=info.context.metadata)
    return strawberry.ID(input.destination_id)


@mutation(by_rpc("segmentation.PauseDestination"))
async def pause_destination(info: Info, input: pb.PauseDestinationRequest) -> pb.PauseDestinationResponse:
    return await info.context.backends.segmentation.PauseDestination(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.ResumeDestination"))
async def resume_destination(info: Info, input: pb.ResumeDestinationRequest) -> pb.ResumeDestinationResponse:
    return await info.context.backends.segmentation.ResumeDestination(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.RotateDestinationSecret"))
async def rotate_destination_secret(
    info: Info, input: pb.RotateDestinationSecretRequest
) -> pb.RotateDestinationSecretResponse:
    return await info.context.backends.segmentation.RotateDestinationSecret(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.TestDestination"))
async def test_destination(info: Info, input: pb.TestDestinationRequest) -> pb.TestDestinationResponse:
    return await info.context.backends.segmentation.TestDestination(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.PushAudience"))
async def push_audience(info: Info, input: pb.PushAudienceRequest) -> pb.PushAudienceResponse:
    return await info.context.backends.segmentation.PushAudience(input, metadata=info.context.metadata)
