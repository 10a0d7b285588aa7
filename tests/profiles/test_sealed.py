"""What is about a person is sealed with the person's key, and nobody reads it once the key is destroyed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.errors import AlreadyExists
from services.common.sealing import read_master_keys
from services.common.store import Document, Insert, Query, Store
from services.common.store.sqlite import SqliteStore
from services.profiles.adapters.consents import StoredConsents
from services.profiles.adapters.customer_keys import CUSTOMER_KEYS, CustomerKeys, PersonalDataUnreadable
from services.profiles.adapters.keys import TenantKeys
from services.profiles.adapters.sealed import CUSTOMERS, customer_body, customer_of, event_body, recorded
from services.profiles.adapters.store import EVENTS
from services.profiles.app import KEPT, Settings, serve
from services.profiles.domain.consent import Consents, ConsentState, Statement
from services.profiles.domain.customer import Customer, Group, Lifetime, Trait
from services.profiles.domain.event import EventType, Observation
from services.profiles.ports import ConsentUpdate, Recording
from tests.conftest import Keyring
from tests.profiles.client import Client, identify, order, track
from tests.profiles.test_erasing import erase, removed, user

KEY, OTHER_KEY = bytes(32), bytes(31) + b"1"
TEXTS = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
TIMES = st.integers(0, 2**50)
TRAITS = st.dictionaries(TEXTS, st.builds(Trait, VALUES, TIMES), max_size=4)


def observation(message_id: str = "m1", text: str = '{"city": "Lyon"}') -> Observation:
    return Observation(
        message_id, EventType.TRACK, "Seen", "7", "", 5, text, {}, None, context='{"ip": "1.2.3.4"}', previous_id="a7"
    )


def sealed_event(event: Observation, customer_id: str = "c1") -> dict[str, Any]:
    recording = Recording([(event, customer_id)], 9, {customer_id: Customer(customer_id)}, {}, {})
    return event_body("acme", event, customer_id, recording, KEY)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4), TRAITS, TRAITS, TIMES)
def test_a_customer_is_read_as_it_was_written(
    names: list[tuple[str, str]], traits: dict[str, Trait], of_group: dict[str, Trait], time: int
) -> None:
    customer = Customer("c1", [], traits, Lifetime(1, 2, {"USD": 3}, 4, 5), time, time, {"home": Group(of_group, time)})
    for name in names:
        customer.know_as(name)
    body = customer_body("acme", customer, KEY)
    assert customer_of("acme", Document("c1", body, 1), {"c1": KEY}) == customer
    assert customer_of("acme", Document("c1", body, 1), {}) is None


@given(TEXTS, TEXTS)
def test_an_event_is_read_as_it_was_written(text: str, context: str) -> None:
    event = observation(text=text)
    event.context = context
    read = recorded("acme", "m1", sealed_event(event), {"c1": KEY})
    assert read is not None
    assert (read.json, read.context, read.previous_id, read.origin) == (text, context, "a7", "c1")


def test_what_is_moved_to_another_place_or_opened_with_another_key_is_not_read() -> None:
    body = sealed_event(observation())
    for tenant, message_id, key in (("rival", "m1", KEY), ("acme", "m2", KEY), ("acme", "m1", OTHER_KEY)):
        with pytest.raises(PersonalDataUnreadable):
            recorded(tenant, message_id, body, {"c1": key})


@asynccontextmanager
async def stored(settings: Settings) -> AsyncIterator[Store]:
    """The documents of a service that does not run."""
    store = await SqliteStore.open(settings.data_dir / "profiles.sqlite3", KEPT)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def served(settings: Settings, keyring: Keyring) -> AsyncIterator[Client]:
    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        yield Client(ProfilesServiceStub(channel), keyring.header("acme"))


@pytest.fixture
def settings(configure: Callable[..., Any]) -> Settings:
    made: Settings = configure(Settings)
    return made


async def test_what_a_backup_brings_back_of_an_erased_person_cannot_be_read(
    settings: Settings, keyring: Keyring
) -> None:
    async with served(settings, keyring) as acme:
        await acme.ingest(identify("i1", "user-7", city="Lyon"), order("o1", "user-7", 5), track("t8", "user-8"))
        customer_id = (await acme.customer("user_id", "user-7")).customer_id
    async with stored(settings) as store:
        page = await store.find("acme", EVENTS, Query(where={"customer_id": customer_id}, order_by="time"))
        customer = await store.get("acme", CUSTOMERS, customer_id)
        assert customer is not None
        assert await store.get("acme", CUSTOMER_KEYS, customer_id) is not None
    async with served(settings, keyring) as acme:
        (accepted,) = (await erase(acme, user("user-7"))).erasures
        assert (await removed(acme, accepted.erasure_id))["encryption_key"] == 1
    async with stored(settings) as store:
        assert await store.get("acme", CUSTOMER_KEYS, customer_id) is None
        await store.commit([Insert("acme", EVENTS, each.id, each.body) for each in page.documents])
        await store.commit([Insert("acme", CUSTOMERS, customer_id, customer.body)])
    async with served(settings, keyring) as acme:
        missing = await acme.refusal("GetCustomer", pb.GetCustomerRequest(customer_id=customer_id))
        assert missing == (grpc.StatusCode.NOT_FOUND, "CUSTOMER_NOT_FOUND")
        assert not (await acme.events(customer_id)).events
        await acme.ingest(track("t9", "user-8"))
        told: list[str] = []
        async for batch in acme.follow():
            told += [change.event_recorded.message_id for change in batch.changes if change.HasField("event_recorded")]
            if "t9" in told:
                break
        assert told == ["t8", "t9"]


async def test_documents_from_before_customers_had_keys_are_read_and_sealed_when_written(
    settings: Settings, keyring: Keyring
) -> None:
    figures = {"events": 1, "orders": 0, "spend": {}, "first_order": 0, "last_order": 0}
    body = {"identifiers": [["user_id", "7"]], "traits": {"city": ["Lyon", 5]}, **figures}
    event = {"customer_id": "c1", "name": "Seen", "type": 2, "time": 5, "recorded": 6, "json": '{"a": 1}'}
    async with stored(settings) as store:
        identities = next(each for each in KEPT if each.name == "identities")
        writes = [
            Insert("acme", CUSTOMERS, "c1", {**body, "first_seen": 5, "last_seen": 5}),
            Insert("acme", identities, "user_id:7", {"customer_id": "c1"}),
            Insert("acme", EVENTS, "m0", event),
        ]
        await store.commit(writes)
    async with served(settings, keyring) as acme:
        assert (await acme.customer("user_id", "7")).traits[0].value_json == '"Lyon"'
        await acme.ingest(track("m1", "7"))
        assert {each.properties_json for each in (await acme.events("c1")).events} >= {'{"a": 1}'}
    async with stored(settings) as store:
        written = await store.get("acme", CUSTOMERS, "c1")
        assert written is not None
        assert "traits" not in written.body
        assert "sealed" in written.body


async def test_a_statement_that_comes_after_an_erasure_is_not_kept_nor_makes_a_key(
    settings: Settings, keyring: Keyring
) -> None:
    async with served(settings, keyring) as acme:
        await acme.ingest(identify("i1", "user-7"))
        customer_id = (await acme.customer("user_id", "user-7")).customer_id
        (accepted,) = (await erase(acme, user("user-7"))).erasures
        await removed(acme, accepted.erasure_id)
    async with stored(settings) as store:
        master = read_master_keys((settings.data_dir / "profiles_master_key").read_text("ascii"), "the test")
        book = StoredConsents(store, CustomerKeys(store, TenantKeys(store, master)))
        said = Statement("s1", customer_id, "news", "", ConsentState.GRANTED, 5, 5)
        with pytest.raises(AlreadyExists):
            await book.commit("acme", [ConsentUpdate(Consents(customer_id), None, [said])], None, {})
        assert await store.get("acme", CUSTOMER_KEYS, customer_id) is None
