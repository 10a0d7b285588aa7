"""The same on MongoDB: two processes, one campaign each and one taken over."""

import asyncio

from tessera.crm.v1 import crm_service_pb2 as pb

from tests.crm.conftest import Crm
from tests.crm.mail_server import MailServer
from tests.crm.neighbours import Neighbours


async def test_two_processes_on_one_database_write_to_everybody_once(
    crm: Crm, mails: MailServer, neighbours: Neighbours, mongodb_url: str
) -> None:
    neighbours.add("s1", 40)
    async with crm(store_url=mongodb_url) as one, crm(store_url=mongodb_url) as other:
        campaigns = [await one.campaign(), await other.campaign()]
        await asyncio.gather(one.start(campaigns[0]), other.start(campaigns[1]))
        await one.pause(campaigns[1])
        await one.start(campaigns[1])
        ended = [await one.ended(campaign_id) for campaign_id in campaigns]
        sent = await other.messages(campaigns[1], state=pb.MESSAGE_STATE_SENT)
    assert [campaign.counts.sent_count for campaign in ended] == [40, 40]
    assert len(sent) == 40
    assert set(mails.deliveries.values()) == {2}
