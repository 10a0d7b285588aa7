"""What crm sent, in the analytical engine: when, and nothing of to whom."""

import hashlib
from collections.abc import Iterable

import pyarrow as pa

from services.common.columnar import Columnar, Table

FOLLOWER = "forecasting.sends"
SENDS = Table(
    "sends",
    # A message is a digest, so that nothing here leads to a person.
    pa.schema([("tenant", pa.string()), ("message", pa.string()), ("time", pa.int64())]),
    key=("tenant", "message"),
)
Sent = tuple[str, str, int]
"""The tenant, the message's id and when it was sent, in microseconds."""


class ColumnarSends:
    """Sends over the analytical engine."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def cursor(self) -> str:
        """The cursor of the last batch that was applied."""
        return await self._columnar.cursor(FOLLOWER)

    async def apply(self, sent: Iterable[Sent], cursor: str) -> None:
        """Keep a batch; again, it changes nothing."""
        rows = [(tenant, _digest(message_id), time) for tenant, message_id, time in sent]
        columns = zip(*rows, strict=True) if rows else [()] * len(SENDS.schema)
        arrays = [pa.array(column, type=kind) for column, kind in zip(columns, SENDS.schema.types, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=SENDS.schema)
        await self._columnar.append({SENDS: table} if rows else {}, FOLLOWER, cursor)


def _digest(message_id: str) -> str:
    return hashlib.blake2b(message_id.encode(), digest_size=12).hexdigest()
