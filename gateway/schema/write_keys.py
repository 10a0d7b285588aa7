"""Write keys in the schema: what sources show to the HTTP tracking API."""

from collections.abc import Sequence

from tessera.profiles.v1 import profiles_service_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.registry import from_proto, input_from_proto, mutation, query


@from_proto(pb.WriteKey, "write_key_id", "name", "create_time", "revoke_time")
class WriteKey: ...


@input_from_proto(pb.CreateWriteKeyRequest, "request_id", "name")
class CreateWriteKeyInput: ...


@from_proto(pb.CreateWriteKeyResponse, "write_key", "secret")
class CreateWriteKeyPayload: ...


@input_from_proto(pb.RevokeWriteKeyRequest, "request_id", "write_key_id")
class RevokeWriteKeyInput: ...


@from_proto(pb.RevokeWriteKeyResponse, "write_key")
class RevokeWriteKeyPayload: ...


@query(by_rpc("profiles.ListWriteKeys"))
async def write_keys(info: Info, first: First = 20, after: After = None) -> Page[pb.WriteKey]:
    """Write keys without their secrets, the newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.WriteKey], str]:
        request = pb.ListWriteKeysRequest(page_size=size, page_token=token)
        answer = await info.context.backends.profiles.ListWriteKeys(request, metadata=info.context.metadata)
        return answer.write_keys, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("profiles.CreateWriteKey"))
async def create_write_key(info: Info, input: pb.CreateWriteKeyRequest) -> pb.CreateWriteKeyResponse:
    return await info.context.backends.profiles.CreateWriteKey(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.RevokeWriteKey"))
async def revoke_write_key(info: Info, input: pb.RevokeWriteKeyRequest) -> pb.RevokeWriteKeyResponse:
    return await info.context.backends.profiles.RevokeWriteKey(input, metadata=info.context.metadata)
