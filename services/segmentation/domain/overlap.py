"""How many members segments share."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True, slots=True)
class Pair:
    """What two segments share."""

    one: str
    other: str
    both: int
    either: int

    @property
    def jaccard(self) -> float:
        """The part of those who are in either that is in both; 0 if nobody is."""
        return self.both / self.either if self.either else 0.0


@dataclass(frozen=True, slots=True)
class Overlap:
    """The sizes of segments, of every pair, of all and of any of them."""

    sizes: Mapping[str, int]
    pairs: list[Pair]
    in_all: int
    in_any: int


def overlap(members: Mapping[str, Iterable[str]]) -> Overlap:
    """The figures of segments by id, each with its members.

    Customers with the same segments are counted as one kind, so that each member is looked at once, however many pairs
    there are.
    """
    kinds: dict[str, int] = defaultdict(int)
    for number, customer_ids in enumerate(members.values()):
        for customer_id in customer_ids:
            kinds[customer_id] |= 1 << number
    counts = Counter(kinds.values())
    sizes = {
        segment_id: sum(count for kind, count in counts.items() if kind >> number & 1)
        for number, segment_id in enumerate(members)
    }
    pairs = []
    for (one, first), (other, second) in combinations(enumerate(members), 2):
        both = sum(count for kind, count in counts.items() if kind >> one & kind >> other & 1)
        pairs.append(Pair(first, second, both, sizes[first] + sizes[second] - both))
    return Overlap(sizes, pairs, counts[(1 << len(members)) - 1], len(kinds))
