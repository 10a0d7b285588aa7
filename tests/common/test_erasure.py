"""What a follower removed reaches profiles, through restarts, refusals and removals that are repeated."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from tessera.profiles.v1 import erasure_pb2 as pb

from services.common.erasure import ACKNOWLEDGEMENTS, Acknowledgements
from services.common.feed import CURSORS, advance
from services.common.privacy import Removal, Removed
from services.common.settings import ServiceSettings
from services.common.store import Store, open_store

POINTS = Removed("ledger_entry", 12, Removal.PSEUDONYMISED)


class Settings(ServiceSettings):
    service = "test"


class Profiles:
    """The rpc, as far as a caller sees it: answers, or fails with the next of the codes that it was given."""

    def __init__(self, *failures: grpc.StatusCode) -> None:
        self.failures = list(failures)
        self.told: list[tuple[str, pb.AcknowledgeErasureRequest]] = []

    async def acknowledge(self, request: pb.AcknowledgeErasureRequest, *, metadata: Any) -> None:
        if self.failures:
            raise grpc.aio.AioRpcError(self.failures.pop(0), grpc.aio.Metadata(), grpc.aio.Metadata())
        self.told.append((dict(metadata)["tessera-tenant"], request))


class Hours:
    """A clock that is an hour later each time it is asked, so that whatever was put off is due."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(hours=1)
        return self.now


@pytest.fixture
async def store(configure: Callable[..., Any]) -> AsyncIterator[Store]:
    async with open_store(configure(Settings), (ACKNOWLEDGEMENTS, CURSORS)) as opened:
        yield opened


def acknowledgements(store: Store, profiles: Profiles, clock: Hours | None = None) -> Acknowledgements:
    return Acknowledgements(store, "test", profiles.acknowledge, pb.AcknowledgeErasureRequest, clock or Hours())


async def test_what_was_removed_is_told_once_with_its_counts(store: Store) -> None:
    profiles = Profiles()
    outbox = acknowledgements(store, profiles)
    await store.commit([await outbox.removed("acme", "er_1", [POINTS]), advance("f", "7")])
    await outbox.send()
    await outbox.send()
    ((tenant, request),) = profiles.told
    assert (tenant, request.service, request.erasure_id) == ("acme", "test", "er_1")
    assert [(each.kind, each.count, each.removal) for each in request.removed] == [("ledger_entry", 12, 2)]
    assert request.HasField("remove_time")


async def test_profiles_is_told_again_until_it_answers_also_after_a_restart(store: Store) -> None:
    profiles, clock = Profiles(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED), Hours()
    outbox = acknowledgements(store, profiles, clock)
    await store.commit([await outbox.removed("acme", "er_1", [POINTS])])
    await outbox.send()
    restarted = acknowledgements(store, profiles, clock)
    await restarted.send()
    assert profiles.told == []
    await restarted.send()
    assert len(profiles.told) == 1


async def test_a_removal_that_is_repeated_loses_no_count(store: Store) -> None:
    profiles = Profiles()
    outbox = acknowledgements(store, profiles)
    await store.commit([await outbox.removed("acme", "er_1", [POINTS], complete=False)])
    await outbox.send()
    assert profiles.told == [], "what is only about to go is not told"
    found_again = [Removed("ledger_entry", 3, Removal.PSEUDONYMISED), Removed("voucher", 1)]
    await store.commit([await outbox.removed("acme", "er_1", found_again)])
    await outbox.send()
    counts = {each.kind: each.count for each in profiles.told[0][1].removed}
    assert counts == {"ledger_entry": 12, "voucher": 1}


async def test_one_erasure_that_is_refused_does_not_hold_up_another(store: Store) -> None:
    profiles = Profiles(grpc.StatusCode.INTERNAL)
    outbox = acknowledgements(store, profiles)
    for erasure_id in ("er_1", "er_2"):
        await store.commit([await outbox.removed("acme", erasure_id, [])])
    await outbox.send()
    assert len(profiles.told) == 1
    await outbox.send()
    assert {request.erasure_id for _, request in profiles.told} == {"er_1", "er_2"}


async def test_an_erasure_that_profiles_does_not_know_is_not_told_for_ever(store: Store) -> None:
    outbox = acknowledgements(store, Profiles(grpc.StatusCode.NOT_FOUND))
    await store.commit([await outbox.removed("acme", "er_1", [POINTS])])
    await outbox.send()
    assert await store.count("*", ACKNOWLEDGEMENTS) == 0
