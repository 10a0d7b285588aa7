"""Feeds: how a service lets others follow it, and how a follower applies each change exactly once in effect.

Delivery is at least once. The follower's cursor is committed together with the effect, so that what is delivered
again after a crash is recognised: it lies before the cursor from which the follower resumes.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import grpc

from services.common import telemetry
from services.common.errors import InvalidCursor, Refusal
from services.common.store.port import Collection, Put, Store

log = logging.getLogger(__name__)

CURSORS = Collection("cursors")
BACKOFF_SECONDS_MIN = 0.2
BACKOFF_SECONDS_MAX = 5.0


class Batch(Protocol):
    """What a ``Follow…`` rpc streams: changes, and the cursor after them."""

    @property
    def cursor(self) -> str: ...


B = TypeVar("B", bound=Batch)


async def stored_cursor(store: Store, follower: str) -> str:
    """The cursor that ``follower`` committed last; ``""`` before the first."""
    document = await store.get("*", CURSORS, follower)
    return str(document.body["cursor"]) if document else ""


def advance(follower: str, cursor: str) -> Put:
    """The write that moves the cursor: put it into the commit that holds the effect."""
    return Put("*", CURSORS, follower, {"cursor": cursor})


async def follow(
    follower: str,
    load_cursor: Callable[[], Awaitable[str]],
    stream: Callable[[str], AsyncIterator[B]],
    apply: Callable[[B], Awaitable[None]],
    begin_again: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Apply every batch of ``stream(cursor)``, for ever.

    After a failure, of the stream or of ``apply``, it waits (0.2 s, doubling up to 5 s, from the start again after
    a success) and resumes from the cursor that was committed. ``InvalidCursor`` from the other side ends it: the
    other side's data is not the data that was followed, and going on would mix the two. Where each change says all that
    holds of something, so that a second reading replaces the first, ``begin_again`` puts the cursor back instead.
    """
    labels = {"follower": follower}
    backoff = BACKOFF_SECONDS_MIN
    while True:
        try:
            async for batch in stream(await load_cursor()):
                await apply(batch)
                backoff = BACKOFF_SECONDS_MIN
                _measure(batch, labels)
            log.info("%s: the stream ended; it is opened again", follower)
        except (grpc.aio.AioRpcError, Refusal, OSError) as error:
            if isinstance(error, InvalidCursor) or _invalid_cursor(error):
                if begin_again is None:
                    raise
                log.error("%s: the feed is another one now and is read from its beginning", follower)
                await begin_again()
            log.warning("%s: resuming in %.1f s after: %s", follower, backoff, _brief(error))
            telemetry.counter("feed.follower.failures").add(1, labels)
        await asyncio.sleep(backoff)
        backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)


def _measure(batch: object, labels: dict[str, str]) -> None:
    changes = getattr(batch, "changes", getattr(batch, "events", ()))
    telemetry.counter("feed.follower.applied").add(len(changes), labels)
    newest = changes[-1] if changes else None
    recorded = getattr(getattr(newest, "event_recorded", None), "record_time", None)
    caught_up = bool(getattr(batch, "caught_up", False))
    lag = 0.0 if caught_up or recorded is None else max(0.0, time.time() - recorded.seconds)
    telemetry.gauge("feed.follower.lag").set(lag, labels)


def _invalid_cursor(error: Exception) -> bool:
    return isinstance(error, grpc.aio.AioRpcError) and error.code() == grpc.StatusCode.INVALID_ARGUMENT


def _brief(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error) or type(error).__name__
