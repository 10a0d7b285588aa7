"""The kinds of vector index, and what was measured of one when it was built."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, sqrt

import msgspec

TUNED_LENGTH = 50
"""How long the lists are on which breadths are measured; longer ones are searched more widely."""


BREADTHS = (4, 6, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 112, 128, 160, 192, 256, 384, 512, 1024)
"""Into how many lists may be looked."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How an inverted file of a kind is made and searched."""

    factory: str
    """As faiss spells it, with the numbers of lists and of dimensions to be put in."""
    refetched: float
    """How many times as many are found as are wanted, because what it compresses makes it err."""

    def fetched(self, length: int) -> int:
        """How many to find for a list of a length."""
        return ceil(length * self.refetched) + 10


KINDS: Mapping[str, Kind] = {
    "ivf_sq8": Kind("IVF{lists},SQ8", 1.25),
    "ivf_pqr": Kind("IVF{lists},PQ{dimensions}x4fsr", 3.0),
    "ivf_pq": Kind("IVF{lists},PQ{dimensions}x4fs", 4.0),
}
"""A byte a number; half a byte a number of what is left of a vector beside the middle of its list; and half a byte of
the vector itself, which is much coarser and only read where a model of before has it."""


class Breadth(msgspec.Struct, frozen=True):
    """How widely to search where a share of the rows is allowed, and what that found of the best."""

    share: float
    breadth: int
    """0: however widely, too little was found."""
    recall: float


class Tuning(msgspec.Struct, frozen=True):
    """What was measured of an index, by shares, large first."""

    kind: str
    breadths: list[Breadth]
    seconds: float
    """Of processor time, for a query without a filter."""

    def breadth(self, share: float, length: int) -> int:
        """How widely to search: as was measured for the next smaller share."""
        known = next((each for each in self.breadths if each.share <= share), None)
        if known is None or not known.breadth:
            return 0
        return ceil(known.breadth * max(sqrt(length / TUNED_LENGTH), 1.0))
