"""From what each source says of an item to one score: the one arithmetic that serving and measuring share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mixture:
    """How much of a list follows each source, from 0 to 1; what is left follows the vectors."""

    frequency: float
    """The customer's own frequencies."""
    following: float
    """What others go on to from the customer's newest items."""

    @property
    def vectors(self) -> float:
        """What is left."""
        return max(1.0 - self.frequency - self.following, 0.0)


@dataclass(frozen=True, slots=True)
class Mixtures:
    """The same for each candidate."""

    frequency: NDArray[np.float64]
    following: float

    @property
    def vectors(self) -> NDArray[np.float64]:
        """What is left."""
        return np.maximum(1.0 - self.frequency - self.following, 0.0)


def blend(
    fits: Floats,
    following: Floats,
    frequencies: Floats,
    mixture: Mixture | Mixtures,
    firsts: NDArray[np.int64] | None = None,
) -> tuple[Floats, Floats, Floats]:
    """What vectors, transitions and own frequencies add to the score of each candidate. Each source is brought to 0…1
    by its largest; where candidates are those of several people, by the largest of each, whose candidates begin at
    ``firsts``."""
    sources = np.array([np.maximum(fits, 0), following, frequencies])
    if firsts is None or len(firsts) < 2:
        peaks = sources.max(axis=-1, keepdims=True, initial=0)
    else:
        lengths = np.diff(firsts, append=sources.shape[-1])
        peaks = np.repeat(np.maximum(np.maximum.reduceat(sources, firsts, axis=-1), 0), lengths, axis=-1)
    scaled = np.divide(sources, peaks, out=np.zeros_like(sources), where=peaks > 0)
    return (
        np.asarray(mixture.vectors * scaled[0], dtype=np.float32),
        np.asarray(mixture.following * scaled[1], dtype=np.float32),
        np.asarray(mixture.frequency * scaled[2], dtype=np.float32),
    )
