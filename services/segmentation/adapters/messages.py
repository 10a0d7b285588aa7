"""What crm sent to customers, as rows of the analytical engine: of a message the moment at which it left.

Sent messages come by crm's own feed, because crm alone knows them. What people did with them (delivered, opened,
clicked: the events of Segment's e-mail specification) and what they bought comes by profiles' feed, as every source
tells it. Each row keeps the customer that it was sent to, so a merge, an unmerge and an erasure move or remove it like
an event.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from services.common.columnar import Table

FOLLOWER = "crm"
MESSAGES = Table(
    "messages",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("origin_id", pa.string()),
            ("message_id", pa.string()),
            ("campaign_id", pa.string()),
            ("time", pa.int64()),
        ]
    ),
    key=("tenant", "message_id"),
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message left; time in microseconds."""

    tenant: str
    origin_id: str
    message_id: str
    campaign_id: str
    time: int


def message_rows(sent: Sequence[Sent]) -> pa.Table:
    """The rows, as those of whom the messages were sent to."""
    names = ("tenant", "origin_id", "origin_id", "message_id", "campaign_id", "time")
    columns = [
        pa.array([getattr(each, name) for each in sent], kind)
        for name, kind in zip(names, MESSAGES.schema.types, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=MESSAGES.schema)
