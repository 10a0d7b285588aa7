"""Anonymised people: what they did stays, nothing leads to them, and it is done once whatever happens meanwhile."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import grpc
from hypothesis import given
from hypothesis import strategies as st
from tessera.common.v1 import privacy_pb2
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.app import Settings, serve
from services.profiles.domain.anonymising import anonymous
from services.profiles.domain.vocabulary import VOCABULARY
from tests.conftest import Keyring
from tests.profiles.client import Client, identify, order, track
from tests.profiles.test_erasing import PENDING, erase, on_the_feed, receipt, user
from tests.profiles.test_erasing_crash import ServiceProcess, removing

ANONYMISE = erasure_pb2.ERASURE_MODE_ANONYMISE
SECRET = "ann@example.com"
SAID = st.recursive(
    st.just(SECRET) | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)


def hidden(kind: str, value: str) -> str:
    return f"{kind}-{len(value)}"


@given(
    st.sampled_from([*VOCABULARY, "Birthday Told"]),
    st.dictionaries(st.text() | st.sampled_from(["name", "email", "query", "recipient", "coupon", "url"]), SAID),
)
def test_nothing_that_is_not_about_products_and_money_stays(name: str, properties: dict[str, Any]) -> None:
    left = anonymous(name, json.dumps({**properties, "order_id": SECRET, "products": [properties]}), hidden)
    assert SECRET not in left


def test_what_is_about_products_and_money_stays() -> None:
    line = {"product_id": "p1", "price": 2.5, "quantity": 2, "name": "for Ann"}
    told = {"order_id": "o1", "currency": "USD", "total": 5, "coupon": "ANN10", "products": [line]}
    left = json.loads(anonymous("Order Completed", json.dumps(told), hidden))
    kept = {"product_id": "p1", "price": 2.5, "quantity": 2}
    assert left == {"order_id": "order_id-2", "currency": "USD", "total": 5, "products": [kept]}


async def test_what_a_person_did_stays_under_a_pseudonym_and_nothing_else(acme: Client) -> None:
    bought = order("o1", "7", 5, at=2000)
    bought.context_json = '{"ip": "192.0.2.77"}'
    told = track("c1", "7", name="Birthday Told", at=1500)
    told.properties_json = '{"day": "3 May"}'
    await acme.ingest(identify("i1", "7", anonymous="a7", email=SECRET), bought, told, track("v1", anonymous="b7"))
    await acme.ingest(track("s1", "7", "b7"), track("t8", "8"))
    customer = await acme.customer("user_id", "7")
    assert len(customer.origin_customer_ids) == 2
    (accepted,) = (await erase(acme, user("7"), mode=ANONYMISE)).erasures
    assert accepted.mode == ANONYMISE
    done = await receipt(acme, accepted.erasure_id, lambda it: it.state == PENDING)
    (own,) = [each for each in done.services if each.service == "profiles"]
    counts = {(each.kind, each.removal): each.count for each in own.removed}
    assert counts["event", privacy_pb2.REMOVAL_PSEUDONYMISED] == 4
    assert counts["event", privacy_pb2.REMOVAL_DELETED] == 1
    assert counts["encryption_key", privacy_pb2.REMOVAL_DELETED] == 2

    missing = await acme.refusal("GetCustomer", pb.GetCustomerRequest(customer_id=customer.customer_id))
    assert missing == (grpc.StatusCode.NOT_FOUND, "CUSTOMER_NOT_FOUND")
    assert not (await acme.events(customer.customer_id)).events
    left = (await acme.call("GetCustomer", pb.GetCustomerRequest(customer_id=done.pseudonym))).customer
    assert (list(left.identifiers), list(left.traits)) == ([], [])
    assert (left.lifetime.event_count, left.lifetime.order_count) == (4, 1)
    assert left.lifetime.spend == customer.lifetime.spend
    events = (await acme.events(done.pseudonym)).events
    names = ["Birthday Told", "Order Completed", "Product Viewed", "Product Viewed"]
    assert sorted(event.name for event in events) == names
    assert all(event.anonymised for event in events)
    (sale,) = [json.loads(event.properties_json) for event in events if event.name == "Order Completed"]
    assert sale["products"] == [{"product_id": "p1", "price": 5, "quantity": 1}]
    assert sale["order_id"] != "o1"
    text = str(events) + str(left)
    for trace in ("192.0.2.77", SECRET, "3 May", "a7", "b7", "o1", customer.customer_id):
        assert f'"{trace}"' not in text

    told_to_all = await on_the_feed(acme, accepted.erasure_id)
    again = [change.event_recorded for change in told_to_all if change.HasField("event_recorded")]
    assert [event.anonymised for event in again] == [False, True, True, True, True]
    assert {event.customer_id for event in again[1:]} == {done.pseudonym}
    assert (await acme.ingest(track("x", "7"))).rejections[0].reason == "IDENTIFIER_SUPPRESSED"


async def test_a_killed_service_goes_on_anonymising_and_keeps_every_event_once(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    settings, count = configure(Settings), 4000
    process = await asyncio.to_thread(ServiceProcess, settings.data_dir, keyring)
    try:
        async with grpc.aio.insecure_channel(process.address) as channel:
            acme = Client(ProfilesServiceStub(channel), keyring.header("acme"))
            for begin in range(0, count, 2000):
                await acme.ingest(*(order(f"o{n}", "7", 5, at=n + 1) for n in range(begin, begin + 2000)))
            (accepted,) = (await erase(acme, user("7"), mode=ANONYMISE)).erasures
            await receipt(acme, accepted.erasure_id, removing)
    finally:
        await asyncio.to_thread(process.kill)

    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        acme = Client(ProfilesServiceStub(channel), keyring.header("acme"))
        done = await receipt(acme, accepted.erasure_id, lambda it: it.state == PENDING)
        left = (await acme.call("GetCustomer", pb.GetCustomerRequest(customer_id=done.pseudonym))).customer
        assert (left.lifetime.event_count, left.lifetime.order_count) == (count, count)
        statistics = await acme.call("GetStatistics", pb.GetStatisticsRequest())
        assert (statistics.customer_count, statistics.event_count) == (1, count)
