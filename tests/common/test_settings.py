"""Settings are read once, cast, checked, and named when they are wrong."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from services.common.settings import Port, ServiceSettings, SettingsInvalid, load


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="LOYALTY_")
    service = "loyalty"
    port: Port = 50055


def test_the_environment_is_read_and_cast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOYALTY_PORT", "7")
    monkeypatch.setenv("TESSERA_DATA_DIR", "/srv/data")
    monkeypatch.setenv("PROFILES_ADDR", "profiles:50051")
    settings = load(Settings)
    assert (settings.port, settings.data_dir, settings.profiles_addr) == (7, Path("/srv/data"), "profiles:50051")


def test_defaults_serve_a_single_machine() -> None:
    settings = load(Settings)
    assert (settings.host, settings.port, settings.store_url) == ("127.0.0.1", 50055, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [("LOYALTY_PORT", "many"), ("LOYALTY_PORT", "70000"), ("TESSERA_TRACE_RATIO", "2"), ("LOG_LEVEL", "LOUD")],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=name):
        load(Settings)


def test_settings_cannot_change_afterwards() -> None:
    with pytest.raises(ValidationError):
        load(Settings).port = 1  # type: ignore[misc]
