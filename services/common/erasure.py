"""Erasures, as those who follow profiles carry them out: what was removed is told to profiles until profiles has heard.

A follower that meets ``CustomerErased`` removes what it holds and puts ``Acknowledgements.removed`` into the commit of
its cursor. From there on the acknowledgement is a document: it survives restarts, and goes once profiles has answered.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import privacy_pb2

from services.common.app import every
from services.common.channels import on_behalf_of
from services.common.clock import Clock, to_micros
from services.common.errors import Conflict
from services.common.privacy import Removal, Removed, largest
from services.common.store.port import Body, Collection, Delete, Document, Index, Insert, Query, Range, Replace, Store

log = logging.getLogger(__name__)

ACKNOWLEDGEMENTS = Collection("erasure_acknowledgements", (Index(("due",)),))
POLL_SECONDS = 2.0
BACKOFF_SECONDS_MAX = 60
BATCH_MAX = 100


class _Request(Protocol):
    """The constructor of ``AcknowledgeErasureRequest``."""

    def __call__(
        self, *, service: str, erasure_id: str, removed: Sequence[privacy_pb2.RemovedRecords], remove_time: Timestamp
    ) -> Any: ...


class Acknowledgements:
    """What one service still has to tell profiles of erasures.

    ``call`` is the ``AcknowledgeErasure`` of a stub of profiles, ``request`` the class of its request.
    """

    def __init__(
        self, store: Store, service: str, call: Callable[..., Awaitable[object]], request: _Request, clock: Clock
    ) -> None:
        self._store, self._service, self._call, self._request, self._clock = store, service, call, request, clock

    async def removed(
        self, tenant: str, erasure_id: str, removed: Sequence[Removed], *, complete: bool = True
    ) -> Insert | Replace:
        """The write that says what was removed: put it into the commit of the removal or of the cursor.

        Where the removal does not share a commit with documents, commit this twice: before the removal with what is
        about to go and ``complete=False``, and after it. A removal that is repeated finds less than the first time;
        of each kind the largest count that was ever said stands. ``Conflict`` or ``AlreadyExists`` if another process
        was faster: ask for the write again.
        """
        key = f"{tenant}:{erasure_id}"
        known = await self._store.get("*", ACKNOWLEDGEMENTS, key)
        before = _removed(known.body) if known else ()
        now = to_micros(self._clock())
        body: Body = {
            "tenant": tenant,
            "erasure_id": erasure_id,
            "removed": [[each.kind, each.count, int(each.removal)] for each in largest((*before, *removed))],
            "time": now,
            "due": now if complete else None,
            "failures": 0,
        }
        if known is None:
            return Insert("*", ACKNOWLEDGEMENTS, key, body)
        return Replace("*", ACKNOWLEDGEMENTS, key, body, known.version)

    async def run(self) -> None:
        """Tell profiles, for ever: what is not answered is told again, after at most a minute."""
        await every(POLL_SECONDS, self.send)

    async def send(self) -> None:
        """Tell profiles everything that is due."""
        now = to_micros(self._clock())
        query = Query(range=Range("due", at_least=0, at_most=now), order_by="due", limit=BATCH_MAX)
        for document in (await self._store.find("*", ACKNOWLEDGEMENTS, query)).documents:
            try:
                await self._tell(document)
            except Conflict:  # told again by the follower, or by another process
                continue

    async def _tell(self, document: Document) -> None:
        body = document.body
        request = self._request(
            service=self._service,
            erasure_id=body["erasure_id"],
            removed=[_message(each) for each in _removed(body)],
            remove_time=_timestamp(body["time"]),
        )
        try:
            await self._call(request, metadata=on_behalf_of(body["tenant"]))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                log.warning("erasure %s is not acknowledged: %s", body["erasure_id"], error.code().name)
                await self._store.commit([self._put_off(document)])
                return
            log.warning("profiles does not know erasure %s, which was carried out", body["erasure_id"])
        await self._store.commit([Delete("*", ACKNOWLEDGEMENTS, document.id, document.version)])

    def _put_off(self, document: Document) -> Replace:
        failures = document.body["failures"] + 1
        wait = timedelta(seconds=min(2**failures, BACKOFF_SECONDS_MAX))
        body = {**document.body, "failures": failures, "due": to_micros(self._clock() + wait)}
        return Replace("*", ACKNOWLEDGEMENTS, document.id, body, document.version)


def _removed(body: Body) -> tuple[Removed, ...]:
    return tuple(Removed(kind, count, Removal(removal)) for kind, count, removal in body["removed"])


def _message(removed: Removed) -> privacy_pb2.RemovedRecords:
    removal = privacy_pb2.Removal.ValueType(removed.removal)
    return privacy_pb2.RemovedRecords(kind=removed.kind, count=removed.count, removal=removal)


def _timestamp(micros: int) -> Timestamp:
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)
