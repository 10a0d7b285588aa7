"""The mail server over SMTP: connections, refusals, TLS and credentials."""

import asyncio
import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.crm.adapters.smtp import SmtpLimits, SmtpMailer, SmtpServer
from services.crm.domain.mail import Mail
from services.crm.ports import MailDeferred, MailRefused, MailServerUnavailable
from tests.crm.mail_server import MailServer, mail_server

LIMITS = SmtpLimits(connections=2, mails_per_connection=3, mails_per_second=None, timeout_seconds=2.0)


def a_mail(recipient: str = "a@example.com") -> Mail:
    return Mail("shop@example.com", recipient, b"Subject: x\r\n\r\n.\r\nfrom here\r\n")


def a_mailer(url: str, limits: SmtpLimits = LIMITS, authority: Path | None = None) -> SmtpMailer:
    return SmtpMailer(SmtpServer.parse(url), limits, "crm.test", authority)


async def send(mailer: SmtpMailer, mail: Mail) -> None:
    async with mailer.lane() as lane:
        await lane.send(mail)


@pytest.mark.parametrize(
    ("url", "server", "start_tls"),
    [
        ("smtp://mail.test", SmtpServer("mail.test", 25), None),
        ("smtp://mail.test:1025", SmtpServer("mail.test", 1025), None),
        ("smtps://mail.test", SmtpServer("mail.test", 465, implicit_tls=True), False),
        ("smtp://me:p%40ss@mail.test:587", SmtpServer("mail.test", 587, False, "me", "p@ss"), True),
    ],
)
def test_credentials_are_never_sent_in_the_clear(url: str, server: SmtpServer, start_tls: bool | None) -> None:
    parsed = SmtpServer.parse(url)
    assert parsed == server
    assert parsed.start_tls is start_tls


@pytest.mark.parametrize("url", ["mail.test:25", "http://mail.test", "smtp://", "smtp://a:b@c/d", "smtp://mail.test:x"])
def test_a_url_that_is_none_is_refused_in_words(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SmtpServer.parse(url)


async def test_a_connection_carries_several_mails_and_is_then_replaced(mails: MailServer) -> None:
    mailer = a_mailer(mails.url)
    for _ in range(7):
        await send(mailer, a_mail())
    await mailer.close()
    assert mails.connections == 3
    assert mails.contents == [b"Subject: x\r\n\r\n.\r\nfrom here\r\n"] * 7  # the dot came through


async def test_a_refusal_leaves_the_connection_fit_for_the_next_mail(mails: MailServer) -> None:
    mailer = a_mailer(mails.url)
    mails.answers["b@example.com"] = ["550 unknown", "452 too many"]
    await send(mailer, a_mail())
    with pytest.raises(MailRefused, match="unknown"):
        await send(mailer, a_mail("b@example.com"))
    with pytest.raises(MailDeferred, match="too many"):
        await send(mailer, a_mail("b@example.com"))
    await send(mailer, a_mail())
    await mailer.close()
    assert mails.connections == 1
    assert len(mails.contents) == 2


async def test_a_connection_that_the_server_closed_meanwhile_costs_nothing(mails: MailServer) -> None:
    mailer = a_mailer(mails.url)
    await send(mailer, a_mail())
    mails.hang_up()
    await send(mailer, a_mail())
    await mailer.close()
    assert (mails.connections, len(mails.contents)) == (2, 2)


async def test_no_server_is_said_to_be_none() -> None:
    async with mail_server() as gone:
        url = gone.url
    with pytest.raises(MailServerUnavailable, match=r"127\.0\.0\.1"):
        await send(a_mailer(url), a_mail())


async def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_allowed(mails: MailServer) -> None:
    mails.gate.clear()
    limits = SmtpLimits(connections=1, mails_per_connection=10, mails_per_second=None, timeout_seconds=0.2)
    with pytest.raises(MailDeferred):
        await asyncio.wait_for(send(a_mailer(mails.url, limits), a_mail()), 5)
    mails.gate.set()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS, and the authority that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


async def test_credentials_are_shown_over_tls_to_a_server_that_is_vouched_for(tmp_path: Path) -> None:
    context, authority = certificate(tmp_path)
    async with mail_server(context) as secured:
        url = secured.url.replace("//", "//me:p%40ss@")
        mailer = a_mailer(url, authority=authority)
        await send(mailer, a_mail())
        await mailer.close()
        assert secured.credentials == [(b"me", b"p@ss")]
        with pytest.raises(MailServerUnavailable):
            await send(a_mailer(url), a_mail())
        assert len(secured.contents) == 1


async def test_credentials_are_not_shown_to_a_server_without_tls(mails: MailServer) -> None:
    with pytest.raises(MailServerUnavailable):
        await send(a_mailer(mails.url.replace("//", "//me:secret@")), a_mail())
    assert mails.credentials == []
