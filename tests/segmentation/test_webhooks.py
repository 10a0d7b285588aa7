"""Segments go to web addresses by themselves: signed, in order, again after failures, whatever crashes."""

import base64
import csv
import io
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.segmentation.v1 import destination_pb2 as pb
from tessera.segmentation.v1 import segmentation_service_pb2 as segments

from services.common.grpc_errors import error_info
from services.common.rules import wire
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from services.segmentation.app import Settings
from tests.conftest import Keyring
from tests.segmentation.platform import Platform, identified, ordered, platform_of
from tests.segmentation.receiver import Receiver, receiving
from tests.segmentation.test_crash import _followed, _process
from tests.segmentation.test_service import BUYERS, ROMANS

NETWORKS = ["127.0.0.0/8"]
QUICK = {"webhook_networks": NETWORKS, "webhook_wait_seconds": 0.02, "webhook_attempts_max": 4}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def sending(configure: Callable[..., Settings], keyring: Keyring) -> AsyncIterator[Platform]:
    async with platform_of(configure, keyring, **QUICK, webhook_seconds_max=3) as platform:
        yield platform


async def told(platform: Platform, url: str, *segment_ids: str, batch_size: int = 0) -> pb.CreateDestinationResponse:
    push = pb.TransitionPush(segment_ids=segment_ids, batch_size=batch_size)
    request = pb.CreateDestinationRequest(request_id="d", name="Ads", url=url, transitions=push)
    return await platform.segmentation.CreateDestination(request, metadata=platform.metadata)


async def destination(platform: Platform, destination_id: str) -> pb.Destination:
    request = pb.GetDestinationRequest(destination_id=destination_id)
    return (await platform.segmentation.GetDestination(request, metadata=platform.metadata)).destination


async def resumed(platform: Platform, destination_id: str, *, skip: bool = False) -> pb.Destination:
    request = pb.ResumeDestinationRequest(destination_id=destination_id, skip_missed=skip)
    return (await platform.segmentation.ResumeDestination(request, metadata=platform.metadata)).destination


async def deliveries(platform: Platform, destination_id: str) -> list[pb.Delivery]:
    request = pb.ListDeliveriesRequest(destination_id=destination_id)
    answer = await platform.segmentation.ListDeliveries(request, metadata=platform.metadata)
    return list(answer.deliveries)


async def until_disabled(platform: Platform, destination_id: str) -> pb.Destination:
    while (found := await destination(platform, destination_id)).state != pb.DESTINATION_STATE_DISABLED:
        pass
    return found


async def test_who_enters_and_leaves_is_told_signed_and_in_order(sending: Platform, receiver: Receiver) -> None:
    romans = await sending.create("romans", ROMANS)
    await sending.create("buyers", BUYERS)
    made = await told(sending, receiver.url, romans.segment_id)
    again = await told(sending, receiver.url, romans.segment_id)
    assert again == made, "the same request"
    for city in ("Rome", "Milan", "Rome"):
        await sending.send(identified("ann", city=city), ordered("bob", 1, 10))
    ann = await sending.customer_id("ann")
    received = await receiver.until(lambda them: sum(len(each.changes) for each in them) >= 3)
    changes = [change for each in received for change in each.changes]
    assert [(it["customer_id"], it["segment_id"], it["transition"]) for it in changes] == [
        (ann, romans.segment_id, kind) for kind in ("entered", "left", "entered")
    ]
    assert len({change["id"] for change in changes}) == 3
    assert made.secret.startswith("whsec_")
    assert all(each.signed_by(made.secret) for each in received)
    assert {each.headers["content-type"] for each in received} == {"application/json"}


async def test_what_fails_is_sent_again_by_the_same_id_until_it_arrives(sending: Platform, receiver: Receiver) -> None:
    await sending.create("romans", ROMANS)
    answers: list[int | tuple[int, str] | None] = [500, None, (302, "location: /elsewhere\r\n"), 200, 204]
    receiver.answer = lambda _: answers.pop(0)
    made = (await told(sending, receiver.url, batch_size=1)).destination
    await sending.send(identified("ann", city="Rome"), identified("bob", city="Rome"))
    received = await receiver.until(lambda them: len(them) == 5)
    first, second = received[0].delivery_id, received[4].delivery_id
    assert [each.delivery_id for each in received] == [first] * 4 + [second]
    assert {each.path for each in received} == {"/hook"}, "redirects are not followed"
    assert received[0].body == received[3].body != received[4].body
    while len(found := [it for it in await deliveries(sending, made.destination_id) if it.state == 2]) < 2:
        pass
    assert [(it.delivery_id, it.attempt_count, it.http_status, it.error) for it in found] == [
        (second, 1, 204, ""),
        (first, 4, 200, ""),
    ]
    assert (await destination(sending, made.destination_id)).failure_count == 0


async def test_an_address_that_is_gone_or_fails_for_too_long_is_disabled_and_can_go_on(
    sending: Platform, receiver: Receiver
) -> None:
    await sending.create("romans", ROMANS)
    made = (await told(sending, receiver.url)).destination
    receiver.answer = lambda _: 410
    await sending.send(identified("ann", city="Rome"))
    found = await until_disabled(sending, made.destination_id)
    assert "410" in found.state_reason
    receiver.answer = lambda _: 503
    assert (await resumed(sending, made.destination_id)).state == pb.DESTINATION_STATE_ACTIVE
    found = await until_disabled(sending, made.destination_id)
    assert found.state_reason == "4 attempts at one delivery failed, the last: the answer was 503"
    assert len({each.delivery_id for each in receiver.received}) == 1
    assert len(receiver.received) == 5
    (delivery,) = await deliveries(sending, made.destination_id)
    assert (delivery.state, delivery.attempt_count) == (pb.DELIVERY_STATE_FAILED, 4)
    receiver.answer = lambda _: 200
    await sending.send(identified("bob", city="Rome"))
    await resumed(sending, made.destination_id)
    received = await receiver.until(lambda them: sum(len(each.changes) for each in them[5:]) == 2)
    ids = [await sending.customer_id(name) for name in ("ann", "bob")]
    assert [change["customer_id"] for each in received[5:] for change in each.changes] == ids, "nothing is lost"


async def test_what_was_missed_can_be_skipped(sending: Platform, receiver: Receiver) -> None:
    await sending.create("romans", ROMANS)
    made = (await told(sending, receiver.url)).destination
    pause = pb.PauseDestinationRequest(destination_id=made.destination_id)
    paused = (await sending.segmentation.PauseDestination(pause, metadata=sending.metadata)).destination
    assert paused.state == pb.DESTINATION_STATE_PAUSED
    await sending.send(identified("ann", city="Rome"))
    await resumed(sending, made.destination_id, skip=True)
    await sending.send(identified("bob", city="Rome"))
    received = await receiver.until(bool)
    assert received[0].changes[0]["customer_id"] == await sending.customer_id("bob")


async def test_an_audience_is_pushed_in_chunks(sending: Platform, receiver: Receiver) -> None:
    romans = await sending.create("romans", ROMANS)
    await sending.send(*(identified(f"u{number}", city="Rome") for number in range(5)))
    ids = sorted([await sending.customer_id(f"u{number}") for number in range(5)])
    push = pb.AudiencePush(segment_id=romans.segment_id, interval_minutes=5, chunk_size=2)
    request = pb.CreateDestinationRequest(name="Audience", url=receiver.url, audience=push)
    made = await sending.segmentation.CreateDestination(request, metadata=sending.metadata)
    chunks = await receiver.until(lambda them: len(them) == 3)
    members = [json.loads(line) for each in chunks for line in each.body.splitlines()]
    assert [member["customer_id"] for member in members] == ids
    assert set(members[0]) == {"customer_id", "enter_time"}
    assert all(each.signed_by(made.secret) for each in chunks)
    push_id = chunks[0].headers["tessera-push-id"]
    assert [(it.delivery_id, it.headers["tessera-chunk"], it.headers["tessera-last-chunk"]) for it in chunks] == [
        (f"{push_id}.{at}", str(at), last) for at, last in enumerate(("false", "false", "true"))
    ]

    push.format, push.chunk_size = pb.AUDIENCE_FORMAT_CSV, 100
    update = pb.UpdateDestinationRequest(
        destination_id=made.destination.destination_id, name="Audience", url=receiver.url, audience=push
    )
    changed = (await sending.segmentation.UpdateDestination(update, metadata=sending.metadata)).destination
    assert changed.audience.start_time == made.destination.audience.start_time
    assert changed.next_attempt_time.ToSeconds() == made.destination.audience.start_time.ToSeconds() + 300
    now = pb.PushAudienceRequest(destination_id=made.destination.destination_id)
    await sending.segmentation.PushAudience(now, metadata=sending.metadata)
    *_, whole = await receiver.until(lambda them: len(them) == 4)
    rows = list(csv.DictReader(io.StringIO(whole.body.decode())))
    assert [row["customer_id"] for row in rows] == ids
    assert (whole.headers["content-type"], whole.headers["tessera-last-chunk"]) == ("text/csv; charset=utf-8", "true")


async def test_a_new_secret_signs_beside_the_old_one_and_neither_is_stored_as_it_is(
    sending: Platform, receiver: Receiver, tmp_path: Path
) -> None:
    await sending.create("romans", ROMANS)
    made = await told(sending, receiver.url)
    rotate = pb.RotateDestinationSecretRequest(request_id="r", destination_id=made.destination.destination_id)
    rotated = await sending.segmentation.RotateDestinationSecret(rotate, metadata=sending.metadata)
    assert rotated.secret != made.secret
    await sending.send(identified("ann", city="Rome"))
    (received, *_) = await receiver.until(bool)
    assert received.signed_by(rotated.secret)
    assert received.signed_by(made.secret)


async def reason(call: object) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    info = error_info(caught.value)
    assert info is not None
    return str(info.reason)


async def test_what_cannot_be_a_destination_is_refused(sending: Platform, receiver: Receiver) -> None:
    assert await reason(told(sending, "http://10.0.0.1/")) == "ADDRESS_REFUSED"
    assert await reason(told(sending, "https://169.254.169.254/latest")) == "ADDRESS_REFUSED"
    assert await reason(told(sending, receiver.url, "nobody's")) == "SEGMENT_NOT_FOUND"
    create, metadata = sending.segmentation.CreateDestination, sending.metadata
    nothing = pb.CreateDestinationRequest(name="Ads", url=receiver.url)
    assert await reason(create(nothing, metadata=metadata)) == "DESTINATION_INVALID"
    romans = await sending.create("romans", ROMANS)
    made = (await told(sending, receiver.url, romans.segment_id)).destination
    delete = segments.DeleteSegmentRequest(segment_id=romans.segment_id)
    assert await reason(sending.segmentation.DeleteSegment(delete, metadata=metadata)) == "SEGMENT_IN_USE"
    push = pb.PushAudienceRequest(destination_id=made.destination_id)
    assert await reason(sending.segmentation.PushAudience(push, metadata=metadata)) == "DESTINATION_NOT_READY"
    update = pb.UpdateDestinationRequest(
        destination_id=made.destination_id, name="A", url=receiver.url, transitions=pb.TransitionPush(), version=9
    )
    assert await reason(sending.segmentation.UpdateDestination(update, metadata=metadata)) == "DESTINATION_CHANGED"
    gone = pb.DeleteDestinationRequest(destination_id=made.destination_id, request_id="gone")
    for _ in range(2):
        await sending.segmentation.DeleteDestination(gone, metadata=metadata)
    look = pb.GetDestinationRequest(destination_id=made.destination_id)
    assert await reason(sending.segmentation.GetDestination(look, metadata=metadata)) == "DESTINATION_NOT_FOUND"
    await sending.segmentation.DeleteSegment(delete, metadata=metadata)


async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(
    configure: Callable[..., Settings], keyring: Keyring, receiver: Receiver
) -> None:
    elsewhere = {**QUICK, "webhook_networks": ["192.0.2.0/24"]}
    async with platform_of(configure, keyring, **elsewhere) as platform:
        await platform.create("romans", ROMANS)
        url = receiver.url.replace("127.0.0.1", "localhost")
        made = (await told(platform, url)).destination
        await platform.send(identified("ann", city="Rome"))
        found = await until_disabled(platform, made.destination_id)
    assert "nothing may be sent" in found.state_reason
    assert receiver.received == []


async def test_a_killed_process_delivers_by_the_same_id_and_leaves_nothing_out(
    configure: Callable[..., ProfilesSettings], keyring: Keyring, receiver: Receiver, tmp_path: Path
) -> None:
    async with (
        serve_profiles(configure(ProfilesSettings)) as source,
        grpc.aio.insecure_channel(source.address) as channel,
    ):
        environment = {
            "TESSERA_DATA_DIR": str(tmp_path / "killed"),
            "AUTH_PUBLIC_KEY_FILE": str(keyring.public_key),
            "SERVICE_TOKEN_FILE": str(keyring.service_token),
            "PROFILES_ADDR": source.address,
            "SEGMENTATION_PORT": "0",
            "SEGMENTATION_WEBHOOK_NETWORKS": json.dumps(NETWORKS),
        }
        receiver.answer = lambda request: 200 if len(receiver.received) == 1 else None
        events = [identified(f"u{number}", city="Rome") for number in range(6)]
        for number, event in enumerate(events):
            event.message_id = f"m{number}"
        async with _process(environment, keyring) as (client, pid):
            stub, metadata = client
            create = segments.CreateSegmentRequest(name="romans", rule=wire.write(ROMANS))
            await stub.CreateSegment(create, metadata=metadata)
            push = pb.TransitionPush(batch_size=2)
            request = pb.CreateDestinationRequest(name="Ads", url=receiver.url, transitions=push)
            made = await stub.CreateDestination(request, metadata=metadata)
            ingest = profiles.IngestEventsRequest(events=events)
            pause = pb.PauseDestinationRequest(destination_id=made.destination.destination_id)
            await stub.PauseDestination(pause, metadata=metadata)
            await ProfilesServiceStub(channel).IngestEvents(ingest, metadata=metadata)
            await _followed(client, 6)
            resume = pb.ResumeDestinationRequest(destination_id=made.destination.destination_id)
            await stub.ResumeDestination(resume, metadata=metadata)
            await receiver.until(lambda them: len(them) == 2)
            os.kill(pid, signal.SIGKILL)
        stored = b"".join(path.read_bytes() for path in (tmp_path / "killed").glob("segmentation.sqlite*"))
        assert made.destination.destination_id.encode() in stored
        assert base64.b64decode(made.secret.removeprefix("whsec_")) not in stored
        assert made.secret.removeprefix("whsec_").encode() not in stored
        receiver.answer = lambda _: 200
        async with _process(environment, keyring):
            received = await receiver.until(lambda them: len({str(it["id"]) for r in them for it in r.changes}) == 6)
        assert received[2].delivery_id == received[1].delivery_id
        assert received[2].body == received[1].body
        order = list(dict.fromkeys(change["id"] for each in received for change in each.changes))
        assert [change["id"] for each in [received[0], *received[2:]] for change in each.changes] == order


async def test_a_test_message_is_signed_and_its_outcome_is_answered_and_not_kept(
    sending: Platform, receiver: Receiver
) -> None:
    await sending.create("romans", ROMANS)
    made = await told(sending, receiver.url)
    asked = pb.TestDestinationRequest(destination_id=made.destination.destination_id)
    for status in (204, 503):
        receiver.answer = lambda _, status=status: status  # type: ignore[misc]  # bound for this turn
        answer = await sending.segmentation.TestDestination(asked, metadata=sending.metadata)
        assert (answer.delivered, answer.http_status, bool(answer.error)) == (status == 204, status, status != 204)
        assert receiver.received[-1].delivery_id == answer.delivery_id
    assert all(each.signed_by(made.secret) for each in receiver.received)
    assert b'"type":"destination.test"' in receiver.received[0].body
    assert await deliveries(sending, made.destination.destination_id) == []
