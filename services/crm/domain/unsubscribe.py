"""Links by which somebody who got a mail leaves the list: they name the message and cannot be made by guessing."""

import base64
import binascii
import hmac
from dataclasses import dataclass
from datetime import datetime

from services.common.errors import NotFound

MAC_BYTES = 16
SOURCE = "one-click unsubscribe (RFC 8058)"


class UnsubscribeLinkUnknown(NotFound):
    """The link is none of ours, or its message is gone."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Somebody's wish to get no more mails for a purpose, on its way to profiles."""

    tenant: str
    message_id: str
    customer_id: str
    purpose: str
    channel: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Links:
    """The links of one tenant's mails."""

    url: str
    tenant: str
    key: bytes

    def of(self, message_id: str) -> str:
        """The link of a message."""
        return f"{self.url.rstrip('/')}/{token_of(self.key, self.tenant, message_id)}"


def token_of(key: bytes, tenant: str, message_id: str) -> str:
    """What only who has the key can make: tenant, message, and their HMAC-SHA256 (RFC 2104), 128 bits of it."""
    return base64.urlsafe_b64encode(_mac(key, tenant, message_id) + _place(tenant, message_id)).decode().rstrip("=")


def read_token(token: str) -> tuple[str, str, bytes]:
    """Tenant, message id, and what has to be their code; ``UnsubscribeLinkUnknown``."""
    try:
        content = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        tenant, found, message_id = content[MAC_BYTES:].decode().partition("\0")
    except (ValueError, binascii.Error):
        tenant = found = message_id = ""
    if not (tenant and found and message_id):
        raise unknown()
    return tenant, message_id, content[:MAC_BYTES]


def is_genuine(key: bytes, tenant: str, message_id: str, mac: bytes) -> bool:
    """Whether the code was made with the key."""
    return hmac.compare_digest(_mac(key, tenant, message_id), mac)


def unknown() -> UnsubscribeLinkUnknown:
    """Says nothing of why."""
    return UnsubscribeLinkUnknown("this link is not known; write to the sender of the mail instead")


def _mac(key: bytes, tenant: str, message_id: str) -> bytes:
    return hmac.digest(key, _place(tenant, message_id), "sha256")[:MAC_BYTES]


def _place(tenant: str, message_id: str) -> bytes:
    return f"{tenant}\0{message_id}".encode()
