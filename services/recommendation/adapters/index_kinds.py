"""The kinds of vector index, and what was measured of one when it was built."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import faiss as _faiss
import msgspec

faiss: Any = _faiss

TUNED_LENGTH = 100
"""How long the lists are on which breadths are measured; longer ones are searched more widely."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How an index of a kind is made and searched."""

    factory: str
    """As faiss spells it, with the numbers of lists and of dimensions to be put in."""
    breadths: tuple[int, ...]
    """How widely it may be searched, narrow first: lists that are looked into, or candidates of a walk."""
    refetched: float
    """How many times as many are found as are wanted, because what it compresses makes it err."""
    graph: bool = False

    def fetched(self, length: int) -> int:
        """How many to find for a list of a length."""
        return length if self.refetched == 1 else ceil(length * self.refetched) + 10

    def parameters(self, breadth: int, length: int, selector: Any) -> Any:
        """What a search is given."""
        if self.graph:
            return faiss.SearchParametersHNSW(sel=selector, efSearch=max(breadth, length))
        return faiss.SearchParametersIVF(sel=selector, nprobe=breadth)


KINDS: Mapping[str, Kind] = {
    "hnsw": Kind("HNSW16", (48, 96, 192, 384, 768), 1.0, graph=True),
    "ivf_sq8": Kind("IVF{lists},SQ8", (4, 8, 16, 32, 64, 128, 256, 512), 1.25),
    "ivf_pq": Kind("IVF{lists},PQ{dimensions}x4fs", (4, 8, 16, 32, 64, 128, 256, 512), 2.0),
}


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
