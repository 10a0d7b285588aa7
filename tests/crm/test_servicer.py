"""Templates, campaigns and messages over real gRPC: reading, listing, following, and every refusal."""

from typing import Any

import pytest
from tessera.crm.v1 import crm_service_pb2 as pb

from tests.conftest import Keyring
from tests.crm.conftest import Client, Crm, refusal
from tests.crm.mail_server import MailServer
from tests.crm.neighbours import Neighbours


def create(name: str = "Letter", request_id: str = "", **content: str) -> pb.CreateTemplateRequest:
    filled = pb.Content(**{"subject": "Hello", "text": "Hi", **content})
    return pb.CreateTemplateRequest(name=name, content=filled, request_id=request_id)


def campaign(template_id: str, **fields: Any) -> pb.CreateCampaignRequest:
    values: dict[str, Any] = {
        "name": "Sale",
        "channel": pb.CHANNEL_EMAIL,
        "segment_id": "s1",
        "template_id": template_id,
        "sender": pb.Sender(address="shop@example.com"),
        **fields,
    }
    return pb.CreateCampaignRequest(**values)


async def test_a_template_is_kept_as_it_was_given(crm: Crm) -> None:
    async with crm() as client:
        made = (await client.stub.CreateTemplate(create(html="<p>"), metadata=client.metadata)).template
        request = pb.GetTemplateRequest(template_id=made.template_id)
        assert (await client.stub.GetTemplate(request, metadata=client.metadata)).template == made
    assert (made.revision, made.name, made.content) == (1, "Letter", pb.Content(subject="Hello", html="<p>", text="Hi"))
    assert made.create_time == made.update_time


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"text": ""}, "TEMPLATE_INVALID"),
        ({"subject": "two\nlines"}, "TEMPLATE_INVALID"),
        ({"html": "{% if %}"}, "TEMPLATE_INVALID"),
        ({"html": "{{ a | nonsense }}"}, "TEMPLATE_INVALID"),
        ({"html": "x" * 100_000, "text": "y" * 40_000}, "TEMPLATE_TOO_LARGE"),
        ({"subject": ""}, "FIELD_INVALID"),
    ],
)
async def test_a_template_that_cannot_work_is_refused(crm: Crm, content: dict[str, str], reason: str) -> None:
    async with crm() as client:
        assert await refusal(client.stub.CreateTemplate(create(**content), metadata=client.metadata)) == reason


async def test_an_update_makes_a_revision_and_tells_who_has_read_an_old_one(crm: Crm) -> None:
    async with crm() as client:
        template_id = await client.template()

        async def update(revision: int, subject: str) -> pb.Template:
            request = pb.UpdateTemplateRequest(
                template_id=template_id,
                name="Other",
                content=pb.Content(subject=subject, text="x"),
                revision=revision,
                request_id=f"r-{subject}",
            )
            return (await client.stub.UpdateTemplate(request, metadata=client.metadata)).template

        second = await update(1, "Second")
        assert (second.revision, second.name, second.content.subject) == (2, "Other", "Second")
        assert await refusal(update(1, "Late")) == "REVISION_OUTDATED"
        assert await update(1, "Second") == second
        assert (await update(0, "Third")).revision == 3


async def test_a_preview_is_what_a_campaign_would_send(crm: Crm, neighbours: Neighbours) -> None:
    neighbours.add("s1", 1, first_name="A & B")
    async with crm() as client:
        name = "{{ customer.first_name }}"
        template_id = await client.template(
            f"Hi {name}", f"<p>{name}</p>", f"{name} ordered {{{{ lifetime.order_count }}}}"
        )

        async def preview(customer_id: str, template: str = template_id) -> pb.PreviewTemplateResponse:
            request = pb.PreviewTemplateRequest(template_id=template, customer_id=customer_id)
            return await client.stub.PreviewTemplate(request, metadata=client.metadata)

        shown = await preview("c00000")
        assert (shown.subject, shown.html, shown.text) == ("Hi A & B", "<p>A &amp; B</p>", "A & B ordered 2")
        assert await refusal(preview("nobody")) == "CUSTOMER_NOT_FOUND"
        assert await refusal(preview("c00000", "nothing")) == "TEMPLATE_NOT_FOUND"
        strict = await client.template("{{ customer.shoe_size }}")
        assert await refusal(preview("c00000", strict)) == "RENDER_FAILED"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sender": pb.Sender(address="not an address")}, "ADDRESS_INVALID"),
        ({"sender": pb.Sender(address="a@example.com", reply_to="b@example.com\r\nBcc: c")}, "ADDRESS_INVALID"),
        ({"template_id": "nothing"}, "TEMPLATE_NOT_FOUND"),
        ({"channel": 99}, "FIELD_INVALID"),
        ({"channel": pb.CHANNEL_UNSPECIFIED}, "FIELD_INVALID"),
        ({"segment_id": ""}, "FIELD_INVALID"),
        ({"not_before_time": {"seconds": 10**15}}, "FIELD_INVALID"),
    ],
)
async def test_a_campaign_that_cannot_work_is_refused(crm: Crm, fields: dict[str, Any], reason: str) -> None:
    async with crm() as client:
        template_id = await client.template()
        request = campaign(**{"template_id": template_id, **fields})
        assert await refusal(client.stub.CreateCampaign(request, metadata=client.metadata)) == reason


async def test_lists_are_newest_first_and_come_in_pages(crm: Crm) -> None:
    async with crm() as client:
        templates = [await client.template() for _ in range(5)]
        campaigns = [await client.campaign(templates[0]) for _ in range(5)]
        seen: list[str] = []
        token = ""
        for _ in range(3):
            request = pb.ListTemplatesRequest(page_size=2, page_token=token)
            page = await client.stub.ListTemplates(request, metadata=client.metadata)
            seen += [template.template_id for template in page.templates]
            token = page.next_page_token
        assert (seen, token) == (templates[::-1], "")
        listed = await client.stub.ListCampaigns(pb.ListCampaignsRequest(), metadata=client.metadata)
        assert [it.campaign_id for it in listed.campaigns] == campaigns[::-1]
        broken = pb.ListCampaignsRequest(page_token="not ours")
        assert await refusal(client.stub.ListCampaigns(broken, metadata=client.metadata)) == "INVALID_CURSOR"


async def test_batches_leave_out_what_is_not_there(crm: Crm) -> None:
    async with crm() as client:
        template_id = await client.template()
        campaign_id = await client.campaign(template_id)
        wanted = pb.BatchGetTemplatesRequest(template_ids=[template_id, "nothing", template_id])
        templates = await client.stub.BatchGetTemplates(wanted, metadata=client.metadata)
        assert [it.template_id for it in templates.templates] == [template_id]
        asked = pb.BatchGetCampaignsRequest(campaign_ids=["nothing", campaign_id])
        campaigns = await client.stub.BatchGetCampaigns(asked, metadata=client.metadata)
        assert [it.campaign_id for it in campaigns.campaigns] == [campaign_id]


async def test_messages_are_found_by_campaign_by_state_and_by_customer(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 3)
    mails.answers["c00001@example.com"] = ["550 no", "550 no"]
    async with crm() as client:
        first, second = [await client.campaign() for _ in range(2)]
        for campaign_id in (first, second):
            await client.start(campaign_id)
            await client.ended(campaign_id)
        assert {it.customer_id for it in await client.messages(first)} == {"c00000", "c00001", "c00002"}
        assert len(await client.messages(first, state=pb.MESSAGE_STATE_SENT)) == 2
        assert await client.messages(first, state=pb.MESSAGE_STATE_QUEUED) == []
        request = pb.ListMessagesRequest(customer_id="c00001")
        to_one = await client.stub.ListMessages(request, metadata=client.metadata)
        assert [it.campaign_id for it in to_one.messages] == [second, first]
        batch = pb.BatchGetCustomerMessagesRequest(customer_ids=["c00002", "nobody", "c00001"], limit=1)
        many = await client.stub.BatchGetCustomerMessages(batch, metadata=client.metadata)
        found = [(it.customer_id, [message.campaign_id for message in it.messages]) for it in many.customers]
        assert found == [("c00002", [second]), ("nobody", []), ("c00001", [second])]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "PARENT_INVALID"),
        ({"campaign_id": "a", "customer_id": "b"}, "PARENT_INVALID"),
        ({"customer_id": "b", "state": pb.MESSAGE_STATE_SENT}, "PARENT_INVALID"),
        ({"campaign_id": "a", "state": 77}, "FIELD_INVALID"),
        ({"campaign_id": "a", "page_token": "not ours"}, "INVALID_CURSOR"),
    ],
)
async def test_messages_are_asked_for_by_one_parent(crm: Crm, fields: dict[str, Any], reason: str) -> None:
    async with crm() as client:
        call = client.stub.ListMessages(pb.ListMessagesRequest(**fields), metadata=client.metadata)
        assert await refusal(call) == reason


async def test_the_feed_tells_each_state_of_each_message_once_and_resumes(
    crm: Crm, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 40)
    del neighbours.traits["c00007"]["email"]
    async with crm() as client:
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        await client.ended(campaign_id)
        events, cursor = await _follow(client, "", 80)
        by_customer: dict[str, list[int]] = {}
        for event in events:
            assert (event.tenant_id, event.campaign_id) == ("acme", campaign_id)
            by_customer.setdefault(event.customer_id, []).append(event.state)
        assert by_customer.pop("c00007") == [pb.MESSAGE_STATE_QUEUED, pb.MESSAGE_STATE_SKIPPED]
        assert set(map(tuple, by_customer.values())) == {(pb.MESSAGE_STATE_QUEUED, pb.MESSAGE_STATE_SENT)}
        later = await client.campaign(segment_id="s1")
        await client.start(later)
        await client.ended(later)
        more, _ = await _follow(client, cursor, 80)
        assert {event.campaign_id for event in more} == {later}
        broken = client.stub.FollowMessages(pb.FollowMessagesRequest(after_cursor="?"), metadata=client.metadata)
        assert await refusal(broken.read()) == "INVALID_CURSOR"


async def test_a_follower_with_nothing_to_read_is_told_so(crm: Crm, keyring: Keyring) -> None:
    async with crm() as client:
        everybody = keyring.header("*", subject="platform")
        call = client.stub.FollowMessages(pb.FollowMessagesRequest(), metadata=everybody)
        answer = await call.read()
        assert isinstance(answer, pb.FollowMessagesResponse)
        assert (answer.caught_up, list(answer.events)) == (True, [])
        call.cancel()


async def test_another_tenant_sees_and_reaches_nothing(
    crm: Crm, keyring: Keyring, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 2)
    async with crm() as ours:
        template_id = await ours.template()
        campaign_id = await ours.campaign(template_id)
        theirs = Client(ours.stub, keyring.header("rival"))
        assert await refusal(theirs.get(campaign_id)) == "CAMPAIGN_NOT_FOUND"
        assert await refusal(theirs.start(campaign_id)) == "CAMPAIGN_NOT_FOUND"
        assert await refusal(theirs.cancel(campaign_id)) == "CAMPAIGN_NOT_FOUND"
        assert await refusal(theirs.campaign(template_id)) == "TEMPLATE_NOT_FOUND"
        await ours.start(campaign_id)
        await ours.ended(campaign_id)
        assert await theirs.messages(campaign_id) == []
        listed = await theirs.stub.ListCampaigns(pb.ListCampaignsRequest(), metadata=theirs.metadata)
        assert list(listed.campaigns) == []
        request = pb.ListMessagesRequest(customer_id="c00000")
        assert list((await theirs.stub.ListMessages(request, metadata=theirs.metadata)).messages) == []


async def _follow(client: Client, after: str, count: int) -> tuple[list[pb.MessageEvent], str]:
    events: list[pb.MessageEvent] = []
    call = client.stub.FollowMessages(pb.FollowMessagesRequest(after_cursor=after), metadata=client.metadata)
    async for batch in call:
        events += batch.events
        if batch.caught_up and len(events) >= count:
            call.cancel()
            return events, batch.cursor
    raise AssertionError("the feed ended")
