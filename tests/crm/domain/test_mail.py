"""Mails: what a mail program reads is what was written, whatever the variables brought."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage

from hypothesis import given
from hypothesis import strategies as st

from services.crm.domain.campaign import Sender
from services.crm.domain.mail import Mail, compose
from services.crm.domain.template import Content

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
SENDER = Sender("shop@example.com")
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
lines = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\n=. \t\r"), min_size=1, max_size=400)


def read(mail: Mail) -> EmailMessage:
    parsed = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def a_mail(subject: str = "s", html: str = "", text: str = "t", sender: Sender = SENDER) -> EmailMessage:
    return read(compose("m1", sender, "a@example.com", Content(subject, html, text), NOW))


@given(subject=words, name=words)
def test_nothing_in_a_subject_or_a_name_begins_another_header(subject: str, name: str) -> None:
    mail = a_mail(subject, sender=Sender("shop@example.com", name))
    assert mail.keys() == [
        "From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
    ]  # fmt: skip
    assert mail["From"].addresses[0].addr_spec == "shop@example.com"


@given(subject=st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=120))
def test_a_subject_arrives_as_it_was_written(subject: str) -> None:
    if "=?" not in subject:
        assert a_mail(subject)["Subject"] == subject


@given(html=lines, text=lines)
def test_bodies_arrive_as_they_were_written_on_lines_that_every_server_carries(html: str, text: str) -> None:
    mail = compose("m1", SENDER, "a@example.com", Content("s", html, text), NOW)
    assert mail.data.isascii()
    assert max(map(len, mail.data.split(b"\r\n"))) <= 998
    assert b"\n" not in mail.data.replace(b"\r\n", b"")
    parts = [part.get_payload(decode=True) for part in read(mail).iter_parts()]
    assert parts == [_with_network_line_ends(body) for body in (text, html)]


def _with_network_line_ends(body: str) -> bytes:
    unified = body.replace("\r\n", "\n").replace("\r", "\n")
    return (unified.replace("\n", "\r\n") + "\r\n").encode()


def test_one_body_needs_no_parts() -> None:
    mail = a_mail(html="<p>x</p>", text="")
    assert mail.get_content_type() == "text/html"
    assert mail.get_content().strip() == "<p>x</p>"


def test_the_plain_text_comes_first_as_mail_programs_prefer_the_last() -> None:
    assert [part.get_content_type() for part in a_mail(html="<p>", text="t").iter_parts()] == [
        "text/plain",
        "text/html",
    ]


def test_what_is_not_valid_unicode_is_replaced() -> None:
    mail = a_mail(subject="a\ud800b", text="c\udfffd")
    assert mail["Subject"] == "a b"
    assert mail.get_content().strip() == "c?d"


def test_the_message_id_follows_from_the_message_alone() -> None:
    one, other = a_mail("first try"), a_mail("second try")
    assert one["Message-ID"] == other["Message-ID"] == "<m1@example.com>"
    assert one["Date"].datetime == NOW
