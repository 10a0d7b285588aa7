"""Following who was written to, and who was held back, in the campaigns of crm that have a control group."""

from collections.abc import AsyncIterator, Iterator

import grpc
from tessera.crm.v1 import crm_service_pb2 as crm
from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceStub

from services.common.feed import follow
from services.forecasting.adapters.treatments import CAMPAIGNS, Assigned, ColumnarTreatments, experiment_of

# Who the mail server refused is treated too: who it would have refused of those held back, nobody knows.
_TREATED = {crm.MESSAGE_STATE_SENT: 1, crm.MESSAGE_STATE_FAILED: 1, crm.MESSAGE_STATE_HELD_BACK: 0}


async def follow_campaigns(channel: grpc.aio.Channel, treatments: ColumnarTreatments) -> None:
    """Keep who was in which group of which campaign, for ever; also where crm is not there yet, or never is."""
    stub = CrmServiceStub(channel)

    def stream(cursor: str) -> AsyncIterator[crm.FollowMessagesResponse]:
        request = crm.FollowMessagesRequest(after_cursor=cursor, experiments_only=True)
        return aiter(stub.FollowMessages(request))

    async def apply(batch: crm.FollowMessagesResponse) -> None:
        await treatments.apply(list(assigned(batch)), batch.cursor)

    async def begin_again() -> None:
        await treatments.apply((), "")

    await follow(CAMPAIGNS, treatments.cursor, stream, apply, begin_again)


def assigned(batch: crm.FollowMessagesResponse) -> Iterator[Assigned]:
    """The rows of a batch; of a campaign without a control group there are none."""
    for it in batch.events:
        if it.control_percent and it.state in _TREATED:
            origin_id = it.origin_customer_id or it.customer_id
            micros = it.event_time.seconds * 1_000_000 + it.event_time.nanos // 1000
            yield Assigned(it.tenant_id, experiment_of(it.campaign_id), origin_id, _TREATED[it.state], micros)
