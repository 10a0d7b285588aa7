"""Experiments between versions of a placement: who sees what, and what the difference is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound
from services.common.rules import bucket

WHOLE = 10_000
Z_95 = 1.959963984540054


class ExperimentNotFound(NotFound):
    """There is no experiment of this id."""


class ExperimentInvalid(InvalidArgument):
    """An experiment that contradicts itself. Metadata ``path`` says where."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"the experiment is wrong at {path}: {problem}", path=path, problem=problem)


class ExperimentExists(FailedPrecondition):
    """Another experiment has the id, or runs on the placement. Metadata ``experiment_id``."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One side; the share in hundredths of a per cent."""

    name: str
    share: int
    placement_version: int


@dataclass(frozen=True, slots=True)
class Experiment:
    """Versions of a placement against each other; times in microseconds, no end while it runs."""

    experiment_id: str
    placement_id: str
    variants: tuple[Variant, ...]
    start_time: int = 0
    end_time: int = 0

    def variant_of(self, subject: str) -> Variant | None:
        """What somebody sees: always the same. ``None`` for those who are not in it."""
        place = bucket(self.experiment_id, subject)
        for variant in self.variants:
            if place < variant.share:
                return variant
            place -= variant.share
        return None


def check_experiment(experiment: Experiment) -> None:
    """``ExperimentInvalid`` at the first thing that is wrong."""
    names = [variant.name for variant in experiment.variants]
    if len(names) < 2:
        raise ExperimentInvalid("variants", "there must be two at least")
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ExperimentInvalid(f"variants[{index}].name", f"{name} comes twice")
    if sum(variant.share for variant in experiment.variants) > WHOLE:
        raise ExperimentInvalid("variants", "their shares come to more than 10,000")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the people of a variant did; amounts in minor units, summed over people, and their squares."""

    subjects: int = 0
    clickers: int = 0
    buyers: int = 0
    revenue: float = 0.0
    revenue_squares: float = 0.0

    @property
    def mean_revenue(self) -> float:
        """For each person."""
        return self.revenue / self.subjects if self.subjects else 0.0

    @property
    def variance(self) -> float:
        """Of what a person ordered."""
        if self.subjects < 2:
            return 0.0
        return max(self.revenue_squares - self.revenue**2 / self.subjects, 0.0) / (self.subjects - 1)


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference with its interval of 95 %."""

    value: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def rate_difference(hits: int, count: int, base_hits: int, base_count: int) -> Difference:
    """Of two shares: Agresti and Caffo (2000) add one success and one failure to each side, which keeps the interval's
    promise where there are few."""
    value = hits / max(count, 1) - base_hits / max(base_count, 1)
    share, base = (hits + 1) / (count + 2), (base_hits + 1) / (base_count + 2)
    margin = Z_95 * sqrt(share * (1 - share) / (count + 2) + base * (1 - base) / (base_count + 2))
    return Difference(value, share - base - margin, share - base + margin)


def mean_difference(outcome: Outcome, base: Outcome) -> Difference:
    """Of what people ordered: Welch's standard error, with the normal quantile: counts are large, or say little."""
    value = outcome.mean_revenue - base.mean_revenue
    margin = Z_95 * sqrt(outcome.variance / max(outcome.subjects, 1) + base.variance / max(base.subjects, 1))
    return Difference(value, value - margin, value + margin)


def against_first(outcomes: Sequence[Outcome]) -> list[tuple[Difference, Difference, Difference] | None]:
    """For each outcome but the first: the differences of click rate, buyer rate and mean revenue."""
    first = outcomes[0]
    return [
        None
        if index == 0
        else (
            rate_difference(each.clickers, each.subjects, first.clickers, first.subjects),
            rate_difference(each.buyers, each.subjects, first.buyers, first.subjects),
            mean_difference(each, first),
        )
        for index, each in enumerate(outcomes)
    ]
