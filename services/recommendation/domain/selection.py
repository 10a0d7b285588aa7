"""Which items of a model an answer may hold, in the forms in which they are looked for."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


class Selection:
    """Allowed rows of a model. It does not change; what is derived of it is made once, when it is first wanted."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    def __len__(self) -> int:
        return len(self.mask)

    @cached_property
    def count(self) -> int:
        """How many rows are allowed."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def rows(self) -> Rows:
        """The allowed rows, ascending."""
        return np.flatnonzero(self.mask)

    @cached_property
    def bits(self) -> NDArray[np.uint8]:
        """A bit for each row, the least significant of a byte first."""
        return np.packbits(self.mask, bitorder="little")

    @property
    def share(self) -> float:
        """The allowed part of all rows."""
        return self.count / len(self.mask) if len(self.mask) else 0.0

    def without(self, rows: Rows) -> "Selection":
        """The same less some rows."""
        mask = self.mask.copy()
        mask[rows] = False
        return Selection(mask)

    def updated(self, rows: Rows, allowed: Mask) -> "Selection":
        """The same but for some rows, of which ``allowed`` says anew whether they are."""
        if np.array_equal(self.mask[rows], allowed):
            return self
        mask = self.mask.copy()
        mask[rows] = allowed
        return Selection(mask)
