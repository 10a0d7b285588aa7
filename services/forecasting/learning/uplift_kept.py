"""What an experiment taught as plain values, and customers of another day held against those of the fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from services.forecasting.domain.propensity import FloatArray
from services.forecasting.learning.uplift import Effects, Outcomes, Ranks, UpliftTrees

if TYPE_CHECKING:
    import lightgbm

FORM = 1
"""Of the plain values; what has another cannot be read."""


@dataclass(frozen=True, slots=True)
class UpliftMeans:
    """The mean of the customers of whom a fit said something."""

    moved: FloatArray
    """What each feature adds to the effect."""
    base: float
    """What comes without the treatment."""

    @classmethod
    def of(cls, trees: UpliftTrees, features: FloatArray) -> "UpliftMeans":
        """Of these customers; at least one."""
        return cls(trees.effects.moved(features).mean(axis=0), float(trees.control(features).mean()))


def dump(trees: UpliftTrees, means: UpliftMeans) -> dict[str, object]:
    """As plain values: some hundred kilobytes, however many customers there were."""
    return {
        "form": FORM,
        "effects": _plain(trees.effects),
        "repetitions": [_plain(it) for it in trees.repetitions],
        "control": [it.model_to_string() for it in trees.control.boosters],
        "moved": means.moved.tolist(),
        "base": means.base,
    }


def load(plain: Mapping[str, Any], width: int) -> tuple[UpliftTrees, UpliftMeans] | None:
    """What ``dump`` gave; ``None`` where another version wrote it in another form, or for other than ``width``
    features."""
    if plain.get("form") != FORM or len(plain["moved"]) != width:
        return None
    control = Outcomes(tuple(_booster(it) for it in plain["control"]))
    trees = UpliftTrees(_effects(plain["effects"]), tuple(_effects(it) for it in plain["repetitions"]), control)
    return trees, UpliftMeans(np.array(plain["moved"], dtype=np.float64), plain["base"])


def _plain(it: Effects) -> dict[str, object]:
    return {
        "mean": it.mean,
        "cuts": it.ranks.cuts.tolist(),
        "line": it.line.tolist(),
        "trees": it.trees.model_to_string() if it.trees else "",
        "trees_weight": it.trees_weight,
    }


def _effects(plain: Mapping[str, Any]) -> Effects:
    cuts, line = (np.array(plain[name], dtype=np.float64) for name in ("cuts", "line"))
    trees = _booster(plain["trees"]) if plain["trees"] else None
    return Effects(plain["mean"], Ranks(cuts), line, trees, plain["trees_weight"])


def _booster(text: str) -> "lightgbm.Booster":
    import lightgbm

    return lightgbm.Booster(model_str=text)
