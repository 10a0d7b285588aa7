"""Attributes of items: one number for each pair of name and value, and which rows have it."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.columns import Codes, Columns

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

NOBODY = -1
TIDIED_FROM = 10_000
"""Fewer places of rows that changed since are not worth tidying."""


class AttributeTable:
    """Eight bytes for each attribute of each row. What a row had before stays as a place that is nobody's, until
    half of all places are."""

    def __init__(self, tidied_from: int = TIDIED_FROM) -> None:
        self._tidied_from = tidied_from
        self._pairs: Codes[tuple[str, str]] = Codes()
        self._places = Columns(pair=np.int32, row=np.int32)
        self._spans: dict[int, tuple[int, int]] = {}
        self._empty = 0

    @property
    def places(self) -> int:
        """How many places there are, those that are nobody's too."""
        return self._places.count

    def put(self, row: int, attributes: Mapping[str, str]) -> None:
        """Replace what a row has."""
        before = self._spans.pop(row, None)
        if before is not None:
            self._places["row"][slice(*before)] = NOBODY
            self._empty += before[1] - before[0]
        if attributes:
            codes = [self._pairs.code(pair) for pair in attributes.items()]
            first = self._places.extend(len(codes))
            self._spans[row] = first, first + len(codes)
            self._places["pair"][first:] = codes
            self._places["row"][first:] = row
        if self._empty > max(self._tidied_from, self._places.count // 2):
            self._tidy()

    def having(self, name: str, values: AbstractSet[str], at: slice | Rows, row_count: int) -> Mask:
        """Whether each of some rows has one of the values of a name; ``at`` is all of them or some."""
        wanted = self._pairs.table([self._pairs.known((name, value)) for value in values])
        if isinstance(at, slice):
            rows = self._places["row"][wanted[self._places["pair"]]]
            mask = np.zeros(row_count, dtype=np.bool_)
            mask[rows[rows >= 0]] = True
            return mask[at]
        spans = (self._spans.get(row, (0, 0)) for row in at.tolist())
        pairs = self._places["pair"]
        return np.fromiter((bool(wanted[pairs[slice(*span)]].any()) for span in spans), np.bool_, len(at))

    def _tidy(self) -> None:
        kept = np.flatnonzero(self._places["row"] >= 0)
        rows, pairs = self._places["row"][kept], self._places["pair"][kept]
        self._places, self._empty = Columns(pair=np.int32, row=np.int32), 0
        self._places.extend(len(kept))
        self._places["row"][:], self._places["pair"][:] = rows, pairs
        starts = np.flatnonzero(np.diff(rows, prepend=NOBODY))
        ends = np.append(starts[1:], len(rows))
        self._spans = {int(rows[a]): (a, b) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)}
