"""Segments as files in object storage: under which keys, and what a manifest says of them."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC
from enum import IntEnum

from services.common.clock import from_micros
from services.segmentation.domain.delivery import rfc3339
from services.segmentation.domain.member_column import MemberColumn, columns_fault
from services.segmentation.domain.schedule import Schedule

OBJECT_BYTES_MAX = 5 * 1024**3
"""What object storage takes in one request, and so at once."""
KEY_DEFAULT = "{tenant}/{segment}/{destination}/{time}-{push}.{extension}"
LATEST_DEFAULT = "{tenant}/{segment}/{destination}/latest.json"
REGION_DEFAULT = "us-east-1"
KEY_BYTES_MAX = 1024 - len(".manifest.json")
_OWN = frozenset({"tenant", "segment", "destination"})
_EACH = frozenset({"date", "time", "push", "extension"})
_PLACE = re.compile(r"\{([^{}]*)\}")
_HARMLESS = re.compile(r"[A-Za-z0-9!_.*'()/=-]*\Z")
_REGION = re.compile(r"[a-z0-9-]{1,64}\Z")


class FileForm(IntEnum):
    """How a file is written; the numbers are those of the contract."""

    CSV = 1
    PARQUET = 2


class Contents(IntEnum):
    """What a file holds; the numbers are those of the contract."""

    ALL = 1
    CHANGES = 2


class Encryption(IntEnum):
    """How the storage encrypts; the numbers are those of the contract."""

    BUCKET = 0
    AES256 = 1
    KMS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPush(Schedule):
    """The members of a segment as files in a bucket, again and again."""

    segment_id: str
    access_key_id: str
    form: FileForm = FileForm.CSV
    contents: Contents = Contents.ALL
    key: str = KEY_DEFAULT
    latest_key: str = LATEST_DEFAULT
    region: str = REGION_DEFAULT
    encryption: Encryption = Encryption.BUCKET
    kms_key_id: str = ""
    columns: tuple[MemberColumn, ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """What a request says of encryption."""
        if self.encryption is Encryption.BUCKET:
            return {}
        said = {"x-amz-server-side-encryption": "AES256" if self.encryption is Encryption.AES256 else "aws:kms"}
        return {**said, "x-amz-server-side-encryption-aws-kms-key-id": self.kms_key_id} if self.kms_key_id else said

    def lineage(self, url: str) -> str:
        """The same for pushes of changes of which one follows the other."""
        columns = [f"{each.trait} {each.name} {each.hash}" for each in self.columns]
        parts = (url, self.segment_id, self.key, self.latest_key, str(self.form), str(self.contents), *columns)
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def fault(push: ObjectPush) -> tuple[str, str] | None:
    """What is wrong with it: the field, and words."""
    if found := _key_fault(push.key, _OWN | _EACH):
        return "objects.key", found
    if found := _key_fault(push.latest_key, _OWN):
        return "objects.latest_key", found
    if push.contents is Contents.CHANGES and not {"push", "time"} & set(_PLACE.findall(push.key)):
        return "objects.key", "changes need {push} or {time} in the key, or each file is written over the one before"
    if not _REGION.match(push.region):
        return "objects.region", f"{push.region} is no region; it looks like eu-central-1"
    if not push.access_key_id.isascii() or not push.access_key_id.isalnum():
        return "objects.access_key_id", "an access key id consists of letters and digits"
    if push.kms_key_id and (push.encryption is not Encryption.KMS or not re.fullmatch(r"[!-~]+", push.kms_key_id)):
        return "objects.kms_key_id", "a key of the key service needs encryption by KMS, and has no spaces"
    if (wrong := columns_fault(push.columns)) is not None:
        return "objects.columns", wrong[1]
    return None


def _key_fault(template: str, allowed: frozenset[str]) -> str:
    if unknown := sorted(set(_PLACE.findall(template)) - allowed):
        places = ", ".join(f"{{{name}}}" for name in sorted(allowed))
        return f"{{{unknown[0]}}} cannot stand in this key; what can is {places}"
    plain = _PLACE.sub("x", template)
    if not _HARMLESS.match(plain):
        return "a key has ASCII letters, digits and !_.*'()/=- only"
    if plain.startswith("/") or plain.endswith("/") or any(part in ("", ".", "..") for part in plain.split("/")):
        return "a key neither begins nor ends with a slash, and has no empty part and none that is . or .."
    return ""


@dataclass(frozen=True, slots=True)
class Place:
    """What keys are made of."""

    tenant: str
    destination_id: str
    push: str
    moment: int
    """When reading began, in microseconds."""

    def key(self, push: ObjectPush, template: str) -> str:
        """The template filled in."""
        moment = from_micros(self.moment).astimezone(UTC)
        values = {
            "tenant": self.tenant,
            "segment": push.segment_id,
            "destination": self.destination_id,
            "date": f"{moment:%Y-%m-%d}",
            "time": f"{moment:%Y%m%dT%H%M%SZ}",
            "push": self.push,
            "extension": push.form.name.lower(),
        }
        return _PLACE.sub(lambda found: values[found[1]], template)


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written: how much is in it, its SHA-256 in hexadecimal, and the names of its columns."""

    rows: int
    size: int
    sha256: str
    columns: tuple[str, ...]


def manifest(push: ObjectPush, place: Place, push_id: str, base: str, key: str, written: Written) -> bytes:
    """What says of a file what is in it; ``base`` is the push that changes follow, empty if none."""
    told = {
        "type": "segment.audience.pushed",
        "push_id": push_id,
        "tenant": place.tenant,
        "destination_id": place.destination_id,
        "segment_id": push.segment_id,
        "contents": push.contents.name.lower(),
        "base_push_id": base or None,
        "as_of": rfc3339(place.moment),
        "key": key,
        "format": push.form.name.lower(),
        "columns": list(written.columns),
        "rows": written.rows,
        "bytes": written.size,
        "sha256": written.sha256,
    }
    return json.dumps(told, indent=1).encode() + b"\n"


def bucket_fault(url: str) -> str:
    """What is wrong with the address of a bucket that is an address of the web; empty if nothing is."""
    rest = url.partition("://")[2]
    host, _, path = rest.partition("/")
    if "?" in rest:
        return "the address of a bucket has no query"
    if "/" in path.rstrip("/") or path.endswith("/"):
        return "the address of a bucket has one part behind the host at most: where in it files go is said by `key`"
    if not path and host.count(".") < 2:
        return "the address names no bucket: https://BUCKET.s3.REGION.amazonaws.com, or https://HOST/BUCKET"
    return ""
