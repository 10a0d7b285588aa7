"""A real profiles server on a SQLite file of its own."""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.app import Settings, serve
from tests.conftest import Keyring
from tests.profiles.client import Client

if TYPE_CHECKING:
    from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceAsyncStub


@pytest.fixture
async def profiles(configure: Callable[..., Any]) -> "AsyncIterator[ProfilesServiceAsyncStub]":
    async with serve(configure(Settings)) as up, grpc.aio.insecure_channel(up.address) as channel:
        yield ProfilesServiceStub(channel)


@pytest.fixture
def acme(profiles: "ProfilesServiceAsyncStub", keyring: Keyring) -> Client:
    return Client(profiles, keyring.header("acme"))


@pytest.fixture
def rival(profiles: "ProfilesServiceAsyncStub", keyring: Keyring) -> Client:
    return Client(profiles, keyring.header("rival"))
