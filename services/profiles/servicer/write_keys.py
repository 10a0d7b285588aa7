"""Write keys."""

import secrets

from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.common.auth import ALL_TENANTS, principal
from services.common.clock import Clock
from services.profiles.domain.write_key import WriteKey
from services.profiles.handlers.write_keys import create_write_key, resolve_write_key, revoke_write_key
from services.profiles.ports import WriteKeys
from services.profiles.servicer.messages import PAGE_SIZE_DEFAULT, Context, named, new_id, timestamp


class WriteKeyRpcs:
    """Makes, lists, ends and resolves write keys."""

    _write_keys: WriteKeys
    _clock: Clock

    async def CreateWriteKey(self, request: pb.CreateWriteKeyRequest, context: Context) -> pb.CreateWriteKeyResponse:
        key, secret = await create_write_key(
            self._write_keys, self._clock, new_id, _new_secret, named(request), request.name
        )
        return pb.CreateWriteKeyResponse(write_key=_write_key(key), secret=secret)

    async def ListWriteKeys(self, request: pb.ListWriteKeysRequest, context: Context) -> pb.ListWriteKeysResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        keys, token = await self._write_keys.page(principal().tenant, size, request.page_token)
        return pb.ListWriteKeysResponse(write_keys=map(_write_key, keys), next_page_token=token)

    async def RevokeWriteKey(self, request: pb.RevokeWriteKeyRequest, context: Context) -> pb.RevokeWriteKeyResponse:
        key = await revoke_write_key(self._write_keys, self._clock, principal().tenant, request.write_key_id)
        return pb.RevokeWriteKeyResponse(write_key=_write_key(key))

    async def ResolveWriteKey(self, request: pb.ResolveWriteKeyRequest, context: Context) -> pb.ResolveWriteKeyResponse:
        tenant = principal().tenant
        found = await resolve_write_key(self._write_keys, None if tenant == ALL_TENANTS else tenant, request.secret)
        return pb.ResolveWriteKeyResponse(tenant_id=found[0], write_key_id=found[1])


def _new_secret() -> str:
    return secrets.token_urlsafe(24)


def _write_key(key: WriteKey) -> pb.WriteKey:
    return pb.WriteKey(
        write_key_id=key.write_key_id,
        name=key.name,
        create_time=timestamp(key.create_time),
        revoke_time=timestamp(key.revoke_time) if key.revoke_time else None,
    )
