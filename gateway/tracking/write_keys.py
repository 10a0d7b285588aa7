"""Whose a write key is: asked of profiles, and remembered for a moment."""

import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Callable

import grpc
from tessera.profiles.v1 import profiles_service_pb2 as pb

from gateway.backends import Backends
from services.common.errors import Unauthenticated

KNOWN_SECONDS = 30.0
"""How long a key that was revoked may still be taken."""
UNKNOWN_SECONDS = 5.0
REMEMBERED_MAX = 10_000
SECRET_LENGTH_MAX = 256


class WriteKeyMissing(Unauthenticated):
    """The request shows no write key."""


class WriteKeyUnknown(Unauthenticated):
    """The write key is none of ours, or is revoked."""


class WriteKeys:
    """Tenants by write key."""

    def __init__(self, backends: Backends, clock: Callable[[], float] = time.monotonic) -> None:
        self._backends, self._clock = backends, clock
        self._remembered: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def tenant(self, secret: str) -> str:
        """The tenant; ``WriteKeyMissing``, ``WriteKeyUnknown``."""
        if not secret:
            raise WriteKeyMissing("send a write key: HTTP Basic, with the key as the user and no password")
        remembered = self._remembered.get(secret)
        if remembered is None or remembered[0] <= self._clock():
            tenant = await self._ask(secret)
            self._remember(secret, tenant)
        else:
            tenant = remembered[1]
        if not tenant:
            raise WriteKeyUnknown("this write key is not known, or it was revoked")
        return tenant

    async def _ask(self, secret: str) -> str:
        if len(secret) > SECRET_LENGTH_MAX:
            return ""
        try:
            answer = await self._backends.profiles.ResolveWriteKey(pb.ResolveWriteKeyRequest(secret=secret))
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return ""
            raise
        return answer.tenant_id

    def _remember(self, secret: str, tenant: str) -> None:
        self._remembered[secret] = (self._clock() + (KNOWN_SECONDS if tenant else UNKNOWN_SECONDS), tenant)
        self._remembered.move_to_end(secret)
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)


def basic_user(authorization: str) -> str:
    """The user in an ``Authorization: Basic …`` header; "" if there is none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
