"""The mail server over SMTP by ``aiosmtplib``: a few connections, many mails on each, never faster than allowed."""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.common import telemetry
from services.crm.domain.mail import Mail
from services.crm.domain.token_bucket import TokenBucket
from services.crm.ports import Lane, MailDeferred, MailRefused, MailServerUnavailable

log = logging.getLogger(__name__)

PORTS = {"smtp": 25, "smtps": 465}
IDLE_SECONDS_MAX = 20.0
"""A connection that was idle for longer is not trusted: servers close such without a word."""
SERVICE_CLOSING = 421
AUTHENTICATION_WANTED = frozenset({530, 534, 535, 538})
_LOST = (OSError, aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError)


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where the mail server is. Credentials are only ever sent over TLS."""

    host: str
    port: int
    implicit_tls: bool = False
    username: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, url: str) -> "SmtpServer":
        """From ``smtp://host:port``, ``smtps://user:password@host``; ``ValueError`` in words."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError("must be smtp://host:port or smtps://host:port, with user:password@ where needed")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("must end after the port")
        return cls(
            host=parts.hostname,
            port=parts.port or PORTS[parts.scheme],
            implicit_tls=parts.scheme == "smtps",
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )

    @property
    def start_tls(self) -> bool | None:
        """``True``: needed; ``None``: wherever the server offers it; ``False``: TLS is there from the beginning."""
        if self.implicit_tls:
            return False
        return True if self.username else None


@dataclass(frozen=True, slots=True)
class SmtpLimits:
    """How the server is to be treated."""

    connections: int
    mails_per_connection: int
    mails_per_second: float | None
    timeout_seconds: float


class SmtpMailer:
    """The port ``Mailer``."""

    def __init__(self, server: SmtpServer, limits: SmtpLimits, hello_name: str, ca_file: Path | None) -> None:
        self._server, self._limits, self._hello_name = server, limits, hello_name
        self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._slots = asyncio.Semaphore(limits.connections)
        self._idle: list[_Connection] = []
        rate = limits.mails_per_second
        self._bucket = TokenBucket(rate, burst=max(1.0, rate / 10)) if rate else None

    @property
    def lanes_max(self) -> int:
        return self._limits.connections

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[Lane]:
        async with self._slots:
            if self._bucket is not None:
                await asyncio.sleep(self._bucket.take(asyncio.get_running_loop().time()))
            connection = self._idle.pop() if self._idle else _Connection(self._connect)
            try:
                yield connection
            finally:
                if connection.mails >= self._limits.mails_per_connection:
                    await connection.close()
                self._idle.append(connection)

    async def close(self) -> None:
        """Say goodbye on every connection."""
        while self._idle:
            await self._idle.pop().close()

    async def _connect(self) -> aiosmtplib.SMTP:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            local_hostname=self._hello_name,
            timeout=self._limits.timeout_seconds,
            use_tls=server.implicit_tls,
            start_tls=server.start_tls,
            tls_context=self._tls,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except (OSError, aiosmtplib.SMTPException) as error:
            client.close()
            raise MailServerUnavailable(f"mail server {server.host}:{server.port}: {_words(error)}") from error
        return client


class _Connection:
    """One connection, made when it is needed, made anew when it is lost or was idle. The port ``Lane``."""

    def __init__(self, connect: Callable[[], Awaitable[aiosmtplib.SMTP]]) -> None:
        self._connect = connect
        self._client: aiosmtplib.SMTP | None = None
        self._used = 0.0
        self.mails = 0

    async def send(self, mail: Mail) -> None:
        began = time.perf_counter()
        try:
            await self._transact(mail)
        except (MailRefused, MailDeferred, MailServerUnavailable):
            raise
        except BaseException:
            self.drop()  # who knows in what middle it was left
            raise
        finally:
            telemetry.histogram("crm.mails.duration").record((time.perf_counter() - began) * 1000)

    async def _transact(self, mail: Mail) -> None:
        client = await self._begun(mail)
        try:
            await client.rcpt(mail.recipient, encoding="ascii")
            await client.data(mail.data)
        except aiosmtplib.SMTPResponseException as error:
            await self._forget(client, error)
            raise _refusal(error) from error
        except _LOST as error:
            self.drop()
            raise MailDeferred(f"the connection was lost: {_words(error)}") from error
        self.mails += 1
        self._used = asyncio.get_running_loop().time()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        try:
            await client.quit(timeout=1.0)
        except (OSError, aiosmtplib.SMTPException):
            log.debug("a mail server did not say goodbye")
        finally:
            client.close()

    async def _begun(self, mail: Mail) -> aiosmtplib.SMTP:
        """A connection on which the mail transaction has begun.

        On a connection that was used before, a loss at this point says nothing about the mail, which the server has
        not seen: it is begun again on a new one.
        """
        if asyncio.get_running_loop().time() - self._used > IDLE_SECONDS_MAX:
            await self.close()
        if self._client is not None:
            try:
                return await self._begin(self._client, mail)
            except _LOST:
                self.drop()
        self._client, self.mails = await self._connect(), 0
        try:
            return await self._begin(self._client, mail)
        except _LOST as error:
            self.drop()
            raise MailServerUnavailable(f"the mail server hung up: {_words(error)}") from error

    async def _begin(self, client: aiosmtplib.SMTP, mail: Mail) -> aiosmtplib.SMTP:
        try:
            await client.mail(mail.sender, encoding="ascii")
        except aiosmtplib.SMTPResponseException as error:
            await self._forget(client, error)
            if error.code in AUTHENTICATION_WANTED:
                raise MailServerUnavailable(f"the mail server wants credentials: {_words(error)}") from error
            raise _refusal(error) from error
        return client

    async def _forget(self, client: aiosmtplib.SMTP, error: aiosmtplib.SMTPResponseException) -> None:
        """Make the connection fit for the next mail after a refusal."""
        try:
            if error.code != SERVICE_CLOSING:
                await client.rset()
                return
        except (OSError, aiosmtplib.SMTPException):
            log.debug("a mail server hung up after a refusal")
        self.drop()

    def drop(self) -> None:
        """Hang up without a word."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _refusal(error: aiosmtplib.SMTPResponseException) -> MailRefused | MailDeferred:
    kind = MailRefused if 500 <= error.code < 600 else MailDeferred
    return kind(_words(error), code=error.code)


def _words(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {error.message}"
    return str(error) or type(error).__name__
