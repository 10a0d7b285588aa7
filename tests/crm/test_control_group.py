"""Who is held back by lot: the same whenever it is looked at, told apart at the last moment, and told to followers."""

from dataclasses import replace

import grpc
import pytest
from tessera.crm.v1 import crm_service_pb2 as pb

from services.crm.adapters import documents
from services.crm.domain.campaign import Campaign, Channel, Counts, Sender
from services.crm.domain.message import MessageState, queue
from tests.crm.conftest import Client, Crm
from tests.crm.mail_server import MailServer
from tests.crm.neighbours import Neighbours
from tests.crm.test_merges import NOW

CAMPAIGN = Campaign("spring", "Spring", Channel.EMAIL, "s1", "t1", Sender("shop@example.com"), NOW, control_percent=20)
SOME = [f"c{number:05d}" for number in range(5_000)]


def held(campaign_id: str, percent: int) -> set[str]:
    campaign = replace(CAMPAIGN, campaign_id=campaign_id, control_percent=percent)
    return {each for each in SOME if campaign.holds_back(each)}


def test_the_lot_holds_back_that_many_and_others_in_each_campaign() -> None:
    spring, autumn = held("spring", 20), held("autumn", 20)
    assert spring == held("spring", 20)
    assert len(spring) == pytest.approx(1_000, abs=150)  # five deviations of a lot of 5,000
    assert len(spring & autumn) == pytest.approx(200, abs=70)
    assert spring < held("spring", 40)
    assert not held("spring", 0)


def test_campaigns_of_before_control_groups_are_read_as_without_one() -> None:
    body = documents.campaign_body(replace(CAMPAIGN, counts=Counts(1, 2, 3, 4, 5)))
    assert documents.campaign("spring", body) == replace(CAMPAIGN, counts=Counts(1, 2, 3, 4, 5))
    before = {name: value for name, value in body.items() if name != "control_percent"} | {"counts": [1, 2, 3, 4]}
    assert documents.campaign("spring", before) == replace(CAMPAIGN, counts=Counts(1, 2, 3, 4), control_percent=0)
    told = documents.event_body(queue("spring", "c1", NOW).held_back(NOW), 20)
    assert documents.event("acme", told).of_experiment
    assert not documents.event("acme", told | {"state": int(MessageState.SKIPPED)}).of_experiment
    del told["control_percent"]
    assert not documents.event("acme", told).of_experiment


async def followed(
    client: Client, campaign_ids: set[str], count: int, *, experiments_only: bool
) -> list[pb.MessageEvent]:
    """The first so many events of these campaigns."""
    found: list[pb.MessageEvent] = []
    request = pb.FollowMessagesRequest(experiments_only=experiments_only)
    async for batch in client.stub.FollowMessages(request, metadata=client.metadata):
        found += [each for each in batch.events if each.campaign_id in campaign_ids]
        if len(found) >= count and batch.caught_up:
            return found
    raise AssertionError("the feed ended")


async def test_who_is_held_back_gets_no_mail_and_followers_hear_of_both_groups(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 300)
    del neighbours.traits["c00000"]["email"]
    refused = [f"c{number:05d}" for number in range(1, 41)]  # by each campaign; so many that not all are held back
    for who in refused:
        mails.answers[f"{who}@example.com"] = ["550 5.1.1 no such person here"] * 2
    async with crm() as client:
        plain, tried = await client.campaign(), await client.campaign(control_percent=50)
        for campaign_id in (plain, tried):
            await client.start(campaign_id)
            await client.ended(campaign_id)
        ended = await client.get(tried)
        messages = {each.customer_id: each for each in await client.messages(tried)}
        every = await followed(client, {plain, tried}, 1_200, experiments_only=False)
        told = await followed(client, {plain, tried}, 299, experiments_only=True)
    campaign = replace(CAMPAIGN, campaign_id=tried, control_percent=50)
    control = {each for each in messages if campaign.holds_back(each) and each != "c00000"}
    assert ended.state == pb.CAMPAIGN_STATE_COMPLETED
    assert ended.control_percent == 50
    assert (ended.counts.audience_count, ended.counts.skipped_count) == (300, 1)
    assert ended.counts.held_back_count == len(control)
    assert messages["c00000"].state == pb.MESSAGE_STATE_SKIPPED
    states = {each.customer_id: each.state for each in messages.values()}
    assert {who for who, state in states.items() if state == pb.MESSAGE_STATE_HELD_BACK} == control
    failed = {who for who, state in states.items() if state == pb.MESSAGE_STATE_FAILED}
    assert failed == set(refused) - control
    assert failed
    assert all(mails.deliveries[f"{who}@example.com"] == 1 for who in control - set(refused))  # of the other campaign
    assert {each.customer_id: each.state for each in told} == {who: states[who] for who in states if who != "c00000"}
    assert all(each.control_percent == 50 and each.event_time == messages[each.customer_id].end_time for each in told)
    assert len(every) == 4 * 300
    assert {each.control_percent for each in every if each.campaign_id == plain} == {0}


async def test_a_group_of_everybody_is_refused(crm: Crm, neighbours: Neighbours) -> None:
    async with crm() as client:
        with pytest.raises(grpc.aio.AioRpcError, match="control_percent"):
            await client.campaign(control_percent=91)
