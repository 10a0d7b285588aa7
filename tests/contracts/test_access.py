"""Every rpc of every service refuses who may not call it: by enumeration, so that a new rpc cannot be forgotten."""

import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from tessera.common.v1 import options_pb2

from deploy.local import tokens
from services.__main__ import NAMES
from services.common.grpc_errors import error_info
from tests.conftest import Keyring


def methods() -> list[MethodDescriptor]:
    found = []
    for name in NAMES:
        module = importlib.import_module(f"tessera.{name}.v1.{name}_service_pb2")
        (service,) = module.DESCRIPTOR.services_by_name.values()
        found.extend(service.methods)
    return found


METHODS = methods()


def access(method: MethodDescriptor) -> options_pb2.Access:
    return method.GetOptions().Extensions[options_pb2.access]


def service_name(method: MethodDescriptor) -> str:
    name: str = method.full_name.split(".")[1]
    return name


def each_method() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name.split(".", 3)[-1])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channels(
    keyring: Keyring, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, grpc.aio.Channel]]:
    """All six services, served for real, each on a folder of its own; none reaches the others."""
    async with AsyncExitStack() as stack:
        channels = {}
        for name in NAMES:
            module = importlib.import_module(f"services.{name}.app")
            settings = module.Settings(
                port=0,
                data_dir=tmp_path_factory.mktemp(name),
                auth_public_key_file=keyring.public_key,
                drain_seconds_max=0,
                profiles_addr="127.0.0.1:1",
                segmentation_addr="127.0.0.1:1",
            )
            up = await stack.enter_async_context(module.serve(settings))
            channels[name] = await stack.enter_async_context(grpc.aio.insecure_channel(up.address))
        yield channels


@pytest.fixture
def refusal(channels: dict[str, grpc.aio.Channel]) -> Callable[..., Any]:
    """Calls a method with metadata and an empty request, and answers with what it was refused for."""

    async def call(method: MethodDescriptor, metadata: Any) -> tuple[grpc.StatusCode, str]:
        path = f"/{method.containing_service.full_name}/{method.name}"
        coders = (lambda message: message.SerializeToString(), GetMessageClass(method.output_type).FromString)
        channel, request = channels[service_name(method)], GetMessageClass(method.input_type)()
        try:
            if method.server_streaming:
                async for _ in channel.unary_stream(path, *coders)(request, metadata=metadata, timeout=10):
                    break
            else:
                await channel.unary_unary(path, *coders)(request, metadata=metadata, timeout=10)
        except grpc.aio.AioRpcError as error:
            info = error_info(error)
            return error.code(), info.reason if info else ""
        return grpc.StatusCode.OK, ""

    return call


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@each_method()
def test_every_rpc_declares_a_scope_of_its_own_service(method: MethodDescriptor) -> None:
    service, level = access(method).scope.split(":")
    assert service == service_name(method)
    assert level in ("read", "write", "admin")


@each_method()
@pytest.mark.asyncio(loop_scope="module")
async def test_a_caller_without_a_valid_token_is_refused(
    method: MethodDescriptor, refusal: Callable[..., Any], keyring: Keyring, tmp_path: Path
) -> None:
    tokens.ensure_key(tmp_path)
    foreign = tokens.mint(tmp_path, tenant="acme")
    assert await refusal(method, ()) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")
    assert await refusal(method, bearer(foreign)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
    assert await refusal(method, bearer(keyring.expired())) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")


@each_method()
@pytest.mark.asyncio(loop_scope="module")
async def test_a_caller_without_the_scope_is_refused(
    method: MethodDescriptor, refusal: Callable[..., Any], keyring: Keyring
) -> None:
    scope = access(method).scope
    others = [f"{name}:admin" for name in NAMES if name != service_name(method)]
    weaker = {"write": [scope.replace("write", "read")], "admin": [scope.replace("admin", "write")]}
    held = [*others, *weaker.get(scope.split(":")[1], [])]
    refused = (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    assert await refusal(method, keyring.header(scopes=held)) == refused


@each_method()
@pytest.mark.asyncio(loop_scope="module")
async def test_a_caller_cannot_act_for_another_tenant(
    method: MethodDescriptor, refusal: Callable[..., Any], keyring: Keyring
) -> None:
    refused = (grpc.StatusCode.PERMISSION_DENIED, "TENANT_FORBIDDEN")
    assert await refusal(method, (*keyring.header("acme"), ("tessera-tenant", "rival"))) == refused


@each_method()
@pytest.mark.asyncio(loop_scope="module")
async def test_a_platform_token_has_to_name_a_tenant(
    method: MethodDescriptor, refusal: Callable[..., Any], keyring: Keyring
) -> None:
    if access(method).all_tenants:
        # A gateway asks whose a write key, or a link in a mail, is before it knows the tenant.
        assert method.server_streaming or method.name in ("ResolveWriteKey", "Unsubscribe"), (
            "only feeds answer for all tenants"
        )
        return
    assert await refusal(method, keyring.header("*")) == (grpc.StatusCode.PERMISSION_DENIED, "TENANT_MISSING")
