"""Everything that six real services were told of a person is in one archive, asked for and fetched at the gateway."""

import importlib
import io
import json
import time
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1.person_pb2 import Person
from tessera.recommendation.v1 import item_pb2
from tessera.recommendation.v1 import recommendation_service_pb2 as recommendation
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation

from services.__main__ import NAMES
from services.profiles.adapters.clients import ASKED
from tests.conftest import Keyring
from tests.crm.conftest import Client as Crm
from tests.crm.mail_server import mail_server
from tests.platform.test_privacy import GraphQL
from tests.ports import free_ports
from tests.profiles.client import Client, identify, order
from tests.profiles.test_erasing import FINISHED, receipt
from tests.tenant import bought
from tests.whole_platform import until

EXPORT = """mutation($input: ExportCustomerInput!) { exportCustomer(input: $input) { job { exportId state } } }"""
JOB = """query($id: ID!) { exportJob(exportId: $id) { state progress message available downloadPath
  services { service done recordCount } } }"""


@asynccontextmanager
async def platform(keyring: Keyring, folder: Path, **settings: Any) -> AsyncIterator[dict[str, str]]:
    """All services, each of which knows all others, and the gateway; their addresses."""
    ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
    addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    reached = {f"{name}_addr": address for name, address in addresses.items()}
    async with AsyncExitStack() as stack:
        for name in (*NAMES, "gateway"):
            module = importlib.import_module(f"{name}.app" if name == "gateway" else f"services.{name}.app")
            own = {key: value for key, value in settings.items() if key in module.Settings.model_fields}
            chosen = module.Settings(
                port=ports.get(name, 0),
                data_dir=folder / name,
                auth_public_key_file=keyring.public_key,
                service_token_file=keyring.service_token,
                drain_seconds_max=0,
                **reached,
                **own,
            )
            addresses[name] = (await stack.enter_async_context(module.serve(chosen))).address
        yield addresses


class Shop:
    """A retailer who knows one person in six services."""

    def __init__(self, addresses: dict[str, str], keyring: Keyring, stack: AsyncExitStack) -> None:
        self._metadata, self._stack = keyring.header(), stack
        self._addresses = addresses

    async def stub(self, name: str) -> Any:
        """A stub of a service."""
        channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(self._addresses[name]))
        generated = importlib.import_module(f"tessera.{name}.v1.{name}_service_pb2_grpc")
        return getattr(generated, f"{name.capitalize()}ServiceStub")(channel)

    async def held(self, customer_id: str) -> dict[str, list[str]]:
        """The kinds of records that the other services hold of somebody, one for each record."""
        found: dict[str, list[str]] = {}
        for name, (_, request) in ASKED.items():
            call = (await self.stub(name)).ExportCustomerData(request(customer_id=customer_id), metadata=self._metadata)
            async for page in call:
                found.setdefault(name, []).extend(record.kind for record in page.records)
        return found

    async def open(self) -> str:
        """Tell everybody something of the person; the customer's id."""
        metadata, told = self._metadata, await self.stub("loyalty")
        club = loyalty.CreateProgramRequest(
            program_id="club", name="Club", currency="USD", points_per_100_minor=1, request_id="club"
        )
        await told.CreateProgram(club, metadata=metadata)
        items = [item_pb2.Item(item_id="p1", title="Milk")]
        recommending = await self.stub("recommendation")
        await recommending.UpsertItems(
            recommendation.UpsertItemsRequest(request_id="items", items=items), metadata=metadata
        )
        profiles = Client(await self.stub("profiles"), metadata)
        now = int(time.time())
        await profiles.ingest(identify("i1", "user-7", email="ann@example.com", at=now))
        await profiles.ingest(order("order-1", "user-7", 250, at=now))
        customer_id = (await profiles.customer("user_id", "user-7")).customer_id
        segmenting = await self.stub("segmentation")
        create = segmentation.CreateSegmentRequest(name="buyers", rule=bought())
        segment_id = (await segmenting.CreateSegment(create, metadata=metadata)).segment.segment_id

        async def member() -> bool:
            refresh = segmentation.RefreshSegmentRequest(segment_id=segment_id)
            return bool((await segmenting.RefreshSegment(refresh, metadata=metadata)).segment.member_count == 1)

        await until(member)
        crm = Crm(await self.stub("crm"), metadata)
        campaign_id = await crm.campaign(segment_id=segment_id)
        await crm.start(campaign_id)
        await crm.ended(campaign_id)
        return customer_id


async def test_everything_that_was_told_of_a_person_is_in_one_archive(keyring: Keyring, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        mails = await stack.enter_async_context(mail_server())
        addresses = await stack.enter_async_context(platform(keyring, tmp_path, smtp_url=mails.url))
        customer_id = await Shop(addresses, keyring, stack).open()
        assert set(mails.deliveries) == {"ann@example.com"}
        gateway = GraphQL(addresses["gateway"], keyring.mint())
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{addresses['gateway']}"))

        files: dict[str, bytes] = {}

        async def everybody_knows() -> bool:  # the followers apply what profiles told
            files.clear()
            files.update(await _export(gateway, http, customer_id, keyring))
            return {each.partition("/")[0] for each in files} == {*NAMES, "manifest.json"}

        await until(everybody_knows, 120)
        told = {name: [json.loads(line) for line in files[name].splitlines()] for name in files if "/" in name}
        assert {each["message"] for each in told["profiles/event.ndjson"]} == {"i1", "order-1"}
        assert told["profiles/trait.ndjson"][0]["value"] == "ann@example.com"
        assert told["crm/message.ndjson"][0]["address"] == "ann@example.com"
        assert "order-1" in files["forecasting/order_line.ndjson"].decode()
        assert any("2" in str(each) for each in told["loyalty/ledger_entry.ndjson"])
        told_of = json.loads(files["manifest.json"])
        assert (told_of["customer_id"], told_of["reason"]) == (customer_id, "letter")
        without = {"authorization": f"Bearer {keyring.mint(scopes=['profiles:read'])}"}
        assert (await http.get("/v1/exports/any", headers=without)).status_code == 403
        missing = await http.get("/v1/exports/any", headers={"authorization": f"Bearer {keyring.mint()}"})
        assert (missing.status_code, missing.json()["extensions"]["code"]) == (404, "EXPORT_NOT_FOUND")


async def test_what_an_anonymised_person_did_is_counted_once_by_every_service(keyring: Keyring, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        mails = await stack.enter_async_context(mail_server())
        addresses = await stack.enter_async_context(platform(keyring, tmp_path, smtp_url=mails.url))
        shop = Shop(addresses, keyring, stack)
        customer_id = await shop.open()

        async def everybody_knows() -> bool:
            return set(await shop.held(customer_id)) == {*NAMES} - {"profiles"}

        await until(everybody_knows, 120)
        before = await shop.held(customer_id)
        profiles = Client(await shop.stub("profiles"), keyring.header())
        request = erasure_pb2.EraseCustomersRequest(
            persons=[Person(customer_id=customer_id)], mode=erasure_pb2.ERASURE_MODE_ANONYMISE
        )
        (accepted,) = (await profiles.call("EraseCustomers", request)).erasures
        done = await receipt(profiles, accepted.erasure_id, lambda it: it.state == FINISHED)
        left = await shop.held(customer_id)
        assert not left
        after = await shop.held(done.pseudonym)
        assert after["loyalty"].count("ledger_entry") == before["loyalty"].count("ledger_entry")
        assert after["segmentation"]
        assert after["forecasting"].count("order_line") == before["forecasting"].count("order_line")


async def _export(gateway: GraphQL, http: httpx.AsyncClient, customer_id: str, keyring: Keyring) -> dict[str, bytes]:
    asked = {"person": {"customerId": customer_id}, "reason": "letter"}
    job = (await gateway.ask(EXPORT, input=asked))["exportCustomer"]["job"]

    async def available() -> bool:
        job.update((await gateway.ask(JOB, id=job["exportId"]))["exportJob"])
        return bool(job["available"])

    await until(available)
    assert (job["state"], job["progress"], len(job["services"])) == ("SUCCEEDED", 1.0, len(NAMES))
    return await _download(http, job["downloadPath"], keyring)


async def _download(http: httpx.AsyncClient, path: str, keyring: Keyring) -> dict[str, bytes]:
    response = await http.get(path, headers={"authorization": f"Bearer {keyring.mint()}"})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
