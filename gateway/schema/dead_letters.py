"""Rejected events in the schema: what was rejected and why, and how it is put right."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from tessera.profiles.v1 import profiles_service_pb2 as pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.registry import computed, from_proto, input_from_proto, mutation, query


@from_proto(
    pb.Event,
    "message_id",
    "type",
    "name",
    "user_id",
    "anonymous_id",
    "event_time",
    "group_id",
    "previous_id",
    "sent_time",
)
class RejectedEvent: ...


@computed(RejectedEvent, str, "propertiesText")
def properties_text(event: pb.Event) -> str:
    """The properties as text: perhaps they are no JSON."""
    return event.properties_json


@computed(RejectedEvent, str, "traitsText")
def traits_text(event: pb.Event) -> str:
    """The traits as text: perhaps they are no JSON."""
    return event.traits_json


@computed(RejectedEvent, str, "contextText")
def context_text(event: pb.Event) -> str:
    """The context as text: perhaps it is no JSON."""
    return event.context_json


@computed(RejectedEvent, str, "integrationsText")
def integrations_text(event: pb.Event) -> str:
    """The integrations as text: perhaps they are no JSON."""
    return event.integrations_json


@from_proto(
    pb.DeadLetter, "dead_letter_id", "reason", "message", "reject_time", "event", "truncated", "source_text", "path"
)
class DeadLetter: ...


@input_from_proto(pb.ReplayDeadLettersRequest, "request_id", "dead_letter_ids", "corrected_event")
class ReplayDeadLettersInput: ...


@from_proto(pb.ReplayRejection, "dead_letter_id", "reason", "message")
class ReplayRejection: ...


@from_proto(pb.ReplayDeadLettersResponse, "recorded_count", "duplicate_count", "rejections")
class ReplayDeadLettersPayload: ...


@input_from_proto(pb.DeleteDeadLettersRequest, "request_id", "dead_letter_ids")
class DeleteDeadLettersInput: ...


@from_proto(pb.DeleteDeadLettersResponse, "deleted_count")
class DeleteDeadLettersPayload: ...


@query(by_rpc("profiles.ListDeadLetters"))
async def dead_letters(
    info: Info,
    first: First = 20,
    after: After = None,
    reason: Annotated[str | None, strawberry.argument(description="Only those rejected for this reason.")] = None,
) -> Page[pb.DeadLetter]:
    """Events that were rejected, those rejected last first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.DeadLetter], str]:
        request = pb.ListDeadLettersRequest(reason=reason or "", page_size=size, page_token=token)
        answer = await info.context.backends.profiles.ListDeadLetters(request, metadata=info.context.metadata)
        return answer.dead_letters, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("profiles.GetDeadLetter"))
async def dead_letter(info: Info, id: strawberry.ID) -> pb.DeadLetter | None:
    """One rejected event; null if there is none."""
    request = pb.GetDeadLetterRequest(dead_letter_id=id)
    call = info.context.backends.profiles.GetDeadLetter(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.dead_letter if answer else None


@mutation(by_rpc("profiles.ReplayDeadLetters"))
async def replay_dead_letters(info: Info, input: pb.ReplayDeadLettersRequest) -> pb.ReplayDeadLettersResponse:
    return await info.context.backends.profiles.ReplayDeadLetters(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.DeleteDeadLetters"))
async def delete_dead_letters(info: Info, input: pb.DeleteDeadLettersRequest) -> pb.DeleteDeadLettersResponse:
    return await info.context.backends.profiles.DeleteDeadLetters(input, metadata=info.context.metadata)
