"""One trace from the HTTP request through every hop to the store and the analytical engine."""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
import pytest_asyncio
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty_pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation_pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.common import telemetry
from services.common.settings import ServiceSettings
from tests.conftest import Keyring
from tests.listening import Spans
from tests.whole_platform import running, until

if TYPE_CHECKING:  # the stubs of generated code know it, the code itself does not
    from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceAsyncStub
    from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceAsyncStub
    from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUERY = """
query Everything($user: String!) {
  customer(userId: $user) {
    lifetime { orderCount }
    loyalty(programId: "club") { balancePoints }
    rfm { cell }
  }
}
"""
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
OPERATION = "query Everything"
PROFILES = "tessera.profiles.v1.ProfilesService/GetCustomer"
LOYALTY = "tessera.loyalty.v1.LoyaltyService/BatchGetMembers"
RFM = "tessera.segmentation.v1.SegmentationService/BatchGetRfm"


class Platform:
    """A gateway over real services in which tenant ``acme`` has one customer with one order."""

    def __init__(self, addresses: dict[str, str], http: httpx.AsyncClient, keyring: Keyring) -> None:
        self.addresses, self._http, self._keyring = addresses, http, keyring

    async def ask(self, user: str = "ann", **headers: str) -> Any:
        """The customer, as an HTTP client sees it; None if there is none."""
        headers["authorization"] = f"Bearer {self._keyring.mint()}"
        body = {"query": QUERY, "variables": {"user": user}}
        answer = (await self._http.post("/graphql", json=body, headers=headers)).json()
        assert "errors" not in answer, answer
        return answer["data"]["customer"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(keyring: Keyring, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    names = ("profiles", "segmentation", "loyalty", "gateway")
    async with (
        running(keyring, tmp_path_factory.mktemp("platform"), names) as addresses,
        httpx.AsyncClient(base_url=f"http://{addresses['gateway']}") as http,
    ):
        await record_an_order(addresses, keyring.header())
        yield Platform(addresses, http, keyring)


async def record_an_order(addresses: dict[str, str], ours: Any) -> None:
    async with (
        grpc.aio.insecure_channel(addresses["profiles"]) as to_profiles,
        grpc.aio.insecure_channel(addresses["loyalty"]) as to_loyalty,
        grpc.aio.insecure_channel(addresses["segmentation"]) as to_segmentation,
    ):
        profiles: ProfilesServiceAsyncStub = ProfilesServiceStub(to_profiles)
        loyalty: LoyaltyServiceAsyncStub = LoyaltyServiceStub(to_loyalty)
        segmentation: SegmentationServiceAsyncStub = SegmentationServiceStub(to_segmentation)
        club = loyalty_pb.CreateProgramRequest(
            program_id="club", name="Club", currency="USD", points_per_100_minor=1, request_id="r1"
        )
        await loyalty.CreateProgram(club, metadata=ours)
        properties = {
            "order_id": "o1",
            "currency": "USD",
            "products": [{"product_id": "p1", "price": 5, "quantity": 2}],
        }
        order = pb.Event(message_id="m1", type=pb.EVENT_TYPE_TRACK, name="Order Completed", user_id="ann")
        order.properties_json = json.dumps(properties)
        await profiles.IngestEvents(pb.IngestEventsRequest(events=[order]), metadata=ours)
        end = (await profiles.GetStatistics(pb.GetStatisticsRequest(), metadata=ours)).end_cursor

        async def applied() -> bool:
            follower = await segmentation.GetStatus(segmentation_pb.GetStatusRequest(), metadata=ours)
            ledger = await loyalty.GetStatus(loyalty_pb.GetStatusRequest(), metadata=ours)
            return follower.applied_cursor == end and ledger.entry_count == 1

        await until(applied)


def identity(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def by_parent(exported: list[ReadableSpan]) -> set[tuple[str, str]]:
    """The name of each span with the name of its parent."""
    names = {identity(span): span.name for span in exported}
    return {(names.get(span.parent.span_id, "") if span.parent else "", span.name) for span in exported}


def trace_ids(exported: list[ReadableSpan]) -> set[str]:
    return {f"{span.context.trace_id:032x}" for span in exported if span.context}


def root(exported: list[ReadableSpan]) -> ReadableSpan:
    (found,) = [span for span in exported if span.name == OPERATION]
    return found


async def test_one_request_is_one_trace_through_every_hop_to_the_engines(platform: Platform, spans: Spans) -> None:
    telemetry.sample(1)
    customer = await platform.ask()
    assert (customer["lifetime"]["orderCount"], customer["loyalty"]["balancePoints"]) == (1, 10)
    exported = spans.exported()
    assert len(trace_ids(exported)) == 1
    assert root(exported).parent is None
    tree = by_parent(exported)
    hops = {(OPERATION, PROFILES), (OPERATION, LOYALTY), (OPERATION, RFM)}
    assert hops <= tree
    assert {(PROFILES, "store.get_many"), (LOYALTY, "store.get_many"), (RFM, "columnar.query")} <= tree
    assert {parent for parent, name in tree if name.startswith("tessera.")} == {OPERATION}
    assert all(parent.startswith("tessera.") for parent, name in tree if name.startswith(("store.", "columnar.")))
    check_descriptions(exported)


def check_descriptions(exported: list[ReadableSpan]) -> None:
    """Spans say what they are."""
    attributes = {span.name: dict(span.attributes or {}) for span in exported}
    assert attributes[OPERATION] == {"graphql.operation.type": "query", "graphql.operation.name": "Everything"}
    assert attributes["store.get_many"]["db.system.name"] == "sqlite"
    assert attributes["columnar.query"]["db.system.name"] == "duckdb"
    kinds = {span.name: span.kind for span in exported}
    assert {kinds[name] for name in (OPERATION, PROFILES, LOYALTY, RFM)} == {SpanKind.SERVER}
    assert {kinds[name] for name in ("store.get_many", "columnar.query")} == {SpanKind.CLIENT}


async def test_a_refusal_is_told_on_the_span_and_is_no_error_of_the_server(platform: Platform, spans: Spans) -> None:
    telemetry.sample(1)
    assert await platform.ask("nobody") is None
    (refused,) = [span for span in spans.exported() if span.name == PROFILES]
    assert dict(refused.attributes or {}) == {"error.type": "CUSTOMER_NOT_FOUND"}
    assert refused.status.status_code is StatusCode.UNSET
    assert refused.events == ()


async def test_the_trace_of_the_caller_goes_on(platform: Platform, spans: Spans) -> None:
    await platform.ask(traceparent=f"00-{TRACE_ID}-{CALLER}-01")
    exported = spans.exported()
    assert trace_ids(exported) == {TRACE_ID}
    parent = root(exported).parent
    assert parent is not None
    assert f"{parent.span_id:016x}" == CALLER


async def test_a_trace_that_is_none_is_begun_anew(platform: Platform, spans: Spans) -> None:
    telemetry.sample(1)
    for nonsense in ("x", f"00-{'0' * 32}-{CALLER}-01", f"00-{TRACE_ID}-{CALLER}-01-", f"00-{TRACE_ID}\n-{CALLER}-01"):
        with telemetry.server_span("request", nonsense):
            pass
    assert len(trace_ids(spans.exported())) == 4
    assert TRACE_ID not in trace_ids(spans.exported())


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """What the process writes to its log, in the form in which it writes it."""

    class Settings(ServiceSettings):
        service = "profiles"

    written = io.StringIO()
    handler = telemetry.log_handler(Settings(), written)
    log = logging.getLogger("services")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield written
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)


async def test_a_request_that_is_not_sampled_makes_no_span_and_is_found_in_the_log(
    platform: Platform, spans: Spans, log_lines: io.StringIO
) -> None:
    telemetry.sample(0)
    await platform.ask()
    assert await platform.ask("nobody", traceparent=f"00-{TRACE_ID}-{CALLER}-00") is None
    assert (spans.begun, spans.exported()) == ([], [])
    said = map(json.loads, log_lines.getvalue().splitlines())
    [line] = [it for it in said if it.get("trace_id") == TRACE_ID]  # followers look for services that are not there
    assert "CUSTOMER_NOT_FOUND" in line["message"]
