"""Email addresses as they may stand in an envelope and in a header (RFC 5321, without quoted local parts)."""

import re

from services.common.errors import InvalidArgument

LENGTH_MAX = 254
LOCAL_LENGTH_MAX = 64
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


class AddressInvalid(InvalidArgument):
    """Text that is not an email address that SMTP can carry."""


def parse(text: str) -> str:
    """``text`` as an ASCII address, its domain in IDNA form; ``AddressInvalid``.

    What this accepts holds no line break, space, comma or bracket, so it cannot smuggle a header or a command.
    """
    local, at, domain = text.strip().rpartition("@")
    if not at or not _LOCAL.fullmatch(local) or len(local) > LOCAL_LENGTH_MAX:
        raise AddressInvalid(f"{text!r} is not an email address: the part before the @ is not one that SMTP carries")
    address = f"{local}@{_ascii_domain(text, domain)}"
    if len(address) > LENGTH_MAX:
        raise AddressInvalid(f"{text[:40]!r}… is not an email address: it is longer than {LENGTH_MAX} characters")
    return address


def domain_of(address: str) -> str:
    """The domain of an address that ``parse`` has accepted."""
    return address.rpartition("@")[2]


def _ascii_domain(text: str, domain: str) -> str:
    try:
        encoded = domain.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise AddressInvalid(f"{text!r} is not an email address: the domain is not one") from error
    if not all(_LABEL.fullmatch(label) for label in encoded.split(".")):
        raise AddressInvalid(f"{text!r} is not an email address: the domain is not one")
    return encoded
