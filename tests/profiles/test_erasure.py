"""Receipts: their state follows from what the services say, and the first answer of each stands."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.privacy import Removal, Removed
from services.common.store import Insert, Store, open_store
from services.profiles.adapters.erasures import ERASURES, StoredErasures, erasure_body
from services.profiles.app import Settings
from services.profiles.domain.erasure import Erasure, ErasureNotFound, ErasureState, Part, erasure_id_of
from services.profiles.handlers.erasures import acknowledge_erasure, get_erasure

SERVICES = ("crm", "loyalty", "profiles")


def erasure(**changes: Any) -> Erasure:
    given: dict[str, Any] = {
        "erasure_id": "er_1",
        "customer_id": "c1",
        "pseudonym": "p1",
        "requested_by": "ann",
        "reason": "",
        "request_time": 1,
        "parts": tuple(Part(service) for service in SERVICES),
        "origin_customer_ids": ("c1",),
    }
    return Erasure(**{**given, **changes})


def clock() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


@given(st.permutations([*SERVICES, *SERVICES]))
def test_it_is_finished_when_the_last_has_answered_and_not_before(order: list[str]) -> None:
    receipt = erasure()
    for time, service in enumerate(order, start=1):
        assert (receipt.state is ErasureState.FINISHED) == all(part.done for part in receipt.parts)
        receipt = receipt.acknowledged(service, [Removed("thing", time)], 0, time)
    assert receipt.state is ErasureState.FINISHED
    first = {service: order.index(service) + 1 for service in SERVICES}
    assert {part.service: part.acknowledge_time for part in receipt.parts} == first
    assert {part.service: part.removed[0].count for part in receipt.parts} == first
    assert receipt.finish_time == max(first.values())


def test_the_state_says_how_far_profiles_is() -> None:
    assert erasure(origin_customer_ids=()).state is ErasureState.INITIALIZED
    assert erasure().state is ErasureState.RUNNING
    assert erasure(problem="the disk is full").state is ErasureState.FAILED
    assert erasure().acknowledged("profiles", [], 0, 5).state is ErasureState.PARTIAL_SUCCESS


def test_what_profiles_removes_bit_by_bit_is_summed() -> None:
    receipt = erasure().removing([Removed("event", 500)]).removing([Removed("event", 20), Removed("trait", 0)])
    assert receipt.own.removed == (Removed("event", 520),)


def test_a_customer_is_erased_once_and_tenants_apart() -> None:
    assert erasure_id_of("acme", "c1") == erasure_id_of("acme", "c1") != erasure_id_of("rival", "c1")


@pytest.fixture
async def store(configure: Callable[..., Any]) -> AsyncIterator[Store]:
    async with open_store(configure(Settings), (ERASURES,)) as opened:
        await opened.commit([Insert("acme", ERASURES, "er_1", erasure_body(erasure()))])
        yield opened


async def test_answers_at_the_same_moment_are_all_on_the_receipt(store: Store) -> None:
    erasures = StoredErasures(store)
    removed = [Removed("ledger_entry", 3, Removal.PSEUDONYMISED)]
    answers = (acknowledge_erasure(erasures, clock, "acme", "er_1", each, removed, 7) for each in SERVICES)
    await asyncio.gather(*answers)
    receipt = await get_erasure(erasures, "acme", "er_1")
    assert receipt.state is ErasureState.FINISHED
    assert {part.removed for part in receipt.parts} == {tuple(removed)}
    assert {part.remove_time for part in receipt.parts} == {7}


async def test_a_service_that_is_not_in_the_setting_is_on_the_receipt_too(store: Store) -> None:
    erasures = StoredErasures(store)
    await acknowledge_erasure(erasures, clock, "acme", "er_1", "newsletter", [], 0)
    assert [part.service for part in (await get_erasure(erasures, "acme", "er_1")).parts if part.done] == ["newsletter"]


async def test_the_erasure_of_another_tenant_cannot_be_acknowledged(store: Store) -> None:
    with pytest.raises(ErasureNotFound):
        await acknowledge_erasure(StoredErasures(store), clock, "rival", "er_1", "crm", [], 0)
