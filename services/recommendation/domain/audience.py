"""Who would buy an item: every customer's fit to its vector, and how lately they bought anything."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.model import Floats, Model

Times = NDArray[np.int64]


@dataclass(frozen=True)
class Audience:
    """Customers of a model as codes, best first, with what each scores."""

    model: Model
    codes: NDArray[np.int64]
    scores: NDArray[np.float64]
    fits: Floats
    last_times: Times


def fits_of(model: Model, row: int) -> Floats:
    """How well item ``row`` fits each customer: the inner product of its vector and theirs, which is the weighted sum
    of what they bought. Exact, in one pass over all histories."""
    worth = (model.context @ model.target[row]).astype(np.float64)
    weights = np.log1p(model.history_weights.astype(np.float64))
    ends = np.concatenate([[0.0], np.cumsum(weights * worth[model.history_items])])
    totals = np.concatenate([[0.0], np.cumsum(weights)])
    starts, stops = model.history_starts[:-1], model.history_starts[1:]
    sums = totals[stops] - totals[starts]
    return np.asarray((ends[stops] - ends[starts]) / np.maximum(sums, 1e-12), dtype=np.float32)


def buyers_of(model: Model, row: int) -> NDArray[np.int64]:
    """The codes of those whose history holds an item."""
    cells = np.flatnonzero(model.history_items == row)
    return np.searchsorted(model.history_starts, cells, side="right") - 1


def audience_of(
    model: Model, row: int, last_times: Times, now: int, half_life: int, without: NDArray[np.int64]
) -> Audience:
    """Everybody whom the item fits, best first; equal scores by id. ``last_times`` are by code, 0 for those of whom no
    purchase is known any more: they are left out, as are the codes in ``without``."""
    fits = fits_of(model, row)
    scores = fits.astype(np.float64) * 2.0 ** (-np.maximum(now - last_times, 0) / half_life)
    kept = (fits > 0) & (last_times > 0) & (scores > 0)
    kept[without] = False
    codes = np.flatnonzero(kept)
    codes = codes[np.argsort(-scores[codes], kind="stable")]  # codes are in the order of ids
    return Audience(model, codes, scores[codes], fits[codes], last_times[codes])
