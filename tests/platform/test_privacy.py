"""A person is forgotten by real services and the receipt says so, also when one of them was down at that moment."""

import importlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from tests.conftest import Keyring
from tests.crm.conftest import Client as Crm
from tests.crm.mail_server import mail_server
from tests.crm.neighbours import Neighbours, listen
from tests.profiles.client import Client, identify
from tests.profiles.test_erasing import FINISHED, PENDING, receipt
from tests.whole_platform import until


class Platform:
    """Services on folders of their own, started and stopped one by one."""

    def __init__(self, keyring: Keyring, folder: Path) -> None:
        self._keyring, self._folder = keyring, folder

    @asynccontextmanager
    async def serving(self, name: str, port: int = 0, **values: Any) -> AsyncIterator[str]:
        """One service, or the gateway; its address."""
        module = importlib.import_module(f"{name}.app" if name == "gateway" else f"services.{name}.app")
        settings = module.Settings(
            port=port,
            data_dir=self._folder / name,
            auth_public_key_file=self._keyring.public_key,
            service_token_file=self._keyring.service_token,
            drain_seconds_max=0,
            **values,
        )
        async with module.serve(settings) as up:
            yield up.address


class GraphQL:
    """Asks the gateway as ``acme``."""

    def __init__(self, address: str, token: str) -> None:
        self._url, self._headers = f"http://{address}/graphql", {"authorization": f"Bearer {token}"}

    async def ask(self, query: str, **variables: Any) -> Any:
        async with httpx.AsyncClient() as client:
            body = {"query": query, "variables": variables}
            answer = (await client.post(self._url, json=body, headers=self._headers, timeout=30)).json()
        assert "errors" not in answer, answer
        return answer["data"]


SET = """mutation($input: SetConsentsInput!) { setConsents(input: $input) { changedCount rejections { reason } } }"""
ERASE = """mutation($input: EraseCustomersInput!) {
  eraseCustomers(input: $input) { erasures { erasureId state } notFound { customerId } } }"""
CONSENTS = """query($id: ID!) { customer(id: $id) { consents { purpose channel state }
  consentHistory { edges { node { state recordedBy proof { source } } } } } }"""
RECEIPT = """query($id: ID!) { erasure(erasureId: $id) { state requestedBy reason
  services { service done removed { kind count removal } } } }"""


async def test_a_person_is_forgotten_everywhere_although_one_service_was_down(keyring: Keyring, tmp_path: Path) -> None:
    platform, audience = Platform(keyring, tmp_path), Neighbours()  # type: ignore[abstract]  # it answers one rpc
    async with AsyncExitStack() as stack:
        mails = await stack.enter_async_context(mail_server())
        server, segmentation = await listen(audience)
        stack.push_async_callback(server.stop, None)
        profiles_at = await stack.enter_async_context(platform.serving("profiles", erasure_services=("crm",)))
        gateway_at = await stack.enter_async_context(platform.serving("gateway", profiles_addr=profiles_at))
        profiles = await stack.enter_async_context(grpc.aio.insecure_channel(profiles_at))
        acme, gateway = Client(ProfilesServiceStub(profiles), keyring.header()), GraphQL(gateway_at, keyring.mint())
        crm: dict[str, Any] = {
            "profiles_addr": profiles_at,
            "segmentation_addr": segmentation,
            "smtp_url": mails.url,
        }

        await acme.ingest(*(identify(f"i{n}", f"u{n}", email=f"{n}@example.com") for n in range(3)))
        ids = [(await acme.customer("user_id", f"u{n}")).customer_id for n in range(3)]
        audience.members["s1"] = ids
        statement = {"person": {"customerId": ids[1]}, "purpose": "marketing", "channel": "email", "state": "WITHDRAWN"}
        statement["proof"] = {"source": "letter"}
        said = await gateway.ask(SET, input={"requestId": "s", "statements": [statement]})
        assert said == {"setConsents": {"changedCount": 1, "rejections": []}}
        shown = (await gateway.ask(CONSENTS, id=ids[1]))["customer"]
        assert shown["consents"] == [{"purpose": "marketing", "channel": "email", "state": "WITHDRAWN"}]
        (edge,) = shown["consentHistory"]["edges"]
        assert edge["node"] == {"state": "WITHDRAWN", "recordedBy": "developer", "proof": {"source": "letter"}}

        async with platform.serving("crm", **crm) as crm_at, grpc.aio.insecure_channel(crm_at) as channel:
            campaign_id = await _send(channel, keyring)
        assert set(mails.deliveries) == {"0@example.com", "2@example.com"}

        persons = [{"identifier": {"type": "user_id", "value": "u0"}}, {"customerId": "nobody"}]
        asked = {"requestId": "e", "persons": persons, "reason": "letter"}
        erased = (await gateway.ask(ERASE, input=asked))["eraseCustomers"]
        assert erased["notFound"] == [{"customerId": "nobody"}]
        (erasure_id,) = [each["erasureId"] for each in erased["erasures"]]
        pending = await receipt(acme, erasure_id, lambda it: it.state == PENDING)
        assert [each.service for each in pending.services if not each.done] == ["crm"]

        async with platform.serving("crm", **crm) as crm_at, grpc.aio.insecure_channel(crm_at) as channel:
            await receipt(acme, erasure_id, lambda it: it.state == FINISHED)
            client = Crm(_stub(channel), keyring.header())
            assert sorted(message.address for message in await client.messages(campaign_id)) == [
                "",
                "",
                "2@example.com",
            ]
        told = (await gateway.ask(RECEIPT, id=erasure_id))["erasure"]
        assert (told["state"], told["requestedBy"], told["reason"]) == ("FINISHED", "developer", "letter")
        removed = {each["service"]: each["removed"] for each in told["services"]}
        assert removed["crm"] == [{"kind": "message", "count": 1, "removal": "PSEUDONYMISED"}]
        assert {each["kind"] for each in removed["profiles"]} >= {"event", "trait", "identifier"}
        missing = pb.GetCustomerRequest(customer_id=ids[0])
        assert (await acme.refusal("GetCustomer", missing))[1] == "CUSTOMER_NOT_FOUND"


def _stub(channel: grpc.aio.Channel) -> Any:
    return importlib.import_module("tessera.crm.v1.crm_service_pb2_grpc").CrmServiceStub(channel)


async def _send(channel: grpc.aio.Channel, keyring: Keyring) -> str:
    client = Crm(_stub(channel), keyring.header())
    campaign_id = await client.campaign()
    await client.start(campaign_id)

    async def done() -> bool:
        campaign = await client.get(campaign_id)
        return campaign.counts.sent_count == 2 and campaign.counts.skipped_count == 1

    await until(done)
    return campaign_id
