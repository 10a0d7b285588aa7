"""Who is calling: bearer tokens (JWT, RFC 7519) verified against a key or a JWKS, and the scopes they carry."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from jwt import PyJWKClient

from services.common.errors import PermissionDenied, Unauthenticated
from services.common.settings import ProcessSettings, SettingsInvalid

ALL_TENANTS = "*"
ALGORITHMS = ["EdDSA", "ES256", "ES384", "RS256", "RS384", "RS512"]
CACHED_TOKENS_MAX = 10_000
CACHED_SECONDS_MAX = 300
_LEVELS = {"read": 0, "write": 1, "admin": 2}


class TokenMissing(Unauthenticated):
    """The request carries no bearer token."""


class TokenInvalid(Unauthenticated):
    """The token's signature, issuer, audience or claims are not what this platform accepts."""


class TokenExpired(Unauthenticated):
    """The token was valid once."""


class ScopeMissing(PermissionDenied):
    """The token lacks the scope that the call needs. Metadata ``scope`` names it."""


class TenantMissing(PermissionDenied):
    """A platform token did not say on behalf of which tenant it calls."""


class TenantForbidden(PermissionDenied):
    """A tenant's token asked to act for another tenant."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller. ``tenant`` is ``*`` only for platform tokens."""

    subject: str
    tenant: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """``ScopeMissing`` unless the caller holds ``scope`` or a stronger one of the same service."""
        if not self.holds(scope):
            raise ScopeMissing(f"this call needs the scope {scope}; ask for a token that carries it", scope=scope)

    def holds(self, scope: str) -> bool:
        """Whether the caller holds ``scope`` (``admin`` includes ``write``, which includes ``read``)."""
        if scope in self.scopes:
            return True
        service, _, level = scope.partition(":")
        stronger = [name for name, rank in _LEVELS.items() if rank > _LEVELS.get(level, len(_LEVELS))]
        return any(f"{service}:{name}" in self.scopes for name in stronger)

    def acting_for(self, tenant: str) -> "Principal":
        """This caller narrowed to ``tenant``: a platform token names any, another only its own."""
        if tenant in ("", self.tenant):
            return self
        if self.tenant != ALL_TENANTS:
            raise TenantForbidden(f"this token belongs to tenant {self.tenant} and cannot act for {tenant}")
        return Principal(self.subject, tenant, self.scopes)


_principal: ContextVar[Principal] = ContextVar("principal")


def principal() -> Principal:
    """The caller of the rpc or request in progress."""
    try:
        return _principal.get()
    except LookupError:
        raise TokenMissing("no caller is known here") from None


def enter(caller: Principal) -> None:
    """Make ``caller`` the principal of the current task."""
    _principal.set(caller)


class Verifier:
    """Turns a token into a principal. Verified tokens are remembered, for at most five minutes."""

    def __init__(self, *, key: Any = None, jwks: PyJWKClient | None = None, issuer: str, audience: str) -> None:
        self._key, self._jwks = key, jwks
        self._issuer, self._audience = issuer, audience
        self._verified: OrderedDict[str, tuple[float, Principal]] = OrderedDict()

    async def verify(self, authorization: str | None) -> Principal:
        """The principal of an ``Authorization`` header's value; raises one of the ``Unauthenticated``."""
        token = bearer(authorization)
        known = self._verified.get(token)
        if known and known[0] > time.time():
            return known[1]
        claims = await self._claims(token)
        caller = _caller(claims)
        self._remember(token, caller, claims["exp"])
        return caller

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                await self._signing_key(token),
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["exp", "iss", "aud", "sub", "tenant"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenExpired("the token has expired; ask for a new one") from error
        except jwt.PyJWTError as error:
            raise TokenInvalid(f"the token is not accepted: {error}") from error

    async def _signing_key(self, token: str) -> Any:
        if self._jwks is None:
            return self._key
        return (await asyncio.to_thread(self._jwks.get_signing_key_from_jwt, token)).key

    def _remember(self, token: str, caller: Principal, expiry: float) -> None:
        self._verified[token] = (min(expiry, time.time() + CACHED_SECONDS_MAX), caller)
        while len(self._verified) > CACHED_TOKENS_MAX:
            self._verified.popitem(last=False)


def bearer(authorization: str | None) -> str:
    """The token in ``Bearer …``; ``TokenMissing`` without one."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise TokenMissing("send a token: `authorization: Bearer …`")
    return token


def _caller(claims: Mapping[str, Any]) -> Principal:
    scopes = claims.get("scopes", [])
    names = scopes.split() if isinstance(scopes, str) else scopes
    tenant = claims["tenant"]
    if not isinstance(tenant, str) or not tenant or not all(isinstance(name, str) for name in names):
        raise TokenInvalid("the claims `tenant` and `scopes` must be text")
    return Principal(str(claims["sub"]), tenant, frozenset(names))


def verifier(settings: ProcessSettings) -> Verifier:
    """The verifier that ``settings`` describe. There is no way to run without one."""
    issuer, audience = settings.auth_issuer, settings.auth_audience
    if settings.auth_jwks_url:
        jwks = PyJWKClient(settings.auth_jwks_url, cache_keys=True, timeout=5)
        return Verifier(jwks=jwks, issuer=issuer, audience=audience)
    if settings.auth_public_key_file is None:
        raise SettingsInvalid("set AUTH_PUBLIC_KEY_FILE or AUTH_JWKS_URL: calls cannot be authenticated without")
    return Verifier(key=_read_key(settings.auth_public_key_file), issuer=issuer, audience=audience)


def _read_key(path: Path) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"AUTH_PUBLIC_KEY_FILE: {path} is not a readable PEM public key: {error}") from error


class ServiceToken:
    """The token that this process shows to other services, read again when its file changes."""

    CHECK_SECONDS = 10.0

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._value = ""
        self._checked = 0.0

    def header(self) -> str:
        """``Bearer …``, or ``""`` where no file is set."""
        if self._path is not None and time.monotonic() - self._checked > self.CHECK_SECONDS:
            self._value = f"Bearer {self._path.read_text().strip()}"
            self._checked = time.monotonic()
        return self._value
