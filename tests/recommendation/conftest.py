"""A trained shop, made once, and servers on copies of it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceStub

from services.common.clock import Clock, system_clock
from services.common.columnar import open_columnar
from services.recommendation.adapters.interactions import TABLES, ColumnarInteractions, Lines
from services.recommendation.app import Settings, serve
from tests.conftest import Keyring
from tests.recommendation.client import NOBODY, Client
from tests.recommendation.making import catalogue, shop

STILL = {"profiles_addr": NOBODY, "segmentation_addr": NOBODY, "signal_retention_days": 0.0}
"""Nothing comes from other services, and views of the shop, whose days are fixed, do not grow too old."""


class Start(Protocol):
    """Starts a server on the test's data folder, and again on the same one."""

    def __call__(self, clock: Clock = ..., **settings: Any) -> Any: ...


@pytest.fixture
def start(configure: Callable[..., Any], keyring: Keyring) -> Start:
    @asynccontextmanager
    async def run(clock: Clock = system_clock, **settings: Any) -> AsyncIterator[Client]:
        chosen = configure(Settings, **{**STILL, **settings})
        async with serve(chosen, clock) as up, grpc.aio.insecure_channel(up.address) as channel:
            yield Client(RecommendationServiceStub(channel), keyring)

    return run


@pytest.fixture(scope="session")
def trained_folder(keyring: Keyring, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server that has the catalogue, the purchases and a live model of the shop."""
    folder = tmp_path_factory.mktemp("trained")
    settings = Settings(
        port=0,
        data_dir=folder,
        auth_public_key_file=keyring.public_key,
        service_token_file=keyring.service_token,
        profiles_addr=NOBODY,
        segmentation_addr=NOBODY,
    )

    async def make() -> None:
        await record(settings, shop().lines)
        async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
            client = Client(RecommendationServiceStub(channel), keyring)
            await client.upsert(catalogue())
            job = await client.train(dimensions=2, min_basket_count=2)
            assert job.message == "done"

    asyncio.run(make())
    return folder


async def record(settings: Settings, lines: Lines, cursor: str = "1") -> None:
    """Record lines as the follower does, while no server runs."""
    async with open_columnar(settings, TABLES) as columnar:
        await ColumnarInteractions(columnar).record(lines, cursor)


@pytest.fixture
def settings(configure: Callable[..., Any]) -> Settings:
    """Settings of a server on the test's own folder."""
    chosen: Settings = configure(Settings, profiles_addr=NOBODY)
    return chosen


@pytest.fixture
def trained_settings(trained_folder: Path, settings: Settings) -> Settings:
    """Settings of a server on a copy of the trained shop."""
    shutil.copytree(trained_folder, settings.data_dir)
    return settings


@pytest.fixture
async def trained(trained_settings: Settings, start: Start) -> AsyncIterator[Client]:
    async with start() as client:
        yield client


@pytest.fixture
async def empty(start: Start) -> AsyncIterator[Client]:
    """A server that knows nothing."""
    async with start() as client:
        yield client
