"""A gateway over services that answer what a test says."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Keyring
from tests.gateway.platform import Backend, Client, Configure, gateway_over, stand_ins


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
async def client(backend: Backend, configure: Configure, keyring: Keyring) -> AsyncIterator[Client]:
    async with (
        stand_ins(backend, configure) as addresses,
        gateway_over(configure, keyring, addresses) as client,
    ):
        yield client
