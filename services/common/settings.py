"""Settings: the environment read once, cast, checked and frozen; a process with a wrong one does not start."""

from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.errors import InvalidArgument

Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0 takes a free one."""


class SettingsInvalid(InvalidArgument):
    """A variable of the environment cannot be used."""


class ProcessSettings(BaseSettings):
    """What every process reads: where its data is, whom it trusts, where the others are."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    service: ClassVar[str]
    """The noun that names the process everywhere: folder, proto package, chart and ``service.name``."""

    data_dir: Path = Field(Path(".data"), validation_alias="TESSERA_DATA_DIR")
    """Folder of the embedded engines; created if absent."""
    store_url: str | None = Field(None, validation_alias="STORE_URL")
    """``mongodb://…``; unset: one SQLite file a service under ``data_dir``."""
    analytics_url: str | None = Field(None, validation_alias="ANALYTICS_URL")
    """``sc://…`` (Spark Connect); unset: one DuckDB file a service under ``data_dir``."""
    analytics_memory_max: str | None = Field(
        None, validation_alias="ANALYTICS_MEMORY_MAX", pattern=r"^[1-9][0-9]{0,11}(\.[0-9]{1,3})?(KiB|MiB|GiB|TiB)$"
    )
    """How much memory DuckDB may take for a service's queries and buffers (``4GiB``); what needs more goes to the disk
    beside its file, or is refused. Unset: 80 % of what the machine, or the container, has. Not for Spark."""
    analytics_threads: int | None = Field(None, validation_alias="ANALYTICS_THREADS", ge=1, le=1024)
    """On how many threads DuckDB computes; unset: as many as there are cores. Not for Spark."""
    log_level: str = Field("INFO", validation_alias="LOG_LEVEL", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    auth_public_key_file: Path | None = Field(None, validation_alias="AUTH_PUBLIC_KEY_FILE")
    """PEM of the key that signs tokens (Ed25519, EC or RSA). This or ``auth_jwks_url`` is needed."""
    auth_jwks_url: str | None = Field(None, validation_alias="AUTH_JWKS_URL")
    """Where an identity provider publishes its keys."""
    auth_issuer: str = Field("tessera", validation_alias="AUTH_ISSUER")
    auth_audience: str = Field("tessera", validation_alias="AUTH_AUDIENCE")
    service_token_file: Path | None = Field(None, validation_alias="SERVICE_TOKEN_FILE")
    """File with the token that this process shows to other services; read again when it changes."""

    tls_cert_file: Path | None = Field(None, validation_alias="TLS_CERT_FILE")
    tls_key_file: Path | None = Field(None, validation_alias="TLS_KEY_FILE")
    tls_ca_file: Path | None = Field(None, validation_alias="TLS_CA_FILE")
    """With all three set, servers and clients between pods speak mutual TLS."""

    profiles_addr: str = Field("127.0.0.1:50051", validation_alias="PROFILES_ADDR")
    segmentation_addr: str = Field("127.0.0.1:50052", validation_alias="SEGMENTATION_ADDR")
    recommendation_addr: str = Field("127.0.0.1:50053", validation_alias="RECOMMENDATION_ADDR")
    forecasting_addr: str = Field("127.0.0.1:50054", validation_alias="FORECASTING_ADDR")
    loyalty_addr: str = Field("127.0.0.1:50055", validation_alias="LOYALTY_ADDR")
    crm_addr: str = Field("127.0.0.1:50056", validation_alias="CRM_ADDR")

    otlp_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Where traces, metrics and logs go; unset: nowhere."""
    trace_ratio: float = Field(0.01, validation_alias="TESSERA_TRACE_RATIO", ge=0, le=1)
    """The share of requests without a trace of their own that begin one."""


class ServiceSettings(ProcessSettings):
    """What a gRPC server reads besides; names begin with the service's own (``LOYALTY_PORT``)."""

    host: str = "127.0.0.1"
    port: Port = 0
    concurrent_calls_max: int = Field(1000, ge=1)
    """Unary calls at work at once; past it a call is RESOURCE_EXHAUSTED."""
    concurrent_feeds_max: int = Field(100, ge=1)
    """Feeds that are followed at once; past it a follower is RESOURCE_EXHAUSTED."""
    call_seconds_max: float = Field(60.0, gt=0)
    """The longest a unary call may take; its own deadline may be shorter."""
    message_bytes_max: int = Field(16 * 1024 * 1024, ge=1024)
    connection_seconds_max: float = Field(600.0, gt=0)
    """How long a client keeps one connection; then it looks for the servers again, and so meets new pods."""
    drain_seconds_max: float = Field(10.0, ge=0)
    """How long calls in flight may take to finish once the process is asked to stop."""


S = TypeVar("S", bound=BaseSettings)


def load(settings: type[S]) -> S:
    """Read ``settings`` from the environment; ``SettingsInvalid`` names each variable and what is wrong with it."""
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        faults = [f"{_variable(prefix, fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        raise SettingsInvalid("; ".join(faults)) from error


def _variable(prefix: str, location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    return name if name.isupper() else f"{prefix}{name}".upper()
