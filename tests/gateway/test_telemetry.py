"""One span for an operation, continued from the caller and handed on to every service; nothing where not sampled."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.conftest import Keyring
from tests.gateway.platform import Client

TRACE = "0af7651916cd43dd8448eb211c80319c"
QUERY = "query Figures { profileStatistics { customerCount eventCount } loyaltyStatus { entryCount } }"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What is traced while the test runs. OpenTelemetry lets a process choose a provider once, so it is lent here."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


async def _ask(client: Client, keyring: Keyring, flags: str) -> None:
    headers = {"authorization": f"Bearer {keyring.mint()}", "traceparent": f"00-{TRACE}-b7ad6b7169203331-{flags}"}
    response = await client.http.post("/graphql", json={"query": QUERY}, headers=headers)
    assert "errors" not in response.json()


async def test_an_operation_is_one_span_that_every_service_continues(
    client: Client, keyring: Keyring, spans: InMemorySpanExporter
) -> None:
    await _ask(client, keyring, "01")
    finished = {span.name: span for span in spans.get_finished_spans()}
    operation = finished.pop("query Figures")
    assert operation.attributes == {"graphql.operation.type": "query", "graphql.operation.name": "Figures"}
    assert operation.parent is not None
    assert operation.parent.span_id == 0xB7AD6B7169203331
    assert set(finished) == {
        "tessera.profiles.v1.ProfilesService/GetStatistics",
        "tessera.loyalty.v1.LoyaltyService/GetStatus",
    }
    for span in (operation, *finished.values()):
        assert span.context.trace_id == int(TRACE, 16)
    for span in finished.values():
        assert span.parent is not None
        assert span.parent.span_id == operation.context.span_id


async def test_a_request_that_is_not_sampled_makes_no_span(
    client: Client, keyring: Keyring, spans: InMemorySpanExporter
) -> None:
    await _ask(client, keyring, "00")
    assert spans.get_finished_spans() == ()
