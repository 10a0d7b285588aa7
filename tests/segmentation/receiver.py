"""A web server that receives deliveries and answers as a test says."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

GENEROUS_SECONDS = 60.0


@dataclass(frozen=True)
class Received:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def delivery_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def changes(self) -> list[dict[str, Any]]:
        return list(json.loads(self.body)["data"]["changes"])

    def signed_by(self, secret: str) -> bool:
        """Whether one of the signatures is right, worked out from the words of Standard Webhooks."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        content = f"{self.delivery_id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = "v1," + base64.b64encode(hmac.new(key, content, "sha256").digest()).decode()
        return expected in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """What came, and what is answered: a status, a status with headers, or ``None`` for no answer at all."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], int | tuple[int, str] | None] = lambda _: 204
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, reached: Callable[[list[Received]], bool]) -> list[Received]:
        """Everything that came, once it is enough."""
        async with asyncio.timeout(GENEROUS_SECONDS), self._came:
            await self._came.wait_for(lambda: reached(self.received))
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                request = Received(line.split(" ")[1], headers, body)
                async with self._came:
                    self.received.append(request)
                    self._came.notify_all()
                answer = self.answer(request)
                if answer is None:
                    await reader.read()  # until the other side has had enough
                    break
                status, more = answer if isinstance(answer, tuple) else (answer, "")
                writer.write(f"HTTP/1.1 {status} Answer\r\ncontent-length: 0\r\n{more}\r\n".encode())
                await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
