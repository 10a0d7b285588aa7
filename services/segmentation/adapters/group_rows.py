"""What profiles' feed tells of groups, as rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from services.common.columnar import Table
from services.common.flat.columns import flat_columns
from services.common.flat.properties import flatten
from services.segmentation.adapters.group_tables import GROUP_MEMBERS, GROUP_TRAITS
from services.segmentation.adapters.tables import hashed


@dataclass(frozen=True, slots=True)
class Described:
    """Something was said of a group; time in microseconds. ``None`` forgets a trait."""

    tenant: str
    group_id: str
    time: int
    traits: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Belonged:
    """Somebody became a member of a group, or is none any more; time in microseconds."""

    tenant: str
    customer_id: str
    origin_id: str
    group_id: str
    time: int
    member: bool


def group_rows(described: Sequence[Described], belonged: Sequence[Belonged]) -> dict[Table, pa.Table]:
    """What a batch adds to each table."""
    batch = {GROUP_MEMBERS: _members(belonged)} if belonged else {}
    if any(each.traits for each in described):
        batch[GROUP_TRAITS] = _traits(described)
    return batch


def _members(belonged: Sequence[Belonged]) -> pa.Table:
    rows = [
        {
            "tenant": each.tenant,
            "customer_id": each.customer_id,
            "customer_hash": hashed(each.customer_id),
            "origin_id": each.origin_id,
            "group_id": each.group_id,
            "time": each.time,
            "tie": "1" if each.member else "0",
            "member": each.member,
        }
        for each in belonged
    ]
    return pa.Table.from_pylist(rows, schema=GROUP_MEMBERS.schema)


def _traits(described: Sequence[Described]) -> pa.Table:
    told = [(each, name, value) for each in described for name, value in each.traits.items()]
    columns: dict[str, Any] = {
        "tenant": [each.tenant for each, _, _ in told],
        "group_id": [each.group_id for each, _, _ in told],
        "name": [name for _, name, _ in told],
        "time": [each.time for each, _, _ in told],
        "tie": [repr(value) for _, _, value in told],
        **flat_columns([flatten({name: value}) for _, name, value in told]),
    }
    return pa.table({name: columns[name] for name in GROUP_TRAITS.schema.names}, schema=GROUP_TRAITS.schema)
