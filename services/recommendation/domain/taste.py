"""From what is known of a person to scores: the one arithmetic that serving and measuring share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.history import History
from services.recommendation.domain.model import Codes, Floats, Vectors

SESSION_SHARE = 0.7
"""How much of the vector is the session's where there are purchases too: what somebody looks at now says more."""
SESSION_FADING = 0.85
"""What an item looked at counts against the one looked at after it."""


@dataclass(frozen=True, slots=True)
class Taste:
    """The items that make a person's vector, as rows, with what each contributes; ``viewed`` were only looked at."""

    rows: NDArray[np.int64]
    shares: Floats
    viewed: NDArray[np.bool_]

    def vector(self, context: Vectors) -> Vectors:
        """The weighted sum of context vectors; its inner products with target vectors are scores."""
        return np.asarray(self.shares @ context[self.rows], dtype=np.float32)


def taste_of(history: History, session_rows: Sequence[int]) -> Taste | None:
    """What is known of somebody; ``None`` where nothing is."""
    rows, known, viewed = _known(history)
    if not len(rows) and not session_rows:
        return None
    looked = np.float32(SESSION_FADING) ** np.arange(len(session_rows) - 1, -1, -1, dtype=np.float32)
    share = SESSION_SHARE if len(known) and len(looked) else float(bool(len(looked)))
    return Taste(
        rows=np.concatenate([rows.astype(np.int64), np.asarray(session_rows, dtype=np.int64)]),
        shares=np.concatenate([_to_sum(known, 1 - share), _to_sum(looked, share)]),
        viewed=np.concatenate([viewed, np.ones(len(looked), dtype=np.bool_)]),
    )


def _known(history: History) -> tuple[Codes, Floats, NDArray[np.bool_]]:
    """What was bought or looked at before: rows, what each weighs, and which of them were never bought."""
    rows, weights = history.rows, history.weights
    if len(history.interests):
        places = np.searchsorted(history.interests, rows).clip(max=len(history.interests) - 1)
        weights = weights + np.where(history.interests[places] == rows, history.interest_weights[places], 0)
        only = ~np.isin(history.interests, rows)
        rows = np.concatenate([rows, history.interests[only]])
        weights = np.concatenate([weights, history.interest_weights[only]])
    return rows, np.log1p(weights), np.arange(len(rows)) >= len(history.rows)


def _to_sum(weights: Floats, total: float) -> Floats:
    return np.asarray(weights * (total / max(float(weights.sum()), 1e-12)), dtype=np.float32)
