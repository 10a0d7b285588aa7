"""Write keys: make one, end one, tell whose one is."""

from collections.abc import Callable
from dataclasses import replace

from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists, RequestIdReused
from services.profiles.domain.write_key import WRITE_KEYS_MAX, TooManyWriteKeys, WriteKey, WriteKeyNotFound, digest
from services.profiles.ports import Request, WriteKeys

NewText = Callable[[], str]


async def create_write_key(
    keys: WriteKeys, clock: Clock, new_id: NewText, new_secret: NewText, request: Request, name: str
) -> tuple[WriteKey, str]:
    """A new key and its secret, which is empty if the request was carried out before; ``TooManyWriteKeys``."""
    if before := await keys.created(request):
        return before, ""
    if await keys.count(request.tenant) >= WRITE_KEYS_MAX:
        text = f"there are {WRITE_KEYS_MAX} write keys; revoke one that is not needed"
        raise TooManyWriteKeys(text, maximum=WRITE_KEYS_MAX)
    key, secret = WriteKey(new_id(), name, to_micros(clock())), new_secret()
    try:
        await keys.create(request, key, digest(secret))
    except RequestIdReused:
        raise
    except AlreadyExists:
        before = await keys.created(request)
        return before or key, ""
    return key, secret


async def revoke_write_key(keys: WriteKeys, clock: Clock, tenant: str, write_key_id: str) -> WriteKey:
    """The key, revoked now or before; ``WriteKeyNotFound``."""
    key = await keys.get(tenant, write_key_id)
    if key is None:
        raise WriteKeyNotFound(f"there is no write key {write_key_id}", write_key_id=write_key_id)
    if key.revoke_time:
        return key
    revoked = replace(key, revoke_time=to_micros(clock()))
    await keys.revoke(tenant, revoked)
    return revoked


async def resolve_write_key(keys: WriteKeys, tenant: str | None, secret: str) -> tuple[str, str]:
    """The tenant and the id of the key with this secret, of one tenant or of any; ``WriteKeyNotFound``."""
    found = await keys.resolve(digest(secret))
    if found is None or tenant not in (None, found[0]):
        raise WriteKeyNotFound("no write key has this secret")
    return found
