"""Recording orders exactly once, and following a real profiles."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import fields
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.columnar import Columnar, open_columnar
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from services.recommendation.adapters.events import told_of
from services.recommendation.adapters.interactions import TABLES, ColumnarInteractions, Lines, Moved
from services.recommendation.adapters.since import CustomersSince
from services.recommendation.app import Settings
from services.recommendation.domain.history import Bought
from tests.conftest import Keyring
from tests.recommendation.client import Client, ids
from tests.recommendation.conftest import Start
from tests.recommendation.making import catalogue


def order(order_id: str, *products: dict[str, Any], currency: str = "USD") -> str:
    return json.dumps({"order_id": order_id, "currency": currency, "products": products})


def batch(cursor: str, *orders: tuple[str, str]) -> profiles_pb.FollowChangesResponse:
    """Orders of (customer, properties) of tenant ``acme``."""
    return profiles_pb.FollowChangesResponse(
        cursor=cursor,
        changes=[
            profiles_pb.Change(
                tenant_id="acme",
                event_recorded=profiles_pb.RecordedEvent(
                    message_id=f"{cursor}-{place}",
                    name="Order Completed",
                    customer_id=customer,
                    event_time=Timestamp(seconds=1_000, nanos=5_000),
                    properties_json=properties,
                ),
            )
            for place, (customer, properties) in enumerate(orders)
        ],
    )


@pytest.fixture
async def columnar(settings: Settings) -> AsyncIterator[Columnar]:
    async with open_columnar(settings, TABLES) as opened:
        yield opened


def lines_of(told: profiles_pb.FollowChangesResponse) -> Lines:
    return told_of(told).lines


FIRST = batch(
    "7",
    ("ann", order("o1", {"product_id": "milk", "price": 1.25, "quantity": 3})),
    ("bob", order("o2", {"product_id": "milk", "price": 9.99, "quantity": 1, "total": 0.5}, {"product_id": "tea"})),
)


def test_a_lines_amount_is_its_total_or_price_times_quantity() -> None:
    lines = lines_of(FIRST)
    assert lines.item_id == ["milk", "milk", "tea"]
    assert lines.basket_id == ["o1", "o2", "o2"]
    assert lines.amount_minor == [375, 50, 0]
    assert lines.quantity == [3, 1, 1]
    assert lines.time == [1_000_000_005] * 3
    assert lines_of(
        batch("1", ("ann", order("o", {"product_id": "a", "price": 120}, currency="JPY")))
    ).amount_minor == [120]


def test_an_order_that_cannot_be_read_does_not_hold_up_the_others() -> None:
    lines = lines_of(batch("1", ("ann", "{"), ("ann", order("o1", {"price": 1})), ("bob", FIRST.changes[0]
                     .event_recorded.properties_json)))  # fmt: skip
    assert {name.name: len(getattr(lines, name.name)) for name in fields(Lines)} == dict.fromkeys(
        (name.name for name in fields(Lines)), 1
    )


async def test_the_same_batch_again_changes_nothing(columnar: Columnar) -> None:
    interactions = ColumnarInteractions(columnar)
    for _ in range(3):
        await interactions.record(lines_of(FIRST), FIRST.cursor)
    assert await interactions.count("acme") == 3
    assert await interactions.cursor() == "7"
    # A new process on the same table goes on behind the last position.
    again = ColumnarInteractions(columnar)
    await again.record(lines_of(FIRST), FIRST.cursor)
    assert await again.count("acme") == 3
    _, before = await again.purchases("acme")
    await again.record(lines_of(batch("8", ("ann", order("o3", {"product_id": "tea"})))), "8")
    assert (await again.purchases("acme"))[1] == before + 1
    assert await again.bought_since("acme", before, ["ann", "bob"]) == {"ann": [Bought("tea", "o3", 1_000_000_005)]}


async def test_a_customer_who_buys_while_a_model_is_live_is_seen_at_once(columnar: Columnar) -> None:
    interactions = ColumnarInteractions(columnar)
    await interactions.record(lines_of(FIRST), FIRST.cursor)
    _, position = await interactions.purchases("acme")
    assert await interactions.bought_since("acme", position, ["ann"]) == {}
    await interactions.record(lines_of(batch("8", ("ann", order("o3", {"product_id": "tea"})))), "8")
    assert [line.item_id for line in (await interactions.bought_since("acme", position, ["ann"]))["ann"]] == ["tea"]


async def test_whoever_asks_while_it_is_read_who_bought_since_waits_for_it(columnar: Columnar) -> None:
    await ColumnarInteractions(columnar).record(lines_of(FIRST), FIRST.cursor)
    late = lines_of(batch("8", ("ann", order("o3", {"product_id": "tea"}))))
    moved = Moved(touched={("acme", "bob")})
    await ColumnarInteractions(columnar).record(late, "8", moved)
    fresh = ColumnarInteractions(columnar)
    answers = await asyncio.gather(*(fresh.bought_since("acme", 1, ["ann"]) for _ in range(3)))
    assert [list(answer) for answer in answers] == [["ann"]] * 3
    assert await asyncio.gather(*(fresh.moved_since("acme", 1) for _ in range(3))) == [{"bob"}] * 3


async def test_a_reading_that_fails_is_tried_again() -> None:
    answers: list[list[str] | Exception] = [OSError("the disk is away"), ["ann"]]

    async def read(tenant: str, position: int) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    since = CustomersSince(read)
    with pytest.raises(OSError, match="away"):
        await since.of("acme", 1)
    since.add("acme", "bob")
    assert await since.of("acme", 1) == await since.of("acme", 1) == {"ann", "bob"}


async def test_what_is_given_back_is_not_learnt_from(columnar: Columnar) -> None:
    interactions = ColumnarInteractions(columnar)
    nothing = order("o9", {"product_id": "hat", "quantity": 0})
    await interactions.record(lines_of(batch("1", ("ann", nothing))), "1")
    table, _ = await interactions.purchases("acme")
    assert table.num_rows == 0
    assert await interactions.popular("acme") == []


async def test_one_tenants_purchases_are_not_anothers(columnar: Columnar) -> None:
    interactions = ColumnarInteractions(columnar)
    await interactions.record(lines_of(FIRST), FIRST.cursor)
    assert await interactions.count("rival") == 0
    assert await interactions.popular("rival") == []
    assert await interactions.popular("acme") == [("milk", 2), ("tea", 1)]
    assert await interactions.bought_since("rival", 0, ["ann"]) == {"ann": []}


async def test_orders_that_profiles_records_are_followed_to_its_cursor_and_no_further(
    configure: Callable[..., Any], keyring: Keyring, start: Start
) -> None:
    async with AsyncExitStack() as stack:
        up = await stack.enter_async_context(serve_profiles(configure(ProfilesSettings)))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(up.address))
        profiles = ProfilesServiceStub(channel)
        for round_ in range(2):
            async with start(profiles_addr=up.address) as recommendation:
                await _buy(profiles, keyring, round_)
                await _caught_up(recommendation, profiles, keyring)
                status = await recommendation.status()
                assert status.interaction_count == 30 * (round_ + 1)
                await recommendation.upsert(catalogue())
                assert ids(await recommendation.recommend(count=3)) == ["i0", "i1", "i2"]


async def _buy(profiles: Any, keyring: Keyring, round_: int) -> None:
    """Ten customers buy three items each."""
    products = [{"product_id": f"i{code}", "price": 1.0, "quantity": 1} for code in range(3)]
    events = [
        profiles_pb.Event(
            message_id=f"m{round_}-{customer}",
            type=profiles_pb.EVENT_TYPE_TRACK,
            name="Order Completed",
            user_id=f"u{customer}",
            properties_json=order(f"o{round_}-{customer}", *products),
        )
        for customer in range(10)
    ]
    request = profiles_pb.IngestEventsRequest(events=events)
    answer = await profiles.IngestEvents(request, metadata=keyring.header())
    assert answer.recorded_count == 10


async def _caught_up(client: Client, profiles: Any, keyring: Keyring) -> None:
    goal = await profiles.GetStatistics(profiles_pb.GetStatisticsRequest(), metadata=keyring.header())
    while (await client.status()).applied_cursor != goal.end_cursor:  # noqa: ASYNC110  # it is another process's state
        await asyncio.sleep(0.02)
