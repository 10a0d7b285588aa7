"""Several runs of an index read as one, newest first: what the origins of a customer have together.

Documents have a field ``time``. Runs are read lazily: one that begins before all that a page needs is never asked.
"""

import base64
import binascii
import heapq
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from services.common.errors import InvalidCursor
from services.common.store import Collection, Document, Query, Range, Store
from services.common.store.port import Scalar
from services.common.store.query_plan import cursor_after

READ_MAX = 10_000
"""How many documents one page looks at; a page that finds too little among them is short, and has a next one."""
CHUNK_MAX = 200
_LAST = "\U0010ffff"


@dataclass(slots=True)
class Run:
    """Documents that are equal in ``where``; none is newer than ``newest``."""

    where: Mapping[str, Scalar]
    newest: int
    cursor: str = ""
    read: bool = False
    documents: deque[Document] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Runs:
    """What is asked for: runs of one collection, and the times between which documents lie."""

    collection: Collection
    runs: Sequence[Run]
    from_time: int | None = None
    before_time: int | None = None

    def query(self, run: Run, limit: int) -> Query:
        """The query of one run."""
        times = None
        if self.from_time is not None or self.before_time is not None:
            times = Range("time", at_least=self.from_time, below=self.before_time)
        return Query(run.where, times, "time", descending=True, limit=limit, after=run.cursor)


class _Head:
    """The next document of a run, or an upper bound of it; the newest comes first."""

    __slots__ = ("id", "run", "time")

    def __init__(self, time: int, id: str, run: Run) -> None:
        self.time, self.id, self.run = time, id, run

    def __lt__(self, other: "_Head") -> bool:
        return (self.time, self.id) > (other.time, other.id)


async def newest_first(
    store: Store,
    tenant: str,
    asked: Runs,
    wanted: Callable[[Document], bool],
    limit: int,
    after: str,
    token_of: str,
) -> tuple[list[Document], str]:
    """A page, and the token of the next; a document that is in two runs comes once.

    ``token_of`` names what is asked for: ``InvalidCursor`` for a token of something else.
    """
    position = _decode(after, token_of) if after else None
    heads = [_start(tenant, asked, run, position) for run in asked.runs]
    heapq.heapify(heads)
    found: list[Document] = []
    last = position or (0, "")
    looked_at = 0
    while heads:
        head = heapq.heappop(heads)
        if head.id == _LAST and not head.run.documents:
            await _fill(store, tenant, asked, head.run, min(CHUNK_MAX, limit + 1))
        else:
            document = head.run.documents.popleft()
            if len(found) == limit or looked_at == READ_MAX:
                return found, _encode(last, token_of)
            if (head.time, head.id) != last:
                last, looked_at = (head.time, head.id), looked_at + 1
                if wanted(document):
                    found.append(document)
            if not head.run.documents and head.run.cursor:
                await _fill(store, tenant, asked, head.run, CHUNK_MAX)
        if head.run.documents:
            following = head.run.documents[0]
            heapq.heappush(heads, _Head(following.body["time"], following.id, head.run))
    return found, ""


def _start(tenant: str, asked: Runs, run: Run, position: tuple[int, str] | None) -> _Head:
    if position is None:
        return _Head(run.newest, _LAST, run)
    time, key = position
    run.cursor = cursor_after(tenant, asked.collection, asked.query(run, 1), key, {"time": time})
    return _Head(min(run.newest, time), _LAST, run)


async def _fill(store: Store, tenant: str, asked: Runs, run: Run, limit: int) -> None:
    page = await store.find(tenant, asked.collection, asked.query(run, limit))
    run.documents.extend(page.documents)
    run.cursor = page.next_cursor


def _encode(position: tuple[int, str], token_of: str) -> str:
    packed = msgspec.msgpack.encode((zlib.crc32(token_of.encode()), *position))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _decode(token: str, token_of: str) -> tuple[int, str]:
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        made_for, time, key = msgspec.msgpack.decode(packed, type=tuple[int, int, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise InvalidCursor("this cursor was not made by this service") from error
    if made_for != zlib.crc32(token_of.encode()):
        raise InvalidCursor("this cursor belongs to another query")
    return time, key
