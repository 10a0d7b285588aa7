"""Where the telemetry of a test process arrives: in memory. OpenTelemetry takes its destinations once a process."""

import logging
from collections.abc import Iterator
from typing import ClassVar

import pytest
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.common import telemetry
from services.common.settings import ProcessSettings


class _Settings(ProcessSettings):
    service: ClassVar[str] = "test"


class Spans(SpanProcessor):
    """The spans that were begun and those that were exported, since the test began."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter
        self.begun: list[str] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.begun.append(span.name)

    def exported(self) -> list[ReadableSpan]:
        """Those that have ended, all of them sent."""
        telemetry.flush()
        return list(self._exporter.get_finished_spans())

    def clear(self) -> None:
        """Forget what there is."""
        telemetry.flush()
        self._exporter.clear()
        self.begun.clear()


@pytest.fixture(scope="session")
def _spans() -> Spans:
    exporter = InMemorySpanExporter()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # configuring would close those of pytest
    try:
        telemetry.configure(_Settings(trace_ratio=0), exporter)
    finally:
        root.handlers[:], root.level = handlers, level
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    spans = Spans(exporter)
    provider.add_span_processor(spans)
    return spans


@pytest.fixture
def spans(_spans: Spans) -> Iterator[Spans]:
    """The spans of this test. Nothing is sampled until it says ``telemetry.sample(1)``."""
    telemetry.sample(0)
    _spans.clear()
    yield _spans
    telemetry.sample(0)


@pytest.fixture(scope="session")
def metric_reader() -> InMemoryMetricReader:
    """The metrics of this process, from the first test on that asks for them."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader
