"""Tokens are verified strictly; scopes and tenants narrow what a caller may do."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from deploy.local import tokens
from services.common import auth
from services.common.auth import Principal, ServiceToken, verifier
from services.common.settings import ProcessSettings, SettingsInvalid
from tests.conftest import Keyring


class Settings(ProcessSettings):
    service = "test"


@pytest.fixture
def verify(keyring: Keyring) -> auth.Verifier:
    return verifier(Settings(auth_public_key_file=keyring.public_key))


async def test_a_good_token_names_its_caller(verify: auth.Verifier, keyring: Keyring) -> None:
    token = keyring.mint("acme", scopes=["loyalty:read"], subject="till 4")
    for _ in range(2):  # the second time from memory
        caller = await verify.verify(f"Bearer {token}")
        assert caller == Principal("till 4", "acme", frozenset({"loyalty:read"}))


@pytest.mark.parametrize("header", [None, "", "Bearer ", "Basic abc", "abc"])
async def test_no_token_is_missing(verify: auth.Verifier, header: str | None) -> None:
    with pytest.raises(auth.TokenMissing):
        await verify.verify(header)


async def test_an_expired_token_is_told_apart(verify: auth.Verifier, keyring: Keyring) -> None:
    with pytest.raises(auth.TokenExpired):
        await verify.verify(f"Bearer {keyring.expired()}")


async def test_a_remembered_token_still_expires(keyring: Keyring) -> None:
    verify = verifier(Settings(auth_public_key_file=keyring.public_key))
    header = f"Bearer {keyring.mint(lifetime=timedelta(seconds=1))}"
    await verify.verify(header)
    until, _ = next(iter(verify._verified.values()))
    assert until <= time.time() + 1


@pytest.mark.parametrize("claim", [{"issuer": "someone"}, {"audience": "elsewhere"}])
async def test_a_token_for_somebody_else_is_refused(verify: auth.Verifier, keyring: Keyring, claim: Any) -> None:
    with pytest.raises(auth.TokenInvalid):
        await verify.verify(f"Bearer {keyring.mint(**claim)}")


async def test_another_key_is_refused(verify: auth.Verifier, tmp_path: Path) -> None:
    tokens.ensure_key(tmp_path)
    with pytest.raises(auth.TokenInvalid):
        await verify.verify(f"Bearer {tokens.mint(tmp_path, tenant='acme')}")


async def test_an_unsigned_token_is_refused(verify: auth.Verifier) -> None:
    claims = {"iss": "tessera", "aud": "tessera", "sub": "x", "tenant": "acme", "exp": 1e11}
    with pytest.raises(auth.TokenInvalid):
        await verify.verify(f"Bearer {jwt.encode(claims, '', algorithm='none')}")


@pytest.mark.parametrize("claims", [{"tenant": None}, {"tenant": ""}, {"tenant": 7}, {"scopes": [7]}])
async def test_claims_of_the_wrong_kind_are_refused(verify: auth.Verifier, keyring: Keyring, claims: Any) -> None:
    key: Any = load_pem_private_key((keyring.folder / tokens.PRIVATE_KEY).read_bytes(), None)
    whole = {"iss": "tessera", "aud": "tessera", "sub": "x", "tenant": "acme", "scopes": [], "exp": 1e11, **claims}
    with pytest.raises(auth.TokenInvalid):
        await verify.verify(f"Bearer {jwt.encode(whole, key, algorithm='EdDSA')}")


@pytest.mark.parametrize(
    ("held", "asked", "allowed"),
    [
        ("loyalty:read", "loyalty:read", True),
        ("loyalty:write", "loyalty:read", True),
        ("loyalty:admin", "loyalty:write", True),
        ("loyalty:read", "loyalty:write", False),
        ("loyalty:write", "loyalty:admin", False),
        ("crm:admin", "loyalty:read", False),
    ],
)
def test_a_stronger_scope_includes_the_weaker(held: str, asked: str, allowed: bool) -> None:
    caller = Principal("s", "acme", frozenset({held}))
    assert caller.holds(asked) is allowed
    if not allowed:
        with pytest.raises(auth.ScopeMissing, match=asked):
            caller.require(asked)


def test_only_a_platform_token_acts_for_another_tenant() -> None:
    assert Principal("s", "*", frozenset()).acting_for("acme").tenant == "acme"
    assert Principal("s", "acme", frozenset()).acting_for("acme").tenant == "acme"
    with pytest.raises(auth.TenantForbidden):
        Principal("s", "acme", frozenset()).acting_for("rival")


def test_a_process_without_a_key_does_not_start() -> None:
    with pytest.raises(SettingsInvalid, match="AUTH_PUBLIC_KEY_FILE"):
        verifier(Settings())


def test_a_key_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("nonsense")
    with pytest.raises(SettingsInvalid, match=r"key\.pem"):
        verifier(Settings(auth_public_key_file=tmp_path / "key.pem"))


def test_a_service_token_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one\n")
    token = ServiceToken(path)
    assert token.header() == "Bearer one"
    path.write_text("two")
    token._checked -= token.CHECK_SECONDS + 1
    assert token.header() == "Bearer two"
    assert ServiceToken(None).header() == ""


@pytest.fixture
def jwks_url(keyring: Keyring) -> Iterator[str]:
    public: Any = load_pem_public_key(keyring.public_key.read_bytes())
    key = {**jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True), "kid": "k1", "use": "sig", "alg": "EdDSA"}

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": [key]}).encode())

        def log_message(self, format: str, *args: object) -> None:
            return None

    with HTTPServer(("127.0.0.1", 0), Keys) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/jwks"
        server.shutdown()
        thread.join()


async def test_keys_come_from_an_identity_provider(jwks_url: str, keyring: Keyring) -> None:
    private: Any = load_pem_private_key((keyring.folder / tokens.PRIVATE_KEY).read_bytes(), None)
    claims = {"iss": "tessera", "aud": "tessera", "sub": "x", "tenant": "acme", "scopes": "a:read b:write", "exp": 1e11}
    token = jwt.encode(claims, private, algorithm="EdDSA", headers={"kid": "k1"})
    caller = await verifier(Settings(auth_jwks_url=jwks_url)).verify(f"Bearer {token}")
    assert caller.scopes == {"a:read", "b:write"}
