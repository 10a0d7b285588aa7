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


def blend(fits: Floats, following: Floats, frequencies: Floats, mixture: Mixture) -> tuple[Floats, Floats, Floats]:
    """What vectors, transitions and own frequencies add to the score of each candidate. Each source is brought to 0…1
    by its largest."""
    return (
        np.asarray(mixture.vectors * _to_peak(np.maximum(fits, 0)), dtype=np.float32),
        np.asarray(mixture.following * _to_peak(following), dtype=np.float32),
        np.asarray(mixture.frequency * _to_peak(frequencies), dtype=np.float32),
    )


def _to_peak(values: Floats) -> Floats:
    peak = values.max(axis=-1, keepdims=True, initial=0)
    scaled: Floats = np.divide(values, peak, out=np.zeros_like(values), where=peak > 0)
    return scaled
