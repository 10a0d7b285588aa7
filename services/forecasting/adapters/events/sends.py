"""Following what crm sent, in whatever campaign."""

from collections.abc import AsyncIterator, Iterator

import grpc
from tessera.crm.v1 import crm_service_pb2 as crm
from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceStub

from services.common.feed import follow
from services.forecasting.adapters.sends import FOLLOWER, ColumnarSends, Sent


async def follow_sends(channel: grpc.aio.Channel, sends: ColumnarSends) -> None:
    """Keep when messages were sent, for ever; also where crm is not there yet, or never is."""
    stub = CrmServiceStub(channel)

    def stream(cursor: str) -> AsyncIterator[crm.FollowMessagesResponse]:
        return aiter(stub.FollowMessages(crm.FollowMessagesRequest(after_cursor=cursor)))

    async def apply(batch: crm.FollowMessagesResponse) -> None:
        await sends.apply(sent(batch), batch.cursor)

    async def begin_again() -> None:
        await sends.apply((), "")

    await follow(FOLLOWER, sends.cursor, stream, apply, begin_again)


def sent(batch: crm.FollowMessagesResponse) -> Iterator[Sent]:
    """The messages of a batch that the mail server took."""
    for it in batch.events:
        if it.state == crm.MESSAGE_STATE_SENT:
            yield it.tenant_id, it.message_id, it.event_time.seconds * 1_000_000 + it.event_time.nanos // 1000
