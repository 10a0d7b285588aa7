"""Segments go into object storage by themselves: a real server of S3's protocol, which checks signatures."""

import asyncio
import csv
import hashlib
import io
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pyarrow.parquet as pq
import pytest
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.segmentation.v1 import destination_pb2 as pb
from tessera.segmentation.v1 import member_file_pb2 as files
from tessera.segmentation.v1 import segmentation_service_pb2 as segments
from tessera.segmentation.v1.object_push_pb2 import (
    OBJECT_CONTENTS_CHANGES,
    OBJECT_ENCRYPTION_AES256,
    ObjectPush,
)

from services.common.rules import wire
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from services.segmentation.app import Settings
from tests.conftest import Keyring
from tests.segmentation.object_storage import ObjectStorage, object_storage
from tests.segmentation.platform import Platform, identified, platform_of
from tests.segmentation.receiver import receiving
from tests.segmentation.test_crash import _followed, _process
from tests.segmentation.test_service import ROMANS
from tests.segmentation.test_webhooks import NETWORKS, QUICK, deliveries, destination, reason, resumed, until_disabled
from tests.whole_platform import until


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    with object_storage() as storage:
        yield storage


@pytest.fixture
async def sending(configure: Callable[..., Settings], keyring: Keyring) -> AsyncIterator[Platform]:
    async with platform_of(configure, keyring, **QUICK) as platform:
        yield platform


def push_of(storage: ObjectStorage, segment_id: str, **more: Any) -> ObjectPush:
    return ObjectPush(segment_id=segment_id, interval_minutes=60, access_key_id=storage.access_key_id, **more)


async def writing(platform: Platform, url: str, push: ObjectPush, secret: str, request_id: str = "") -> pb.Destination:
    request = pb.CreateDestinationRequest(
        request_id=request_id, name="Lake", url=url, objects=push, secret_access_key=secret
    )
    made = await platform.segmentation.CreateDestination(request, metadata=platform.metadata)
    assert made.secret == ""
    return made.destination


async def delivered(platform: Platform, made: pb.Destination, count: int) -> list[pb.Delivery]:
    """Those that arrived, the newest first, once there are so many."""
    while True:
        found = await deliveries(platform, made.destination_id)
        arrived = [each for each in found if each.state == pb.DELIVERY_STATE_SUCCEEDED]
        if len(arrived) >= count:
            return arrived
        await asyncio.sleep(0.02)


async def pushed(platform: Platform, made: pb.Destination, count: int) -> pb.Delivery:
    """Push now, until so many have arrived; the newest."""
    now = pb.PushAudienceRequest(destination_id=made.destination_id)
    await platform.segmentation.PushAudience(now, metadata=platform.metadata)
    return (await delivered(platform, made, count))[0]


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))


async def test_members_are_written_and_a_manifest_says_what_is_in_the_file(
    sending: Platform, storage: ObjectStorage
) -> None:
    segment = await sending.create("romans", ROMANS)
    await sending.send(*(identified(name, city="Rome") for name in ("ann", "bob")))
    push = push_of(storage, segment.segment_id, encryption=OBJECT_ENCRYPTION_AES256, format=files.FILE_FORMAT_PARQUET)
    made = await writing(sending, storage.bucket("lake"), push, storage.secret)
    assert storage.secret not in str(made)
    (delivery,) = await delivered(sending, made, 1)
    assert (delivery.item_count, delivery.http_status, delivery.attempt_count) == (2, 200, 1)

    key, latest = delivery.object_key, f"acme/{segment.segment_id}/{made.destination_id}/latest.json"
    found = storage.objects("lake")
    assert list(found) == sorted([key, f"{key}.manifest.json", latest])
    assert key.startswith(f"acme/{segment.segment_id}/{made.destination_id}/")
    assert found[key].headers["x-amz-server-side-encryption"] == "AES256"
    assert found[key].headers["content-type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(found[key].content))
    assert sorted(table["customer_id"].to_pylist()) == sorted([await sending.customer_id(it) for it in ("ann", "bob")])

    told = json.loads(found[latest].content)
    assert found[f"{key}.manifest.json"].content == found[latest].content
    assert told["sha256"] == hashlib.sha256(found[key].content).hexdigest()
    assert (told["key"], told["rows"], told["bytes"]) == (key, 2, len(found[key].content))
    assert (told["contents"], told["columns"]) == ("all", ["customer_id", "enter_time"])
    assert (told["push_id"], told["base_push_id"], told["tenant"]) == (delivery.delivery_id, None, "acme")


async def test_changes_are_those_since_the_push_before_and_begin_anew_when_missed_ones_are_skipped(
    sending: Platform, storage: ObjectStorage
) -> None:
    segment = await sending.create("romans", ROMANS)
    await sending.send(*(identified(name, city="Rome") for name in ("ann", "bob")))
    push = push_of(storage, segment.segment_id, contents=OBJECT_CONTENTS_CHANGES, key="{push}.csv", latest_key="latest")
    push.columns.add(trait="city", name="town")
    made = await writing(sending, storage.bucket("changes"), push, storage.secret)
    await delivered(sending, made, 1)
    await sending.send(identified("ann", city="Ostia"), identified("eve", city="Rome"))
    ann, bob, eve = [await sending.customer_id(name) for name in ("ann", "bob", "eve")]
    await pushed(sending, made, 2)
    await pushed(sending, made, 3)
    await resumed(sending, made.destination_id, skip=True)
    await pushed(sending, made, 4)

    found = storage.objects("changes")
    told = [
        (json.loads(found[f"{it.object_key}.manifest.json"].content)["base_push_id"], rows(found[it.object_key]))
        for it in reversed(await delivered(sending, made, 4))
    ]
    ids = [it.delivery_id for it in reversed(await delivered(sending, made, 4))]
    assert [base for base, _ in told] == [None, ids[0], ids[1], None]
    said = [{row["customer_id"]: row["transition"] for row in each} for _, each in told]
    towns = [{row["town"] for row in each} for _, each in told]
    assert towns == [{"Rome"}, {"Rome", "Ostia"}, set(), {"Rome"}]
    assert said == [
        {ann: "entered", bob: "entered"},
        {ann: "left", eve: "entered"},
        {},
        {bob: "entered", eve: "entered"},
    ]


async def test_what_the_storage_refuses_is_told_and_tried_again_until_it_is_corrected(
    sending: Platform, storage: ObjectStorage
) -> None:
    segment = await sending.create("romans", ROMANS)
    await sending.send(identified("ann", city="Rome"))
    push = push_of(storage, segment.segment_id, key="romans.csv", latest_key="latest.json")
    bucket = storage.bucket("refusing")
    made = await writing(sending, bucket, push, "wrong")
    disabled = await until_disabled(sending, made.destination_id)
    assert "SignatureDoesNotMatch" in disabled.state_reason
    assert storage.objects("refusing") == {}

    asked = pb.TestDestinationRequest(destination_id=made.destination_id)
    answer = await sending.segmentation.TestDestination(asked, metadata=sending.metadata)
    assert (answer.delivered, answer.http_status) == (False, 403)
    update = pb.UpdateDestinationRequest(
        destination_id=made.destination_id, name="Lake", url=bucket, objects=push, secret_access_key=storage.secret
    )
    await sending.segmentation.UpdateDestination(update, metadata=sending.metadata)
    answer = await sending.segmentation.TestDestination(asked, metadata=sending.metadata)
    assert (answer.delivered, answer.delivery_id) == (True, "latest.json.test")
    update.secret_access_key, update.name = "", "Renamed"
    await sending.segmentation.UpdateDestination(update, metadata=sending.metadata)
    await resumed(sending, made.destination_id)
    (delivery,) = await delivered(sending, made, 1)
    assert delivery.attempt_count == 1
    assert delivery.object_key == "romans.csv"
    written = ["latest.json", "latest.json.test", "romans.csv", "romans.csv.manifest.json"]
    assert list(storage.objects("refusing")) == written
    assert (await destination(sending, made.destination_id)).state == pb.DESTINATION_STATE_ACTIVE

    absent = await writing(sending, f"{storage.url}/nowhere", push, storage.secret)
    assert "NoSuchBucket" in (await until_disabled(sending, absent.destination_id)).state_reason


async def test_what_cannot_be_a_bucket_or_its_key_is_refused(sending: Platform, storage: ObjectStorage) -> None:
    segment = await sending.create("romans", ROMANS)
    push, bucket = push_of(storage, segment.segment_id), f"{storage.url}/never"
    assert await reason(writing(sending, "https://10.0.0.1/lake", push, "s")) == "ADDRESS_REFUSED"
    assert await reason(writing(sending, "s3://lake", push, "s")) == "DESTINATION_INVALID"
    assert await reason(writing(sending, bucket, push, "")) == "DESTINATION_INVALID"
    assert await reason(writing(sending, bucket, push_of(storage, "nobody's"), "s")) == "SEGMENT_NOT_FOUND"
    later = push_of(storage, segment.segment_id)
    later.start_time.FromJsonString("2100-01-01T00:00:00Z")
    made = await writing(sending, bucket, later, "s", "once")
    assert await writing(sending, bucket, later, "s", "once") == made
    assert await reason(writing(sending, bucket, later, "other", "once")) == "REQUEST_ID_REUSED"
    rotate = pb.RotateDestinationSecretRequest(destination_id=made.destination_id)
    rotated = sending.segmentation.RotateDestinationSecret(rotate, metadata=sending.metadata)
    assert await reason(rotated) == "DESTINATION_NOT_READY"
    later.access_key_id = "ANOTHER"
    update = pb.UpdateDestinationRequest(destination_id=made.destination_id, name="Lake", url=bucket, objects=later)
    updated = sending.segmentation.UpdateDestination(update, metadata=sending.metadata)
    assert await reason(updated) == "DESTINATION_INVALID"


async def test_a_push_that_a_kill_cuts_off_is_written_again_and_leaves_nothing_out(
    configure: Callable[..., ProfilesSettings], keyring: Keyring, tmp_path: Path
) -> None:
    async with (
        serve_profiles(configure(ProfilesSettings)) as source,
        grpc.aio.insecure_channel(source.address) as channel,
        receiving() as bucket,
    ):
        environment = {
            "TESSERA_DATA_DIR": str(tmp_path / "killed"),
            "AUTH_PUBLIC_KEY_FILE": str(keyring.public_key),
            "SERVICE_TOKEN_FILE": str(keyring.service_token),
            "PROFILES_ADDR": source.address,
            "SEGMENTATION_PORT": "0",
            "SEGMENTATION_WEBHOOK_NETWORKS": json.dumps(NETWORKS),
        }

        async def moved_to_rome(*names: str) -> None:
            events = [identified(name, city="Rome") for name in names]
            for event in events:
                event.message_id = event.user_id
            ingest = profiles.IngestEventsRequest(events=events)
            await ProfilesServiceStub(channel).IngestEvents(ingest, metadata=keyring.header())

        async with _process(environment, keyring) as (client, pid):
            stub, metadata = client
            create = segments.CreateSegmentRequest(name="romans", rule=wire.write(ROMANS))
            made = (await stub.CreateSegment(create, metadata=metadata)).segment
            await moved_to_rome("ann", "bob")
            await _followed(client, 2)
            bucket.answer = lambda _: 200
            push = ObjectPush(
                segment_id=made.segment_id,
                interval_minutes=60,
                access_key_id="key",
                contents=OBJECT_CONTENTS_CHANGES,
                latest_key="latest",
            )
            address = bucket.url.replace("hook", "bucket")
            asked = pb.CreateDestinationRequest(name="Lake", url=address, objects=push, secret_access_key="secret")
            destination_id = (await stub.CreateDestination(asked, metadata=metadata)).destination.destination_id
            history = pb.ListDeliveriesRequest(destination_id=destination_id)

            async def arrived() -> bool:
                kept = (await stub.ListDeliveries(history, metadata=metadata)).deliveries
                return any(each.state == pb.DELIVERY_STATE_SUCCEEDED for each in kept)

            await until(arrived)
            bucket.answer = lambda _: 200 if len(bucket.received) == 4 else None
            await moved_to_rome("eve")
            await _followed(client, 3)
            now = pb.PushAudienceRequest(destination_id=destination_id)
            await stub.PushAudience(now, metadata=metadata)
            await bucket.until(lambda them: len(them) == 5)
            os.kill(pid, signal.SIGKILL)
        bucket.answer = lambda _: 200
        async with _process(environment, keyring):
            received = await bucket.until(lambda them: len(them) == 8)
    first, cut_off, again = received[:3], received[3:5], received[5:]
    assert [each.path for each in (first[2], again[2])] == ["/bucket/latest"] * 2
    manifests = [json.loads(each.body) for each in (first[1], cut_off[1], again[1])]
    assert [it["rows"] for it in manifests] == [2, 1, 1]
    assert manifests[2]["base_push_id"] == manifests[1]["base_push_id"] == manifests[0]["push_id"]
    assert again[0].body == cut_off[0].body
    assert again[1].body == again[2].body
    assert hashlib.sha256(again[0].body).hexdigest() == manifests[2]["sha256"]
