"""One click in a real mail withdraws the consent in profiles, with proof, also while profiles is down (RFC 8058)."""

import importlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
from tessera.crm.v1 import crm_service_pb2 as pb
from tessera.crm.v1 import privacy_pb2, unsubscribe_pb2
from tessera.profiles.v1 import consent_pb2
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.crm.app import Settings
from tests.conftest import Keyring
from tests.crm.conftest import Client as Crm
from tests.crm.conftest import refusal
from tests.crm.mail_server import MailServer, mail_server
from tests.crm.neighbours import Neighbours, listen
from tests.platform.test_privacy import Platform
from tests.ports import free_ports
from tests.profiles.client import Client, identify
from tests.whole_platform import until

URL = "https://shop.example.com/v1/unsubscribe"
WITHDRAWN = consent_pb2.CONSENT_STATE_WITHDRAWN


class Mailing:
    """A retailer who writes to one person."""

    def __init__(self, crm: Crm, http: httpx.AsyncClient, mails: MailServer) -> None:
        self.crm, self.http, self.mails = crm, http, mails

    async def send(self, segment_id: str, **fields: Any) -> pb.Campaign:
        """A campaign, once it has ended."""
        campaign_id = await self.crm.campaign(segment_id=segment_id, **fields)
        await self.crm.start(campaign_id)
        return await self.crm.ended(campaign_id)

    @property
    def path(self) -> str:
        """Where the link of the newest mail leads."""
        mail = self.mails.accepted()[-1]
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        link, mailto = mail["List-Unsubscribe"].split(", ")
        assert link.startswith(f"<{URL}/")
        assert mailto.startswith("<mailto:leave@example.com?")
        return str(urlsplit(link.strip("<>")).path)

    async def click(self) -> httpx.Response:
        """What a mail program does."""
        return await self.http.post(self.path, data={"List-Unsubscribe": "One-Click"})


@asynccontextmanager
async def mailing(
    stack: AsyncExitStack, platform: Platform, keyring: Keyring, profiles_at: str
) -> AsyncIterator[Mailing]:
    audience = Neighbours()  # type: ignore[abstract]  # it answers one rpc
    mails = await stack.enter_async_context(mail_server())
    server, segmentation = await listen(audience)
    stack.push_async_callback(server.stop, None)
    settings: dict[str, Any] = {
        "smtp_url": mails.url,
        "unsubscribe_url": URL,
        "unsubscribe_address": "leave@example.com",
    }
    crm_at = await stack.enter_async_context(
        platform.serving("crm", profiles_addr=profiles_at, segmentation_addr=segmentation, **settings)
    )
    gateway_at = await stack.enter_async_context(
        platform.serving("gateway", profiles_addr=profiles_at, crm_addr=crm_at)
    )
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(crm_at))
    http = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{gateway_at}"))
    stub = importlib.import_module("tessera.crm.v1.crm_service_pb2_grpc").CrmServiceStub(channel)
    found = Mailing(Crm(stub, keyring.header()), http, mails)
    found.crm.members = audience.members  # type: ignore[attr-defined]
    yield found


async def test_one_click_withdraws_the_consent_with_proof_also_while_profiles_is_down(
    keyring: Keyring, tmp_path: Path
) -> None:
    platform, (port,) = Platform(keyring, tmp_path), free_ports(1)
    profiles_at = f"127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        shop = await stack.enter_async_context(mailing(stack, platform, keyring, profiles_at))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(profiles_at))
        acme = Client(ProfilesServiceStub(channel), keyring.header())
        async with platform.serving("profiles", port=port, erasure_services=()):
            await acme.ingest(identify("i1", "7", email="ann@example.com"))
            customer_id = (await acme.customer("user_id", "7")).customer_id
            shop.crm.members["s1"] = [customer_id]  # type: ignore[attr-defined]
            sent = await shop.send("s1", consent_purpose="news")
            assert sent.counts.sent_count == 1
            asked = await shop.http.get(shop.path)
            assert (asked.status_code, "<form" in asked.text) == (200, True)
            assert not await _history(acme, customer_id), "looking at the link does nothing"
            recall = {"consent_policy": privacy_pb2.CONSENT_POLICY_NOT_NEEDED}
            await shop.send("s1", **recall)
            assert "https:" not in shop.mails.accepted()[-1]["List-Unsubscribe"]
            shop.mails.contents.pop()
        assert (await shop.click()).status_code == 200
        assert (await shop.http.post(f"{shop.path}x")).status_code == 404
        async with platform.serving("profiles", port=port, erasure_services=()):

            async def told() -> bool:
                return bool(await _history(acme, customer_id))

            await until(told)
            (statement,) = await _history(acme, customer_id)
            assert (statement.purpose, statement.channel, statement.state) == ("news", "email", WITHDRAWN)
            (message,) = await shop.crm.messages(sent.campaign_id)
            assert statement.proof.message_id == message.message_id
            assert "RFC 8058" in statement.proof.source
            again = await shop.send("s1", consent_purpose="news")
            assert (again.counts.sent_count, again.counts.skipped_count) == (0, 1)
            rival = unsubscribe_pb2.UnsubscribeRequest(token=shop.path.rpartition("/")[2])
            call = shop.crm.stub.Unsubscribe(rival, metadata=keyring.header("rival"))
            assert await refusal(call) == "UNSUBSCRIBE_LINK_UNKNOWN"


async def _history(client: Client, customer_id: str) -> list[consent_pb2.ConsentStatement]:
    request = consent_pb2.ListConsentHistoryRequest(customer_id=customer_id)
    return list((await client.call("ListConsentHistory", request)).statements)


@pytest.mark.parametrize("url", ["http://shop.example.com", "https://shop.example.com/?a=b", "https://a,b>"])
def test_a_link_that_mail_programs_would_not_follow_is_refused(url: str, keyring: Keyring) -> None:
    with pytest.raises(ValueError, match="https URL"):
        Settings(unsubscribe_url=url, auth_public_key_file=keyring.public_key)
