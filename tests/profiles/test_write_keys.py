"""Write keys over real gRPC: shown once, kept as a hash, resolved for their tenant, and revoked."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.profiles.domain.write_key import WRITE_KEYS_MAX
from tests.conftest import Keyring
from tests.profiles.client import Client

NOT_FOUND = (grpc.StatusCode.NOT_FOUND, "WRITE_KEY_NOT_FOUND")


async def create(client: Client, name: str = "site", request_id: str = "") -> pb.CreateWriteKeyResponse:
    request = pb.CreateWriteKeyRequest(name=name, request_id=request_id)
    answer: pb.CreateWriteKeyResponse = await client.call("CreateWriteKey", request)
    return answer


def resolve(secret: str) -> pb.ResolveWriteKeyRequest:
    return pb.ResolveWriteKeyRequest(secret=secret)


async def test_a_secret_tells_the_platform_whose_it_is_until_the_key_is_revoked(
    acme: Client, rival: Client, keyring: Keyring
) -> None:
    made = await create(acme)
    platform = Client(acme.stub, keyring.header("*"))
    found = await platform.call("ResolveWriteKey", resolve(made.secret))
    assert (found.tenant_id, found.write_key_id) == ("acme", made.write_key.write_key_id)
    assert (await acme.call("ResolveWriteKey", resolve(made.secret))).tenant_id == "acme"
    assert await rival.refusal("ResolveWriteKey", resolve(made.secret)) == NOT_FOUND
    assert await platform.refusal("ResolveWriteKey", resolve("guess")) == NOT_FOUND
    revoke = pb.RevokeWriteKeyRequest(write_key_id=made.write_key.write_key_id)
    assert await rival.refusal("RevokeWriteKey", revoke) == NOT_FOUND
    ended = (await acme.call("RevokeWriteKey", revoke)).write_key
    assert ended.revoke_time.seconds >= ended.create_time.seconds > 0
    assert (await acme.call("RevokeWriteKey", revoke)).write_key == ended
    assert await platform.refusal("ResolveWriteKey", resolve(made.secret)) == NOT_FOUND


async def test_a_secret_is_shown_once_and_is_nowhere_on_disk(
    acme: Client, tmp_path: Path, configure: Callable[..., Any]
) -> None:
    made = await create(acme, request_id="r")
    again = await create(acme, request_id="r")
    assert again.write_key == made.write_key
    assert len(made.secret) >= 32
    assert again.secret == ""
    listed = (await acme.call("ListWriteKeys", pb.ListWriteKeysRequest())).write_keys
    assert list(listed) == [made.write_key]
    (file,) = (tmp_path / "data").rglob("*.sqlite3")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        kept = "\n".join(connection.iterdump()).encode() + file.read_bytes()
    connection.close()
    assert made.write_key.write_key_id.encode() in kept
    assert made.secret.encode() not in kept
    assert made.secret.encode().hex().encode() not in kept.lower()


async def test_equal_requests_at_once_make_one_key_and_show_one_secret(acme: Client) -> None:
    answers = await asyncio.gather(*(create(acme, request_id="r") for _ in range(8)))
    assert len({answer.write_key.write_key_id for answer in answers}) == 1
    assert len([answer for answer in answers if answer.secret]) == 1


async def test_a_tenant_has_no_more_than_it_may(acme: Client, rival: Client) -> None:
    keys = [await create(acme, f"site {number}") for number in range(WRITE_KEYS_MAX)]
    refused = (grpc.StatusCode.FAILED_PRECONDITION, "TOO_MANY_WRITE_KEYS")
    assert await acme.refusal("CreateWriteKey", pb.CreateWriteKeyRequest(name="one more")) == refused
    await create(rival)
    await acme.call("RevokeWriteKey", pb.RevokeWriteKeyRequest(write_key_id=keys[0].write_key.write_key_id))
    await create(acme, "one more")
    page = await acme.call("ListWriteKeys", pb.ListWriteKeysRequest(page_size=2))
    assert [key.name for key in page.write_keys] == ["one more", f"site {WRITE_KEYS_MAX - 1}"]
    assert page.next_page_token


@pytest.mark.parametrize("text", ["5", "x" * 40_000])
async def test_what_is_no_event_is_kept_as_text_and_needs_a_correction(acme: Client, text: str) -> None:
    unreadable = pb.Unreadable(source_text=text, reason="EVENT_UNREADABLE", message="must be an object")
    for _ in range(2):
        await acme.call("KeepDeadLetters", pb.KeepDeadLettersRequest(unreadable=[unreadable, unreadable]))
    (letter,) = (await acme.call("ListDeadLetters", pb.ListDeadLettersRequest())).dead_letters
    assert (letter.source_text, letter.truncated) == (text[: 32 * 1024], len(text) > 32 * 1024)
    assert not letter.HasField("event")
    request = pb.ReplayDeadLettersRequest(dead_letter_ids=[letter.dead_letter_id])
    answer = await acme.call("ReplayDeadLetters", request)
    assert [rejection.reason for rejection in answer.rejections] == ["DEAD_LETTER_UNREADABLE"]
    event = pb.Event(message_id="m", type=pb.EVENT_TYPE_PAGE, user_id="7")
    request.corrected_event.CopyFrom(event)
    assert (await acme.call("ReplayDeadLetters", request)).recorded_count == 1
