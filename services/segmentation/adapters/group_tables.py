"""The analytical tables of households and accounts: who is a member since when, and what was said of the groups."""

import pyarrow as pa

from services.common.columnar import Table
from services.common.flat.columns import FLAT

GROUP_MEMBERS = Table(
    "group_members",
    # Every statement with its time, so that the members of any moment are known.
    pa.schema(
        [
            ("tenant", pa.string()),
            ("customer_id", pa.string()),
            ("customer_hash", pa.int64()),
            ("origin_id", pa.string()),
            ("group_id", pa.string()),
            ("time", pa.int64()),
            ("tie", pa.string()),  # of two statements of the same moment the one that makes a member holds
            ("member", pa.bool_()),
        ]
    ),
    key=("tenant", "group_id", "origin_id", "time", "tie"),
)
GROUP_TRAITS = Table(
    "group_traits",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("group_id", pa.string()),
            ("name", pa.string()),
            ("time", pa.int64()),
            ("tie", pa.string()),  # as for the traits of customers
            *FLAT,
        ]
    ),
    key=("tenant", "group_id", "name", "time", "tie"),
)
GROUP_TABLES = (GROUP_MEMBERS, GROUP_TRAITS)
