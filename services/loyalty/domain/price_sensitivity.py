"""How much more often people buy what costs less: price elasticities of persons, from what they bought and when.

Only purchases are observed, never what somebody looked at and left. So what is compared is *when* somebody buys an
item: of the weeks around a purchase in which the person bought anything at all, how cheap was the item in the week in
which it was bought? With visits as given and purchases of a person and item as Poisson counts whose rate falls with
the price to the power of the elasticity, the week follows a conditional logit (McFadden 1974), which is the
fixed-effects Poisson model of Hausman, Hall and Griliches (1984): what the person likes, what the item costs in
general, and how often the person comes cancel. An item's price in a week is the geometric mean of what *others* paid,
so that nobody's own coupon or purchase makes the price that it is compared with. List prices cancel too.

One person's purchases say little. The score and the information of each at the population's elasticity give an estimate
and its variance (one Newton step: more changed nothing on the sample retailer), and these are shrunk towards the
person's group, and the groups towards the population, by parametric empirical Bayes (Efron and Morris 1975; the
variance between persons and that between groups by marginal maximum likelihood). Evidence of several accounts of one
person adds up. However many units are bought of an item in a week, it is one purchase.

What it cannot show. Prices were not drawn at random: where an item is advertised, shown better or in season in the very
weeks in which it is cheap, the elasticity holds that too. It holds purchases that were only brought forward, so it says
more about when than about how much. Who comes because of a price is not seen. Prices of others are means over stores.
Standard errors leave out that the variances between persons and groups are estimates. It ranks people and is good for
choosing between discounts inside narrow bounds; what a discount brings in truth only an experiment shows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.common.errors import FailedPrecondition

WEEKS_AROUND = 8
"""Weeks before and after a purchase that it is compared with; chosen on validation weeks of the sample retailer."""
PRICE_RANGE_MIN = 1e-4
"""Where log prices differ by less, a purchase says nothing."""
EVENTS_MIN = 200
PERSONS_MIN = 10
CHUNK = 200_000
"""Purchases compared at once: bounds the memory."""
PRECISION_MIN = 1e-6
"""Whose purchases say less has no estimate of their own."""
NEWTON_STEPS_MAX = 30
STEP_MAX = 2.0
INTERVAL_DEVIATIONS = 1.96
"""Standard errors on each side of an estimate that hold 95 % of a normal distribution."""
_DEVIATIONS = np.concatenate(([0.0], np.exp(np.linspace(np.log(0.01), np.log(20.0), 160))))

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class PriceDataInsufficient(FailedPrecondition):
    """There are too few purchases at changing prices to learn from."""


@dataclass(frozen=True, slots=True)
class Purchases:
    """Lines of orders, as arrays of one length."""

    person: Ints
    """From 0 to below ``person_count``."""
    item: Ints
    """From 0."""
    week: Ints
    """Any whole numbers; consecutive weeks differ by 1."""
    price: Floats
    """What a unit cost, above 0; the unit of money does not matter, as only ratios within an item count."""
    person_count: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What each person's purchases say, as arrays by person: ``precision`` times the elasticity, and the precision."""

    weighted: Floats
    precision: Floats
    event_count: Ints
    elasticity: float
    """What is most likely if everybody had the same."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is expected of somebody before their own purchases: a normal distribution of elasticities."""

    mean: float
    variance: float
    mean_error: float = 0.0
    """The standard error of the mean, which is an estimate itself."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """An elasticity: 2 means that at a price 1 % lower about 2 % more is bought. Below 0 is noise."""

    elasticity: float
    standard_error: float
    event_count: int

    @property
    def interval(self) -> tuple[float, float]:
        """What holds the truth with 95 %, if the model is right."""
        width = INTERVAL_DEVIATIONS * self.standard_error
        return self.elasticity - width, self.elasticity + width


def posterior(prior: Prior, weighted: float, precision: float, event_count: int) -> Sensitivity:
    """The prior with somebody's own evidence, each by its precision; without evidence it is the prior.

    The standard error holds that of the prior's mean, as far as the estimate rests on it (Morris 1983).
    """
    rest = 1 / (1 + prior.variance * precision)
    mean = rest * (prior.mean + prior.variance * weighted)
    variance = prior.variance * rest + (rest * prior.mean_error) ** 2
    return Sensitivity(float(mean), float(variance**0.5), int(event_count))


def weigh(purchases: Purchases) -> Evidence:
    """The population's elasticity and everybody's evidence; ``PriceDataInsufficient``."""
    choices = list(choices_of(purchases))
    count = sum(len(each.person) for each in choices)
    persons = len(np.unique(np.concatenate([each.person for each in choices]))) if choices else 0
    if count < EVENTS_MIN or persons < PERSONS_MIN:
        raise PriceDataInsufficient(
            f"{count} purchases of {persons} persons can be compared with other weeks at other prices; at least "
            f"{EVENTS_MIN} of {PERSONS_MIN} are needed",
            events=count,
            persons=persons,
        )
    elasticity = 0.0
    for _ in range(NEWTON_STEPS_MAX):
        score, precision, events = _score(choices, elasticity, purchases.person_count)
        step = float(np.clip(score.sum() / max(precision.sum(), 1e-12), -STEP_MAX, STEP_MAX))
        if abs(step) < 1e-6:
            break
        elasticity += step
    return Evidence(score + precision * elasticity, precision, events, elasticity)


@dataclass(frozen=True, slots=True)
class Choices:
    """Purchases, each with the weeks in which it could have been made."""

    person: Ints
    cheapness: Floats
    """By purchase and week around it: minus the log price; not a number where there was no visit or no price."""

    def weights(self, elasticity: Floats) -> tuple[Floats, Floats]:
        """How much cheaper each week was than that of the purchase, and its odds, at an elasticity by purchase."""
        there = ~np.isnan(self.cheapness)
        # From the week of the purchase: the item's own level cancels, and exponents stay small.
        relative = np.where(there, self.cheapness - self.cheapness[:, WEEKS_AROUND, None], 0.0)
        return relative, np.where(there, np.exp(np.clip(elasticity[:, None] * relative, -700, 700)), 0.0)

    def log_likelihood(self, elasticity: Floats) -> float:
        """Of all these purchases, at an elasticity by person."""
        return -float(np.log(self.weights(elasticity[self.person])[1].sum(axis=1)).sum())


def choices_of(purchases: Purchases) -> Iterator[Choices]:
    """Every purchase (of a person, item and week) that other weeks at other prices can be compared with."""
    if not len(purchases.person):
        return
    week = purchases.week - purchases.week.min()
    weeks = int(week.max()) + 1
    items = int(purchases.item.max()) + 1
    log_price = np.log(purchases.price)
    sold, sold_lines, sold_sum = _grouped(purchases.item * weeks + week, log_price)
    bought, own_lines, own_sum = _grouped((purchases.person * items + purchases.item) * weeks + week, log_price)
    visits = np.unique(purchases.person * weeks + week)
    for start in range(0, len(bought), CHUNK):
        event = bought[start : start + CHUNK]
        item, at = (event // weeks) % items, event % weeks
        person = event // (weeks * items)
        found = np.full((len(event), 2 * WEEKS_AROUND + 1), np.nan)
        for column, offset in enumerate(range(-WEEKS_AROUND, WEEKS_AROUND + 1)):
            other = at + offset
            there = np.flatnonzero((other >= 0) & (other < weeks))
            _, visited = _places(visits, person[there] * weeks + other[there])
            there = there[visited]
            place, known = _places(sold, item[there] * weeks + other[there])
            there, place = there[known], place[known]
            own, own_known = _places(bought, event[there] + offset)
            lines = sold_lines[place] - np.where(own_known, own_lines[own], 0.0)
            total = sold_sum[place] - np.where(own_known, own_sum[own], 0.0)
            others = lines > 0.5
            found[there[others], column] = -total[others] / lines[others]
        compared = ~np.isnan(found[:, WEEKS_AROUND])
        found, person = found[compared], person[compared]
        telling = np.nanmax(found, axis=1, initial=-np.inf) - np.nanmin(found, axis=1, initial=np.inf)
        said = telling > PRICE_RANGE_MIN
        yield Choices(person[said], found[said])


def _grouped(key: Ints, value: Floats) -> tuple[Ints, Floats, Floats]:
    """The distinct keys, ascending, how many lines each has, and the sum of its values."""
    distinct, inverse = np.unique(key, return_inverse=True)
    lines = np.asarray(np.bincount(inverse), dtype=np.float64)
    return distinct, lines, np.asarray(np.bincount(inverse, value), dtype=np.float64)


def _places(among: Ints, keys: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Where each key stands in the ascending array, and whether it does."""
    place: Ints = np.minimum(np.searchsorted(among, keys), len(among) - 1).astype(np.int64)
    return place, among[place] == keys


def _score(choices: list[Choices], elasticity: float, person_count: int) -> tuple[Floats, Floats, Ints]:
    """By person, at an elasticity: the slope of the log likelihood, its curvature, and how many purchases."""
    score, precision = np.zeros(person_count), np.zeros(person_count)
    events = np.zeros(person_count, dtype=np.int64)
    for each in choices:
        relative, weight = each.weights(np.full(len(each.person), elasticity))
        weight /= weight.sum(axis=1, keepdims=True)
        mean = (weight * relative).sum(axis=1)
        variance = (weight * relative * relative).sum(axis=1) - mean * mean
        score += np.bincount(each.person, -mean, person_count)
        precision += np.bincount(each.person, np.maximum(variance, 0.0), person_count)
        events += np.bincount(each.person, minlength=person_count)
    return score, precision, events


def pool(estimate: Floats, variance: Floats) -> Prior:
    """The normal distribution that estimates with known variances come from.

    Marginal maximum likelihood of the variance between them, over a grid of standard deviations from 0 to 20.
    """
    best, chosen = -np.inf, Prior(0.0, 0.0)
    for deviation in _DEVIATIONS:
        whole = variance + deviation * deviation
        weight = 1 / whole
        mean = float((weight * estimate).sum() / weight.sum())
        likelihood = -0.5 * float((np.log(whole) + weight * (estimate - mean) ** 2).sum())
        if likelihood > best:
            best = likelihood
            chosen = Prior(mean, float(deviation * deviation), float(weight.sum() ** -0.5))
    return chosen


@dataclass(frozen=True, slots=True)
class Pooling:
    """What is expected of whom: the population's distribution, and that of each group."""

    population: Prior
    groups: dict[int, Sensitivity]
    """The shrunk mean of each group, its standard error and how many purchases it rests on."""

    def prior_of(self, group: int) -> Prior:
        """Of somebody of the group; of a group that is not known, the population's."""
        found = self.groups.get(group)
        if found is None:
            return self.population
        return Prior(found.elasticity, self.population.variance, found.standard_error)


def pool_groups(evidence: Evidence, group: Ints) -> Pooling:
    """Shrinks groups towards the population. ``group`` is by person, -1 for none; who has no evidence does not count.

    The variance between persons is one for all groups. Where groups do not differ, or there is one alone, each is what
    the population is.
    """
    told = evidence.precision > PRECISION_MIN
    estimate, variance = evidence.weighted[told] / evidence.precision[told], 1 / evidence.precision[told]
    population = pool(estimate, variance)
    grouped, names = group[told], np.unique(group[told])
    names = names[names >= 0]
    weight = 1 / (variance + population.variance)
    whole = np.array([weight[grouped == name].sum() for name in names])
    means = np.array([(weight * estimate)[grouped == name].sum() for name in names]) / whole
    between = pool(means, 1 / whole).variance if len(names) > 1 else 0.0
    groups = {}
    for name, mean, precision in zip(names.tolist(), means.tolist(), whole.tolist(), strict=True):
        events = int(evidence.event_count[group == name].sum())
        expected = Prior(population.mean, between, population.mean_error)
        groups[name] = posterior(expected, mean * precision, precision, events)
    return Pooling(population, groups)
