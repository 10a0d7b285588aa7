"""Erasing people over real gRPC: what goes, what is refused afterwards, and what the receipt says."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import grpc
from tessera.common.v1 import privacy_pb2
from tessera.profiles.v1 import consent_pb2, erasure_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.person_pb2 import Person, PersonIdentifier

from tests.profiles.client import Client, identify, order, track

PENDING, FINISHED = erasure_pb2.ERASURE_STATE_PARTIAL_SUCCESS, erasure_pb2.ERASURE_STATE_FINISHED
OTHERS = ("crm", "forecasting", "loyalty", "recommendation", "segmentation")
MISSING = (grpc.StatusCode.NOT_FOUND, "CUSTOMER_NOT_FOUND")


def user(value: str) -> Person:
    return Person(identifier=PersonIdentifier(type="user_id", value=value))


async def erase(client: Client, *persons: Person, **fields: Any) -> erasure_pb2.EraseCustomersResponse:
    request = erasure_pb2.EraseCustomersRequest(persons=persons, **fields)
    answer: erasure_pb2.EraseCustomersResponse = await client.call("EraseCustomers", request)
    return answer


async def receipt(
    client: Client, erasure_id: str, reached: Callable[[erasure_pb2.Erasure], bool]
) -> erasure_pb2.Erasure:
    """The receipt, once ``reached`` holds of it."""
    request = erasure_pb2.GetErasureRequest(erasure_id=erasure_id)
    async with asyncio.timeout(60):
        while True:
            found: erasure_pb2.Erasure = (await client.call("GetErasure", request)).erasure
            if reached(found):
                return found
            await asyncio.sleep(0.02)


async def removed(client: Client, erasure_id: str) -> dict[str, int]:
    """What profiles removed, by kind, once it has."""
    found = await receipt(client, erasure_id, lambda it: it.state == PENDING)
    (own,) = [each for each in found.services if each.service == "profiles"]
    return {each.kind: each.count for each in own.removed}


async def grant(client: Client, person: Person) -> None:
    statement = consent_pb2.NewConsentStatement(person=person, purpose="news", state=consent_pb2.CONSENT_STATE_GRANTED)
    await client.call("SetConsents", consent_pb2.SetConsentsRequest(statements=[statement]))


async def on_the_feed(client: Client, last: str) -> list[pb.Change]:
    """The feed up to the erasure ``last``."""
    found: list[pb.Change] = []
    async for batch in client.follow():
        found += batch.changes
        if any(change.customer_erased.erasure_id == last for change in batch.changes):
            return found
    raise AssertionError("the feed ended")


async def test_everything_of_a_person_goes_and_the_receipt_says_what(acme: Client) -> None:
    await acme.ingest(identify("i1", "7", anonymous="a7", email="ann@example.com", city="Lyon"), order("o1", "7", 5))
    await acme.ingest(track("t1", "8"), track("", "7"))
    await grant(acme, user("7"))
    customer_id = (await acme.customer("user_id", "7")).customer_id
    (accepted,) = (await erase(acme, user("7"), reason="letter of 3 May")).erasures
    assert await removed(acme, accepted.erasure_id) == {
        "change_on_the_feed": 1,
        "consent": 1,
        "consent_statement": 1,
        "customer": 1,
        "dead_letter": 1,
        "encryption_key": 1,
        "event": 2,
        "identifier": 2,
        "trait": 2,
    }
    found = await receipt(acme, accepted.erasure_id, lambda it: True)
    assert (found.requested_by, found.reason, found.suppressed_identifier_count) == ("developer", "letter of 3 May", 2)
    assert [each.service for each in found.services if not each.done] == list(OTHERS)
    by_id = pb.GetCustomerRequest(customer_id=customer_id)
    assert await acme.refusal("GetCustomer", by_id) == MISSING
    for kind, value in (("user_id", "7"), ("anonymous_id", "a7")):
        named = pb.GetCustomerRequest(identifier=pb.Identifier(type=kind, value=value))
        assert await acme.refusal("GetCustomer", named) == MISSING
    assert not (await acme.events(customer_id)).events
    assert not (await acme.call("ListDeadLetters", pb.ListDeadLettersRequest())).dead_letters
    told = await on_the_feed(acme, accepted.erasure_id)
    assert [change.WhichOneof("kind") for change in told] == ["event_recorded", "customer_erased"]
    assert told[0].event_recorded.message_id == "t1"
    erased = told[1].customer_erased
    assert (erased.customer_id, list(erased.origin_customer_ids)) == (customer_id, [customer_id])
    assert erased.pseudonym == found.pseudonym
    assert customer_id not in found.pseudonym


async def test_the_receipt_is_complete_when_the_last_service_has_answered(acme: Client) -> None:
    await acme.ingest(track("t1", "7"))
    (accepted,) = (await erase(acme, user("7"))).erasures
    await receipt(acme, accepted.erasure_id, lambda it: it.state == PENDING)
    gone = privacy_pb2.RemovedRecords(kind="message", count=3, removal=privacy_pb2.REMOVAL_PSEUDONYMISED)
    for service in OTHERS:
        found = await receipt(acme, accepted.erasure_id, lambda it: True)
        assert (found.state, found.HasField("finish_time")) == (PENDING, False)
        answer = erasure_pb2.AcknowledgeErasureRequest(service=service, erasure_id=accepted.erasure_id, removed=[gone])
        for _ in range(2):
            await acme.call("AcknowledgeErasure", answer)
        answer.removed[0].count = 0
        await acme.call("AcknowledgeErasure", answer)
    found = await receipt(acme, accepted.erasure_id, lambda it: it.state == FINISHED)
    assert found.HasField("finish_time")
    assert {each.service: each.removed[0] for each in found.services if each.service in OTHERS} == dict.fromkeys(
        OTHERS, gone
    )
    listed = await acme.call("ListErasures", erasure_pb2.ListErasuresRequest(state=FINISHED))
    assert [each.erasure_id for each in listed.erasures] == [accepted.erasure_id]


async def test_identifiers_of_the_erased_are_refused_and_kept_nowhere(acme: Client) -> None:
    await acme.ingest(track("t1", "7", "a7"))
    (accepted,) = (await erase(acme, user("7"))).erasures
    await receipt(acme, accepted.erasure_id, lambda it: it.state == PENDING)
    answer = await acme.ingest(track("t2", "7"), track("t3", "9"), track("t4", "9", "a7"), track("t5", "7"))
    assert answer.recorded_count == 1
    assert answer.duplicate_count == 0
    assert [(each.index, each.reason) for each in answer.rejections] == [
        (index, "IDENTIFIER_SUPPRESSED") for index in (0, 2, 3)
    ]
    assert not (await acme.call("ListDeadLetters", pb.ListDeadLettersRequest())).dead_letters
    name = PersonIdentifier(type="user_id", value="7")
    again = erasure_pb2.UnsuppressIdentifiersRequest(identifiers=[name])
    counts = [(await acme.call("UnsuppressIdentifiers", again)).unsuppressed_count for _ in range(2)]
    assert counts == [1, 0]
    assert (await acme.ingest(track("t6", "7"))).recorded_count == 1


async def test_identifiers_are_suppressed_without_erasing_and_for_one_tenant_alone(acme: Client, rival: Client) -> None:
    await acme.ingest(track("t1", "7"))
    name = PersonIdentifier(type="user_id", value="7")
    request = erasure_pb2.SuppressIdentifiersRequest(identifiers=[name, name])
    counts = [(await acme.call("SuppressIdentifiers", request)).suppressed_count for _ in range(2)]
    assert counts == [1, 0]
    assert (await acme.ingest(track("t2", "7"))).rejections[0].reason == "IDENTIFIER_SUPPRESSED"
    assert (await acme.customer("user_id", "7")).lifetime.event_count == 1
    assert (await rival.ingest(track("t2", "7"))).recorded_count == 1


async def test_who_may_return_comes_back_as_somebody_new(acme: Client) -> None:
    await acme.ingest(track("t1", "7"))
    before = await acme.customer("user_id", "7")
    (accepted,) = (await erase(acme, user("7"), allow_return=True)).erasures
    await receipt(acme, accepted.erasure_id, lambda it: it.state == PENDING)
    assert (await acme.ingest(track("t2", "7"))).recorded_count == 1
    after = await acme.customer("user_id", "7")
    assert (after.lifetime.event_count, after.customer_id == before.customer_id) == (1, False)


async def test_many_are_erased_at_once_each_once_and_nobody_is_reported(acme: Client) -> None:
    await acme.ingest(*(track(f"t{n}", f"u{n}", f"a{n}") for n in range(60)))
    ids = [(await acme.customer("user_id", f"u{n}")).customer_id for n in range(3)]
    persons = [Person(customer_id=ids[0]), *(user(f"u{n}") for n in range(60)), user("nobody")]
    answers = [await erase(acme, *persons, request_id="r1") for _ in range(2)]
    assert [len(answer.erasures) for answer in answers] == [60, 60]
    assert list(answers[0].not_found) == [user("nobody")]
    assert [each.erasure_id for each in answers[0].erasures] == [each.erasure_id for each in answers[1].erasures]
    for accepted in answers[0].erasures:
        await receipt(acme, accepted.erasure_id, lambda it: it.state == PENDING)
    statistics = await acme.call("GetStatistics", pb.GetStatisticsRequest())
    assert (statistics.customer_count, statistics.event_count) == (0, 0)
    refused = await acme.ingest(track("x", "nobody"))
    assert [each.reason for each in refused.rejections] == ["IDENTIFIER_SUPPRESSED"]
    (same,) = (await erase(acme, Person(customer_id=ids[0]))).erasures
    assert same.erasure_id == answers[0].erasures[0].erasure_id, "who is erased has the receipt for an answer"


async def test_dead_letters_that_could_not_be_read_go_if_they_name_the_person(acme: Client) -> None:
    await acme.ingest(track("t1", "ann@example.com"))
    sources = [json.dumps(["ann@example.com"]), json.dumps(["bob@example.com"])]
    unreadable = [pb.Unreadable(source_text=source, reason="EVENT_UNREADABLE") for source in sources]
    await acme.call("KeepDeadLetters", pb.KeepDeadLettersRequest(unreadable=unreadable))
    (accepted,) = (await erase(acme, user("ann@example.com"))).erasures
    assert (await removed(acme, accepted.erasure_id))["dead_letter"] == 1
    left = (await acme.call("ListDeadLetters", pb.ListDeadLettersRequest())).dead_letters
    assert [each.source_text for each in left] == sources[1:]


async def test_events_that_race_with_an_erasure_are_gone_or_refused(acme: Client) -> None:
    await acme.ingest(identify("i1", "7", anonymous="a7"))
    customer_id = (await acme.customer("user_id", "7")).customer_id

    async def flood(name: str) -> int:
        answers = [await acme.ingest(order(f"{name}{n}", "7", 1)) for n in range(30)]
        return sum(answer.recorded_count for answer in answers)

    floods = [asyncio.create_task(flood(name)) for name in "xyz"]
    (accepted,) = (await erase(acme, user("7"))).erasures
    recorded = sum(await asyncio.gather(*floods))
    assert (await removed(acme, accepted.erasure_id))["event"] == recorded + 1
    assert not (await acme.events(customer_id)).events
    assert (await acme.call("GetStatistics", pb.GetStatisticsRequest())).event_count == 0


async def test_a_customer_who_is_several_is_erased_whole(acme: Client) -> None:
    await acme.ingest(track("v1", anonymous="a7"), track("u1", "7"))
    await acme.ingest(track("s1", "7", "a7"))
    customer = await acme.customer("user_id", "7")
    assert len(customer.origin_customer_ids) == 2
    await grant(acme, Person(identifier=PersonIdentifier(type="anonymous_id", value="a7")))
    (accepted,) = (await erase(acme, Person(identifier=PersonIdentifier(type="anonymous_id", value="a7")))).erasures
    assert accepted.customer_id == customer.customer_id
    counts = await removed(acme, accepted.erasure_id)
    assert (counts["customer"], counts["event"], counts["identifier"], counts["merge"]) == (2, 3, 2, 1)
    assert counts["consent_statement"] == 1
    erased = (await on_the_feed(acme, accepted.erasure_id))[-1].customer_erased
    assert set(erased.origin_customer_ids) == set(customer.origin_customer_ids)
    statistics = await acme.call("GetStatistics", pb.GetStatisticsRequest())
    assert (statistics.customer_count, statistics.event_count) == (0, 0)
