"""The e-commerce vocabulary: what the specification allows is accepted, and what is wrong is named with its path."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.profiles.domain.vocabulary import VOCABULARY, PropertiesInvalid, check_properties
from tests.profiles.client import Client, order, track

PRODUCT = {"product_id": "p", "sku": "s", "name": "Mug", "price": 4.5, "quantity": 2, "position": 1}
EXAMPLES: dict[str, dict[str, Any]] = {
    "Products Searched": {"query": "mug"},
    "Product List Viewed": {"list_id": "l", "category": "c", "products": [PRODUCT, {"sku": "s"}]},
    "Product List Filtered": {"filters": [{"type": "price", "value": "under-25"}], "sorts": [{"type": "p"}]},
    "Promotion Viewed": {"promotion_id": "x", "creative": "top", "name": "Sale", "position": "home"},
    "Promotion Clicked": {"name": "Sale"},
    "Product Clicked": PRODUCT,
    "Product Viewed": {**PRODUCT, "currency": "USD", "value": 9},
    "Product Added": {**PRODUCT, "cart_id": "c"},
    "Product Removed": {"sku": "s", "cart_id": "c"},
    "Cart Viewed": {"cart_id": "c", "products": [PRODUCT]},
    "Checkout Started": {"order_id": "o", "value": 9, "revenue": 8, "products": []},
    "Checkout Step Viewed": {"checkout_id": "c", "step": 2},
    "Checkout Step Completed": {"step": 2, "shipping_method": "post"},
    "Payment Info Entered": {"order_id": "o", "payment_method": "card"},
    "Order Updated": {"order_id": "o", "total": 9.5, "products": [PRODUCT]},
    "Order Completed": {"order_id": "o", "currency": "USD", "products": [PRODUCT], "tax": 1},
    "Order Refunded": {"order_id": "o", "total": None},
    "Order Cancelled": {"order_id": "o"},
    "Coupon Entered": {"coupon_id": "x", "cart_id": "c"},
    "Coupon Applied": {"coupon_name": "May", "discount": 2},
    "Coupon Denied": {"coupon": "MAY", "reason": "expired"},
    "Coupon Removed": {"coupon_id": "x"},
    "Product Added to Wishlist": {**PRODUCT, "wishlist_id": "w"},
    "Product Removed from Wishlist": {**PRODUCT, "wishlist_name": "w"},
    "Wishlist Product Added to Cart": {**PRODUCT, "wishlist_id": "w", "cart_id": "c"},
    "Product Shared": {**PRODUCT, "share_via": "email", "recipient": "a@b.c"},
    "Cart Shared": {"share_via": "email", "cart_id": "c", "products": [PRODUCT]},
    "Product Reviewed": {"product_id": "p", "review_id": "r", "rating": "5"},
}


def test_every_event_of_the_vocabulary_has_an_example() -> None:
    assert set(EXAMPLES) == set(VOCABULARY)


@pytest.mark.parametrize("event", VOCABULARY)
def test_what_the_specification_shows_is_accepted_with_more_and_with_nulls(event: str) -> None:
    properties = EXAMPLES[event]
    check_properties(event, {**properties, "colour": {"any": ["thing"]}})
    nulls = dict.fromkeys(VOCABULARY[event].types)
    check_properties(event, {**nulls, **properties})


@pytest.mark.parametrize(
    ("event", "changed", "path"),
    [
        ("Products Searched", {"query": ""}, "query"),
        ("Product Viewed", {"product_id": None, "sku": ""}, "product_id"),
        ("Product Viewed", {"price": "4.50"}, "price"),
        ("Product Viewed", {"quantity": True}, "quantity"),
        ("Product Viewed", {"product_id": 7}, "product_id"),
        ("Product Added", {"position": [1]}, "position"),
        ("Cart Viewed", {"products": {}}, "products"),
        ("Cart Viewed", {"products": [PRODUCT, "p"]}, "products[1]"),
        ("Cart Viewed", {"products": [PRODUCT] * 1001}, "products"),
        ("Cart Viewed", {"products": [{**PRODUCT, "price": []}]}, "products[0].price"),
        ("Cart Viewed", {"products": [{"name": "Mug"}]}, "products[0].product_id"),
        ("Product List Filtered", {"filters": [{"type": 1}]}, "filters[0].type"),
        ("Checkout Step Viewed", {"step": None}, "step"),
        ("Order Refunded", {"order_id": None}, "order_id"),
        ("Order Updated", {"total": {"$gt": 0}}, "total"),
        ("Order Completed", {"products": [{**PRODUCT, "brand": 1}]}, "products[0].brand"),
        ("Coupon Denied", {"coupon": None}, "coupon_id"),
        ("Coupon Applied", {"discount": "2"}, "discount"),
        ("Promotion Clicked", {"name": None}, "promotion_id"),
    ],
)
def test_what_is_wrong_is_named(event: str, changed: dict[str, Any], path: str) -> None:
    with pytest.raises(PropertiesInvalid) as refused:
        check_properties(event, {**EXAMPLES[event], **changed})
    assert refused.value.metadata == {"field": path}
    assert path in refused.value.message


def test_other_events_say_what_they_like() -> None:
    check_properties("Store Visited", {"price": "high", "products": 3})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(VOCABULARY)), st.data())
def test_whatever_comes_is_accepted_or_refused_with_a_path(event: str, data: st.DataObject) -> None:
    names = st.sampled_from([*VOCABULARY[event].types, "other"])
    properties = {**EXAMPLES[event], **data.draw(st.dictionaries(names, JSON, max_size=4))}
    try:
        check_properties(event, properties)
        path = "none"
    except PropertiesInvalid as refused:
        path = refused.metadata["field"]
    assert path


async def test_a_malformed_event_becomes_a_dead_letter_with_its_path_and_is_replayed_once_corrected(
    acme: Client,
) -> None:
    wrong, also = track("v", "7"), order("o", "7", 5)
    wrong.properties_json = json.dumps({"product_id": "p", "price": "4.50"})
    also.properties_json = json.dumps(
        {"order_id": "o", "currency": "USD", "products": [{"product_id": "p", "price": -1}]}
    )
    answer = await acme.ingest(wrong, also, track("good", "7", name="Cart Viewed"))
    assert [(it.reason, it.path) for it in answer.rejections] == [
        ("PROPERTIES_INVALID", "price"),
        ("ORDER_INVALID", "products[0].price"),
    ]
    letters = (await acme.call("ListDeadLetters", pb.ListDeadLettersRequest(reason="PROPERTIES_INVALID"))).dead_letters
    assert [(letter.event.message_id, letter.path) for letter in letters] == [("v", "price")]
    replay = pb.ReplayDeadLettersRequest(
        dead_letter_ids=[letters[0].dead_letter_id], corrected_event=track("v", "7"), request_id="r"
    )
    assert (await acme.call("ReplayDeadLetters", replay)).recorded_count == 1
    assert (await acme.customer("user_id", "7")).lifetime.event_count == 2
