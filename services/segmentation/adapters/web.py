"""Speaking to web addresses, and only to those to which something may be sent.

A name is looked up once a connection, all of its addresses are checked, and the connection goes to one that was
checked: a name that means another machine a moment later leads nowhere.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore

from services.segmentation.domain.delivery import Outcome
from services.segmentation.domain.destination import AddressRefused, Network, check_address

CONNECTIONS_MAX = 100
CONNECT_SECONDS = 5.0
ANSWER_BYTES_MAX = 65_536


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


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said: the headers by name in lower case, and the beginning of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class CheckedWeb:
    """HTTP/1.1. Redirects are not followed, and no proxy of the environment is used."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._pools = {
            "https": _pool(_Checked(allowed, public=True)),
            "http": _pool(_Checked(allowed, public=False)),
        }

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | AsyncIterator[bytes],
        *,
        seconds_max: float,
        silence_max: float | None = None,
    ) -> Answer | Outcome:
        """The answer, or what went wrong. ``silence_max``: how many seconds may pass without anything being read or
        written. ``headers`` say how long the content is."""
        try:
            async with asyncio.timeout(seconds_max):
                return await self._exchange(method, url, headers, content, silence_max or seconds_max)
        except TimeoutError:
            return Outcome(0, f"no answer within {seconds_max:g} seconds")
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

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | AsyncIterator[bytes], silence: float
    ) -> Answer:
        parts = urlsplit(url)
        sent = list({"host": parts.netloc, **headers}.items())
        limits = {"connect": CONNECT_SECONDS, "pool": silence, "read": silence, "write": silence}
        pool = self._pools[parts.scheme]
        async with pool.stream(method, url, headers=sent, content=content, extensions={"timeout": limits}) as answer:
            told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            return Answer(answer.status, told, await _beginning(answer))


async def _beginning(answer: httpcore.Response) -> bytes:
    """Read a short answer to its end, so that the connection serves again; of a long one the rest is left."""
    body = b""
    async for part in answer.aiter_stream():
        body += part
        if len(body) > ANSWER_BYTES_MAX:
            break
    return body[:ANSWER_BYTES_MAX]


def _pool(backend: httpcore.AsyncNetworkBackend) -> httpcore.AsyncConnectionPool:
    return httpcore.AsyncConnectionPool(
        ssl_context=ssl.create_default_context(),
        max_connections=CONNECTIONS_MAX,
        max_keepalive_connections=CONNECTIONS_MAX // 5,
        keepalive_expiry=30.0,
        network_backend=backend,
    )
