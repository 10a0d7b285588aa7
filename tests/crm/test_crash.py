"""kill -9 in the middle of a campaign: nobody is left out, and hardly anybody is written to twice."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from tessera.crm.v1 import crm_service_pb2 as pb
from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceStub

from tests.conftest import Keyring
from tests.crm.conftest import Client
from tests.crm.mail_server import MailServer
from tests.crm.neighbours import Neighbours

CONNECTIONS = 4
ROOT = Path(__file__).resolve().parent.parent.parent


@asynccontextmanager
async def _process(environment: dict[str, str], keyring: Keyring) -> AsyncIterator[tuple[Client, int]]:
    """Crm in a process of its own, and its process id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "crm",
        cwd=ROOT, env={**os.environ, **environment}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        address = ""
        while not address:
            line = json.loads(await process.stderr.readline())
            address = line["message"].rpartition(" ")[2] if "serves on" in line["message"] else ""
        async with grpc.aio.insecure_channel(address) as channel:
            yield Client(CrmServiceStub(channel), keyring.header()), process.pid
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it was killed, and nobody has looked yet
                process.send_signal(signal.SIGTERM)
            await process.communicate()


async def test_a_killed_process_leaves_nobody_out_and_repeats_at_most_what_was_in_flight(
    tmp_path: Path, keyring: Keyring, mails: MailServer, neighbours: Neighbours
) -> None:
    neighbours.add("s1", 600)
    environment = {
        "TESSERA_DATA_DIR": str(tmp_path / "data"),
        "AUTH_PUBLIC_KEY_FILE": str(keyring.public_key),
        "SERVICE_TOKEN_FILE": str(keyring.service_token),
        "PROFILES_ADDR": neighbours.address,
        "SEGMENTATION_ADDR": neighbours.address,
        "CRM_PORT": "0",
        "CRM_SMTP_URL": mails.url,
        "CRM_SMTP_CONNECTIONS": str(CONNECTIONS),
        "CRM_LEASE_SECONDS": "1",
    }
    async with _process(environment, keyring) as (client, pid):
        campaign_id = await client.campaign()
        await client.start(campaign_id)
        await mails.wait_for(200)
        os.kill(pid, signal.SIGKILL)
    before = len(mails.contents)
    assert 200 <= before < 600
    async with _process(environment, keyring) as (client, _):
        ended = await client.ended(campaign_id)
        messages = await client.messages(campaign_id)
        events = await _events(client, 1200)
    assert ended.state == pb.CAMPAIGN_STATE_COMPLETED
    assert ended.counts.sent_count == 600
    assert {message.state for message in messages} == {pb.MESSAGE_STATE_SENT}
    assert set(mails.deliveries) == {f"c{number:05d}@example.com" for number in range(600)}
    assert mails.deliveries.total() - 600 <= CONNECTIONS
    assert len({(event.message_id, event.state) for event in events}) == len(events) == 1200
    twice = {address for address, count in mails.deliveries.items() if count > 1}
    repeated = [mail for mail in mails.accepted() if mail["To"] in twice]
    assert len({str(mail["Message-ID"]) for mail in repeated}) == len(twice)


async def _events(client: Client, count: int) -> list[pb.MessageEvent]:
    """The feed from its beginning until it has told so many, and that there are no more."""
    found: list[pb.MessageEvent] = []
    async for batch in client.stub.FollowMessages(pb.FollowMessagesRequest(), metadata=client.metadata):
        found += batch.events
        if batch.caught_up and len(found) >= count:
            break
    return found
