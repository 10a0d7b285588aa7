"""Traces, metrics and logs. OTLP where an endpoint is set; otherwise nothing listens and little is spent.

Sampling is decided once, where a trace begins. A call that is not sampled carries ``traceparent`` with the flag off
and costs one string: no span object is made anywhere on its way.
"""

import logging
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import getrandbits, random
from typing import Any, TextIO

import orjson
from opentelemetry import metrics, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags

from services.common.settings import ProcessSettings

_TABLE = Path(__file__).resolve().parent.parent / "metrics.toml"
_traceparent: ContextVar[str] = ContextVar("traceparent", default="")
_UNSAMPLED_SUFFIX = "-00"
_TRACEPARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(slots=True)
class _Sampling:
    ratio: float = 0.0


_sampling = _Sampling()


def configure(settings: ProcessSettings, exporter: SpanExporter | None = None) -> None:
    """Set up logging and, where there is somewhere to send to, traces and metrics, for this process."""
    _configure_logging(settings)
    if settings.otlp_endpoint is None and exporter is None:
        return
    _sampling.ratio = settings.trace_ratio
    resource = Resource.create({"service.name": settings.service})
    provider = TracerProvider(resource=resource, sampler=ALWAYS_ON)
    provider.add_span_processor(BatchSpanProcessor(exporter or _otlp_spans()))
    trace.set_tracer_provider(provider)
    if settings.otlp_endpoint is not None:
        _configure_metrics(resource)


def sample(ratio: float) -> None:
    """Begin a trace for this share of the requests that arrive without one."""
    _sampling.ratio = ratio


def flush() -> None:
    """Send what is buffered; called when the process drains."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        if hasattr(provider, "force_flush"):
            provider.force_flush()


def _otlp_spans() -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _configure_metrics(resource: Resource) -> None:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    metrics.set_meter_provider(MeterProvider([reader], resource=resource))


# --- spans ---------------------------------------------------------------------------------------------------------


def recording() -> bool:
    """Whether the request in progress is sampled."""
    return trace.get_current_span().is_recording()


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL, **attributes: str | int | float | bool) -> Iterator[Span]:
    """A child of the current span while the request is sampled; otherwise nothing."""
    if not recording():
        yield trace.INVALID_SPAN
        return
    with trace.get_tracer("tessera").start_as_current_span(name, kind=kind, attributes=attributes) as current:
        yield current


@contextmanager
def server_span(name: str, traceparent: str | None) -> Iterator[Span]:
    """The span of an incoming request: continues the caller's trace, or begins one for the sampled share.

    A ``traceparent`` that is none is as good as absent, as the W3C recommends.
    """
    parent = _parse(traceparent) if traceparent else None
    sampled = parent.trace_flags.sampled if parent else _sampling.ratio > 0 and random() < _sampling.ratio
    if not sampled:
        carried = traceparent if parent else None
        _traceparent.set(carried or _new_traceparent())
        yield trace.INVALID_SPAN
        return
    context = trace.set_span_in_context(NonRecordingSpan(parent)) if parent else None
    tracer = trace.get_tracer("tessera")
    # A refusal ends a call by an exception, and is not an error of this side: `failed` says which are.
    with tracer.start_as_current_span(
        name, context=context, kind=SpanKind.SERVER, record_exception=False, set_status_on_exception=False
    ) as current:
        yield current


def _new_traceparent() -> str:
    # Not from the system's source of chance: ids of traces are no secrets, and asking it twice a call takes its time.
    return f"00-{getrandbits(128) or 1:032x}-{getrandbits(64) or 1:016x}{_UNSAMPLED_SUFFIX}"


def failed(reason: str, *, fault: bool) -> None:
    """Say on the current span why the request is refused; ``fault``: this side is to blame, not the caller."""
    current = trace.get_current_span()
    if current.is_recording():
        current.set_attribute("error.type", reason)
        if fault:
            current.set_status(StatusCode.ERROR)


def traceparent() -> str:
    """The W3C ``traceparent`` to send with an outgoing call; ``""`` outside any request."""
    current = trace.get_current_span()
    if not current.is_recording():
        return _traceparent.get()
    context = current.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def _parse(traceparent: str) -> SpanContext | None:
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    parent = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return parent if parent.is_valid else None


# --- metrics -------------------------------------------------------------------------------------------------------


@cache
def declared() -> Mapping[str, Mapping[str, str]]:
    """The metrics that may be emitted: kind, unit and description of each name."""
    table: Mapping[str, Mapping[str, str]] = tomllib.loads(_TABLE.read_text())["metrics"]
    return table


def _instrument(name: str, kind: str) -> Any:
    declaration = declared().get(name)
    if declaration is None or declaration["kind"] != kind:
        raise KeyError(f"{kind} {name} is not declared in services/metrics.toml")
    create = getattr(metrics.get_meter("tessera"), f"create_{kind}")
    return create(name, unit=declaration["unit"], description=declaration["description"])


@cache
def counter(name: str) -> metrics.Counter:
    """The declared counter ``name``; ``KeyError`` if it is not declared."""
    instrument: metrics.Counter = _instrument(name, "counter")
    return instrument


@cache
def gauge(name: str) -> Any:
    """The declared gauge ``name``; ``KeyError`` if it is not declared."""
    return _instrument(name, "gauge")


@cache
def histogram(name: str) -> metrics.Histogram:
    """The declared histogram ``name``; ``KeyError`` if it is not declared."""
    instrument: metrics.Histogram = _instrument(name, "histogram")
    return instrument


# --- logs ----------------------------------------------------------------------------------------------------------


class _JsonLines(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if carried := traceparent():
            line["trace_id"] = carried.split("-")[1]
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def log_handler(settings: ProcessSettings, stream: TextIO) -> logging.Handler:
    """Writes one JSON object a line, with the trace of the request in progress."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonLines(settings.service))
    return handler


def _configure_logging(settings: ProcessSettings) -> None:
    logging.basicConfig(level=settings.log_level, handlers=[log_handler(settings, sys.stderr)], force=True)
