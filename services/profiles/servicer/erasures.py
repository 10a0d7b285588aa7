"""The rpcs of erasures."""

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import privacy_pb2
from tessera.profiles.v1 import erasure_pb2 as pb

from services.common.auth import principal
from services.common.clock import Clock
from services.common.privacy import Removal, Removed
from services.common.validation import FieldInvalid
from services.profiles.domain.erasure import Erasure, ErasureMode, ErasureState, Part
from services.profiles.handlers.erasures import Means, Wish, acknowledge_erasure, erase_customers, get_erasure
from services.profiles.ports import Erasures
from services.profiles.servicer.consents import person_of
from services.profiles.servicer.messages import PAGE_SIZE_DEFAULT, Context, named, timestamp, to_micros


class ErasureRpcs:
    """Receipts of erasures, and the services that answer."""

    _erasing: Means
    _erasures: Erasures
    _clock: Clock

    async def EraseCustomers(self, request: pb.EraseCustomersRequest, context: Context) -> pb.EraseCustomersResponse:
        persons = [person_of(each, f"persons[{index}]") for index, each in enumerate(request.persons)]
        mode = ErasureMode(request.mode or ErasureMode.DELETE)
        wish = Wish(persons, request.reason, principal().subject, not request.allow_return, mode)
        erasures, not_found = await erase_customers(self._erasing, named(request), wish)
        return pb.EraseCustomersResponse(
            erasures=map(erasure_message, erasures), not_found=[request.persons[index] for index in not_found]
        )

    async def ListErasures(self, request: pb.ListErasuresRequest, context: Context) -> pb.ListErasuresResponse:
        state = ErasureState(request.state) if request.state else None
        size = request.page_size or PAGE_SIZE_DEFAULT
        erasures, token = await self._erasures.page(principal().tenant, state, size, request.page_token)
        return pb.ListErasuresResponse(erasures=map(erasure_message, erasures), next_page_token=token)

    async def GetErasure(self, request: pb.GetErasureRequest, context: Context) -> pb.GetErasureResponse:
        erasure = await get_erasure(self._erasures, principal().tenant, request.erasure_id)
        return pb.GetErasureResponse(erasure=erasure_message(erasure))

    async def AcknowledgeErasure(
        self, request: pb.AcknowledgeErasureRequest, context: Context
    ) -> pb.AcknowledgeErasureResponse:
        removed = [_removed(index, each) for index, each in enumerate(request.removed)]
        await acknowledge_erasure(
            self._erasures,
            self._clock,
            principal().tenant,
            request.erasure_id,
            request.service,
            removed,
            to_micros(request.remove_time),
        )
        return pb.AcknowledgeErasureResponse()


def erasure_message(erasure: Erasure) -> pb.Erasure:
    """The receipt on the wire."""
    return pb.Erasure(
        erasure_id=erasure.erasure_id,
        customer_id=erasure.customer_id,
        state=pb.ErasureState.ValueType(erasure.state),
        services=[_part(part) for part in erasure.parts],
        requested_by=erasure.requested_by,
        reason=erasure.reason,
        request_time=_time(erasure.request_time),
        finish_time=_time(erasure.finish_time),
        pseudonym=erasure.pseudonym,
        suppressed_identifier_count=erasure.suppressed_count,
        problem=erasure.problem,
        mode=pb.ErasureMode.ValueType(erasure.mode),
    )


def _part(part: Part) -> pb.ServiceErasure:
    return pb.ServiceErasure(
        service=part.service,
        done=part.done,
        remove_time=_time(part.remove_time),
        acknowledge_time=_time(part.acknowledge_time),
        removed=[
            privacy_pb2.RemovedRecords(
                kind=each.kind, count=each.count, removal=privacy_pb2.Removal.ValueType(each.removal)
            )
            for each in part.removed
        ],
    )


def _removed(index: int, message: privacy_pb2.RemovedRecords) -> Removed:
    if message.removal not in Removal._value2member_map_ or not message.kind or message.count < 0:
        field = f"removed[{index}]"
        raise FieldInvalid(f"{field} needs a kind, a count of at least 0, and a removal", field=field)
    return Removed(message.kind, message.count, Removal(message.removal))


def _time(micros: int) -> Timestamp | None:
    return timestamp(micros) if micros else None
