"""Consent is checked when a message is sent, and what crm holds about a person can be shown and forgotten."""

import asyncio
import json

import pytest
from tessera.common.v1 import privacy_pb2 as common
from tessera.crm.v1 import crm_service_pb2 as pb
from tessera.crm.v1 import privacy_pb2
from tessera.profiles.v1 import consent_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.crm.domain.consent import ConsentPolicy, ConsentState, objection
from services.crm.handlers import gate
from tests.crm.conftest import Client, Crm
from tests.crm.mail_server import MailServer
from tests.crm.neighbours import Neighbours

SKIPPED, SENT = pb.MESSAGE_STATE_SKIPPED, pb.MESSAGE_STATE_SENT
GRANTED, WITHDRAWN = consent_pb2.CONSENT_STATE_GRANTED, consent_pb2.CONSENT_STATE_WITHDRAWN


async def reasons(client: Client, campaign_id: str) -> dict[str, str]:
    """Of the messages that were not sent the reason, by customer."""
    return {each.customer_id: each.reason for each in await client.messages(campaign_id, state=SKIPPED)}


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (ConsentPolicy.NOT_REFUSED, {ConsentState.UNKNOWN, ConsentState.GRANTED}),
        (ConsentPolicy.GRANTED, {ConsentState.GRANTED}),
        (ConsentPolicy.NOT_NEEDED, set(ConsentState)),
    ],
)
def test_what_a_campaign_demands_decides_who_may_be_written_to(
    policy: ConsentPolicy, allowed: set[ConsentState]
) -> None:
    assert {state for state in ConsentState if objection(policy, state) is None} == allowed


async def test_who_refused_gets_nothing_and_the_log_says_why(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 6)
    states = consent_pb2.ConsentState.values()
    neighbours.consents = dict(zip([f"c{number:05d}" for number in range(5)], states, strict=True))
    async with crm() as client:
        campaign_id = await client.campaign(consent_purpose="news")
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
        found = await reasons(client, campaign_id)
    assert (ended.consent_purpose, ended.consent_policy) == ("news", privacy_pb2.CONSENT_POLICY_NOT_REFUSED)
    assert (ended.counts.sent_count, ended.counts.skipped_count) == (3, 3)
    assert found == {f"c{number:05d}": "CONSENT_REFUSED" for number in (2, 3, 4)}
    assert {(purpose, channel) for purpose, channel, _ in neighbours.checked} == {("news", "email")}


async def test_a_campaign_that_demands_consent_leaves_out_who_never_gave_it(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 3)
    neighbours.consents = {"c00000": GRANTED}
    async with crm() as client:
        campaign_id = await client.campaign(consent_policy=privacy_pb2.CONSENT_POLICY_GRANTED)
        await client.start(campaign_id)
        await client.ended(campaign_id)
        found = await reasons(client, campaign_id)
    assert found == {"c00001": "CONSENT_MISSING", "c00002": "CONSENT_MISSING"}
    assert {purpose for purpose, _, _ in neighbours.checked} == {"marketing"}


async def test_a_campaign_that_needs_no_consent_asks_nobody(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 2)
    neighbours.consents = {"c00000": WITHDRAWN}
    async with crm() as client:
        campaign_id = await client.campaign(consent_policy=privacy_pb2.CONSENT_POLICY_NOT_NEEDED)
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
    assert (ended.counts.sent_count, neighbours.checked) == (2, [])


async def test_a_consent_that_is_withdrawn_while_mails_wait_stops_those_in_flight(
    crm: Crm, mails: MailServer, neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "TRUTH_SECONDS_MAX", 0.0)
    neighbours.add("s1", 40)
    async with crm(smtp_connections=4) as client:
        mails.gate.clear()
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        await mails.wait_for(4)
        neighbours.consents = dict.fromkeys(neighbours.traits, WITHDRAWN)
        mails.gate.set()
        ended = await client.ended(campaign_id)
        found = await reasons(client, campaign_id)
    assert (ended.counts.sent_count, ended.counts.skipped_count) == (4, 36)
    assert set(found.values()) == {"CONSENT_REFUSED"}
    assert len(mails.deliveries) == 4


async def exported(client: Client, customer_id: str, *origins: str) -> list[common.PersonalRecord]:
    request = privacy_pb2.ExportCustomerDataRequest(customer_id=customer_id, origin_customer_ids=origins)
    answers = aiter(client.stub.ExportCustomerData(request, metadata=client.metadata, timeout=20))
    return [record async for answer in answers for record in answer.records]


async def test_a_person_is_shown_every_message_of_every_origin(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 3)
    async with crm() as client:
        for _ in range(2):
            campaign_id = await client.campaign()
            await client.start(campaign_id)
            await client.ended(campaign_id)
        found = await exported(client, "c00000", "c00000", "c00002")
        assert await exported(client, "nobody") == []
    assert {record.kind for record in found} == {"message"}
    told = [json.loads(record.json) for record in found]
    assert sorted(each["address"] for each in told) == ["c00000@example.com"] * 2 + ["c00002@example.com"] * 2
    assert {each["state"] for each in told} == {"sent"}


async def test_who_is_erased_is_forgotten_counts_stay_true_and_profiles_hears_of_it(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 3)
    async with crm() as client:
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        await client.ended(campaign_id)
        erased = profiles.CustomerErased(
            erasure_id="er_1", customer_id="c00000", origin_customer_ids=["c00000", "c00002"], pseudonym="ps_1"
        )
        neighbours.erased.append(erased)
        await asyncio.wait_for(neighbours.heard.wait(), 60)
        assert await exported(client, "c00000", "c00002") == []
        messages = await client.messages(campaign_id, state=SENT)
        feed = aiter(client.stub.FollowMessages(pb.FollowMessagesRequest(), metadata=client.metadata, timeout=20))
        told = (await anext(feed)).events
    assert sorted((each.customer_id, each.address) for each in messages) == [
        ("c00001", "c00001@example.com"),
        ("ps_1", ""),
        ("ps_1", ""),
    ]
    assert {each.customer_id for each in told} == {"c00001", "ps_1"}
    (answer,) = neighbours.acknowledged
    assert (answer.service, answer.erasure_id) == ("crm", "er_1")
    assert [(each.kind, each.count, each.removal) for each in answer.removed] == [
        ("message", 2, common.REMOVAL_PSEUDONYMISED)
    ]
