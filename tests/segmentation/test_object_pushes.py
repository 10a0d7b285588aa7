"""Files in object storage: how requests are signed, under which keys they are, and what is refused."""

import hashlib
import string
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from services.segmentation.domain.delivery import SECOND
from services.segmentation.domain.destination import DestinationInvalid, check_objects, check_url
from services.segmentation.domain.object_push import Contents, Encryption, FileForm, ObjectPush, Place
from services.segmentation.domain.s3_signature import object_path, s3_signed

PUSH = ObjectPush(segment_id="vip", access_key_id="AKIAIOSFODNN7EXAMPLE", interval=300 * SECOND)
BUCKET = "https://shop.s3.eu-central-1.amazonaws.com"
EXAMPLE = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret": b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}


def test_the_signature_is_that_of_the_example_in_amazons_reference() -> None:
    signed = s3_signed(
        "PUT",
        f"https://examplebucket.s3.amazonaws.com/{object_path('test$file.text')}",
        {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
        region="us-east-1",
        moment=datetime(2013, 5, 24, tzinfo=UTC),
        **EXAMPLE,  # type: ignore[arg-type]
    )
    assert signed["authorization"].endswith("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")


@given(
    key=st.text(string.printable.strip() + " é", min_size=1, max_size=40).filter(lambda key: key.strip("/.")),
    secret=st.text(string.ascii_letters + "+/=", min_size=1, max_size=40),
    region=st.sampled_from(["us-east-1", "eu-central-1"]),
    body=st.binary(max_size=20),
)
def test_signatures_are_those_of_amazons_own_library(key: str, secret: str, region: str, body: bytes) -> None:
    url = f"https://storage.example.com:9000/bucket/{object_path(key)}"
    headers = {"content-type": "text/csv; charset=utf-8", "x-amz-server-side-encryption": "AES256"}
    moment = datetime.now(UTC)
    theirs = AWSRequest("PUT", url, data=body, headers=dict(headers))
    botocore.auth.S3SigV4Auth(Credentials("AKIA", secret), "s3", region).add_auth(theirs)
    moment = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    digest = hashlib.sha256(body).hexdigest()
    ours = s3_signed(
        "PUT", url, headers, digest, access_key_id="AKIA", secret=secret.encode(), region=region, moment=moment
    )
    assert ours["authorization"] == theirs.headers["Authorization"]


def test_keys_are_made_of_what_they_name() -> None:
    place = Place("acme", "d1", "push_1.2", 1_760_000_000 * SECOND)
    assert place.key(PUSH, PUSH.key) == "acme/vip/d1/20251009T085320Z-push_1.2.csv"
    assert place.key(PUSH, PUSH.latest_key) == "acme/vip/d1/latest.json"
    parquet = replace(PUSH, form=FileForm.PARQUET, key="day={date}/{segment}.{extension}")
    assert place.key(parquet, parquet.key) == "day=2025-10-09/vip.parquet"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"key": "{customer}.csv"}, "objects.key"),
        ({"key": "/{push}.csv"}, "objects.key"),
        ({"key": "a//{push}.csv"}, "objects.key"),
        ({"key": "../{push}.csv"}, "objects.key"),
        ({"key": "{push}/"}, "objects.key"),
        ({"key": "{push"}, "objects.key"),
        ({"key": "a b {push}"}, "objects.key"),
        ({"key": "ü{push}"}, "objects.key"),
        ({"key": "{date}.csv", "contents": Contents.CHANGES}, "objects.key"),
        ({"latest_key": "{time}.json"}, "objects.latest_key"),
        ({"region": "Frankfurt"}, "objects.region"),
        ({"access_key_id": "AKIA/2"}, "objects.access_key_id"),
        ({"kms_key_id": "k"}, "objects.kms_key_id"),
        ({"kms_key_id": "k\r\nx: y", "encryption": Encryption.KMS}, "objects.kms_key_id"),
    ],
)
def test_what_cannot_be_written_is_refused(changed: dict[str, Any], field: str) -> None:
    check_objects(BUCKET, PUSH, b"secret")
    with pytest.raises(DestinationInvalid) as refused:
        check_objects(BUCKET, replace(PUSH, **changed), b"secret")
    assert refused.value.metadata["field"] == field


@pytest.mark.parametrize(
    "url", ["https://example.com", "https://example.com/a/b", "https://example.com/a/", "https://example.com/a?b=c"]
)
def test_what_is_no_address_of_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(DestinationInvalid):
        check_objects(url, PUSH, b"secret")


def test_a_secret_is_needed_and_an_address_as_tools_write_it_is_explained() -> None:
    for secret in (b"", b"two words", "ü".encode()):
        with pytest.raises(DestinationInvalid, match="secret"):
            check_objects(BUCKET, PUSH, secret)
    with pytest.raises(DestinationInvalid, match=r"https://BUCKET\.s3"):
        check_url("s3://shop", [])


def test_a_request_says_how_it_is_to_be_encrypted() -> None:
    assert PUSH.headers == {}
    assert replace(PUSH, encryption=Encryption.AES256).headers == {"x-amz-server-side-encryption": "AES256"}
    assert replace(PUSH, encryption=Encryption.KMS, kms_key_id="k").headers == {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "k",
    }
