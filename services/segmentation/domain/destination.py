"""Destinations: web addresses and buckets that segments go to by themselves, and what such an address may be."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias
from urllib.parse import urlsplit

from services.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.segmentation.domain.object_push import ObjectPush, bucket_fault, fault
from services.segmentation.domain.schedule import Schedule

DESTINATIONS_MAX = 50
BATCH_DEFAULT, CHUNK_DEFAULT = 100, 1000
ROTATION_MICROS = 24 * 60 * 60 * 1_000_000
"""How long deliveries are signed with the secret before as well."""
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "2002::/16", "2001::/32")))
"""NAT64, 6to4 and Teredo: each names an IPv4 address, which may be a private one."""


class DestinationNotFound(NotFound):
    """No destination of this tenant has the id. Metadata ``destination_id``."""

    def __init__(self, destination_id: str) -> None:
        super().__init__(f"there is no destination {destination_id}", destination_id=destination_id)


class DestinationInvalid(InvalidArgument):
    """The destination cannot be one. Metadata ``field``."""


class AddressRefused(FailedPrecondition):
    """The address is not public, and its network is not allowed. Metadata ``host``."""


class DestinationChanged(Conflict):
    """The destination is not at the version that was to be replaced. Metadata ``version`` is the one it is at."""


class DestinationNotReady(FailedPrecondition):
    """The destination takes no pushes, or is not active."""


class TooManyDestinations(ResourceExhausted):
    """The tenant has as many as it can have. Metadata ``maximum``."""


class State(IntEnum):
    """Whether a destination is sent anything; the numbers are those of the contract."""

    ACTIVE = 1
    PAUSED = 2
    DISABLED = 3


class Format(IntEnum):
    """The form of an audience; the numbers are those of the contract."""

    NDJSON = 1
    CSV = 2


@dataclass(frozen=True, slots=True)
class TransitionPush:
    """Changes of memberships as they happen, of some segments or of all."""

    segment_ids: tuple[str, ...] = ()
    batch_size: int = BATCH_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class AudiencePush(Schedule):
    """The members of a segment again and again."""

    segment_id: str
    format: Format = Format.NDJSON
    chunk_size: int = CHUNK_DEFAULT


Content: TypeAlias = TransitionPush | AudiencePush | ObjectPush


@dataclass(frozen=True, slots=True)
class Destination:
    """A web address and what it is sent; times in microseconds. ``secret`` signs webhooks, or belongs to the access key
    for a bucket."""

    destination_id: str
    name: str
    url: str
    content: Content
    state: State
    reason: str
    secret: bytes
    create_time: int
    update_time: int
    version: int
    previous_secret: bytes = b""
    previous_until: int = 0
    generation: int = 0
    """How often it was resumed: each time failures are counted anew."""
    skip_to: str = ""
    """The cursor of the feed from which it went on the last time; empty: from where it had stopped."""
    asked: int = 0
    """When somebody last asked for a push."""

    def secrets(self, now: int) -> list[bytes]:
        """What a delivery is signed with, the newest first."""
        return [self.secret, self.previous_secret] if now < self.previous_until else [self.secret]

    @property
    def segment_ids(self) -> Sequence[str]:
        """The segments that it names."""
        return segments_of(self.content)


def segments_of(content: Content) -> Sequence[str]:
    """The segments that it names."""
    return content.segment_ids if isinstance(content, TransitionPush) else (content.segment_id,)


def check_objects(url: str, push: ObjectPush, secret: bytes) -> None:
    """``DestinationInvalid`` for what cannot be written into a bucket, or not there."""
    if found := bucket_fault(url):
        raise DestinationInvalid(found, field="url")
    if (wrong := fault(push)) is not None:
        raise DestinationInvalid(wrong[1], field=wrong[0])
    if not re.fullmatch(rb"[!-~]{1,256}", secret):
        raise DestinationInvalid("the access key has a secret, in ASCII and without spaces", field="secret_access_key")


def check_url(url: str, allowed: Sequence[Network]) -> None:
    """``DestinationInvalid`` for what is no address of the web, ``AddressRefused`` for one that is seen not to be
    public. A name is looked up only when it is used."""
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError as error:
        raise DestinationInvalid(f"the url cannot be read: {error}", field="url") from None
    if not url.isascii() or any(character.isspace() for character in url) or not port_fits:
        raise DestinationInvalid("the url has characters or a port that none has; encode them", field="url")
    if parts.scheme == "s3":
        text = "the url is the bucket's web address: https://BUCKET.s3.REGION.amazonaws.com, or https://HOST/BUCKET"
        raise DestinationInvalid(text, field="url")
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise DestinationInvalid("the url begins with https:// and names a host", field="url")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise DestinationInvalid("the url has a user, a password or a fragment; leave it out", field="url")
    if parts.scheme == "http" and not allowed:
        raise DestinationInvalid("the url begins with http://; without encryption nothing is sent", field="url")
    try:
        address = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return
    check_address(str(address), parts.hostname, allowed, public=parts.scheme == "https")


def check_address(address: str, host: str, allowed: Sequence[Network], *, public: bool) -> None:
    """``AddressRefused`` unless the address is in an allowed network, or ``public`` ones will do and it is one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if any(ip.version == network.version and ip in network for network in allowed):
        return
    translated = any(ip.version == 6 and ip in network for network in _TRANSLATED)
    if not public or not ip.is_global or ip.is_multicast or ip.is_reserved or translated:
        raise AddressRefused(
            f"{host} is at {ip}, where nothing may be sent"
            + ("" if public else " without encryption")
            + "; whoever runs the service can allow its network in SEGMENTATION_WEBHOOK_NETWORKS",
            host=host,
        )
