"""Consents over real gRPC: statements, what holds, history with proof, events, the feed, and expiry."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import consent_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.person_pb2 import Person, PersonIdentifier
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.app import Settings, serve
from tests.conftest import Keyring
from tests.profiles.client import Client, identify, track

GRANTED, WITHDRAWN, EXPIRED = pb.CONSENT_STATE_GRANTED, pb.CONSENT_STATE_WITHDRAWN, pb.CONSENT_STATE_EXPIRED


def user(value: str) -> Person:
    return Person(identifier=PersonIdentifier(type="user_id", value=value))


def statement(person: Person, state: pb.ConsentState.ValueType, **fields: Any) -> pb.NewConsentStatement:
    return pb.NewConsentStatement(person=person, state=state, **{"purpose": "marketing", **fields})


async def say(client: Client, *statements: pb.NewConsentStatement, request_id: str = "") -> pb.SetConsentsResponse:
    answer: pb.SetConsentsResponse = await client.call(
        "SetConsents", pb.SetConsentsRequest(request_id=request_id, statements=statements)
    )
    return answer


async def held(client: Client, customer_id: str) -> dict[tuple[str, str], pb.ConsentState.ValueType]:
    found = await client.call("GetConsents", pb.GetConsentsRequest(customer_id=customer_id))
    return {(each.purpose, each.channel): each.state for each in found.consents}


async def changes(client: Client, count: int) -> list[profiles.ConsentChanged]:
    """The first so many changes of consents on the feed."""
    found: list[profiles.ConsentChanged] = []
    async for batch in client.follow():
        found += [change.consent_changed for change in batch.changes if change.HasField("consent_changed")]
        if len(found) >= count:
            return found
    raise AssertionError("the feed ended")


async def known(client: Client, value: str = "7") -> str:
    await client.ingest(identify(f"i{value}", value))
    return (await client.customer("user_id", value)).customer_id


async def test_what_people_say_holds_is_kept_with_its_proof_and_told_to_followers(acme: Client) -> None:
    customer_id = await known(acme)
    proof = pb.ConsentProof(source="newsletter form", text_version="v3", wording="Yes, send me news", ip_address="::1")
    first = await say(acme, statement(user("7"), GRANTED, channel="email", proof=proof))
    assert (first.recorded_count, first.changed_count) == (1, 1)
    await say(acme, statement(Person(customer_id=customer_id), WITHDRAWN, channel="email"))
    assert await held(acme, customer_id) == {("marketing", "email"): WITHDRAWN}
    request = pb.ListConsentHistoryRequest(customer_id=customer_id, page_size=1)
    newest = await acme.call("ListConsentHistory", request)
    request.page_token = newest.next_page_token
    oldest = await acme.call("ListConsentHistory", request)
    assert [page.statements[0].state for page in (newest, oldest)] == [WITHDRAWN, GRANTED]
    assert oldest.statements[0].proof == proof
    assert oldest.statements[0].recorded_by == "developer"
    told = await changes(acme, 2)
    assert [(each.customer_id, each.channel, each.state) for each in told] == [
        (customer_id, "email", GRANTED),
        (customer_id, "email", WITHDRAWN),
    ]


async def test_the_same_request_again_is_answered_and_says_nothing_twice(acme: Client) -> None:
    customer_id = await known(acme)
    answers = [await say(acme, statement(user("7"), GRANTED), request_id="r1") for _ in range(2)]
    assert answers[0] == answers[1]
    found = await acme.call("ListConsentHistory", pb.ListConsentHistoryRequest(customer_id=customer_id))
    assert len(found.statements) == 1
    other = pb.SetConsentsRequest(request_id="r1", statements=[statement(user("7"), WITHDRAWN)])
    assert await acme.refusal("SetConsents", other) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_wrong_statement_is_rejected_alone(acme: Client) -> None:
    await known(acme)
    tomorrow = Timestamp(seconds=int(time.time()) + 86_400)
    answer = await say(
        acme,
        statement(user("nobody"), GRANTED),
        statement(user("7"), GRANTED),
        statement(user("7"), GRANTED, statement_time=tomorrow),
        statement(user("7"), WITHDRAWN, expire_time=tomorrow),
    )
    assert answer.recorded_count == 1
    assert [(each.index, each.reason) for each in answer.rejections] == [
        (0, "CUSTOMER_NOT_FOUND"),
        (2, "STATEMENT_TIME_INVALID"),
        (3, "EXPIRE_TIME_INVALID"),
    ]


async def test_statements_at_once_are_all_kept(acme: Client) -> None:
    customer_id = await known(acme)
    await asyncio.gather(*(say(acme, statement(user("7"), GRANTED, purpose=f"p{n}")) for n in range(10)))
    assert len(await held(acme, customer_id)) == 10


async def test_whoever_is_about_to_send_is_told_what_holds_and_why(acme: Client) -> None:
    first, second, third = [await known(acme, value) for value in "123"]
    await say(acme, statement(user("1"), GRANTED), statement(user("2"), GRANTED, channel="email"))
    request = pb.CheckConsentsRequest(customer_ids=[first, second, third, "nobody"], purpose="marketing")
    request.channel = "email"
    answers = (await acme.call("CheckConsents", request)).answers
    assert [each.customer_id for each in answers] == [first, second, third, "nobody"]
    assert [(each.state, each.rule) for each in answers] == [
        (GRANTED, pb.CONSENT_RULE_ALL_CHANNELS),
        (GRANTED, pb.CONSENT_RULE_CHANNEL),
        (pb.CONSENT_STATE_UNSPECIFIED, pb.CONSENT_RULE_UNSPECIFIED),
        (pb.CONSENT_STATE_UNSPECIFIED, pb.CONSENT_RULE_UNSPECIFIED),
    ]


def preferring(message_id: str, at: int, **preferences: bool) -> profiles.Event:
    event = track(message_id, "7", at=at)
    event.context_json = json.dumps({"consent": {"categoryPreferences": preferences}})
    return event


async def test_consents_come_by_events_and_only_what_is_new_is_a_statement(acme: Client) -> None:
    await acme.ingest(preferring("e1", 10, Advertising=True), preferring("e2", 20, Advertising=True))
    customer_id = (await acme.customer("user_id", "7")).customer_id
    await acme.ingest(preferring("e4", 40, Advertising=True, Analytics=False))
    await acme.ingest(preferring("e3", 30, Advertising=False))
    assert await held(acme, customer_id) == {
        ("Advertising", ""): GRANTED,
        ("Analytics", ""): pb.CONSENT_STATE_DENIED,
    }, "it was granted again after that"
    await acme.ingest(preferring("e5", 50, Advertising=False))
    found = await acme.call("ListConsentHistory", pb.ListConsentHistoryRequest(customer_id=customer_id))
    said = [(each.proof.message_id, each.purpose, each.state) for each in found.statements]
    assert said == [
        ("e5", "Advertising", WITHDRAWN),
        ("e4", "Analytics", pb.CONSENT_STATE_DENIED),
        ("e3", "Advertising", WITHDRAWN),
        ("e1", "Advertising", GRANTED),
    ]
    told = [(each.purpose, each.state) for each in await changes(acme, 3)]
    assert sorted(told) == sorted([("Advertising", GRANTED), ("Analytics", 2), ("Advertising", WITHDRAWN)])


async def test_a_consent_runs_out_by_itself_once_also_while_nobody_was_there(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    settings = configure(Settings)
    soon = Timestamp()
    soon.FromMicroseconds(time.time_ns() // 1000 + 300_000)
    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        acme = Client(ProfilesServiceStub(channel), keyring.header("acme"))
        customer_id = await known(acme)
        past = Timestamp(seconds=1000)
        await say(acme, statement(user("7"), GRANTED, statement_time=past, expire_time=soon))
    await asyncio.sleep(max(0.0, soon.ToNanoseconds() / 1e9 - time.time()) + 0.01)
    for _ in range(2):
        async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
            acme = Client(ProfilesServiceStub(channel), keyring.header("acme"))
            assert await held(acme, customer_id) == {("marketing", ""): EXPIRED}
            told = await changes(acme, 2)
            assert [(each.state, each.change_time) for each in told[1:]] == [(EXPIRED, soon)]
            found = await acme.call("ListConsentHistory", pb.ListConsentHistoryRequest(customer_id=customer_id))
            assert [each.state for each in found.statements] == [EXPIRED, GRANTED]
            assert found.statements[0].proof.source == "expiry"


async def test_the_consents_of_nobody_are_not_found(acme: Client) -> None:
    missing = (grpc.StatusCode.NOT_FOUND, "CUSTOMER_NOT_FOUND")
    assert await acme.refusal("GetConsents", pb.GetConsentsRequest(customer_id="nobody")) == missing
    assert await acme.refusal("ListConsentHistory", pb.ListConsentHistoryRequest(customer_id="nobody")) == missing
    empty = pb.SetConsentsRequest(statements=[statement(Person(), GRANTED)])
    assert await acme.refusal("SetConsents", empty) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
