"""A segmentation with real engines and a clock that tests set; events are fed as profiles' feed would."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import pytest
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.common.clock import from_micros
from services.common.columnar import Columnar, open_columnar
from services.common.columnar.duckdb import DuckDBColumnar
from services.common.erasure import ACKNOWLEDGEMENTS, Acknowledgements
from services.common.sealing import MasterKey
from services.common.store import Store, open_store
from services.segmentation.adapters import destinations
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.events import Follower
from services.segmentation.adapters.forgetting import Forgetting
from services.segmentation.adapters.kept import Kept
from services.segmentation.adapters.lists import COLLECTIONS as LIST_COLLECTIONS
from services.segmentation.adapters.lists import ListFollower, StoredLists
from services.segmentation.adapters.memberships import StoredMemberships
from services.segmentation.adapters.store import COLLECTIONS, StoredSegments
from services.segmentation.adapters.tables import TABLES
from services.segmentation.app import Settings
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.ports import MembershipChange
from tests.conftest import Keyring
from tests.segmentation.histories import NOW
from tests.segmentation.platform import Platform, platform_of
from tests.segmentation.studies import Study

TENANT = "acme"


@dataclass
class SetClock:
    """A clock that stands where it is set."""

    micros: int = NOW

    def __call__(self) -> datetime:
        return from_micros(self.micros)


def recorded(
    customer_id: str,
    time: int,
    content: object,
    message_id: str,
    *,
    name: str = "Order Completed",
    tenant: str = TENANT,
    type: profiles.EventType.ValueType = profiles.EVENT_TYPE_TRACK,
) -> profiles.Change:
    """One entry of profiles' feed."""
    change = profiles.Change(tenant_id=tenant)
    event = change.event_recorded
    event.customer_id, event.name, event.message_id, event.type = customer_id, name, message_id, type
    event.properties_json = orjson.dumps(content).decode()
    event.event_time.seconds, event.event_time.nanos = time // 1_000_000, time % 1_000_000 * 1000
    return change


def _fed_by_hand(cursor: str) -> AsyncIterator[profiles.FollowChangesResponse]:
    raise NotImplementedError


@dataclass
class House:
    """The parts of a running service without its background tasks, so that tests decide when they work."""

    store: Store
    analytics: ColumnarAnalytics
    clock: SetClock
    columnar: Columnar
    segments: StoredSegments = field(init=False)
    memberships: StoredMemberships = field(init=False)
    evaluation: Evaluation = field(init=False)

    def __post_init__(self) -> None:
        self.segments, self.memberships = StoredSegments(self.store), StoredMemberships(self.store)
        self.evaluation = Evaluation(self.segments, self.memberships, self.analytics, self.clock)
        self.lists = StoredLists(self.store)
        self.destinations = destinations.StoredDestinations(
            self.store, destinations.Secrets([MasterKey("test", bytes(32))])
        )
        self.told: list[Any] = []
        acknowledgements = Acknowledgements(
            self.store, "segmentation", self._hear, erasure_pb2.AcknowledgeErasureRequest, self.clock
        )
        forgetting = Forgetting(
            self.store, self.columnar, acknowledgements, self.evaluation.standstill, self.analytics.forget
        )
        self._follower = Follower(_fed_by_hand, self.analytics, self.evaluation.touch, forgetting)
        self._acknowledgements = acknowledgements
        self._numbers = itertools.count(1)

    async def _hear(self, request: Any, **_: object) -> None:
        self.told.append(request)

    async def acknowledge(self) -> list[Any]:
        """What profiles hears of erasures."""
        await self._acknowledgements.send()
        return self.told

    async def again(self) -> "House":
        """The same house after a restart."""
        return House(self.store, self.analytics, self.clock, self.columnar)

    async def list_changed(self) -> None:
        """Bring what was written of lists into the analytical tables."""
        follower = ListFollower(self.store, self.analytics, self.evaluation.touch)
        end = await self.store.end_of_feed()
        async for batch in self.store.changes(await self.analytics.cursor("lists")):
            await follower.apply(batch)
            if batch[-1].cursor == end:
                break

    async def feed(self, *changes: profiles.Change, cursor: str = "") -> None:
        """Apply a batch of profiles' feed."""
        cursor = cursor or f"cursor {next(self._numbers)}"
        await self._follower.apply(profiles.FollowChangesResponse(changes=changes, cursor=cursor, caught_up=True))

    async def order(self, customer_id: str, time: int, total: float, message_id: str = "") -> None:
        """Feed one order."""
        properties = {"order_id": "o", "currency": "USD", "total": total, "products": []}
        await self.feed(recorded(customer_id, time, properties, message_id or f"message {next(self._numbers)}"))

    async def identify(self, customer_id: str, time: int, **traits: object) -> None:
        """Feed traits."""
        message_id = f"message {next(self._numbers)}"
        kind = profiles.EVENT_TYPE_IDENTIFY
        await self.feed(recorded(customer_id, time, traits, message_id, name="Identify", type=kind))

    async def members(self, segment_id: str) -> list[str]:
        return [who for who, _ in (await self.memberships.members(TENANT, segment_id, 1000, ""))[0]]

    async def changes(self) -> list[MembershipChange]:
        """Everything in the feed."""
        found: list[MembershipChange] = []
        end = await self.store.end_of_feed()
        if end:
            async for batch in self.memberships.changes("", None):
                found.extend(batch.changes)
                if batch.cursor == end:
                    break
        return found


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def house(configure: Callable[..., Settings], clock: SetClock) -> AsyncIterator[House]:
    settings = configure(Settings)
    async with (
        open_store(settings, (*COLLECTIONS, *LIST_COLLECTIONS, *destinations.COLLECTIONS, ACKNOWLEDGEMENTS)) as store,
        open_columnar(settings, TABLES) as columnar,
    ):
        yield House(store, ColumnarAnalytics(columnar, clock, kept=Kept(columnar, clock)), clock, columnar)


@pytest.fixture(scope="module")
def analytics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ColumnarAnalytics]:
    """One engine for all examples: each has a tenant of its own, which tests the tenants' separation too."""
    columnar = DuckDBColumnar(tmp_path_factory.mktemp("columnar") / "test.duckdb", TABLES)
    yield ColumnarAnalytics(columnar, lambda: from_micros(NOW))
    asyncio.run(columnar.close())


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.timeout(300)])])
async def engine(
    request: pytest.FixtureRequest, configure: Callable[..., Settings]
) -> AsyncIterator[ColumnarAnalytics]:
    url = request.getfixturevalue("spark_url") if request.param == "spark" else None
    async with open_columnar(configure(Settings, analytics_url=url), TABLES) as columnar:
        yield ColumnarAnalytics(columnar, lambda: from_micros(NOW))


@pytest.fixture
async def platform(configure: Callable[..., Settings], keyring: Keyring) -> AsyncIterator[Platform]:
    async with platform_of(configure, keyring) as platform:
        yield platform


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """Questions to one engine for all examples of a module."""
    columnar = DuckDBColumnar(tmp_path_factory.mktemp("study") / "test.duckdb", TABLES)
    yield Study.over(columnar)
    asyncio.run(columnar.close())


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.timeout(300)])])
async def both(request: pytest.FixtureRequest, configure: Callable[..., Settings]) -> AsyncIterator[Study]:
    """Questions to each engine."""
    url = request.getfixturevalue("spark_url") if request.param == "spark" else None
    async with open_columnar(configure(Settings, analytics_url=url), TABLES) as columnar:
        yield Study.over(columnar)
