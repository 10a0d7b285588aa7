"""Which names count: types with their strength, limits and blocked values, from wherever an event carries them."""

import json
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.profiles.v1 import identity_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.profiles.domain.identity_settings import (
    DEFAULT,
    NAMELESS,
    IdentifierType,
    IdentitySettings,
    IdentitySettingsInvalid,
    names_of,
)
from tests.profiles.client import Client, identify, track
from tests.profiles.test_merging import ids, log, merge, unmerging

WITH_EMAIL = IdentitySettings(
    (
        IdentifierType("user_id", person=True, values_max=1),
        IdentifierType("email", person=True, values_max=2, traits=("email",), ignores_case=True),
        IdentifierType("device_id", person=False, values_max=3, context_fields=("device.id",)),
        IdentifierType("anonymous_id", person=False, values_max=100),
    )
)


def with_ids(event: pb.Event, **values: str) -> pb.Event:
    context = {"externalIds": [{"id": value, "type": kind, "collection": "users"} for kind, value in values.items()]}
    event.context_json = json.dumps(context)
    return event


async def settings_of(client: Client) -> identity_pb2.IdentitySettings:
    answer = await client.call("GetIdentitySettings", identity_pb2.GetIdentitySettingsRequest())
    assert isinstance(answer, identity_pb2.GetIdentitySettingsResponse)
    return answer.settings


async def update(client: Client, settings: identity_pb2.IdentitySettings, request_id: str = "") -> Any:
    request = identity_pb2.UpdateIdentitySettingsRequest(request_id=request_id, settings=settings)
    return (await client.call("UpdateIdentitySettings", request)).settings


def type_of(settings: identity_pb2.IdentitySettings, name: str) -> identity_pb2.IdentifierType:
    return next(each for each in settings.types if each.type == name)


@pytest.mark.parametrize(
    "value", [*sorted(NAMELESS), "0", "0000", "00000000-0000-0000-0000-000000000000", " NULL ", "-"]
)
def test_what_names_nobody_is_no_identifier(value: str) -> None:
    assert DEFAULT.blocks(value)


@given(st.text(min_size=1, max_size=20))
def test_blocked_patterns_are_text_with_gaps(text: str) -> None:
    settings = IdentitySettings(DEFAULT.types, ("Nobody",), ("bot-*", "x?z"))
    blocked = text.casefold().strip()
    expected = (
        not text.strip("0-")
        or blocked in ("", "nobody")
        or blocked.startswith("bot-")
        or (len(blocked) == 3 and (blocked[0], blocked[2]) == ("x", "z"))
    )
    assert settings.blocks(text) == expected
    assert settings.blocks(f"BOT-{text}")


def test_names_are_read_from_traits_context_and_external_ids_the_strongest_first() -> None:
    context = {"device": {"id": 77}, "externalIds": [{"id": "B@x.com", "type": "email"}]}
    names = names_of(WITH_EMAIL, "7", "a", {"email": "A@x.com", "phone": "1"}, context)
    assert names.identities == (
        ("user_id", "7"),
        ("email", "a@x.com"),
        ("email", "b@x.com"),
        ("device_id", "77"),
        ("anonymous_id", "a"),
    )
    assert not names.notices


@pytest.mark.parametrize(
    ("external", "reason"),
    [
        ("text", "IDENTIFIER_INVALID"),
        ([{"id": "x"}], "IDENTIFIER_INVALID"),
        ([7], "IDENTIFIER_INVALID"),
        ([{"id": True, "type": "email"}], "IDENTIFIER_INVALID"),
        ([{"id": "x" * 513, "type": "email"}], "IDENTIFIER_INVALID"),
        ([{"id": "x\0", "type": "email"}], "IDENTIFIER_INVALID"),
        ([{"id": "x", "type": "shoe_size"}], "IDENTIFIER_TYPE_UNKNOWN"),
        ([{"id": "guest", "type": "email"}], "IDENTIFIER_BLOCKED"),
        ([{"id": f"{n}@x.com", "type": "email"} for n in range(1, 22)], "IDENTIFIER_INVALID"),
    ],
)
def test_what_is_wrong_with_external_ids_is_noticed(external: object, reason: str) -> None:
    assert reason in [said for said, _ in names_of(WITH_EMAIL, "7", "", {}, {"externalIds": external}).notices]


@pytest.mark.parametrize(
    "types",
    [
        (IdentifierType("user_id", person=True, values_max=1),),
        (*WITH_EMAIL.types, IdentifierType("email", person=True, values_max=1)),
        (*WITH_EMAIL.types, IdentifierType("phone", person=True, values_max=1)),
        (
            IdentifierType("user_id", person=False, values_max=1),
            IdentifierType("anonymous_id", person=False, values_max=1),
        ),
    ],
)
def test_settings_that_contradict_themselves_are_refused(types: tuple[IdentifierType, ...]) -> None:
    with pytest.raises(IdentitySettingsInvalid):
        IdentitySettings(types).check()


async def test_a_person_is_known_by_a_loyalty_card_that_the_context_carries(acme: Client) -> None:
    await acme.ingest(
        with_ids(track("m1", "ann"), loyalty_card="L-1"), with_ids(track("m2", anonymous="till"), loyalty_card="L-1")
    )
    ann = await acme.customer("loyalty_card", "L-1")
    assert (ann.customer_id, ann.lifetime.event_count) == ((await ids(acme, "ann"))[0], 2)
    assert (await acme.customer("anonymous_id", "till")).customer_id == ann.customer_id


async def test_two_people_who_share_an_email_stay_two(acme: Client) -> None:
    answer = await acme.ingest(
        with_ids(track("m1", "ann"), email="home@x.com"),
        with_ids(track("m2", "bob"), email="HOME@x.com"),
        with_ids(track("m3", "cid"), email="cid@x.com"),
        with_ids(track("m4", "cid"), email="home@x.com"),
    )
    assert [(it.message_id, it.reason) for it in answer.notices] == [
        ("m2", "IDENTIFIER_OF_ANOTHER"),
        ("m4", "IDENTIFIER_OF_ANOTHER"),
    ]
    assert len(set(await ids(acme, "ann", "bob", "cid"))) == 3
    assert (await acme.customer("email", "home@x.com")).customer_id == (await ids(acme, "ann"))[0]
    assert not (await log(acme)).merges


async def test_a_subscriber_known_by_email_becomes_the_user_who_signs_up_with_it(acme: Client) -> None:
    await acme.ingest(with_ids(track("m1", anonymous="d"), email="ann@x.com"))
    await acme.ingest(with_ids(track("m2", "ann"), email="ann@x.com"))
    ann = await acme.customer("user_id", "ann")
    assert ann.lifetime.event_count == 2
    assert not (await log(acme)).merges


async def test_two_visitors_who_turn_out_to_be_one_are_merged(acme: Client) -> None:
    await acme.ingest(with_ids(track("m4", anonymous="e"), device_id="phone-2"), track("m5", anonymous="f"))
    await acme.ingest(with_ids(track("m6", anonymous="f"), device_id="phone-2"))
    assert (await acme.customer("anonymous_id", "f")).lifetime.event_count == 3
    assert len((await log(acme)).merges) == 1


@pytest.mark.parametrize("user", ["null", "0000", "Guest", "-1"])
async def test_nobody_is_known_by_a_placeholder(acme: Client, user: str) -> None:
    answer = await acme.ingest(track("m1", user, anonymous="d"), track("m2", user, anonymous="e"), track("m3", user))
    assert [it.reason for it in answer.notices] == ["IDENTIFIER_BLOCKED"] * 2
    assert [(it.message_id, it.reason) for it in answer.rejections] == [("m3", "IDENTITY_BLOCKED")]
    assert (await acme.customer("anonymous_id", "d")).lifetime.event_count == 1
    refused = pb.GetCustomerRequest(identifier=pb.Identifier(type="user_id", value=user))
    assert await acme.refusal("GetCustomer", refused) == (grpc.StatusCode.NOT_FOUND, "CUSTOMER_NOT_FOUND")


async def test_past_the_limit_the_first_values_stay_and_a_notice_says_so(acme: Client) -> None:
    settings = await settings_of(acme)
    type_of(settings, "anonymous_id").values_max = 2
    await update(acme, settings)
    answer = await acme.ingest(*(track(f"m{n}", "ann", anonymous=f"d{n}") for n in range(4)))
    assert [(it.message_id, it.reason) for it in answer.notices] == [
        ("m2", "IDENTIFIER_LIMIT_REACHED"),
        ("m3", "IDENTIFIER_LIMIT_REACHED"),
    ]
    ann = await acme.customer("user_id", "ann")
    assert [it.value for it in ann.identifiers if it.type == "anonymous_id"] == ["d0", "d1"]
    assert ann.lifetime.event_count == 4


async def test_an_email_in_the_traits_is_a_name_once_the_settings_say_so(acme: Client) -> None:
    await acme.ingest(identify("i1", "ann", email="ann@x.com"))
    settings = await settings_of(acme)
    assert (settings.version, settings.HasField("update_time")) == (0, False)
    type_of(settings, "email").traits.append("email")
    first = await update(acme, settings, request_id="r")
    assert (first.version, await update(acme, settings, request_id="r")) == (1, first)
    assert await settings_of(acme) == first
    await acme.ingest(identify("i2", "bob", email="Bob@x.com"))
    assert (await acme.customer("email", "bob@x.com")).customer_id == (await ids(acme, "bob"))[0]
    stale = identity_pb2.UpdateIdentitySettingsRequest(settings=settings)
    assert await acme.refusal("UpdateIdentitySettings", stale) == (grpc.StatusCode.ABORTED, "CONFLICT")
    del settings.types[:]
    broken = identity_pb2.UpdateIdentitySettingsRequest(settings=settings)
    assert (await acme.refusal("UpdateIdentitySettings", broken))[0] == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_customer_of_10000_identities_answers_and_goes_on(acme: Client) -> None:
    sent = [track(f"m{n}", "ann", anonymous=f"d{n:05}", at=n) for n in range(10_000)]
    for start in range(0, len(sent), 2500):
        assert not (await acme.ingest(*sent[start : start + 2500])).notices
    await acme.ingest(track("b1", "bob", anonymous="b"))
    ann, bob = await ids(acme, "ann", "bob")
    (made,) = await merge(acme, bob, ann)
    customer = await acme.customer("anonymous_id", "d09999")
    assert (customer.customer_id, customer.lifetime.event_count) == (bob, 10_001)
    assert len(customer.identifiers) == 202
    found, token = [], ""
    while True:
        request = identity_pb2.ListIdentifiersRequest(customer_id=ann, page_size=1000, page_token=token)
        page = await acme.call("ListIdentifiers", request)
        found += [(it.type, it.value, it.origin_customer_id) for it in page.identifiers]
        if not (token := page.next_page_token):
            break
    assert len(found) == len(set(found)) == 10_003
    assert {origin for _, _, origin in found} == {ann, bob}
    await acme.call("UnmergeCustomer", unmerging(made.merge_id))
    assert (await acme.customer("user_id", "ann")).lifetime.event_count == 10_000
    nonsense = identity_pb2.ListIdentifiersRequest(customer_id=ann, page_token="nonsense")
    assert await acme.refusal("ListIdentifiers", nonsense) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_CURSOR")
    nobody = await acme.call("ListIdentifiers", identity_pb2.ListIdentifiersRequest(customer_id="nobody"))
    assert not nobody.identifiers
