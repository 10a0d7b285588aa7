"""Bringing things to web addresses, and only to those to which something may be sent.

A name is looked up once an attempt, all of its addresses are checked, and the connection goes to one that was checked:
a name that means another machine a moment later leads nowhere.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpcore

from services.common.clock import Clock
from services.segmentation.domain.delivery import SECOND, Outcome
from services.segmentation.domain.destination import AddressRefused, Network, check_address

CONNECTIONS_MAX = 100
CONNECT_SECONDS = 5.0
ANSWER_BYTES_MAX = 65_536
USER_AGENT = "Tessera-Webhooks/1"


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked."""

    def __init__(self, allowed: Sequence[Network], *, public: bool) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._allowed, self._public = allowed, public

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        address = await self._look_up(host, port)
        return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise AddressRefused("no socket of this machine is an address of the web", host=path)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    async def _look_up(self, host: str, port: int) -> str:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        addresses = [str(info[4][0]) for info in found]
        for address in addresses:
            check_address(address, host, self._allowed, public=self._public)
        return addresses[0]


class WebCourier:
    """The port ``Courier`` over HTTP/1.1. Redirects are not followed, answers are not kept, and no proxy of the
    environment is used."""

    def __init__(self, allowed: Sequence[Network], seconds_max: float, clock: Clock) -> None:
        self._seconds_max, self._clock = seconds_max, clock
        self._pools = {
            "https": self._pool(_Checked(allowed, public=True)),
            "http": self._pool(_Checked(allowed, public=False)),
        }

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        try:
            async with asyncio.timeout(self._seconds_max):
                return await self._post(url, headers, body)
        except TimeoutError:
            return Outcome(0, f"no answer within {self._seconds_max:g} seconds")
        except AddressRefused as refused:
            return Outcome(0, refused.message)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
            return Outcome(0, f"{type(error).__name__}: {error}"[:300])
        except (httpcore.UnsupportedProtocol, UnicodeError, ValueError) as error:
            return Outcome(0, f"the url cannot be used: {error}"[:300])

    async def close(self) -> None:
        """Close the connections."""
        for pool in self._pools.values():
            await pool.aclose()

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        sent = {"host": _host(url), "user-agent": USER_AGENT, "content-length": str(len(body)), **headers}
        timeouts = {"connect": CONNECT_SECONDS, "pool": self._seconds_max}
        pool = self._pools[urlsplit(url).scheme]
        async with pool.stream(
            "POST", url, headers=list(sent.items()), content=body, extensions={"timeout": timeouts}
        ) as answer:
            if 200 <= answer.status < 300:
                await _finish(answer)
                return Outcome(answer.status)
            return Outcome(answer.status, f"the answer was {answer.status}", self._retry_after(answer.headers))

    def _retry_after(self, headers: Iterable[tuple[bytes, bytes]]) -> int:
        """In microseconds; 0 if the other side does not say, or not in a form that can be read (RFC 9110, 10.2.3)."""
        said = next((value for name, value in headers if name.lower() == b"retry-after"), b"").decode("latin-1").strip()
        if said.isascii() and said.isdigit():
            return int(said[:9]) * SECOND
        try:
            moment = parsedate_to_datetime(said)
        except ValueError:
            return 0
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(round((moment - self._clock()).total_seconds()), 0) * SECOND

    @staticmethod
    def _pool(backend: httpcore.AsyncNetworkBackend) -> httpcore.AsyncConnectionPool:
        return httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX // 5,
            keepalive_expiry=30.0,
            network_backend=backend,
        )


async def _finish(answer: httpcore.Response) -> None:
    """Read a short answer to its end, so that the connection serves again; a long one is left."""
    length = 0
    async for part in answer.aiter_stream():
        length += len(part)
        if length > ANSWER_BYTES_MAX:
            return


def _host(url: str) -> str:
    return urlsplit(url).netloc
