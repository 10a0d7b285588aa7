"""A real SMTP server for tests: keeps what it accepts, and refuses what it is told to."""

import asyncio
import email
import email.policy
import ssl
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class MailServer:
    """The handler of the server and what it has seen."""

    def __init__(self) -> None:
        self.port = 0
        self.contents: list[bytes] = []
        """What was accepted, as it came."""
        self.deliveries: Counter[str] = Counter()
        """How often each address was sent to."""
        self.answers: dict[str, list[str]] = defaultdict(list)
        """What to answer to a recipient, one after the other, before it is accepted."""
        self.connections = 0
        self.credentials: list[tuple[bytes, bytes]] = []
        self.gate = asyncio.Event()
        """While it is clear no mail is answered."""
        self.gate.set()
        self.busy = 0
        self.busy_max = 0
        self.arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._open: list[SMTP] = []

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def accepted(self) -> list[EmailMessage]:
        """What was accepted, as a mail program reads it."""
        return [_parsed(content) for content in self.contents]

    async def wait_for(self, count: int) -> None:
        """Until so many mails were accepted or are held at the gate."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.contents) + self.busy >= count)

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers[address]:
            answer = self.answers[address].pop(0)
            if answer == "hang up":
                assert isinstance(server.transport, asyncio.WriteTransport)
                server.transport.abort()
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.busy += 1
        self.busy_max = max(self.busy, self.busy_max)
        await self._tell()
        await self.gate.wait()
        self.busy -= 1
        content = envelope.content
        assert isinstance(content, bytes)
        self.contents.append(content)
        self.deliveries.update(envelope.rcpt_tos)
        await self._tell()
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        """Accepts everybody."""
        assert isinstance(data, LoginPassword)
        self.credentials.append((data.login, data.password))
        return AuthResult(success=True)

    async def listen(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        options: dict[str, Any] = {"hostname": "mail.test"}
        if tls is not None:
            options |= {"tls_context": tls, "require_starttls": True, "authenticator": self.authenticate}

        def connected() -> SMTP:
            self.connections += 1
            self._open.append(SMTP(self, **options))
            return self._open[-1]

        self._server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    def hang_up(self) -> None:
        """Close every connection without a word."""
        for connection in self._open:
            if connection.transport is not None:
                connection.transport.close()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _tell(self) -> None:
        async with self.arrived:
            self.arrived.notify_all()


def _parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


@asynccontextmanager
async def mail_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[MailServer]:
    """One that listens until the block is left."""
    server = MailServer()
    await server.listen(tls=tls)
    try:
        yield server
    finally:
        await server.close()
