"""Mails as bytes: RFC 5322 headers and MIME multipart/alternative, safe against what variables bring.

Written out by hand: ``email.message.EmailMessage`` takes four times as long, which is most of what sending costs.
"""

import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr
from urllib.parse import quote

from services.crm.domain.address import domain_of
from services.crm.domain.campaign import Sender
from services.crm.domain.template import Content

HEADER_LINE_MAX = 76
_CRLF = b"\r\n"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Mail:
    """An envelope and what is in it. Addresses have been through ``address.parse``."""

    sender: str
    recipient: str
    data: bytes


def compose(
    message_id: str,
    sender: Sender,
    recipient: str,
    content: Content,
    time: datetime,
    unsubscribe_address: str = "",
    unsubscribe_link: str = "",
) -> Mail:
    """The mail of one message: the same message always has the same ``Message-ID``.

    With a link the recipient's mail program can offer to leave the list with one click (RFC 2369, RFC 8058).
    """
    headers = [
        ("From", _mailbox(one_line(sender.name), sender.address)),
        ("To", recipient),
        *([("Reply-To", sender.reply_to)] if sender.reply_to else []),
        ("Subject", _unstructured(one_line(content.subject))),
        ("Date", format_datetime(time)),
        ("Message-ID", f"<{message_id}@{domain_of(sender.address)}>"),
        *_list_unsubscribe(message_id, unsubscribe_address, unsubscribe_link),
        ("MIME-Version", "1.0"),
    ]
    head = _CRLF.join(f"{name}: {value}".encode("ascii") for name, value in headers)
    return Mail(sender.address, recipient, head + _CRLF + _body(content, f"=_{message_id}"))


def one_line(text: str) -> str:
    """``text`` with control characters and line separators made spaces: it cannot begin a new header."""
    return _CONTROLS.sub(" ", text).strip()


def _mailbox(name: str, address: str) -> str:
    if name.isascii():
        return formataddr((name, address))
    return f"{_unstructured(name)} <{address}>"


def _unstructured(text: str) -> str:
    """A header value: as it is where that is safe, else in encoded words folded to lines of 76."""
    if text.isascii() and len(text) <= HEADER_LINE_MAX - len("Subject: ") and "=?" not in text:
        return text
    return Header(text, "utf-8", header_name="Subject").encode(linesep="\r\n")


def _list_unsubscribe(message_id: str, address: str, link: str) -> list[tuple[str, str]]:
    subject = quote(f"unsubscribe {message_id}")
    places = [*([f"<{link}>"] if link else []), *([f"<mailto:{address}?subject={subject}>"] if address else [])]
    if not places:
        return []
    one_click = [("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")] if link else []
    return [("List-Unsubscribe", ",\r\n ".join(places)), *one_click]


def _body(content: Content, boundary: str) -> bytes:
    # The boundary begins with `=_`, which quoted-printable text cannot contain (RFC 2045, 6.7).
    kinds = (("plain", content.text), ("html", content.html))
    parts = [_part(kind, body) for kind, body in kinds if body]
    if len(parts) == 1:
        return parts[0]
    mark = f"--{boundary}".encode("ascii")
    opening = f'Content-Type: multipart/alternative; boundary="{boundary}"'.encode("ascii")
    lines = [opening, b""]
    for part in parts:
        lines += [mark, part]
    return _CRLF.join([*lines, mark + b"--", b""])


def _part(kind: str, body: str) -> bytes:
    """One body, quoted-printable: every server carries it, whatever its characters and however long its lines."""
    text = body.replace("\r\n", "\n").replace("\r", "\n")
    encoded = binascii.b2a_qp(text.encode("utf-8", "replace")).replace(b"\n", _CRLF)
    head = f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    return head.encode("ascii") + encoded + _CRLF
