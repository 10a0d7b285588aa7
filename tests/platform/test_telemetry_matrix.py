"""Which process tells what of itself: a matrix of services and signals, held against what they send."""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.__main__ import NAMES
from services.common import telemetry
from services.common.settings import ProcessSettings
from tests.conftest import Keyring
from tests.listening import Spans
from tests.tenant import Tenant
from tests.whole_platform import NOBODY, running

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CARRIED = f"00-{TRACE_ID}-b7ad6b7169203331-00"
SERVER, FOLLOWER = "rpc.server.duration", ("feed.follower.applied", "feed.follower.lag")


@dataclass(frozen=True)
class Signals:
    """What a process tells once it has had something to do."""

    span: str
    """The span of a request that is sampled."""
    log: str
    """What its log says of a request without a token, beside the trace."""
    metrics: frozenset[str]
    """Its own metrics; those for faults are silent while there is none."""
    follower: str = ""
    """The follower whose progress it tells, if it follows a feed."""
    duration: str = SERVER


def service(name: str, rpc: str, *metrics: str, follower: str = "") -> Signals:
    full = f"tessera.{name}.v1.{name.capitalize()}Service/{rpc}"
    return Signals(full, f"{full} is refused, TOKEN_MISSING", frozenset(metrics), follower)


MATRIX = {
    "profiles": service("profiles", "GetStatistics", "profiles.events.recorded"),
    "segmentation": service(
        "segmentation",
        "GetStatus",
        "segmentation.memberships.changed",
        "segmentation.evaluation.duration",
        follower="segmentation.profiles",
    ),
    "recommendation": service(
        "recommendation",
        "GetStatus",
        "recommendation.feedback.recorded",
        "recommendation.interactions.recorded",
        "recommendation.signals.recorded",
        "recommendation.training.duration",
        follower="recommendation.orders",
    ),
    "forecasting": service(
        "forecasting",
        "GetStatus",
        "forecasting.forecasts.fitted",
        "forecasting.predictions.told",
        follower="forecasting.events",
    ),
    "loyalty": service(
        "loyalty", "GetStatus", "loyalty.points.issued", "loyalty.entries.entered", follower="loyalty.orders"
    ),
    "crm": service("crm", "ListTemplates", "crm.messages.entered"),
    "gateway": Signals(
        "query Anything",
        "the request is refused, TOKEN_MISSING",
        frozenset({"gateway.operation.duration"}),
        duration="gateway.operation.duration",
    ),
}
FAULTS = frozenset(
    {
        "rpc.server.refused",
        "feed.follower.failures",
        "profiles.customers.merged",
        "profiles.events.suppressed",
        "profiles.customers.unmerged",
        "segmentation.orders.unreadable",
        "segmentation.deliveries.attempted",
        "segmentation.deliveries.duration",
        "recommendation.drift.click_rate",
        "recommendation.drift.coverage",
        "recommendation.drift.psi",
        "recommendation.drift.unknown_items",
        "recommendation.exposures.dropped",
        "recommendation.orders.unreadable",
        "forecasting.orders.skipped",
        "loyalty.points.burned",
        "loyalty.points.expired",
        "loyalty.check.members",
        "loyalty.check.violations",
        "segmentation.objects.written",
        "loyalty.commits.repeated",
        "loyalty.orders.skipped",
        "loyalty.orders.refunded",
        "loyalty.points.posted",
        "loyalty.points.restored",
        "loyalty.points.returned",
        "crm.messages.deferred",
        "crm.mails.duration",
        "crm.campaigns.put_off",
    }
)
"""Metrics of what did not happen here: failures, points that were spent or expired, deliveries to destinations,
purchases after a training."""

Point = tuple[str, frozenset[tuple[str, Any]]]
EACH = pytest.mark.parametrize("name", MATRIX)
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Platform:
    """All of it at work, and what it told."""

    def __init__(self, tenant: Tenant, http: httpx.AsyncClient, metrics: set[Point]) -> None:
        self.tenant, self._http, self.metrics = tenant, http, metrics

    async def ask(self, name: str) -> None:
        """A request of the tenant to a service or to the gateway."""
        if name != "gateway":
            rpc = MATRIX[name].span.rpartition("/")[2]
            request = getattr(self.tenant.contract(name), f"{rpc}Request")()
            await self.tenant.call(name, rpc, request)
            return
        query = {"query": "query Anything { profileStatistics { eventCount } }"}
        answer = await self._http.post("/graphql", json=query, headers=dict(self.tenant.metadata))
        assert answer.status_code == 200, answer.text

    async def ask_without_a_token(self, name: str) -> None:
        """A request that is refused, in a trace that is not sampled."""
        if name == "gateway":
            answer = await self._http.post("/graphql", json={"query": "{ a }"}, headers={"traceparent": CARRIED})
            assert answer.status_code == 401
            return
        rpc = MATRIX[name].span.rpartition("/")[2]
        request = getattr(self.tenant.contract(name), f"{rpc}Request")()
        with pytest.raises(grpc.aio.AioRpcError):
            await getattr(self.tenant.stubs[name], rpc)(request, metadata=(("traceparent", CARRIED),), timeout=30)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(
    keyring: Keyring, tmp_path_factory: pytest.TempPathFactory, metric_reader: InMemoryMetricReader
) -> AsyncIterator[Platform]:
    folder, names = tmp_path_factory.mktemp("platform"), (*NAMES, "gateway")
    before = measured(metric_reader)
    async with (
        running(
            keyring, folder, names, smtp_url=f"smtp://{NOBODY}", erasure_services=(), propensity_examples_min=5
        ) as addresses,
        httpx.AsyncClient(base_url=f"http://{addresses['gateway']}") as http,
        AsyncExitStack() as stack,
    ):
        channels = {name: await stack.enter_async_context(grpc.aio.insecure_channel(addresses[name])) for name in NAMES}
        platform = Platform(Tenant("acme", channels, keyring), http, set())
        await platform.tenant.open()
        for name in MATRIX:
            await platform.ask(name)
        after = measured(metric_reader)
        platform.metrics = {point for point, value in after.items() if before.get(point) != value}
        yield platform


def measured(reader: InMemoryMetricReader) -> Mapping[Point, object]:
    """Every series with what it stands at."""
    data = reader.get_metrics_data()
    return {
        (metric.name, frozenset((point.attributes or {}).items())): getattr(point, "count", None)
        or (getattr(point, "value", None), point.time_unix_nano if "lag" in metric.name else 0)
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }


@EACH
async def test_a_request_that_is_sampled_has_a_span(name: str, platform: Platform, spans: Spans) -> None:
    telemetry.sample(1)
    await platform.ask(name)
    assert MATRIX[name].span in {span.name for span in spans.exported()}


@EACH
async def test_the_time_that_requests_take_is_measured(name: str, platform: Platform) -> None:
    row = MATRIX[name]
    labels = [dict(labels) for metric, labels in platform.metrics if metric == row.duration]
    if name == "gateway":
        assert {"graphql.operation.type": "query"} in labels
    else:
        assert {"rpc.method": row.span, "rpc.grpc.status_code": "OK"} in labels


@EACH
async def test_its_own_metrics_are_told(name: str, platform: Platform) -> None:
    told = {metric for metric, _ in platform.metrics}
    assert told >= MATRIX[name].metrics


@pytest.mark.parametrize("name", [name for name, row in MATRIX.items() if row.follower])
async def test_a_follower_tells_how_far_it_is(name: str, platform: Platform) -> None:
    labels = frozenset({("follower", MATRIX[name].follower)})
    assert {(metric, labels) for metric in FOLLOWER} <= platform.metrics


@pytest.fixture
def log_lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What the process of the service in question writes to its log."""

    class Settings(ProcessSettings):
        service = request.getfixturevalue("name")

    written = io.StringIO()
    handler = telemetry.log_handler(Settings(), written)
    logs = [logging.getLogger(name) for name in ("services", "gateway")]
    for log in logs:
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
    yield written
    for log in logs:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


@EACH
async def test_a_line_of_the_log_names_service_and_trace(name: str, platform: Platform, log_lines: io.StringIO) -> None:
    await platform.ask_without_a_token(name)
    lines = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    (line,) = [line for line in lines if line.get("trace_id") == TRACE_ID]
    assert line["message"].startswith(MATRIX[name].log)
    assert (line["service"], line["level"]) == (name, "DEBUG")


async def test_every_process_and_every_metric_is_in_the_matrix(platform: Platform) -> None:
    assert set(MATRIX) == {*NAMES, "gateway"}
    own = frozenset().union(*(row.metrics for row in MATRIX.values()))
    assert own | FAULTS | {SERVER, *FOLLOWER} == set(telemetry.declared())
    assert own & FAULTS == set()


async def test_the_statistics_that_the_matrix_asks_for_are_real(platform: Platform) -> None:
    answer = await platform.tenant.call("profiles", "GetStatistics", profiles.GetStatisticsRequest())
    assert answer.event_count > 0
