"""What an object holds by path, as columns of a table: a map for each type of values."""

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import pyarrow as pa

from services.common.flat.properties import Flat

MAPS: dict[str, pa.DataType] = {
    "texts": pa.string(),
    "numbers": pa.float64(),
    "flags": pa.bool_(),
    "instants": pa.int64(),
    "elements": pa.string(),
}
FLAT: list[tuple[str, pa.DataType]] = [
    *((name, pa.map_(pa.string(), pa.list_(kind))) for name, kind in MAPS.items()),
    ("present", pa.list_(pa.string())),
]
"""The columns."""


def flat_columns(flats: Sequence[Flat]) -> dict[str, pa.Array]:
    """The columns of some rows."""
    columns = {name: _maps([getattr(flat, name) for flat in flats], kind) for name, kind in MAPS.items()}
    return {**columns, "present": _lists([flat.present for flat in flats], pa.string())}


def _maps(maps: Sequence[Mapping[str, list[Any]]], kind: pa.DataType) -> pa.Array:
    """An array of maps from a path to a list of values, built from offsets: much faster than from Python maps."""
    keys = [key for values in maps for key in values]
    lists = _lists([values for each in maps for values in each.values()], kind)
    return pa.MapArray.from_arrays(_offsets(maps), pa.array(keys, pa.string()), lists)


def _lists(lists: Sequence[Any], kind: pa.DataType) -> pa.Array:
    values = [value for each in lists for value in each]
    return pa.ListArray.from_arrays(_offsets(lists), pa.array(values, kind))


def _offsets(parts: Sequence[Sized]) -> pa.Array:
    offsets, end = [0], 0
    for part in parts:
        end += len(part)
        offsets.append(end)
    return pa.array(offsets, pa.int32())
