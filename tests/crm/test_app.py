"""Settings: what is wrong is named when the process starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.common.settings import SettingsInvalid, load
from services.crm.app import Settings, serve


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CRM_SMTP_URL", "mail.example"),
        ("CRM_SMTP_CONNECTIONS", "0"),
        ("CRM_SMTP_MAILS_PER_SECOND", "-1"),
        ("CRM_UNSUBSCRIBE_ADDRESS", "nobody"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsInvalid, match=variable):
        load(Settings)


def test_credentials_do_not_show_in_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_SMTP_URL", "smtp://me:secret@mail.example:587")
    assert "secret" not in repr(load(Settings))


async def test_an_authority_that_cannot_be_read_is_named(configure: Callable[..., Any], tmp_path: Path) -> None:
    settings = configure(Settings, smtp_url="smtp://mail.example", smtp_ca_file=tmp_path / "none.pem")
    with pytest.raises(SettingsInvalid, match="CRM_SMTP_CA_FILE"):
        async with serve(settings):
            raise AssertionError("it started")
