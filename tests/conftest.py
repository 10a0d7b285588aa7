"""What all tests share: a key, tokens, and settings for a service in a folder of its own."""

import gc
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from deploy.local import tokens
from services.common.settings import ServiceSettings
from tests.listening import _spans, metric_reader, spans
from tests.mongodb import mongodb_url
from tests.parallel import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from tests.spark_connect import spark_url

__all__ = [
    "_spans",
    "metric_reader",
    "mongodb_url",
    "pytest_collection_modifyitems",
    "pytest_xdist_make_scheduler",
    "spans",
    "spark_url",
]

# Speed is never judged in a test: machines are noisy. CI explores the same examples each time.
hypothesis_settings.register_profile(
    "suite",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
hypothesis_settings.load_profile("suite")

# The defaults look for garbage each 700 new objects, and walk through all modules and all tests again and again.
gc.set_threshold(10_000, 10, 10)

S = TypeVar("S", bound=ServiceSettings)


def pytest_collection_finish() -> None:
    """What was read is there until the end: nobody need look for garbage in it."""
    gc.collect()
    gc.freeze()


class Keyring:
    """The key of a test platform and the tokens signed with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.public_key = tokens.ensure_key(folder)
        self.service_token = tokens.write_token(folder, self.mint(tenant="*", subject="platform"))

    def mint(self, tenant: str = "acme", **claims: Any) -> str:
        """A token; by default of tenant ``acme`` with every scope."""
        return tokens.mint(self.folder, tenant=tenant, **claims)

    def expired(self) -> str:
        """A token that was valid once."""
        return self.mint(lifetime=timedelta(seconds=-10))

    def header(self, tenant: str = "acme", **claims: Any) -> tuple[tuple[str, str], ...]:
        """GRPC metadata that authenticates as ``tenant``."""
        return (("authorization", f"Bearer {self.mint(tenant, **claims)}"),)


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    return Keyring(tmp_path_factory.mktemp("keys"))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the shell that runs it."""
    for name in ("STORE_URL", "ANALYTICS_URL", "TESSERA_DATA_DIR", "OTEL_EXPORTER_OTLP_ENDPOINT", "AUTH_JWKS_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def configure(keyring: Keyring, tmp_path: Path) -> Callable[..., Any]:
    """Makes the settings of a service for this test: ``configure(Settings, profiles_addr=…)``; a free port."""

    def make(settings: type[S], **values: Any) -> S:
        return settings(
            **{
                "port": 0,
                "data_dir": tmp_path / "data",
                "auth_public_key_file": keyring.public_key,
                "service_token_file": keyring.service_token,
                "drain_seconds_max": 1.0,
                **values,
            }
        )

    return make
