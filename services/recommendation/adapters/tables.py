"""The columnar tables of what became of lists."""

import pyarrow as pa

from services.common.columnar import Table

FEEDBACK = Table(
    "feedback",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("event_id", pa.string()),
            ("customer_id", pa.string()),
            ("origin_customer_id", pa.string()),
            ("subject", pa.string()),
            ("recommendation_id", pa.string()),
            ("item_id", pa.string()),
            ("kind", pa.int64()),
            ("time", pa.int64()),
            ("scenario", pa.int64()),
            ("placement_id", pa.string()),
            ("placement_version", pa.int64()),
            ("experiment_id", pa.string()),
            ("variant", pa.string()),
            ("position", pa.int64()),
        ]
    ),
    key=("tenant", "event_id"),
)
"""What happened to items of lists, each event once."""
EXPOSURES = Table(
    "exposures",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("experiment_id", pa.string()),
            ("subject", pa.string()),
            ("customer_id", pa.string()),
            ("origin_customer_id", pa.string()),
            ("variant", pa.string()),
            ("time", pa.int64()),
        ]
    ),
    key=("tenant", "experiment_id", "subject"),
)
"""Who was first given a list of an experiment, and when."""
SIGNALS = Table(
    "signals",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("origin_customer_id", pa.string()),
            ("item_id", pa.string()),
            ("kind", pa.int64()),
            ("time", pa.int64()),
        ]
    ),
)
"""Who looked at what or put it into a cart, as profiles tells."""
PERSONAL = (FEEDBACK, EXPOSURES, SIGNALS)
"""Tables that follow merges and erasures as the lines of orders do."""
