"""What demand is made of: how often people buy, look at and click items, each kind of it with a weight and a half-life.

An interaction of age t counts weight x 2^(-t / half-life), and nothing beyond its window: the form in which shops write
trends down (Metarank's ``count x weight x decay^days``, with half-lives instead of daily rates).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.common.errors import InvalidArgument
from services.recommendation.domain.demand import HOUR, SLOWER, Counts, Fading
from services.recommendation.domain.recommendation import Reason, ReasonKind, Recommendation

WEIGHT_MAX = 1000.0
SPAN_MAX = 3_650 * 24 * HOUR
"""Of a half-life, a window or an age."""

Floats = NDArray[np.float64]


class InteractionKind(IntEnum):
    """What people do with items; the numbers are those of the contract."""

    PURCHASE = 1
    CART = 2
    VIEW = 3
    CLICK = 4


class InteractionsInvalid(InvalidArgument):
    """Weights that contradict themselves or are out of range. Metadata ``path`` and ``problem``."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}", path=path, problem=problem)


@dataclass(frozen=True, slots=True)
class InteractionWeight:
    """What one kind counts. Times are in microseconds."""

    kind: InteractionKind
    weight: float
    half_life: int = 0
    """0 for that of the list."""
    window: int = 0
    """How much older than the newest of its kind it may be; 0 for any age."""


@dataclass(frozen=True, slots=True)
class DemandOptions:
    """By what a placement counts demand, and whose; times in microseconds, 0 for the usual."""

    interactions: tuple[InteractionWeight, ...] = ()
    half_life: int = 0
    segment_id: str = ""
    max_age: int = 0
    """Of items that are new."""


@dataclass(frozen=True, slots=True)
class Counting:
    """How one kind is counted."""

    kind: InteractionKind
    fading: Fading
    weight: float = 1.0
    window: int = 0


def check_interactions(weights: Sequence[InteractionWeight], at: str = "interactions") -> None:
    """``InteractionsInvalid`` at the first thing that is wrong."""
    for index, each in enumerate(weights):
        path = f"{at}[{index}]"
        if any(before.kind == each.kind for before in weights[:index]):
            raise InteractionsInvalid(f"{path}.kind", f"{each.kind.name} comes twice")
        if not 0 < each.weight <= WEIGHT_MAX:  # a NaN is not in it either
            raise InteractionsInvalid(f"{path}.weight", f"a weight is above 0 and at most {WEIGHT_MAX:g}")
        for name, span in (("half_life_duration", each.half_life), ("window_duration", each.window)):
            if span and not HOUR <= span <= SPAN_MAX:
                raise InteractionsInvalid(f"{path}.{name}", "it is from one hour to ten years")


def popularity(weights: Sequence[InteractionWeight], half_life: int) -> tuple[Counting, ...]:
    """What a list of what is popular counts; purchases alone where nothing is said."""
    return _countings(weights, half_life, 1)


def trend(weights: Sequence[InteractionWeight], half_life: int) -> tuple[Counting, ...]:
    """What a list of what trends counts: of now, and as is usual."""
    return _countings(weights, half_life, SLOWER)


def _countings(weights: Sequence[InteractionWeight], half_life: int, slower: int) -> tuple[Counting, ...]:
    given = weights or (InteractionWeight(InteractionKind.PURCHASE, 1.0),)
    return tuple(
        Counting(each.kind, Fading(own, own * slower), each.weight, each.window)
        for each in given
        for own in (each.half_life or half_life,)
    )


@dataclass(frozen=True, slots=True)
class Part:
    """The counts of one kind, as they are at the moment of its newest interaction, in microseconds."""

    counting: Counting
    counts: Counts
    newest: int


class Tally:
    """Demand for items at one moment. It does not change; orders are made once, when they are first wanted."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.item_ids = sorted(set[str]().union(*(part.counts for part in parts)))
        self._kinds = [part.counting.kind for part in parts]
        self._weights = np.array([part.counting.weight for part in parts])
        place_of = {item_id: place for place, item_id in enumerate(self.item_ids)}
        self._fast, self._slow = np.zeros((2, len(parts), len(self.item_ids)))
        newest = max((part.newest for part in parts), default=0)
        for at, part in enumerate(parts):
            places = [place_of[item_id] for item_id in part.counts]
            counts = np.array(list(part.counts.values()), dtype=np.float64).reshape(-1, 2)
            fading, age = part.counting.fading, part.newest - newest
            self._fast[at, places] = counts[:, 0] * 2.0 ** (age / fading.fast)
            self._slow[at, places] = counts[:, 1] * 2.0 ** (age / fading.slow)

    def popular(self, allows: Callable[[str], bool], count: int) -> list[Recommendation]:
        """What has most demand, with what each kind of interaction gives to it."""
        worth, totals, order = self._popular
        found = _first(order, self.item_ids, allows, count)
        return [Recommendation(self.item_ids[at], self._shares(worth[:, at])) for at in found if totals[at] > 0]

    def rising(self, allows: Callable[[str], bool], count: int) -> list[Recommendation]:
        """What has more demand than usual, by how many standard deviations; what has not is left out.

        A Poisson process of rate r has a decayed count with mean r·τ and variance r·τ/2, τ = half-life / ln 2. An
        item's usual rate is its slow count, times how much more of that kind the whole shop has now than usual; kinds
        are independent of each other, so that their weighted means and variances add up. Half an interaction of the
        weightiest kind is added to the variance, so that a single one with what nobody wanted is no trend.
        """
        deviations, leading, order = self._rising
        return [
            Recommendation(
                self.item_ids[at],
                (Reason(ReasonKind.TRENDING, float(deviations[at]), interaction=self._kinds[leading[at]]),),
            )
            for at in _first(order, self.item_ids, allows, count)
        ]

    @cached_property
    def _popular(self) -> tuple[Floats, Floats, Iterable[int]]:
        worth = self._weights[:, None] * self._slow
        totals = worth.sum(axis=0)
        return worth, totals, np.argsort(-totals, kind="stable").tolist()

    @cached_property
    def _rising(self) -> tuple[Floats, NDArray[np.int64], Iterable[int]]:
        if not self.item_ids:
            return np.zeros(0), np.zeros(0, np.int64), []
        weights, peak = self._weights[:, None], float(self._weights.max())
        usual = self._slow.sum(axis=1, keepdims=True)
        swings = np.divide(self._fast.sum(axis=1, keepdims=True), usual, out=np.zeros_like(usual), where=usual > 0)
        expected = self._slow * swings
        excess = weights * (self._fast - expected)
        variance = (weights**2 * expected).sum(axis=0) / 2 + peak**2 / 2
        deviations = excess.sum(axis=0) / np.sqrt(variance)
        order = np.argsort(-deviations, kind="stable")
        trends = (deviations > 0) & ((weights * self._fast).sum(axis=0) > peak)
        return deviations, excess.argmax(axis=0), order[trends[order]].tolist()

    def _shares(self, worth: Floats) -> tuple[Reason, ...]:
        """A reason for each kind, the weightiest first."""
        given = [
            Reason(ReasonKind.POPULAR, value, interaction=kind)
            for value, kind in zip(worth.tolist(), self._kinds, strict=True)
            if value > 0
        ]
        return tuple(sorted(given, key=lambda reason: -reason.score))


def _first(order: Iterable[int], item_ids: Sequence[str], allows: Callable[[str], bool], count: int) -> Iterator[int]:
    """The first places of an order that are allowed."""
    found = (at for at in order if allows(item_ids[at]))
    return (at for at, _ in zip(found, range(count), strict=False))
