"""How far a share of figures that intervals held is known."""

from collections.abc import Sequence

import numpy as np

from services.forecasting.learning.histories import FloatArray

_TIMES = 200


def noise(parts: Sequence[tuple[FloatArray, FloatArray]]) -> float:
    """The standard deviation, in per cent, of the share that was held, if other series of the same panels had been
    drawn. Each part: by series and step, 1 where a figure was held, and 1 where it counts. Errors of a series go
    together, so that series are drawn whole; what all series of a span share is not in it."""
    random = np.random.default_rng(0)
    inside, counts = np.zeros(_TIMES), np.zeros(_TIMES)
    for held, counted in parts:
        drawn = random.integers(0, len(held), (_TIMES, len(held)))
        inside += (held * counted).sum(axis=1)[drawn].sum(axis=1)
        counts += counted.sum(axis=1)[drawn].sum(axis=1)
    return 100 * float((inside / np.maximum(counts, 1)).std())
