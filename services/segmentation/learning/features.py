"""Behaviour as coordinates: figures of customers scaled so that no kind of figure outweighs the others."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Figures = npt.NDArray[np.float64]

CLIP = 3.0
"""Beyond so many standard deviations a customer is as far as another."""
SKEWED = frozenset({"recency_days", "frequency", "monetary_minor", "order_value_minor", "tenure_days"})
"""Amounts and counts: they are compared by their logarithm, and each is a kind of its own."""
HABITS = frozenset({"morning_share", "afternoon_share", "evening_share", "night_share", "weekend_share"})


def comparable(figures: Figures, names: Sequence[str]) -> Figures:
    """``figures`` ``(n, figures)`` with amounts and counts by their logarithm, of the same shape."""
    skewed = np.array([name in SKEWED for name in names])
    points = figures.copy()
    points[:, skewed] = np.log1p(np.maximum(figures[:, skewed], 0))
    return points


def scaled(points: Figures, names: Sequence[str], means: Figures, spreads: Figures) -> Floats:
    """What ``comparable`` gives as coordinates, of the same shape: standardised by ``means`` and ``spreads``
    ``(figures,)``, cut, and each kind weighing as much as one figure. A figure without spread becomes 0."""
    kinds = [_kind(name) for name in names]
    standard = np.where(spreads > 0, points - means, 0.0) / np.where(spreads > 0, spreads, 1.0)
    weights = 1 / np.sqrt([kinds.count(kind) for kind in kinds])
    return np.asarray(np.clip(standard, -CLIP, CLIP) * weights, np.float32)


def _kind(name: str) -> str:
    return "habit" if name in HABITS else name.partition(":")[0]
