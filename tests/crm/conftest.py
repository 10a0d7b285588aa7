"""A real crm server on a SQLite file of its own, with a real SMTP server and neighbours that speak the contracts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tessera.crm.v1 import crm_service_pb2 as pb
from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceStub

from services.common.grpc_errors import error_info
from services.crm.app import Settings, serve
from tests.conftest import Keyring
from tests.crm import neighbours as neighbourhood
from tests.crm.mail_server import MailServer, mail_server
from tests.crm.neighbours import Neighbours

if TYPE_CHECKING:  # the stubs of generated code know it, the code itself does not
    from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceAsyncStub

Metadata = tuple[tuple[str, str], ...]
ENDED = (pb.CAMPAIGN_STATE_COMPLETED, pb.CAMPAIGN_STATE_CANCELLED, pb.CAMPAIGN_STATE_FAILED)


class Client:
    """Calls crm as one tenant."""

    def __init__(self, stub: "CrmServiceAsyncStub", metadata: Metadata) -> None:
        self.stub, self.metadata = stub, metadata

    async def template(self, subject: str = "Hello", html: str = "<p>Hi</p>", text: str = "Hi") -> str:
        content = pb.Content(subject=subject, html=html, text=text)
        request = pb.CreateTemplateRequest(name="Letter", content=content)
        return (await self.stub.CreateTemplate(request, metadata=self.metadata)).template.template_id

    async def campaign(self, template_id: str = "", segment_id: str = "s1", **fields: Any) -> str:
        request = pb.CreateCampaignRequest(
            name="Winter sale",
            channel=pb.CHANNEL_EMAIL,
            segment_id=segment_id,
            template_id=template_id or await self.template(),
            sender=pb.Sender(address="shop@example.com", name="The Shop"),
        )
        request.MergeFrom(pb.CreateCampaignRequest(**fields))
        return (await self.stub.CreateCampaign(request, metadata=self.metadata)).campaign.campaign_id

    async def start(self, campaign_id: str, request_id: str = "") -> pb.Campaign:
        request = pb.StartCampaignRequest(campaign_id=campaign_id, request_id=request_id)
        return (await self.stub.StartCampaign(request, metadata=self.metadata)).campaign

    async def pause(self, campaign_id: str) -> pb.Campaign:
        request = pb.PauseCampaignRequest(campaign_id=campaign_id)
        return (await self.stub.PauseCampaign(request, metadata=self.metadata)).campaign

    async def cancel(self, campaign_id: str) -> pb.Campaign:
        request = pb.CancelCampaignRequest(campaign_id=campaign_id)
        return (await self.stub.CancelCampaign(request, metadata=self.metadata)).campaign

    async def get(self, campaign_id: str) -> pb.Campaign:
        request = pb.GetCampaignRequest(campaign_id=campaign_id)
        return (await self.stub.GetCampaign(request, metadata=self.metadata)).campaign

    async def messages(self, campaign_id: str, **fields: Any) -> list[pb.Message]:
        found: list[pb.Message] = []
        token = ""
        while True:
            request = pb.ListMessagesRequest(campaign_id=campaign_id, page_size=300, page_token=token, **fields)
            page = await self.stub.ListMessages(request, metadata=self.metadata)
            found += page.messages
            token = page.next_page_token
            if not token:
                return found

    async def until(self, campaign_id: str, reached: Callable[[pb.Campaign], bool]) -> pb.Campaign:
        """The campaign, once ``reached`` holds of it: read again whenever something became of a message, and often
        enough to see what is not about messages. Its counts are checked each time."""
        while True:
            campaign = await self.get(campaign_id)
            check_counts(campaign.counts)
            if reached(campaign):
                return campaign
            await asyncio.sleep(0.02)

    async def ended(self, campaign_id: str) -> pb.Campaign:
        return await self.until(campaign_id, lambda it: it.state in ENDED and it.counts.queued_count == 0)


async def refusal(call: Awaitable[object]) -> str:
    """The reason with which the call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_info(caught.value)
    assert info is not None
    return str(info.reason)


def check_counts(counts: pb.CampaignCounts) -> None:
    ended = (counts.sent_count, counts.failed_count, counts.skipped_count, counts.held_back_count)
    parts = (counts.queued_count, *ended)
    assert min(parts) >= 0
    assert counts.audience_count == sum(parts)


@pytest.fixture
async def mails() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


@pytest.fixture
async def neighbours() -> AsyncIterator[Neighbours]:
    known = Neighbours()  # type: ignore[abstract]  # it answers what crm asks, and nothing else
    server, known.address = await neighbourhood.listen(known)
    yield known
    await server.stop(None)


Crm = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def crm(configure: Callable[..., Any], keyring: Keyring, mails: MailServer, neighbours: Neighbours) -> Crm:
    """Serves crm, with settings of one's own, on the folder of this test."""

    @asynccontextmanager
    async def start(**values: Any) -> AsyncIterator[Client]:
        settings = configure(
            Settings,
            **{
                "smtp_url": mails.url,
                "profiles_addr": neighbours.address,
                "segmentation_addr": neighbours.address,
                "smtp_hello_name": "crm.test",
                "lease_seconds": 30.0,
                **values,
            },
        )
        async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
            yield Client(CrmServiceStub(channel), keyring.header())

    return start
