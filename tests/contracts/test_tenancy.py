"""What belongs to one tenant is not there for another: of every rpc, by enumeration, so that none can be forgotten.

Two tenants have an object of every kind; ``ACME`` is who has what is asked for, ``RIVAL`` who asks for it. A new rpc
has no line in these tables, which fails a test, until somebody says how the rpc keeps tenants apart.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio
from tessera.crm.v1 import crm_service_pb2 as crm

from services.common.grpc_errors import error_info
from tests.conftest import Keyring
from tests.contracts.tenant_rule import ACME, NEWCOMER, RIVAL, STRANGER, Beside, Feed, Figure, Refused, Stream, Without
from tests.contracts.tenant_rules import RULES
from tests.contracts.test_access import METHODS, access
from tests.tenant import DAYS, Tenant
from tests.whole_platform import NOBODY, running, until

pytestmark = pytest.mark.timeout(400)  # the first test waits until two tenants have everything


def of_kind(kind: type) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("rpc", [rpc for rpc, rule in RULES.items() if isinstance(rule, kind)])


@dataclass(frozen=True)
class Tenants:
    """Two that have everything, one that has nothing, and one that begins."""

    acme: Tenant
    rival: Tenant
    stranger: Tenant
    newcomer: Tenant


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tenants(keyring: Keyring, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tenants]:
    folder = tmp_path_factory.mktemp("tenants")
    async with (
        running(
            keyring, folder, smtp_url=f"smtp://{NOBODY}", erasure_services=(), propensity_examples_min=5
        ) as addresses,
        AsyncExitStack() as stack,
    ):
        channels = {
            name: await stack.enter_async_context(grpc.aio.insecure_channel(address))
            for name, address in addresses.items()
        }
        tenants = Tenants(*(Tenant(name, channels, keyring) for name in (ACME, RIVAL, STRANGER, NEWCOMER)))
        await asyncio.gather(tenants.acme.open(), tenants.rival.open())
        yield tenants


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_info(caught.value)
    return caught.value.code(), info.reason if info else ""


def test_every_rpc_says_how_it_keeps_tenants_apart() -> None:
    rpcs = {method.full_name.split(".")[1] + "." + method.name: method for method in METHODS}
    assert set(RULES) == set(rpcs)
    streams = {rpc for rpc, method in rpcs.items() if method.server_streaming}
    assert streams == {rpc for rpc, rule in RULES.items() if isinstance(rule, (Feed, Stream))}


@of_kind(Refused)
@pytest.mark.asyncio(loop_scope="module")
async def test_another_tenants_object_is_not_there(rpc: str, tenants: Tenants) -> None:
    service, _, method = rpc.partition(".")
    rule: Any = RULES[rpc]
    request = rule.request(tenants.acme)
    other: Tenant = getattr(tenants, rule.who)
    assert await refusal(other.call(service, method, request)) == (rule.code, rule.reason)
    (contract,) = [each for each in METHODS if each.full_name.endswith(f"{service.capitalize()}Service.{method}")]
    if access(contract).scope.endswith(":read"):  # it is the tenant that makes the difference
        await tenants.acme.call(service, method, request)


@of_kind(Without)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_answer_holds_nothing_of_another_tenant(rpc: str, tenants: Tenants) -> None:
    service, _, method = rpc.partition(".")
    rule: Any = RULES[rpc]
    request = rule.request(tenants.acme)
    shows = rule.shows or (lambda answer: any(name in str(answer) for name in tenants.acme.names))
    assert shows(await tenants.acme.call(service, method, request))
    assert not shows(await tenants.rival.call(service, method, request))


@of_kind(Figure)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_figure_counts_nothing_of_another_tenant(rpc: str, tenants: Tenants) -> None:
    service, _, method = rpc.partition(".")
    rule: Any = RULES[rpc]
    request = rule.request(tenants.acme)
    assert rule.figure(await tenants.acme.call(service, method, request)) > 0
    assert rule.figure(await tenants.stranger.call(service, method, request)) == 0


@of_kind(Feed)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_feed_holds_nothing_of_another_tenant(rpc: str, tenants: Tenants) -> None:
    service, _, method = rpc.partition(".")
    rule: Any = RULES[rpc]
    seen: list[str] = []
    wanted = {"FollowChanges": DAYS + 1, "FollowEntries": DAYS}.get(method, 1)
    feed = getattr(tenants.rival.stubs[service], method)(rule.request, metadata=tenants.rival.metadata, timeout=30)
    async for batch in feed:
        seen += [change.tenant_id for change in rule.changes(batch)]
        if len(seen) >= wanted:
            break
    feed.cancel()
    assert set(seen) == {RIVAL}


@of_kind(Stream)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_stream_with_an_end_holds_nothing_of_another_tenant(rpc: str, tenants: Tenants) -> None:
    service, _, method = rpc.partition(".")
    rule: Any = RULES[rpc]

    async def held(tenant: Tenant) -> list[Any]:
        call = getattr(tenant.stubs[service], method)
        try:
            return [batch async for batch in call(rule.request(tenants.acme), metadata=tenant.metadata, timeout=30)]
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:  # what is named is not there, as it should be
                raise
            return []

    assert await held(tenants.acme)
    assert not await held(tenants.rival)


@of_kind(Beside)
@pytest.mark.asyncio(loop_scope="module")
async def test_equal_names_at_two_tenants_are_two_objects(rpc: str, tenants: Tenants) -> None:
    service, _, method = rpc.partition(".")
    rule: Any = RULES[rpc]
    look, seen = rule.look
    before = await tenants.acme.call(service, look, seen(tenants.acme))
    await tenants.newcomer.call(service, method, rule.request(tenants.acme))
    assert await tenants.acme.call(service, look, seen(tenants.acme)) == before


@pytest.mark.asyncio(loop_scope="module")
async def test_a_campaign_to_another_tenants_segment_reaches_nobody(tenants: Tenants) -> None:
    rival = tenants.rival
    create = crm.CreateCampaignRequest(
        name="Theirs",
        channel=crm.CHANNEL_EMAIL,
        segment_id=tenants.acme.segment_id,
        template_id=rival.template_id,
        sender=crm.Sender(address="shop@example.com"),
    )
    named = crm.GetCampaignRequest(campaign_id=(await rival.call("crm", "CreateCampaign", create)).campaign.campaign_id)
    await rival.call("crm", "StartCampaign", crm.StartCampaignRequest(campaign_id=named.campaign_id))

    async def ended() -> bool:
        campaign = (await rival.call("crm", "GetCampaign", named)).campaign
        return bool(campaign.state in (crm.CAMPAIGN_STATE_FAILED, crm.CAMPAIGN_STATE_COMPLETED))

    await until(ended)
    campaign = (await rival.call("crm", "GetCampaign", named)).campaign
    assert (campaign.state, campaign.counts.audience_count) == (crm.CAMPAIGN_STATE_FAILED, 0)
