"""The rpcs of suppressions."""

from collections.abc import Iterable

from tessera.profiles.v1 import erasure_pb2, person_pb2
from tessera.profiles.v1 import suppression_pb2 as pb

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.common.validation import FieldInvalid
from services.profiles.domain.suppression import Occasion, Suppression
from services.profiles.handlers.retrying import retrying
from services.profiles.ports import Identifier, Suppressions
from services.profiles.servicer.messages import PAGE_SIZE_DEFAULT, Context, timestamp


class SuppressionRpcs:
    """Identifiers that are refused, and who wanted that."""

    _suppressions: Suppressions
    _clock: Clock

    async def SuppressIdentifiers(
        self, request: erasure_pb2.SuppressIdentifiersRequest, context: Context
    ) -> erasure_pb2.SuppressIdentifiersResponse:
        occasion = self._occasion(request.reason)
        count = await self._suppressions.add(principal().tenant, _names(request.identifiers), occasion)
        return erasure_pb2.SuppressIdentifiersResponse(suppressed_count=count)

    async def UnsuppressIdentifiers(
        self, request: erasure_pb2.UnsuppressIdentifiersRequest, context: Context
    ) -> erasure_pb2.UnsuppressIdentifiersResponse:
        count = await self._lift(_names(request.identifiers), [], "")
        return erasure_pb2.UnsuppressIdentifiersResponse(unsuppressed_count=count)

    async def ListSuppressions(
        self, request: pb.ListSuppressionsRequest, context: Context
    ) -> pb.ListSuppressionsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        found, token = await self._suppressions.page(principal().tenant, request.lifted, size, request.page_token)
        return pb.ListSuppressionsResponse(suppressions=map(_message, found), next_page_token=token)

    async def LiftSuppressions(
        self, request: pb.LiftSuppressionsRequest, context: Context
    ) -> pb.LiftSuppressionsResponse:
        if not request.reason.strip():
            raise FieldInvalid("reason must say why these identifiers are taken in again", field="reason")
        count = await self._lift(_names(request.identifiers), list(request.suppression_ids), request.reason)
        return pb.LiftSuppressionsResponse(lifted_count=count)

    async def _lift(self, names: list[Identifier], suppression_ids: list[str], reason: str) -> int:
        tenant, occasion = principal().tenant, self._occasion(reason)
        return await retrying(lambda: self._suppressions.lift(tenant, names, suppression_ids, occasion))

    def _occasion(self, reason: str) -> Occasion:
        return Occasion(to_micros(self._clock()), principal().subject, reason)


def _names(identifiers: Iterable[person_pb2.PersonIdentifier]) -> list[Identifier]:
    return [(each.type, each.value) for each in identifiers]


def _message(it: Suppression) -> pb.Suppression:
    message = pb.Suppression(
        suppression_id=it.suppression_id,
        type=it.type,
        suppress_time=timestamp(it.suppressed.time),
        suppressed_by=it.suppressed.actor,
        reason=it.suppressed.reason,
        erasure_id=it.suppressed.erasure_id,
    )
    if it.lifted is not None:
        message.lift_time.CopyFrom(timestamp(it.lifted.time))
        message.lifted_by, message.lift_reason = it.lifted.actor, it.lifted.reason
    return message
