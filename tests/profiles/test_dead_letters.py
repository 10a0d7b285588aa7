"""Rejected events are kept, read, corrected and replayed, over real gRPC and a real SQLite file."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.app import Settings, serve
from tests.conftest import Keyring
from tests.profiles.client import Client, identify, order, track

NOT_FOUND = (grpc.StatusCode.NOT_FOUND, "DEAD_LETTER_NOT_FOUND")


def malformed(message_id: str, user: str = "7") -> pb.Event:
    """An order without products."""
    event = order(message_id, user, 5)
    event.properties_json = json.dumps({"order_id": message_id, "currency": "USD"})
    return event


async def listed(client: Client, **options: Any) -> list[pb.DeadLetter]:
    answer = await client.call("ListDeadLetters", pb.ListDeadLettersRequest(**options))
    return list(answer.dead_letters)


async def replay(client: Client, *ids: str, **options: Any) -> pb.ReplayDeadLettersResponse:
    request = pb.ReplayDeadLettersRequest(dead_letter_ids=ids, **options)
    answer: pb.ReplayDeadLettersResponse = await client.call("ReplayDeadLetters", request)
    return answer


async def test_a_rejected_event_is_kept_as_it_came_with_its_reason(acme: Client) -> None:
    event = malformed("o1")
    answer = await acme.ingest(track("good", "7"), event)
    (letter,) = await listed(acme)
    assert (letter.reason, letter.message) == (answer.rejections[0].reason, answer.rejections[0].message)
    assert letter.event == event
    assert not letter.truncated
    got = await acme.call("GetDeadLetter", pb.GetDeadLetterRequest(dead_letter_id=letter.dead_letter_id))
    assert got.dead_letter == letter
    assert (await acme.customer("user_id", "7")).lifetime.event_count == 1


async def test_the_same_rejected_event_again_is_one_dead_letter(acme: Client) -> None:
    for _ in range(3):
        await acme.ingest(malformed("o1"), malformed("o1"))
    await asyncio.gather(*(acme.ingest(malformed("o1")) for _ in range(10)))
    assert len(await listed(acme)) == 1


async def test_dead_letters_are_newest_first_paged_and_of_one_reason(acme: Client) -> None:
    for number in range(5):
        await acme.ingest(malformed(f"o{number}"))
    await acme.ingest(track("n", "7", name=""))
    first = await acme.call("ListDeadLetters", pb.ListDeadLettersRequest(reason="ORDER_INVALID", page_size=3))
    rest = await listed(acme, reason="ORDER_INVALID", page_size=3, page_token=first.next_page_token)
    assert [it.event.message_id for it in (*first.dead_letters, *rest)] == ["o4", "o3", "o2", "o1", "o0"]
    assert [it.reason for it in await listed(acme)] == ["NAME_MISSING", *["ORDER_INVALID"] * 5]


async def test_a_corrected_event_is_recorded_and_its_dead_letter_is_gone(acme: Client) -> None:
    await acme.ingest(malformed("o1"))
    (letter,) = await listed(acme)
    key = letter.dead_letter_id
    still_wrong = await replay(acme, key)
    assert [(it.dead_letter_id, it.reason) for it in still_wrong.rejections] == [(key, "ORDER_INVALID")]
    assert await listed(acme) == [letter]
    answer = await replay(acme, key, corrected_event=order("o1", "7", 5), request_id="r")
    assert (answer.recorded_count, answer.duplicate_count, len(answer.rejections)) == (1, 0, 0)
    assert await listed(acme) == []
    assert (await acme.customer("user_id", "7")).lifetime.order_count == 1
    assert await replay(acme, key, corrected_event=order("o1", "7", 5), request_id="r") == answer
    other = pb.ReplayDeadLettersRequest(dead_letter_ids=["x"], request_id="r")
    assert await acme.refusal("ReplayDeadLetters", other) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert [it.reason for it in (await replay(acme, key)).rejections] == ["DEAD_LETTER_NOT_FOUND"]


async def test_equal_replays_at_once_record_once_and_answer_the_same(acme: Client) -> None:
    await acme.ingest(malformed("o1"))
    key = (await listed(acme))[0].dead_letter_id
    corrected = order("o1", "7", 5)
    answers = await asyncio.gather(
        *(replay(acme, key, corrected_event=corrected, request_id="r") for _ in range(8)),
    )
    assert all(answer == answers[0] for answer in answers)
    assert (await acme.customer("user_id", "7")).lifetime.order_count == 1


async def test_an_event_without_a_time_is_replayed_at_the_time_when_it_came(acme: Client) -> None:
    event = malformed("o1")
    event.ClearField("event_time")
    await acme.ingest(event)
    (letter,) = await listed(acme)
    corrected = order("o1", "7", 5)
    corrected.ClearField("event_time")
    await replay(acme, letter.dead_letter_id, corrected_event=corrected)
    customer = await acme.customer("user_id", "7")
    assert customer.last_seen_time == letter.reject_time


async def test_one_correction_cannot_stand_for_two(acme: Client) -> None:
    request = pb.ReplayDeadLettersRequest(dead_letter_ids=["a", "b"], corrected_event=order("o1", "7", 5))
    refused = (grpc.StatusCode.INVALID_ARGUMENT, "CORRECTION_AMBIGUOUS")
    assert await acme.refusal("ReplayDeadLetters", request) == refused


async def test_what_was_too_large_to_keep_needs_a_correction(acme: Client) -> None:
    large = track("big", "7")
    large.properties_json = json.dumps({"text": "x" * 50_000})
    large.event_time.seconds = 2**60
    await acme.ingest(large)
    (letter,) = await listed(acme)
    assert letter.truncated
    assert len(letter.event.properties_json) == 32 * 1024
    assert [it.reason for it in (await replay(acme, letter.dead_letter_id)).rejections] == ["DEAD_LETTER_TRUNCATED"]
    assert (await replay(acme, letter.dead_letter_id, corrected_event=track("big", "7"))).recorded_count == 1


async def test_deleted_dead_letters_are_gone(acme: Client) -> None:
    await acme.ingest(malformed("o1"), malformed("o2"))
    key = (await listed(acme))[0].dead_letter_id
    request = pb.DeleteDeadLettersRequest(dead_letter_ids=[key, key, "none"], request_id="r")
    for _ in range(2):
        assert (await acme.call("DeleteDeadLetters", request)).deleted_count == 1
    assert len(await listed(acme)) == 1
    assert await acme.refusal("GetDeadLetter", pb.GetDeadLetterRequest(dead_letter_id=key)) == NOT_FOUND


@pytest.mark.parametrize("event", [identify("", "7", city="Lyon"), pb.Event(type=77), pb.Event()])  # type: ignore[arg-type]
async def test_whatever_is_wrong_is_kept(acme: Client, event: pb.Event) -> None:
    assert len((await acme.ingest(event)).rejections) == 1
    (letter,) = await listed(acme)
    assert letter.event == event


async def test_of_a_flood_the_newest_stay_and_good_events_pass(configure: Callable[..., Any], keyring: Keyring) -> None:
    async with (
        serve(configure(Settings, dead_letters_max=50)) as up,
        grpc.aio.insecure_channel(up.address) as channel,
    ):
        client, rival = (Client(ProfilesServiceStub(channel), keyring.header(name)) for name in ("acme", "rival"))
        await rival.ingest(malformed("theirs"))
        for batch in range(4):
            flood = [malformed(f"o{batch}-{number}") for number in range(30)]
            assert (await client.ingest(*flood, track(f"good{batch}", "7"))).recorded_count == 1
        kept = [letter.event.message_id for letter in await listed(client, page_size=100)]
        assert len(kept) == 50
        assert {f"o3-{number}" for number in range(30)} <= set(kept)
        await client.ingest(*(malformed(f"last-{number}") for number in range(120)))
        assert {it.event.message_id for it in await listed(client, page_size=100)} == {
            f"last-{number}" for number in range(70, 120)
        }
        assert len(await listed(rival)) == 1
