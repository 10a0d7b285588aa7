"""The campaign of ``make run``: whom it reached, and what the mail server saw."""

import json
import re

import pytest
from tessera.crm.v1 import crm_service_pb2 as crm
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation

from tests.platform.demo import Client, Demo, seconds
from tests.platform.retailer import Retailer

pytestmark = pytest.mark.timeout(500)


def test_the_audience_is_the_segment_at_the_start(demo: Demo, client: Client, retailer: Retailer) -> None:
    campaign = _campaign(client, demo)
    reached = {message.customer_id for message in _messages(client, campaign)}
    assert reached in _memberships(client, campaign)
    assert campaign.counts.audience_count == len(reached)


def test_there_is_one_message_for_each_recipient(demo: Demo, client: Client) -> None:
    campaign = _campaign(client, demo)
    messages = _messages(client, campaign)
    assert len({message.customer_id for message in messages}) == len(messages)
    assert len({message.message_id for message in messages}) == len(messages)
    assert {message.customer_id: message.address for message in messages} == {
        message.customer_id: f"household-{client.households[message.customer_id]}@example.com" for message in messages
    }


def test_every_message_was_sent_and_received(demo: Demo, client: Client) -> None:
    campaign = _campaign(client, demo)
    counts = campaign.counts
    assert campaign.state == crm.CAMPAIGN_STATE_COMPLETED
    assert counts.sent_count == counts.audience_count > 0
    assert counts.failed_count == counts.skipped_count == counts.queued_count == 0
    assert {message.state for message in _messages(client, campaign)} == {crm.MESSAGE_STATE_SENT}
    (received,) = re.findall(r"the mail sink of this command has received (\d+) mails", demo.first)
    assert int(received) == counts.sent_count
    assert int((demo.folder / "mails_received").read_text()) == counts.sent_count


def _campaign(client: Client, demo: Demo) -> crm.Campaign:
    (campaign,) = client.pages("crm", "ListCampaigns", "campaigns")
    assert campaign.campaign_id == json.loads((demo.folder / "journey.json").read_text())["campaign_id"]
    assert isinstance(campaign, crm.Campaign)
    return campaign


def _messages(client: Client, campaign: crm.Campaign) -> list[crm.Message]:
    return list(client.pages("crm", "ListMessages", "messages", campaign_id=campaign.campaign_id))


def _memberships(client: Client, campaign: crm.Campaign) -> list[set[str]]:
    """The members of the campaign's segment at its start, and after each evaluation until its end."""
    start, end = seconds(campaign.start_time), seconds(campaign.end_time)
    members = set[str]()
    known: dict[float, set[str]] = {}
    for answer in client.stream("segmentation", "FollowMemberships", segment_ids=[campaign.segment_id]):
        for change in answer.changes:
            if seconds(change.change_time) > end:
                continue
            entered = change.transition == segmentation.TRANSITION_ENTERED
            members = members | {change.customer_id} if entered else members - {change.customer_id}
            known[max(start, seconds(change.change_time))] = members
    return list(known.values())
