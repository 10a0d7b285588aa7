"""A source that sends to a gateway over a real profiles."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Keyring
from tests.gateway.platform import Configure
from tests.gateway.tracking.sources import Source, opened


@pytest.fixture
async def source(configure: Configure, keyring: Keyring) -> AsyncIterator[Source]:
    async with opened(configure, keyring) as source:
        yield source
