"""One WebSocket connection: who is calling, the operations that are at work on it, and why it ends.

Nothing is buffered. Each operation takes the next event from its service when the one before is on its way to the
client, so a slow client slows down its own feed alone; one that takes nothing for ``SEND_SECONDS_MAX`` is dropped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from gateway import errors
from gateway.context import Context
from gateway.execution import Execution
from gateway.subscriptions.protocol import (
    Close,
    Complete,
    ConnectionInit,
    Operation,
    Ping,
    Pong,
    Received,
    Subscribe,
    decode,
)
from services.common.errors import PermissionDenied, Refusal, ResourceExhausted, Unauthenticated

log = logging.getLogger(__name__)

SEND_SECONDS_MAX = 30.0
REASON_BYTES_MAX = 120

Admit = Callable[[dict[str, Any]], Awaitable[Callable[[], Context]]]
"""Checks the payload of ``connection_init`` and gives a maker of contexts; raises why the caller is refused."""


class TooManySubscriptions(ResourceExhausted):
    """The connection has as many operations at work as it may. Metadata ``maximum``."""


class _Closed(Exception):
    """The connection is to be closed, with a code and a reason."""

    def __init__(self, code: Close, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one connection may do."""

    subscriptions_max: int = 20
    init_seconds_max: float = 10.0
    check_seconds: float = 60.0
    """How often the token is looked at again: a subscription ends when its token does."""


class Session:
    """Serves one accepted connection until it ends."""

    def __init__(self, socket: WebSocket, execution: Execution, admit: Admit, limits: SessionLimits) -> None:
        self._socket, self._execution, self._admit, self._limits = socket, execution, admit, limits
        self._payload: dict[str, Any] | None = None
        self._context: Callable[[], Context] | None = None
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._ending: asyncio.Future[_Closed] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Serve until either side closes; no operation outlives this."""
        receiving = asyncio.create_task(self._receive())
        checking = asyncio.create_task(self._check())
        try:
            watched: set[asyncio.Future[Any]] = {receiving, checking, self._ending}
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for ended in (receiving, checking):
                if ended.done() and (error := ended.exception()) is not None:
                    raise error
            if self._ending.done():
                raise self._ending.result()
        except _Closed as closed:
            await self._close(closed)
        except WebSocketDisconnect:
            pass
        finally:
            tasks = [receiving, checking, *self._operations.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> None:
        while True:
            text = await self._socket.receive_text()
            try:
                message = decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise _Closed(Close.BAD_REQUEST, f"not a message of the protocol: {error}") from None
            await self._handle(message)

    async def _handle(self, message: Received) -> None:
        match message:
            case ConnectionInit(payload):
                await self._initialise(payload or {})
            case Ping(payload):
                await self._send({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})
            case Pong():
                pass
            case Subscribe(id, payload):
                await self._subscribe(id, payload)
            case Complete(id):
                if id in self._operations:
                    self._operations.pop(id).cancel()

    async def _initialise(self, payload: dict[str, Any]) -> None:
        if self._payload is not None:
            raise _Closed(Close.TOO_MANY_INITIALISATIONS, "too many initialisation requests")
        self._payload = payload
        self._context = await self._admitted(payload)
        await self._send({"type": "connection_ack"})

    async def _admitted(self, payload: dict[str, Any]) -> Callable[[], Context]:
        try:
            return await self._admit(payload)
        except (Unauthenticated, PermissionDenied) as refusal:
            raise _Closed(Close.FORBIDDEN, f"{refusal.reason}: {refusal.message}") from None

    async def _check(self) -> None:
        """The connection must be initialised soon, and its token must stay valid."""
        await asyncio.sleep(self._limits.init_seconds_max)
        if self._payload is None:
            raise _Closed(Close.INITIALISATION_TIMEOUT, "connection initialisation timeout")
        while True:
            await asyncio.sleep(self._limits.check_seconds)
            await self._admitted(self._payload)

    async def _subscribe(self, id: str, operation: Operation) -> None:
        if self._context is None:
            raise _Closed(Close.UNAUTHORIZED, "unauthorized: send connection_init first and wait for its answer")
        if id in self._operations:
            raise _Closed(Close.SUBSCRIBER_EXISTS, f"subscriber for {id} already exists")
        maximum = self._limits.subscriptions_max
        if len(self._operations) >= maximum:
            text = f"{maximum} operations are at work on this connection; complete one first"
            await self._refuse(id, TooManySubscriptions(text, maximum=maximum))
            return
        task = asyncio.create_task(self._operate(id, operation, self._context()), name=f"subscription {id}")
        self._operations[id] = task

    async def _operate(self, id: str, operation: Operation, context: Context) -> None:
        """Answer one operation to its end; what goes wrong ends it alone."""
        try:
            await self._answer(id, operation, context)
        except Refusal as refusal:
            await self._refuse(id, refusal)
        except (WebSocketDisconnect, RuntimeError):
            log.debug("the client of subscription %s went away", id)
        except Exception as error:
            payload = [self._execution.failure(error)]
            await self._send({"type": "error", "id": id, "payload": payload})
        finally:
            if self._operations.get(id) is asyncio.current_task():
                del self._operations[id]

    async def _answer(self, id: str, asked: Operation, context: Context) -> None:
        prepared = self._execution.prepare(asked.query)
        if prepared.errors:
            await self._send({"type": "error", "id": id, "payload": list(prepared.errors)})
            return
        operation = prepared.operation(asked.operation_name)
        answers = self._execution.answers(prepared, operation, asked.variables or {}, context)
        try:
            async for answer in answers:
                if "data" not in answer:
                    await self._send({"type": "error", "id": id, "payload": answer["errors"]})
                    return
                await self._send({"type": "next", "id": id, "payload": answer})
        finally:
            await answers.aclose()
        await self._send({"type": "complete", "id": id})

    async def _refuse(self, id: str, refusal: Refusal) -> None:
        await self._send({"type": "error", "id": id, "payload": [errors.refused(refusal)]})

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS_MAX):
                await self._socket.send_text(orjson.dumps(message).decode())
        except TimeoutError:
            if not self._ending.done():
                self._ending.set_result(_Closed(Close.TRY_AGAIN_LATER, "the client does not take its messages"))

    async def _close(self, closed: _Closed) -> None:
        log.debug("a connection is closed, %s: %s", closed.code.name, closed.reason)
        if self._socket.application_state is WebSocketState.CONNECTED:
            reason = closed.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
            with suppress(WebSocketDisconnect, RuntimeError):  # it went away in the meantime
                await self._socket.close(int(closed.code), reason)
