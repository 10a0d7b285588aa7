"""What many buy, and what is bought more than usual: counts in which every purchase fades by halves.

A purchase at time ``t`` counts 2^((t - landmark) / half-life), whatever time it is when it is counted (forward decay:
Cormode, Shkapenyuk, Srivastava and Xu, 2009). So counts are sums: what comes later is added, nothing is counted again,
and the order of items is the same at any moment. Only a count that a person reads is brought to a moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.common.errors import InvalidArgument

HOUR = 3_600_000_000
SLOWER = 8
"""How many times as long the half-life of the usual rate is."""
EXPONENT_MAX = 400.0
"""From here on the landmark is moved: 2^1023 is the largest that a float holds."""

Counts = dict[str, tuple[float, float]]
"""By item: the fast and the slow decayed count."""


class HalfLifeInvalid(InvalidArgument):
    """A half-life out of range."""


class AudienceAmbiguous(InvalidArgument):
    """A request names a segment and customers."""


@dataclass(frozen=True, slots=True)
class Fading:
    """How purchases fade, in microseconds."""

    fast: int
    slow: int


@dataclass(slots=True)
class Board:
    """The decayed counts of one audience; ``position`` is up to where purchases are counted."""

    fading: Fading
    landmark: int
    """The moment at which a purchase counts 1, in microseconds."""
    position: int = 0
    newest: int = 0
    """The time of the newest purchase that is counted."""
    counts: Counts = field(default_factory=dict)

    def add(self, counts: Iterable[tuple[str, float, float]], position: int, newest: int) -> None:
        """Take in what came after ``position``, counted from the same landmark; then move that if it is far back."""
        for item_id, fast, slow in counts:
            before = self.counts.get(item_id, (0.0, 0.0))
            self.counts[item_id] = before[0] + fast, before[1] + slow
        self.position, self.newest = max(position, self.position), max(newest, self.newest)
        if (self.newest - self.landmark) / self.fading.fast > EXPONENT_MAX:
            self._move()

    def _move(self) -> None:
        fast, slow = self._now()
        self.counts = {item_id: (a * fast, b * slow) for item_id, (a, b) in self.counts.items()}
        self.landmark = self.newest

    def _now(self) -> tuple[float, float]:
        """What brings counts to the moment of the newest purchase."""
        age = self.landmark - self.newest
        return 2.0 ** (age / self.fading.fast), 2.0 ** (age / self.fading.slow)

    def current(self) -> Counts:
        """The counts at the moment of the newest purchase."""
        fast, slow = self._now()
        return {item_id: (a * fast, b * slow) for item_id, (a, b) in self.counts.items()}


def checked_half_life(micros: int, shortest: int, longest: int) -> int:
    """A half-life; ``HalfLifeInvalid`` out of the range."""
    if not shortest <= micros <= longest:
        raise HalfLifeInvalid(
            f"a half-life of {micros / HOUR:g} hours is out of range; name one of {shortest / HOUR:g} to "
            f"{longest / HOUR:g} hours"
        )
    return micros
