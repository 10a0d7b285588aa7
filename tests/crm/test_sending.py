"""Campaigns from start to end: real gRPC, a real SQLite file, a real SMTP server."""

import time
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.crm.v1 import crm_service_pb2 as pb

from tests.crm.conftest import Crm
from tests.crm.mail_server import MailServer
from tests.crm.neighbours import Neighbours


async def test_a_campaign_reaches_every_member_once(crm: Crm, mails: MailServer, neighbours: Neighbours) -> None:
    neighbours.add("s1", 520)  # two pages of the audience
    async with crm() as client:
        campaign_id = await client.campaign(await client.template("Hi {{ customer.first_name }}"))
        started = await client.start(campaign_id)
        assert started.state == pb.CAMPAIGN_STATE_RUNNING
        ended = await client.ended(campaign_id)
        messages = await client.messages(campaign_id)
    assert ended.state == pb.CAMPAIGN_STATE_COMPLETED
    assert (ended.counts.audience_count, ended.counts.sent_count) == (520, 520)
    assert set(mails.deliveries.values()) == {1}
    assert len(mails.deliveries) == 520
    assert {message.address for message in messages} == set(mails.deliveries)
    assert {str(mail["Subject"]) for mail in mails.accepted()} == {f"Hi Name c{number:05d}" for number in range(520)}
    assert set(neighbours.tenants) == {"acme"}


async def test_2500_mails_share_few_connections(crm: Crm, mails: MailServer, neighbours: Neighbours) -> None:
    neighbours.add("s1", 2500)
    body = "<p>Hello {{ customer.first_name }}, you ordered {{ lifetime.order_count }} times.</p>\n" * 30
    async with crm() as client:
        campaign_id = await client.campaign(await client.template("Hello {{ customer.first_name }}", body, body))
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
    assert ended.counts.sent_count == 2500
    assert mails.connections < 2500 / 50


async def test_a_mail_says_who_what_and_to_whom(crm: Crm, mails: MailServer, neighbours: Neighbours) -> None:
    neighbours.add("s1", 1, first_name="Jürgen & <b>")
    async with crm(unsubscribe_address="leave@example.com") as client:
        template = await client.template("Hallo {{ customer.first_name }}", "<p>{{ customer.first_name }}</p>", "Hé")
        sender = pb.Sender(name="Läden", reply_to="help@example.com")
        campaign_id = await client.campaign(template, sender=sender)
        await client.start(campaign_id)
        await client.ended(campaign_id)
        (message,) = await client.messages(campaign_id)
    (mail,) = mails.accepted()
    assert mail["Subject"] == "Hallo Jürgen & <b>"
    assert mail["From"] == "Läden <shop@example.com>"
    assert mail["To"] == "c00000@example.com"
    assert mail["Reply-To"] == "help@example.com"
    assert mail["Message-ID"] == f"<{message.message_id}@example.com>"
    assert f"mailto:leave@example.com?subject=unsubscribe%20{message.message_id}" in mail["List-Unsubscribe"]
    text, html = mail.iter_parts()
    assert text.get_content().strip() == "Hé"
    assert html.get_content().strip() == "<p>Jürgen &amp; &lt;b&gt;</p>"


async def test_who_cannot_be_written_to_is_skipped_with_the_reason(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 5)
    del neighbours.traits["c00000"]
    del neighbours.traits["c00001"]["email"]
    neighbours.traits["c00002"]["email"] = "nobody\r\nBcc: all@example.com"
    del neighbours.traits["c00003"]["first_name"]
    async with crm() as client:
        campaign_id = await client.campaign(await client.template("Hi {{ customer.first_name }}"))
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
        skipped = await client.messages(campaign_id, state=pb.MESSAGE_STATE_SKIPPED)
    assert (ended.counts.sent_count, ended.counts.skipped_count) == (1, 4)
    assert {message.customer_id: message.reason for message in skipped} == {
        "c00000": "CUSTOMER_NOT_FOUND",
        "c00001": "NO_ADDRESS",
        "c00002": "ADDRESS_INVALID",
        "c00003": "RENDER_FAILED",
    }
    assert any("customer.first_name" in message.detail for message in skipped)
    assert list(mails.deliveries) == ["c00004@example.com"]


async def test_what_the_server_refuses_for_good_fails_in_its_words(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 3)
    mails.answers["c00001@example.com"] = ["550 5.1.1 no such person here"]
    async with crm() as client:
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
        (failed,) = await client.messages(campaign_id, state=pb.MESSAGE_STATE_FAILED)
    assert ended.state == pb.CAMPAIGN_STATE_COMPLETED
    assert (ended.counts.sent_count, ended.counts.failed_count) == (2, 1)
    assert (failed.reason, failed.address) == ("SMTP_REFUSED", "c00001@example.com")
    assert "no such person here" in failed.detail


async def test_what_is_refused_for_the_moment_is_tried_again(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 3)
    mails.answers["c00000@example.com"] = ["451 4.7.1 greylisted", "421 4.3.2 closing"]
    mails.answers["c00001@example.com"] = ["hang up"]
    async with crm(retry_seconds=0.05) as client:
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
        messages = {message.customer_id: message for message in await client.messages(campaign_id)}
    assert ended.counts.sent_count == 3
    assert set(mails.deliveries.values()) == {1}
    assert [messages[f"c0000{number}"].attempt_count for number in range(3)] == [2, 1, 0]


async def test_after_six_attempts_a_message_fails(crm: Crm, mails: MailServer, neighbours: Neighbours) -> None:
    neighbours.add("s1", 1)
    mails.answers["c00000@example.com"] = ["451 later"] * 6
    async with crm(retry_seconds=0.01) as client:
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
        (failed,) = await client.messages(campaign_id, state=pb.MESSAGE_STATE_FAILED)
    assert ended.counts.failed_count == 1
    assert (failed.reason, failed.attempt_count) == ("SMTP_DEFERRED", 6)


async def test_nothing_is_sent_before_its_time(crm: Crm, mails: MailServer, neighbours: Neighbours) -> None:
    neighbours.add("s1", 2)
    async with crm() as client:
        template_id = await client.template()
        not_before = datetime.now(UTC) + timedelta(seconds=1.5)
        earliest = Timestamp()
        earliest.FromDatetime(not_before)
        campaign_id = await client.campaign(template_id, not_before_time=earliest)
        started = await client.start(campaign_id)
        assert started.state == pb.CAMPAIGN_STATE_SCHEDULED
        ended = await client.ended(campaign_id)
        messages = await client.messages(campaign_id)
    assert ended.counts.sent_count == 2
    assert min(message.queue_time.ToDatetime(UTC) for message in messages) >= not_before


async def test_an_empty_segment_completes_at_once(crm: Crm, neighbours: Neighbours) -> None:
    neighbours.members["s1"] = []
    async with crm() as client:
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
    assert ended.state == pb.CAMPAIGN_STATE_COMPLETED
    assert ended.counts.audience_count == 0


async def test_a_campaign_to_a_segment_that_is_not_there_fails_and_says_so(crm: Crm) -> None:
    async with crm() as client:
        campaign_id = await client.campaign(segment_id="ghost")
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
    assert ended.state == pb.CAMPAIGN_STATE_FAILED
    assert "ghost" in ended.problem


async def test_a_page_token_that_expired_does_not_double_the_audience(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 700)
    neighbours.tokens_expired = 1
    async with crm() as client:
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
    assert (ended.counts.audience_count, ended.counts.sent_count) == (700, 700)
    assert set(mails.deliveries.values()) == {1}


async def test_a_neighbour_that_is_down_holds_a_campaign_up_and_no_longer(crm: Crm, neighbours: Neighbours) -> None:
    neighbours.add("s1", 3)
    neighbours.down = True
    async with crm() as client:
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        held_up = await client.until(campaign_id, lambda it: bool(it.problem))
        assert held_up.state == pb.CAMPAIGN_STATE_RUNNING
        assert "too slow today" in held_up.problem
        neighbours.down = False
        ended = await client.ended(campaign_id)
    assert (ended.counts.sent_count, ended.problem) == (3, "")


async def test_a_mail_server_that_is_down_holds_a_campaign_up_and_fails_nothing(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 20)
    port = mails.port
    await mails.close()
    async with crm() as client:
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        held_up = await client.until(campaign_id, lambda it: bool(it.problem))
        assert held_up.counts.queued_count == 20
        await mails.listen(port)
        ended = await client.ended(campaign_id)
    assert (ended.counts.sent_count, ended.problem) == (20, "")
    assert set(mails.deliveries.values()) == {1}


async def test_the_rate_of_the_provider_is_kept(crm: Crm, mails: MailServer, neighbours: Neighbours) -> None:
    neighbours.add("s1", 30)
    async with crm(smtp_mails_per_second=40.0) as client:
        campaign_id = await client.campaign()
        began = time.monotonic()
        await client.start(campaign_id)
        await client.ended(campaign_id)
        seconds = time.monotonic() - began
    assert seconds >= (30 - 4) / 40  # a tenth of a second's worth may go at once


async def test_no_more_mails_are_with_the_server_than_there_are_connections(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 60)
    async with crm(smtp_connections=3) as client:
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        await client.ended(campaign_id)
    assert mails.busy_max <= 3
    assert mails.connections == 3


async def test_a_started_campaign_keeps_the_template_it_was_started_with(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 5)
    mails.gate.clear()
    async with crm(smtp_connections=1) as client:
        template_id = await client.template("First")
        campaign_id = await client.campaign(template_id)
        await client.start(campaign_id)
        await mails.wait_for(1)
        content = pb.Content(subject="Second", text="x")
        update = pb.UpdateTemplateRequest(template_id=template_id, name="Letter", content=content)
        await client.stub.UpdateTemplate(update, metadata=client.metadata)
        await client.pause(campaign_id)
        mails.gate.set()
        await client.start(campaign_id)
        ended = await client.ended(campaign_id)
    assert ended.template_revision == 1
    assert {str(mail["Subject"]) for mail in mails.accepted()} == {"First"}
