"""Starting, holding and ending campaigns, and asking for it twice."""

import asyncio

import grpc
from tessera.crm.v1 import crm_service_pb2 as pb

from tests.crm.conftest import Client, Crm, check_counts, refusal
from tests.crm.mail_server import MailServer
from tests.crm.neighbours import Neighbours


async def _held_at_the_server(client: Client, mails: MailServer, count: int) -> str:
    """A campaign that has ``count`` mails with the mail server, which does not answer yet."""
    mails.gate.clear()
    campaign_id = await client.campaign()
    await client.start(campaign_id)
    await mails.wait_for(count)
    return campaign_id


async def test_a_paused_campaign_sends_no_more_than_what_was_with_the_server(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 100)
    async with crm(smtp_connections=4) as client:
        campaign_id = await _held_at_the_server(client, mails, 4)
        paused = await client.pause(campaign_id)
        assert paused.state == pb.CAMPAIGN_STATE_PAUSED
        mails.gate.set()
        resting = await client.until(campaign_id, lambda it: it.counts.sent_count == 4)
        assert resting.counts.queued_count == 96
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
    assert ended.counts.sent_count == 100
    assert set(mails.deliveries.values()) == {1}


async def test_a_cancelled_campaign_skips_what_is_queued(crm: Crm, mails: MailServer, neighbours: Neighbours) -> None:
    neighbours.add("s1", 100)
    async with crm(smtp_connections=4) as client:
        campaign_id = await _held_at_the_server(client, mails, 4)
        cancelled = await client.cancel(campaign_id)
        assert cancelled.state == pb.CAMPAIGN_STATE_CANCELLED
        mails.gate.set()
        ended = await client.ended(campaign_id)
        skipped = await client.messages(campaign_id, state=pb.MESSAGE_STATE_SKIPPED)
    assert (ended.counts.sent_count, ended.counts.skipped_count) == (4, 96)
    assert {message.reason for message in skipped} == {"CAMPAIGN_CANCELLED"}


async def test_a_paused_campaign_can_be_cancelled(crm: Crm, mails: MailServer, neighbours: Neighbours) -> None:
    neighbours.add("s1", 50)
    async with crm(smtp_connections=2) as client:
        campaign_id = await _held_at_the_server(client, mails, 2)
        await client.pause(campaign_id)
        mails.gate.set()
        await client.until(campaign_id, lambda it: it.counts.sent_count >= 2)
        await client.cancel(campaign_id)
        ended = await client.ended(campaign_id)
    check_counts(ended.counts)
    assert ended.counts.sent_count == len(mails.contents)


async def test_steering_a_campaign_at_random_sends_to_everybody_once(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 400)
    async with crm() as client:
        campaign_id = await client.campaign()
        for _ in range(8):
            await client.start(campaign_id)
            await asyncio.sleep(0.03)
            try:
                await client.pause(campaign_id)
            except grpc.aio.AioRpcError:  # it was faster
                break
        if (await client.get(campaign_id)).state == pb.CAMPAIGN_STATE_PAUSED:
            await client.start(campaign_id)
        ended = await client.ended(campaign_id)
    assert ended.counts.sent_count == 400
    assert set(mails.deliveries.values()) == {1}


async def test_a_stopped_service_rests_its_campaigns_and_the_next_goes_on(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 300)
    async with crm(smtp_connections=4, lease_seconds=60.0) as client:
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        await mails.wait_for(40)
    sent = len(mails.contents)
    assert sent < 300
    async with crm(lease_seconds=60.0) as client:  # the lease was given back: nobody waits for its end
        ended = await client.ended(campaign_id)
    assert ended.counts.sent_count == 300
    assert set(mails.deliveries.values()) == {1}


async def test_two_processes_share_the_work_and_send_nothing_twice(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 150)
    async with crm() as one, crm() as other:
        campaigns = [await one.campaign() for _ in range(4)]
        await asyncio.gather(*(client.start(it) for client, it in zip([one, other] * 2, campaigns, strict=True)))
        ended = [await other.ended(campaign_id) for campaign_id in campaigns]
    assert [campaign.counts.sent_count for campaign in ended] == [150] * 4
    assert set(mails.deliveries.values()) == {4}


async def test_starting_is_refused_in_the_stated_precedence(crm: Crm, neighbours: Neighbours) -> None:
    neighbours.members["s1"] = []
    async with crm(smtp_url=None) as client:
        campaign_id = await client.campaign()
        assert await refusal(client.start("nobody")) == "CAMPAIGN_NOT_FOUND"
        assert await refusal(client.start(campaign_id)) == "CHANNEL_NOT_CONFIGURED"
        await client.cancel(campaign_id)
        assert await refusal(client.start(campaign_id)) == "CAMPAIGN_STATE_INVALID"
        assert await refusal(client.pause(campaign_id)) == "CAMPAIGN_STATE_INVALID"
        assert await refusal(client.cancel(campaign_id)) == "CAMPAIGN_STATE_INVALID"
        assert await refusal(client.pause("nobody")) == "CAMPAIGN_NOT_FOUND"
        assert await refusal(client.cancel("nobody")) == "CAMPAIGN_NOT_FOUND"


async def test_a_repeated_request_answers_what_the_first_answered(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 2)
    async with crm() as client:
        campaign_id = await client.campaign()
        first = await client.start(campaign_id, request_id="r1")
        await client.ended(campaign_id)
        assert await client.start(campaign_id, request_id="r1") == first
        other = pb.PauseCampaignRequest(campaign_id=campaign_id, request_id="r1")
        assert await refusal(client.stub.PauseCampaign(other, metadata=client.metadata)) == "REQUEST_ID_REUSED"
    assert set(mails.deliveries.values()) == {1}


async def test_equal_requests_at_once_create_one_campaign(crm: Crm) -> None:
    async with crm() as client:
        template_id = await client.template()
        ids = await asyncio.gather(*(client.campaign(template_id, request_id="r1") for _ in range(8)))
        listed = await client.stub.ListCampaigns(pb.ListCampaignsRequest(), metadata=client.metadata)
    assert len(set(ids)) == 1
    assert [campaign.campaign_id for campaign in listed.campaigns] == [ids[0]]
