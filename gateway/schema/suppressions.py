"""Suppressions in the schema: identifiers that are refused, who wanted that, and how it is lifted."""

from collections.abc import Sequence

from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1 import suppression_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.registry import from_proto, input_from_proto, mutation, query


@from_proto(
    pb.Suppression,
    "suppression_id",
    "type",
    "suppress_time",
    "suppressed_by",
    "reason",
    "erasure_id",
    "lift_time",
    "lifted_by",
    "lift_reason",
)
class Suppression: ...


@input_from_proto(erasure_pb2.SuppressIdentifiersRequest, "request_id", "identifiers", "reason")
class SuppressIdentifiersInput: ...


@from_proto(erasure_pb2.SuppressIdentifiersResponse, "suppressed_count")
class SuppressIdentifiersPayload: ...


@input_from_proto(erasure_pb2.UnsuppressIdentifiersRequest, "request_id", "identifiers")
class UnsuppressIdentifiersInput: ...


@from_proto(erasure_pb2.UnsuppressIdentifiersResponse, "unsuppressed_count")
class UnsuppressIdentifiersPayload: ...


@input_from_proto(pb.LiftSuppressionsRequest, "request_id", "identifiers", "suppression_ids", "reason")
class LiftSuppressionsInput: ...


@from_proto(pb.LiftSuppressionsResponse, "lifted_count")
class LiftSuppressionsPayload: ...


@query(by_rpc("profiles.ListSuppressions"))
async def suppressions(
    info: Info, first: First = 20, after: After = None, lifted: bool = False
) -> Page[pb.Suppression]:
    """Identifiers that are refused, or were: without their values, with who wanted it, the newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Suppression], str]:
        request = pb.ListSuppressionsRequest(lifted=lifted, page_size=size, page_token=token)
        answer = await info.context.backends.profiles.ListSuppressions(request, metadata=info.context.metadata)
        return answer.suppressions, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("profiles.LiftSuppressions"))
async def lift_suppressions(info: Info, input: pb.LiftSuppressionsRequest) -> pb.LiftSuppressionsResponse:
    """Takes identifiers in again, and keeps who did that and why."""
    return await info.context.backends.profiles.LiftSuppressions(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.SuppressIdentifiers"))
async def suppress_identifiers(
    info: Info, input: erasure_pb2.SuppressIdentifiersRequest
) -> erasure_pb2.SuppressIdentifiersResponse:
    return await info.context.backends.profiles.SuppressIdentifiers(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.UnsuppressIdentifiers"))
async def unsuppress_identifiers(
    info: Info, input: erasure_pb2.UnsuppressIdentifiersRequest
) -> erasure_pb2.UnsuppressIdentifiersResponse:
    return await info.context.backends.profiles.UnsuppressIdentifiers(input, metadata=info.context.metadata)
