"""How well an uplift model tells customers apart: the Qini curve, its area, and how sure that is.

Radcliffe, "Using control groups to target on predicted lift", 2007, with unbiased effects of single customers in place
of counts by group (Yadlowsky, Fleming, Shah, Brunskill and Wager, "Evaluating treatment prioritization rules via
rank-weighted average treatment effects", 2021): less noise, and right where the chance to be treated differs.
"""

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from services.forecasting.domain.propensity import BoolArray, FloatArray
from services.forecasting.domain.uplift import Figure, IntArray, Trial, UpliftDecile, UpliftQuality
from services.forecasting.learning.uplift import LEVEL, HeldOut

STEPS, TENTHS = 20, 10
_DRAWS = 300
_SAME, _APART = 1e-10, 1e-12
_WIDTH = float(ndtri((1 + LEVEL) / 2))


def uplift_quality(trial: Trial, held_out: HeldOut) -> UpliftQuality:
    """What the experiment showed; at least one customer in each group."""
    order, effect = _ranked(held_out)
    curve, area = _curve(effect, np.ones(len(effect)))
    drawn = [_curve(effect, weights) for weights in _draws(len(effect))]
    tails = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    low, high = np.quantile(np.stack([each[0] for each in drawn]), tails, axis=0)
    area_low, area_high = np.quantile([each[1] for each in drawn], tails)
    total = float(curve[-1])
    return UpliftQuality(
        customer_count=len(trial),
        treated_count=int(trial.treated.sum()),
        treated_rate=float(trial.outcome[trial.treated].mean()),
        control_rate=float(trial.outcome[~trial.treated].mean()),
        effect=mean_figure(held_out.effect),
        qini=Figure(area, float(area_low), float(area_high)),
        qini_ratio=area / (total / 2) if total > 0 else None,
        curve=tuple(Figure(*map(float, each)) for each in zip(curve, low, high, strict=True)),
        deciles=tuple(_decile(trial, held_out, rows) for rows in np.array_split(order, TENTHS) if len(rows)),
        heterogeneity=_slope(held_out),
    )


def _ranked(held_out: HeldOut) -> tuple[IntArray, FloatArray]:
    """The customers from the highest uplift to the lowest among those of their part, and their effects.

    Of those whose uplift is the same everybody has the mean effect: their order says nothing.
    """
    key = np.empty(len(held_out.uplift))
    for number in np.unique(held_out.part).tolist():
        rows = np.flatnonzero(held_out.part == number)
        _, same, count = np.unique(held_out.uplift[rows], return_inverse=True, return_counts=True)
        alone = (count[same] == 1) * _APART * (number + 1)
        key[rows] = -rankdata(held_out.uplift[rows]) / (len(rows) + 1) + alone
    _, same = np.unique(key, return_inverse=True)
    mean = np.bincount(same, held_out.effect) / np.bincount(same)
    order = np.argsort(key, kind="stable")
    return order, mean[same[order]]


def mean_figure(effect: FloatArray) -> Figure:
    """The mean with its interval."""
    mean = float(effect.mean())
    half = _WIDTH * float(effect.std(ddof=1)) / len(effect) ** 0.5 if len(effect) > 1 else float("inf")
    return Figure(mean, mean - half, mean + half)


def _draws(count: int) -> list[FloatArray]:
    """How often each customer is in a sample of the bootstrap; always the same."""
    random = np.random.default_rng(1)
    return [random.poisson(1.0, count).astype(np.float64) for _ in range(_DRAWS)]


def _curve(effect: FloatArray, weight: FloatArray) -> tuple[FloatArray, float]:
    """The gain at each step of the share treated, and the area above the straight line; the highest uplift first."""
    total = weight.sum()
    share = np.concatenate([[0.0], np.cumsum(weight) / total])
    gain = np.concatenate([[0.0], np.cumsum(weight * effect) / total])
    area = float(np.sum(np.diff(share) * (gain[1:] + gain[:-1]) / 2) - gain[-1] / 2)
    return np.interp(np.linspace(0, 1, STEPS + 1), share, gain), area


def _decile(trial: Trial, held_out: HeldOut, rows: IntArray) -> UpliftDecile:
    held: BoolArray = ~trial.treated[rows]
    weight = held / (1 - held_out.chance[rows])
    came = float(np.sum(weight * trial.outcome[rows]))
    return UpliftDecile(
        customer_count=len(rows),
        uplift=float(held_out.uplift[rows].mean()),
        measured=mean_figure(held_out.effect[rows]),
        control_rate=came / float(weight.sum()) if weight.sum() else 0.0,
    )


def _slope(held_out: HeldOut) -> Figure | None:
    said, wanted = _around(held_out.uplift, held_out.part), _around(held_out.effect, held_out.part)
    size = float(said @ said)
    if size <= _SAME * len(said):
        return None
    slope = float(said @ wanted) / size
    half = _WIDTH * float(np.sqrt(np.sum((said * (wanted - slope * said)) ** 2))) / size
    return Figure(slope, slope - half, slope + half)


def _around(values: FloatArray, part: IntArray) -> FloatArray:
    """How far values are from the mean of their part."""
    mean = np.bincount(part, values) / np.maximum(np.bincount(part), 1)
    found: FloatArray = values - mean[part]
    return found
