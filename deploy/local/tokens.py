"""The key of a local platform and the tokens signed with it. In production an identity provider does this."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from services.common.errors import DataLoss

SERVICES = ("profiles", "segmentation", "recommendation", "forecasting", "loyalty", "crm")
ADMIN_SCOPES = tuple(f"{service}:admin" for service in SERVICES)
PRIVATE_KEY = "auth_private_key.pem"
PUBLIC_KEY = "auth_public_key.pem"


class KeyDamaged(DataLoss):
    """The file of the private key cannot be understood."""


def ensure_key(folder: Path) -> Path:
    """The public key's file in ``folder``; a new Ed25519 pair is made there if there is none."""
    private, public = folder / PRIVATE_KEY, folder / PUBLIC_KEY
    if not private.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = Ed25519PrivateKey.generate()
        _write_secret(private, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    written = _key(folder).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if not public.exists() or public.read_bytes() != written:
        public.write_bytes(written)
    return public


def mint(
    folder: Path,
    *,
    tenant: str,
    scopes: Iterable[str] = ADMIN_SCOPES,
    subject: str = "developer",
    lifetime: timedelta = timedelta(days=30),
    issuer: str = "tessera",
    audience: str = "tessera",
) -> str:
    """A token of ``tenant`` (``*``: the platform's own) signed with the key in ``folder``."""
    now = datetime.now(UTC)
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "tenant": tenant,
        "scopes": list(scopes),
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(claims, _key(folder), algorithm="EdDSA")


def write_token(folder: Path, token: str) -> Path:
    """Keep a token for the services in a file that only this user can read."""
    path = folder / "service_token"
    _write_secret(path, token.encode())
    return path


def _key(folder: Path) -> Ed25519PrivateKey:
    path = folder / PRIVATE_KEY
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise KeyDamaged(f"{path} is damaged: remove it, and a new key is made; tokens of the old one end") from error
    assert isinstance(key, Ed25519PrivateKey), "ensure_key writes no other"
    return key


def _write_secret(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
