"""What ``make run`` has put into profiles, against the raw tables."""

import json
from datetime import UTC, datetime

import pytest

from tests.platform.demo import Client, Demo
from tests.platform.retailer import WEEK, Retailer

pytestmark = pytest.mark.timeout(500)

CUSTOMER = """query Customer($user: String!) {
  customer(userId: $user) {
    customerId
    traits { name value }
    lifetime { orderCount spend { amountMinor amount currency } firstOrderTime lastOrderTime }
  }
}"""


def test_the_last_order_falls_within_the_week_before_the_load(demo: Demo, client: Client, retailer: Retailer) -> None:
    last = max(retailer.orders["time"])
    loaded = (demo.folder / "auth_public_key.pem").stat().st_mtime
    assert last <= loaded + 60
    assert loaded - last < WEEK + 60
    assert seconds_of_newest(client) == last
    assert "155,848 orders" in demo.first


def seconds_of_newest(client: Client) -> int:
    return max(customer.lifetime.last_order_time.seconds for customer in client.customers.values())


def test_every_household_has_its_orders_and_what_they_came_to(client: Client, retailer: Retailer) -> None:
    assert len(retailer.lifetimes) == 2469
    answered = {
        household: (
            customer.lifetime.order_count,
            *(money.amount_minor for money in customer.lifetime.spend if money.currency == "USD"),
            customer.lifetime.first_order_time.seconds,
            customer.lifetime.last_order_time.seconds,
        )
        for household, customer in client.customers.items()
    }
    assert answered == retailer.lifetimes
    assert sum(count for count, *_ in answered.values()) == 155_848


def test_the_gateway_answers_the_same(client: Client, retailer: Retailer) -> None:
    for household in _extremes(retailer):
        count, cents, first, last = retailer.lifetimes[household]
        answer = client.ask(CUSTOMER, user=str(household))["customer"]
        assert answer["customerId"] == client.customers[household].customer_id
        assert answer["lifetime"] == {
            "orderCount": count,
            "spend": [{"amountMinor": cents, "amount": f"{cents // 100}.{cents % 100:02}", "currency": "USD"}],
            "firstOrderTime": _written(first),
            "lastOrderTime": _written(last),
        }


def test_every_household_has_its_traits(client: Client, retailer: Retailer) -> None:
    answered = {
        household: {trait.name: json.loads(trait.value_json) for trait in customer.traits}
        for household, customer in client.customers.items()
    }
    assert answered == {
        household: {"email": f"household-{household}@example.com", **retailer.traits.get(household, {})}
        for household in retailer.lifetimes
    }


def test_contacts_and_redemptions_are_in_the_timelines(client: Client, retailer: Retailer) -> None:
    for event, property_, expected, count in (
        ("Promotion Viewed", "promotion_id", retailer.contacts, 6589),
        ("Coupon Applied", "coupon_id", retailer.redemptions, 2102),
    ):
        assert sum(map(len, expected.values())) == count
        answered = {household: _timeline(client, household, event, property_) for household in expected}
        assert answered == expected


def test_nothing_else_was_recorded(client: Client, retailer: Retailer) -> None:
    statistics = client.call("profiles", "GetStatistics")
    assert statistics.customer_count == 2469
    assert statistics.event_count == 2469 + 155_848 + 6589 + 2102
    assert client.ask("{ profileStatistics { customerCount eventCount } }") == {
        "profileStatistics": {"customerCount": statistics.customer_count, "eventCount": statistics.event_count}
    }


def _timeline(client: Client, household: int, event: str, property_: str) -> list[tuple[str, int]]:
    customer_id = client.customers[household].customer_id
    events = list(client.pages("profiles", "ListEvents", "events", customer_id=customer_id, name=event))
    assert [each.event_time.seconds for each in events] == sorted((e.event_time.seconds for e in events), reverse=True)
    return sorted((json.loads(each.properties_json)[property_], each.event_time.seconds) for each in events)


def _extremes(retailer: Retailer) -> set[int]:
    """Households with the most and the least of everything."""
    chosen: set[int] = set()
    for figure in range(4):
        ordered = sorted(retailer.lifetimes, key=lambda household: retailer.lifetimes[household][figure])
        chosen |= {*ordered[:4], *ordered[len(ordered) // 2 :][:2], *ordered[-4:]}
    return chosen


def _written(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
